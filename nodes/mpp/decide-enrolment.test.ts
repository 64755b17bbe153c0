import { describe, expect, test } from 'vitest'
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import type { Body } from '../../protocol/kinds.ts'
import { decision, put, type Decision, type Incoming } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { incoming, testBytes, testId } from '../runtime/testing.ts'
import { ENROLMENTS, HOSTS, LISTINGS, PAYEES, REGISTRATIONS } from './state.ts'
import {
  bodyOf,
  definition,
  enrolled,
  HOST,
  hostRow,
  notice,
  NOW,
  PAYEE,
  PAYEE_ACCOUNT,
  payeeRow,
  POLICY,
  refusalOf,
  SELF,
  sent,
  showing,
  world,
  type World,
} from './testing/fixture.ts'

const payee = (on: World, id = PAYEE) => on.ledger.get(PAYEES, id)
const MANDATE = testBytes('mandate')

const enrolment = (parts: Partial<Body<'payee-enrolment'>> = {}, from = HOST): Incoming<'payee-enrolment'> =>
  incoming(
    'payee-enrolment',
    {
      enrolmentId: testId('enrolment'),
      payee: PAYEE,
      payeeKind: 'shop',
      displayName: 'Bakery',
      account: PAYEE_ACCOUNT,
      currency: 'EUR',
      mandate: MANDATE,
      ...parts,
    },
    { from },
  )
const mandateAnswer = (registrationId: Uint8Array, result: 'accepted' | 'refused', bank = 'ro-bank', code?: number) =>
  incoming('mandate-answer', { registrationId, result, ...(code === undefined ? {} : { code }) }, { from: bank })

const onlyHost = () => world([put(HOSTS, keyOf(HOST), hostRow())])

/** Runs the jobs of a decision and takes their results. */
const work = async (on: World, made: Decision): Promise<readonly Decision[]> =>
  Promise.all(
    made.jobs.map(async ({ name, input }) => {
      const result = await definition.jobs[name]?.(input)
      const done = definition.finished[name]?.(on.ledger, { name, input, result }, on.context()) as Decision
      on.ledger.apply(done)
      return done
    }),
  )
const receiptFor = (on: World, registrationId: Uint8Array): Decision => {
  // The runtime forgets what was receipted, then tells the node.
  on.ledger.apply(decision({ forget: [['registration', registrationId]] }))
  const made = definition.receipted(
    on.ledger,
    { kind: 'payee-registration', key: keyOf('registration', registrationId) },
    on.context(),
  )
  on.ledger.apply(made)
  return made
}
const refusalFor = (on: World, name: string, id: Uint8Array, code: FailureCode): Decision => {
  const made = definition.refused(
    on.ledger,
    { kind: 'payee-registration', key: keyOf(name, id), code, detail: '', by: 'hu-dc-1' },
    on.context(),
  )
  on.ledger.apply(made)
  return made
}
const registrations = (made: Decision) =>
  sent(made, 'payee-registration').map((send) => ('body' in send ? { to: send.to, ...send.body } : undefined))

const issued = async (on: World, message = enrolment()) => {
  const { registrationId } = bodyOf(on.take(message), 'mandate-registration')
  const accepted = on.take(mandateAnswer(registrationId, 'accepted'))
  const [done] = await work(on, accepted)
  return done as Decision
}

describe('a payee enrolment', () => {
  test('goes to the payee’s bank, is signed, listed at every data center, and only then recorded', async () => {
    const on = onlyHost()
    const message = enrolment()
    const asked = on.take(message)
    const { registrationId, mandate } = bodyOf(asked, 'mandate-registration')
    expect(asked.sends[0]).toMatchObject({ to: 'ro-bank', delivery: { until: ['mandate', registrationId] } })
    expect(mandate).toEqual(MANDATE)
    expect(payee(on)?.state).toBe('enrolling')

    const accepted = on.take(mandateAnswer(registrationId, 'accepted'))
    expect(accepted.sends).toEqual([])
    const [done] = await work(on, accepted)
    const told = registrations(done as Decision)
    expect(told.map((body) => body?.to)).toEqual(POLICY.dataCenters)
    const credential = testBytes(`credential of ${PAYEE} ${NOW}`)
    expect(told[0]).toMatchObject({
      payee: PAYEE,
      state: 'active',
      host: HOST,
      version: NOW,
      chain: [...hostRow().chain, credential],
    })

    const first = receiptFor(on, told[0]?.registrationId as Uint8Array)
    expect(first.sends).toEqual([])
    expect(bodyOf(on.take(notice()), 'countersigned-decision').decision).toBe('reject')
    const last = receiptFor(on, told[1]?.registrationId as Uint8Array)
    expect(last.sends).toEqual([
      {
        kind: 'payee-enrolment-record',
        to: HOST,
        body: { enrolmentId: testId('enrolment'), credential },
        delivery: { answers: message.ref },
      },
    ])
    expect(payee(on)).toMatchObject({ state: 'active', activeSinceMs: NOW, credential })
    expect(on.ledger.rows(REGISTRATIONS)).toEqual([])
    // Nothing is resent but the rejection of the notice that came too early.
    expect([...on.ledger.outbox.values()].map((send) => ('kind' in send ? send.kind : send.relay))).toEqual([
      'countersigned-decision',
    ])
  })

  // In the published order.
  const other = payeeRow({ host: 'hu-elsewhere', currency: 'USD', enrolmentId: testId('running') })
  const rows: readonly (readonly [string, FailureCode, Incoming<'payee-enrolment'>, World])[] = [
    [
      'with the id of another enrolment',
      'ID_REUSED',
      enrolment({ payee: 'ro-x' }, 'hu-unknown'),
      (() => {
        const on = onlyHost()
        on.take(enrolment())
        return on
      })(),
    ],
    ['from a host that is not registered', 'ENROLMENT_REFUSED', enrolment({ payee: 'ro-x' }), world([])],
    ['of another realm', 'ENROLMENT_REFUSED', enrolment({ payee: 'ro-bakery' }), onlyHost()],
    ['of a name that another host holds', 'NAME_TAKEN', enrolment({ currency: 'GBP' }), world(enrolled(other))],
    [
      'while another one is under way',
      'BUSY',
      enrolment({ currency: 'GBP' }),
      world(enrolled(payeeRow({ enrolmentId: testId('running') }))),
    ],
    [
      'in a currency this MPP does not pay out',
      'CURRENCY_UNSUPPORTED',
      enrolment({ currency: 'GBP', mandate: testBytes('bad') }),
      onlyHost(),
    ],
    [
      'in another currency than before',
      'CURRENCY_UNSUPPORTED',
      enrolment({ mandate: testBytes('bad') }),
      world(enrolled(payeeRow({ currency: 'USD' }))),
    ],
    ['with no mandate', 'MANDATE_INVALID', enrolment({ mandate: testBytes('bad') }), onlyHost()],
    [
      'with a mandate for another operator',
      'MANDATE_INVALID',
      enrolment({ mandate: testBytes('mandate of another operator') }),
      onlyHost(),
    ],
    [
      'with a mandate in another currency',
      'MANDATE_INVALID',
      enrolment({ mandate: testBytes('mandate in another currency') }),
      onlyHost(),
    ],
    ['with a mandate for another account', 'MANDATE_INVALID', enrolment({ account: 'ro-bank:other' }), onlyHost()],
  ]
  test.each(rows)('%s is refused with %s and changes nothing', (_, code, message, on) => {
    const made = on.take(message)
    expect(refusalOf(made)).toBe(code)
    expect([made.writes, made.sends]).toEqual([[], []])
  })

  test.each([
    [failureNumber('MANDATE_INVALID'), 'MANDATE_INVALID'],
    [failureNumber('ACCOUNT_UNKNOWN'), 'ACCOUNT_UNKNOWN'],
    [undefined, 'MANDATE_INVALID'],
  ] as const)('whose bank refuses the mandate with %s is refused, and the name is free again', (given, code) => {
    const on = onlyHost()
    const message = enrolment()
    const { registrationId } = bodyOf(on.take(message), 'mandate-registration')
    const made = on.take(mandateAnswer(registrationId, 'refused', 'ro-bank', given))
    expect(made.sends).toEqual([
      {
        kind: 'refusal',
        to: HOST,
        body: { digest: message.message.digest, code: failureNumber(code), detail: 'the payee was not enrolled' },
        delivery: { answers: message.ref },
      },
    ])
    expect(payee(on)).toBeUndefined()
    expect(on.ledger.get(ENROLMENTS, testId('enrolment'))).toMatchObject({ state: 'refused', code })
    expect(on.ledger.outbox.size).toBe(0)
  })

  test('believes its own bank only', () => {
    const on = onlyHost()
    const { registrationId } = bodyOf(on.take(enrolment()), 'mandate-registration')
    expect(on.take(mandateAnswer(registrationId, 'accepted', 'hu-kh')).jobs).toEqual([])
    expect(on.ledger.get(ENROLMENTS, testId('enrolment'))?.state).toBe('mandating')
  })

  test('that a data center refuses is refused, withdrawn where it was listed, and leaves no payee', async () => {
    const on = onlyHost()
    const told = registrations(await issued(on))
    receiptFor(on, told[0]?.registrationId as Uint8Array)
    const made = refusalFor(on, 'registration', told[1]?.registrationId as Uint8Array, 'NAME_TAKEN')
    expect(bodyOf(made, 'refusal').code).toBe(failureNumber('NAME_TAKEN'))
    expect(registrations(made)).toEqual([
      expect.objectContaining({ to: POLICY.dataCenters[0], state: 'retired', version: NOW + 1 }),
    ])
    expect(payee(on)).toBeUndefined()
  })

  test('of a payee who has money here and is refused leaves the account untouched', async () => {
    const before = payeeRow({ payableMinor: 5n, accruedMinor: 7n })
    const on = world(enrolled(before))
    const { registrationId } = bodyOf(on.take(enrolment()), 'mandate-registration')
    on.take(mandateAnswer(registrationId, 'refused'))
    expect(payee(on)).toEqual(before)
  })

  test('of a payee enrolled already may change the account; the payee stays active', async () => {
    const on = world(enrolled(payeeRow({ account: 'hu-kh:old', payableMinor: 5n })))
    await issued(on)
    expect(payee(on)).toMatchObject({ state: 'active', account: PAYEE_ACCOUNT, version: NOW, payableMinor: 5n })
    expect(on.take(notice()).refuse).toBeUndefined()
  })

  test('whose terms break the grammar of credentials is refused', async () => {
    const on = onlyHost()
    expect(bodyOf(await issued(on, enrolment({ displayName: '' })), 'refusal').code).toBe(
      failureNumber('ENROLMENT_REFUSED'),
    )
    expect(payee(on)).toBeUndefined()
  })

  test('whose credential was being signed at a crash is signed after the restart', async () => {
    const on = onlyHost()
    const { registrationId } = bodyOf(on.take(enrolment()), 'mandate-registration')
    on.take(mandateAnswer(registrationId, 'accepted'))
    const started = definition.started(on.ledger, {}, on.context())
    on.ledger.apply(started)
    expect(started.jobs[0]?.input).toMatchObject({ terms: { payee: PAYEE, host: HOST, account: PAYEE_ACCOUNT } })
    const [done] = await work(on, started)
    expect(registrations(done as Decision)).toHaveLength(2)
    // The job of before the crash, if it too comes back, changes nothing.
    const [again] = await work(on, started)
    expect(again?.writes).toEqual([])
  })
})

describe('a host registration', () => {
  const registration = (chain = hostRow().chain, from = HOST) =>
    incoming(
      'host-registration',
      { registrationId: testId('registration'), chain: [...chain] },
      { role: 'merchant', from },
    )
  const shows = (mpp: string, host: string | undefined, role = 'merchant') => ({
    processor: { id: mpp },
    host: host === undefined ? undefined : { id: host, role },
  })

  test('of a host that this MPP certified is kept and receipted', () => {
    const on = world([])
    const message = showing(registration(), shows(SELF.id, HOST))
    expect(on.take(message).sends).toEqual([
      { kind: 'receipt', to: HOST, body: { digest: message.message.digest }, delivery: { answers: message.ref } },
    ])
    expect(on.ledger.get(HOSTS, HOST)).toEqual(hostRow())
  })

  test.each([
    ['certified by another MPP', shows('ro-mpp', HOST)],
    ['with the chain of another host', shows(SELF.id, 'hu-other')],
    ['without a host credential', shows(SELF.id, undefined)],
    ['of a wallet host', shows(SELF.id, HOST, 'customer')],
    ['without a chain', undefined],
  ])('%s is refused', (_, chain) => {
    const on = world([])
    expect(refusalOf(on.take(showing(registration(), chain)))).toBe('BROKEN_CHAIN')
    expect(on.ledger.rows(HOSTS)).toEqual([])
  })

  test('with a new key passes it on to the data centers, under a higher version, for each of its payees', () => {
    const on = world(
      enrolled(
        payeeRow(),
        payeeRow({ payee: 'hu-kiosk', version: NOW + 5 }),
        payeeRow({ payee: 'hu-far', host: 'hu-elsewhere' }),
      ),
    )
    const chain = [testBytes('mpp credential'), testBytes('new key')]
    const made = on.take(showing(registration(chain), shows(SELF.id, HOST)))
    expect(registrations(made).map((body) => [body?.payee, body?.version, body?.chain.slice(0, 2)])).toEqual(
      [PAYEE, 'hu-kiosk'].flatMap((id) => [id, id]).map((id) => [id, id === PAYEE ? NOW : NOW + 6, chain]),
    )
    const same = on.take(showing(registration(chain), shows(SELF.id, HOST)))
    expect(registrations(same)).toEqual([])
  })
})

describe('at its start an MPP', () => {
  test('shows itself to every data center, under a version that rises, and is ready when all have receipted', () => {
    const on = world([])
    const start = () => {
      const made = definition.started(on.ledger, {}, on.context())
      on.ledger.apply(made)
      return sent(made, 'processor-registration').map((send) => ('body' in send ? send.body : undefined))
    }
    const [one, two] = start()
    expect(one).toMatchObject({ version: NOW, chain: [testBytes('mpp credential')] })
    expect(definition.ready(on.ledger, on.context())).toBe(false)
    receiptFor(on, one?.registrationId as Uint8Array)
    expect(definition.ready(on.ledger, on.context())).toBe(false)
    receiptFor(on, two?.registrationId as Uint8Array)
    expect(definition.ready(on.ledger, on.context())).toBe(true)
    const [again] = start()
    expect(again?.version).toBe(NOW + 1)
    expect(definition.ready(on.ledger, on.context())).toBe(false)
    // A registration of before the restart no longer counts, nor is it sent any more.
    const [third] = start()
    receiptFor(on, again?.registrationId as Uint8Array)
    expect(third?.version).toBe(NOW + 2)
    expect(definition.ready(on.ledger, on.context())).toBe(false)
    expect(on.ledger.outbox.size).toBe(2)
  })

  test('tells a data center what it has not heard yet, and no more', async () => {
    const on = onlyHost()
    const told = registrations(await issued(on))
    told.forEach((body) => receiptFor(on, body?.registrationId as Uint8Array))
    const before = definition.started(on.ledger, {}, on.context())
    expect(registrations(before)).toEqual([])
    on.policy = { ...POLICY, dataCenters: [...POLICY.dataCenters, 'hu-dc-3'] }
    const after = definition.started(on.ledger, {}, on.context())
    expect(registrations(after).map((body) => [body?.to, body?.payee])).toEqual([['hu-dc-3', PAYEE]])
  })
})

describe('a payee who leaves', () => {
  test('is retired in the directory, takes no new payment, and is paid out whatever is payable', () => {
    const on = world(enrolled(payeeRow({ payableMinor: 5n, accruedMinor: 7n })))
    const made = on.control('retire-payee', { payee: 'bakery@hu' })
    expect(made.reply).toEqual({ ok: true, version: NOW })
    expect(registrations(made).map((body) => [body?.to, body?.state, body?.version])).toEqual(
      POLICY.dataCenters.map((dc) => [dc, 'retired', NOW]),
    )
    expect(payee(on)).toMatchObject({ state: 'retired', payableMinor: 0n, payingMinor: 5n, accruedMinor: 7n })
    expect(bodyOf(on.take(notice()), 'countersigned-decision').decision).toBe('reject')
    expect(on.control('retire-payee', { payee: 'bakery@hu' }).reply).toMatchObject({ ok: false, code: 'UNDECIDED' })
  })

  test('may come back: the same host enrols the name again, under a higher version', async () => {
    const on = world(enrolled(payeeRow({ paidMinor: 9n })))
    on.control('retire-payee', { payee: PAYEE })
    const told = registrations(await issued(on))
    expect(told[0]).toMatchObject({ state: 'active', version: NOW + 1 })
    told.forEach((body) => receiptFor(on, body?.registrationId as Uint8Array))
    expect(payee(on)).toMatchObject({ state: 'active', paidMinor: 9n })
    expect(on.ledger.rows(LISTINGS).every(({ version }) => version === NOW + 1)).toBe(true)
  })
})
