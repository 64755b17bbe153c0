import { describe, expect, it } from 'vitest'
import type { Currency } from '../../protocol/amount.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { signingKeyFromSeed } from '../../protocol/keys.ts'
import { issueMandate } from '../../protocol/statements.ts'
import type { Decision, Incoming } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { TEST_NOW_MS, incoming, outboxKey, testBytes, testId } from '../runtime/testing.ts'
import { aliases, customers, directory, hosts, ledger, type AliasRow } from './state.ts'
import {
  BANK,
  CHAIN,
  CPP,
  MERCHANT_HOST,
  MPP,
  OPERATOR,
  UNSOUND_KEY,
  WALLET_HOST,
  createWorld,
  invoice,
  kindsOf,
  merchantChain,
  sent,
  sentAll,
  textOf,
  type World,
} from './testing/world.ts'

const engine = loadEngine()
const holder = signingKeyFromSeed(engine, testBytes('holder'))

type Mandate = { account?: string; operatorId?: string; currency?: Currency; notBeforeMs?: number; notAfterMs?: number }
const mandateOf = (changes: Mandate = {}): Uint8Array =>
  issueMandate(
    engine,
    {
      networkId: testId('network'),
      account: `${BANK}:alice`,
      operatorId: OPERATOR,
      limitMinor: 10_000n,
      currency: 'EUR',
      notBeforeMs: TEST_NOW_MS - 1,
      notAfterMs: TEST_NOW_MS + 1,
      serial: 1,
      ...changes,
    },
    holder,
  )

type Enrol = {
  id?: string
  customer?: string
  deviceKey?: Uint8Array
  currency?: Currency
  mandate?: Uint8Array
  alias?: string
  from?: string
}
const enrol = (one: World, given: Enrol = {}): Decision =>
  one.receive(
    'customer-enrolment',
    {
      enrolmentId: testId(given.id ?? 'enrolment'),
      customer: given.customer ?? 'hu-alice',
      deviceKey: given.deviceKey ?? testBytes('device'),
      pinKey: one.pinKeyOf('hu-alice'),
      account: `${BANK}:alice`,
      currency: given.currency ?? 'EUR',
      mandate: given.mandate ?? mandateOf(),
      ...(given.alias === undefined ? {} : { alias: given.alias }),
    },
    { from: given.from ?? WALLET_HOST },
  )

const chainOf = (processor: string, host: string, role: string) => ({
  processor: { id: processor },
  host: { id: host, role },
})
/** A wallet host shows the chain that this CPP signed. */
const registerHost = (one: World, chain: unknown = chainOf(CPP, WALLET_HOST, 'customer')): Decision => {
  const event = incoming(
    'host-registration',
    { registrationId: testId('registration'), chain: [testBytes('chain')] },
    { from: WALLET_HOST },
  )
  const shown = {
    ...event,
    message: { ...event.message, chain: chain ?? undefined },
  } as unknown as Incoming<'host-registration'>
  const { 'host-registration': handler } = one.definition.messages
  return one.run(handler, shown)
}
const world = (): World => {
  const one = createWorld()
  registerHost(one)
  return one
}
const mandateAnswer = (one: World, decided: Decision, result: 'accepted' | 'refused', from = BANK): Decision =>
  one.receive(
    'mandate-answer',
    {
      registrationId: sent(decided, 'mandate-registration').body.registrationId,
      result,
      ...(result === 'refused' ? { code: failureNumber('MANDATE_INVALID') } : {}),
    },
    { from },
  )

describe('a wallet host', () => {
  it('that this CPP certified is registered and receipted', () => {
    const one = createWorld()
    const decided = registerHost(one)
    expect(sent(decided, 'receipt')).toMatchObject({
      to: WALLET_HOST,
      nextHop: { role: 'customer', host: WALLET_HOST },
    })
    expect(one.ledger.get(hosts, WALLET_HOST)).toMatchObject({ host: WALLET_HOST })
  })

  it.each([
    ['another processor certified it', chainOf('hu-other', WALLET_HOST, 'customer')],
    ['it is a merchant host', chainOf(CPP, WALLET_HOST, 'merchant')],
    ['the chain is of another host', chainOf(CPP, 'hu-wallet-2', 'customer')],
    ['the chain names no host', { processor: { id: CPP } }],
    ['there is no chain', null],
  ])('is refused where %s', (_, chain) => {
    const one = createWorld()
    expect(registerHost(one, chain).refuse?.code).toBe('ENROLMENT_REFUSED')
    expect(one.ledger.rows(hosts)).toEqual([])
  })
})

describe('an enrolment: one row for each check, in their order', () => {
  const taken = (one: World): void => one.enrol('hu-alice')
  const rows: readonly (readonly [FailureCode, string, (one: World) => Decision])[] = [
    [
      'ENROLMENT_REFUSED',
      'from a host that is not registered',
      (one) => enrol(one, { from: 'hu-wallet-2', currency: 'JPY' }),
    ],
    ['ENROLMENT_REFUSED', 'in a currency that is not served', (one) => enrol(one, { currency: 'JPY' })],
    [
      'NAME_TAKEN',
      'under the name of another device',
      (one) => (taken(one), enrol(one, { deviceKey: testBytes('other') })),
    ],
    [
      'NAME_TAKEN',
      'under the name of a customer at another host',
      (one) => {
        one.enrol('hu-alice', { walletHost: 'hu-wallet-2', deviceKey: testBytes('device') })
        return enrol(one)
      },
    ],
    ['BUSY', 'while the first is under way', (one) => (enrol(one), enrol(one, { id: 'second', alias: 'sk-alice' }))],
    ['ENROLMENT_REFUSED', 'with an alias of another realm', (one) => enrol(one, { alias: 'sk-alice' })],
    [
      'NAME_TAKEN',
      'with the alias of another customer',
      (one) => {
        one.ledger.put<AliasRow>(aliases, keyOf('hu-ali'), { customer: 'hu-bob', version: 1, state: 'active' })
        return enrol(one, { alias: 'hu-ali', mandate: testBytes('none') })
      },
    ],
    [
      'ENROLMENT_REFUSED',
      'with a mandate that enrols another customer',
      (one) => (enrol(one), enrol(one, { id: 'second', customer: 'hu-bob', deviceKey: testBytes('other') })),
    ],
    ['ENROLMENT_REFUSED', 'with bytes that are no mandate', (one) => enrol(one, { mandate: testBytes('none') })],
    [
      'ENROLMENT_REFUSED',
      'with a mandate for another account',
      (one) => enrol(one, { mandate: mandateOf({ account: `${BANK}:bob` }) }),
    ],
    [
      'ENROLMENT_REFUSED',
      'with a mandate for another operator',
      (one) => enrol(one, { mandate: mandateOf({ operatorId: 'hu-other' }) }),
    ],
    [
      'ENROLMENT_REFUSED',
      'with a mandate in another currency',
      (one) => enrol(one, { mandate: mandateOf({ currency: 'HUF' }) }),
    ],
    [
      'ENROLMENT_REFUSED',
      'with a mandate of the past',
      (one) => enrol(one, { mandate: mandateOf({ notBeforeMs: 0, notAfterMs: 1 }) }),
    ],
  ]
  it.each(rows)('%s: %s', (code, _, act) => {
    const one = world()
    const decided = act(one)
    expect(decided.refuse?.code).toBe(code)
    expect([decided.writes, decided.sends]).toEqual([[], []])
  })

  it('asks the bank to register the mandate, and serves nobody before it answers', () => {
    const one = world()
    const decided = enrol(one, { alias: 'hu-ali' })
    const order = sent(decided, 'mandate-registration')
    expect(order).toMatchObject({
      to: BANK,
      body: { mandate: mandateOf() },
      delivery: { until: ['mandate', order.body.registrationId] },
    })
    expect(one.definition.deviceKey?.(one.ledger, 'hu-alice')).toBeUndefined()
    expect(one.ledger.get(ledger, 'hu-alice')).toBeUndefined()
    expect(textOf(one.ledger.get(customers, 'hu-alice'))).not.toContain(textOf(one.pinKeyOf('hu-alice')).slice(1, -1))
  })

  it('accepted, gets a signed record; the customer pays from then on', async () => {
    const one = world()
    const decided = enrol(one)
    expect(mandateAnswer(one, decided, 'accepted', 'hu-other-bank').writes).toEqual([])
    expect(kindsOf(mandateAnswer(one, decided, 'accepted'))).toEqual([])
    expect(one.ledger.outbox.size).toBe(0)
    expect(one.jobs).toMatchObject([
      { name: 'issue-enrolment', input: { customer: 'hu-alice', walletHost: WALLET_HOST, account: `${BANK}:alice` } },
    ])
    expect(textOf(one.jobs)).not.toContain(textOf(one.pinKeyOf('hu-alice')).slice(1, -1))
    const [done] = (await one.finishJobs()) as [Decision]
    expect(sent(done, 'customer-enrolment-record')).toMatchObject({
      to: 'hu-alice',
      nextHop: { role: 'customer', host: WALLET_HOST },
      body: { enrolmentId: testId('enrolment'), record: testBytes('record hu-alice') },
      delivery: { answers: one.ledger.get(customers, 'hu-alice')?.enrolmentRef },
    })
    expect(one.definition.deviceKey?.(one.ledger, 'hu-alice')).toEqual({
      publicKey: testBytes('device'),
      host: WALLET_HOST,
    })
    expect(kindsOf(one.pay())).toEqual(['payment-notice'])
    // The same device under a new id: the answer was lost.
    const again = enrol(one, { id: 'second' })
    expect(sent(again, 'customer-enrolment-record').body).toEqual({
      enrolmentId: testId('second'),
      record: testBytes('record hu-alice'),
    })
    expect(again.writes).toEqual([])
  })

  it('refused by the bank frees the name and tells the wallet host', () => {
    const one = world()
    const decided = enrol(one, { alias: 'hu-ali' })
    const refused = mandateAnswer(one, decided, 'refused')
    expect(sent(refused, 'refusal')).toMatchObject({
      to: WALLET_HOST,
      body: { code: failureNumber('ENROLMENT_REFUSED') },
    })
    expect(textOf(sent(refused, 'refusal').body.detail)).toContain('MANDATE_INVALID')
    expect(one.ledger.rows(customers)).toEqual([])
    expect(one.ledger.rows(aliases)).toEqual([])
    expect(kindsOf(enrol(one, { id: 'second' }))).toEqual(['mandate-registration'])
  })

  it('with a device key that is not sound is refused when the record is made', async () => {
    const one = world()
    mandateAnswer(one, enrol(one, { deviceKey: UNSOUND_KEY }), 'accepted')
    const [done] = (await one.finishJobs()) as [Decision]
    expect(kindsOf(done)).toEqual(['refusal'])
    expect(one.ledger.rows(customers)).toEqual([])
  })

  it('whose record a crash interrupted gets it after the restart, once', async () => {
    const one = world()
    mandateAnswer(one, enrol(one), 'accepted')
    one.jobs.length = 0
    one.start()
    const done = await one.finishJobs()
    expect(done.flatMap(kindsOf)).toEqual(['customer-enrolment-record'])
    one.start()
    expect(one.jobs).toEqual([])
  })
})

describe('an alias', () => {
  const enrolled = async (): Promise<{ readonly one: World; readonly done: Decision }> => {
    const one = createWorld({ policy: { dataCenters: ['hu-dc-1', 'hu-dc-2'] } })
    registerHost(one)
    mandateAnswer(one, enrol(one, { alias: 'hu-ali' }), 'accepted')
    const [done] = (await one.finishJobs()) as [Decision]
    return { one, done }
  }
  const state = (one: World) => one.ledger.get(aliases, 'hu-ali')?.state

  it('is registered at every data center of the realm, and names no customer there', async () => {
    const { one, done } = await enrolled()
    const registered = sentAll(done, 'alias-registration')
    expect(registered.map(({ to, nextHop, body }) => [to, nextHop, body.alias, body.version, body.state])).toEqual(
      ['hu-dc-1', 'hu-dc-2'].map((host) => [host, { role: 'dc', host }, 'hu-ali', 1, 'active']),
    )
    expect(textOf(registered.map(({ body }) => body))).not.toContain('alice')
    expect(state(one)).toBe('registering')
    one.receipted(keyOf('registration', registered[0]?.body.registrationId ?? testId('none')), 'alias-registration')
    expect(state(one)).toBe('active')
  })

  it('that the directory refuses is visible', async () => {
    const { one, done } = await enrolled()
    const [first] = sentAll(done, 'alias-registration')
    one.refused(keyOf('registration', first?.body.registrationId ?? testId('none')), 'alias-registration', 'NAME_TAKEN')
    expect(state(one)).toBe('refused')
    expect(one.read('customer', { customer: 'hu-alice' })).toMatchObject({ alias: 'hu-ali', aliasState: 'refused' })
  })

  const ask = (
    one: World,
    changes: { alias?: string; from?: string; expiresAtMs?: number; bad?: boolean } = {},
  ): Decision => {
    const trans = invoice({ expiresAtMs: changes.expiresAtMs ?? TEST_NOW_MS + 1 })
    const nested = changes.bad === true ? { ok: false, failure: { code: 'BAD_SIGNATURE', detail: '' } } : trans
    return one.receive(
      'request-to-pay',
      { requestId: testId('request'), alias: changes.alias ?? 'hu-ali', description: 'tea', salt: testId('salt') },
      { from: changes.from ?? MERCHANT_HOST, previousHop: 'hu-dc-1', nested: { trans: nested } },
    )
  }

  it.each([
    ['TRANS_INVALID', 'its invoice does not open', { bad: true, alias: 'hu-nobody' }],
    ['TRANS_INVALID', "its invoice is another host's", { from: 'hu-shops-2' }],
    ['TRANS_EXPIRED', 'its invoice has expired', { expiresAtMs: TEST_NOW_MS, alias: 'hu-nobody' }],
    ['NOT_FOUND', 'nobody has this alias', { alias: 'hu-nobody' }],
  ] as const)('a request to pay is refused with %s when %s', async (code, _, changes) => {
    const { one } = await enrolled()
    expect(ask(one, changes).refuse?.code).toBe(code)
  })

  it('a request to pay is handed to the wallet host byte for byte, and receipted to the MPP', async () => {
    const { one } = await enrolled()
    const decided = ask(one)
    expect(sent(decided, 'receipt')).toMatchObject({ to: MPP, nextHop: { role: 'dc', host: 'hu-dc' } })
    const relayed = decided.sends.find((message) => 'relay' in message)
    expect(relayed).toMatchObject({ relay: 'request-to-pay', nextHop: { role: 'customer', host: WALLET_HOST } })
    expect(relayed).toHaveProperty('frame')
    expect(one.ledger.outbox.size).toBeGreaterThan(0)
  })

  it('two merchants may choose one requestId: both are delivered', async () => {
    const { one } = await enrolled()
    const before = one.ledger.outbox.size
    ask(one)
    const trans = incoming(
      'transaction-details',
      { ...invoice().body, payee: 'hu-other' },
      {
        from: 'hu-shops-2',
        merchant: { ...merchantChain({ payee: 'hu-other' }), host: { id: 'hu-shops-2' } as never },
      },
    ).message
    one.receive(
      'request-to-pay',
      { requestId: testId('request'), alias: 'hu-ali', description: 'tea', salt: testId('salt') },
      { from: 'hu-shops-2', previousHop: 'hu-dc-1', nested: { trans } },
    )
    expect(one.ledger.outbox.size).toBe(before + 2)
  })
})

describe("this processor's own registration", () => {
  const registrationId = (one: World): Uint8Array =>
    one.ledger.get(directory, 'hu-dc-1')?.registrationId ?? testId('none')
  const ready = (one: World): boolean => one.read('registration').registered

  it('goes to every data center until its receipt; then the node is ready', () => {
    const one = createWorld({ policy: { dataCenters: ['hu-dc-1', 'hu-dc-2'] } })
    const decided = one.start()
    const both = sentAll(decided, 'processor-registration')
    expect(both.map(({ to, nextHop }) => [to, nextHop])).toEqual(
      ['hu-dc-1', 'hu-dc-2'].map((host) => [host, { role: 'dc', host }]),
    )
    expect(both[0]?.body).toMatchObject({ version: 1, chain: CHAIN })
    expect(both[0]?.body.accepts).toContainEqual({ kind: 10, versions: [1] })
    expect(ready(one)).toBe(false)
    for (const { body } of both) one.receipted(keyOf('registration', body.registrationId), 'processor-registration')
    expect(ready(one)).toBe(true)
  })

  it("is not repeated after a restart, is after a rotation, and on the operator's word", () => {
    const one = createWorld()
    one.start()
    expect(kindsOf(one.start())).toEqual([])
    one.receipted(keyOf('registration', registrationId(one)), 'processor-registration')
    expect(kindsOf(one.start())).toEqual([])
    one.setChain([testBytes('rotated')])
    const rotated = sent(one.start(), 'processor-registration')
    expect(rotated.body).toMatchObject({ version: 2, chain: [testBytes('rotated')] })
    expect(ready(one)).toBe(false)
    const forced = one.control('register')
    expect(sent(forced, 'processor-registration').body.version).toBe(3)
    // The older one is resent no more.
    expect(one.ledger.outbox.has(outboxKey('registration', rotated.body.registrationId))).toBe(false)
    one.receipted(keyOf('registration', rotated.body.registrationId), 'processor-registration')
    expect(ready(one)).toBe(false)
    one.receipted(keyOf('registration', registrationId(one)), 'processor-registration')
    expect(ready(one)).toBe(true)
  })

  it('refused leaves the node not ready', () => {
    const one = createWorld()
    one.start()
    one.refused(keyOf('registration', registrationId(one)), 'processor-registration', 'REGISTRATION_STALE')
    expect(ready(one)).toBe(false)
  })
})
