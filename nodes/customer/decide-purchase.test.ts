import { describe, expect, test } from 'vitest'
import { toHex, utf8 } from '../../protocol/bytes.ts'
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { guestToken } from '../../protocol/ids.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { testBytes, testId } from '../runtime/testing.ts'
import type { OpenGuestInput } from './guest-session.ts'
import {
  currentSession,
  payeeRecords,
  payments,
  sessions,
  transactions,
  unfinished,
  waitingForLogin,
  WALLET_TABLES,
  waitingForRecord,
} from './state.ts'
import { contains, leavesOf, oneSent, sentBy } from './testing/drive.ts'
import {
  ALICE,
  chainOf,
  CPP,
  CPP2,
  MPP,
  offered,
  openGuest,
  payArguments,
  PAYEE,
  publicKeyOf,
  recordFor,
  requested,
  SHOP_HOST,
  transFor,
  wallet,
  type TransChanges,
} from './testing/wallet.ts'

describe('pay: checks in their order', () => {
  const rows: readonly [string, Record<string, unknown>, FailureCode][] = [
    ['no customer', { customer: undefined }, 'SCHEMA_VIOLATION'],
    ['a field too many', { tip: '1' }, 'SCHEMA_VIOLATION'],
    ['a payee outside the grammar', { payee: 'Bakery at hu' }, 'SCHEMA_VIOLATION'],
    ['a currency that does not exist', { currency: 'XXX' }, 'SCHEMA_VIOLATION'],
    ['zero', { amountMinor: '0' }, 'AMOUNT_INVALID'],
    ['negative', { amountMinor: '-5' }, 'AMOUNT_INVALID'],
    ['fractional', { amountMinor: '1.5' }, 'AMOUNT_INVALID'],
    ['a number, which may be a float', { amountMinor: 1.5 }, 'AMOUNT_INVALID'],
    ['over the limit', { amountMinor: '100000000001' }, 'AMOUNT_INVALID'],
    ['not a customer here', { customer: 'hu-nobody' }, 'CUSTOMER_UNKNOWN'],
    ['not enrolled at that CPP', { cpp: 'hu-nowhere' }, 'CUSTOMER_UNKNOWN'],
    ['over the cost agreed to', { maxCostMinor: '1' }, 'COST_EXCEEDED'],
    ['a cost that is no amount', { maxCostMinor: 5 }, 'AMOUNT_INVALID'],
  ]
  test.each(rows)('%s', async (_, changes, code) => {
    const host = wallet()
    await host.enrol(ALICE)
    const decision = host.control('pay', payArguments(changes))
    expect(decision.reply).toMatchObject({ ok: false, code })
    expect(decision.sends).toEqual([])
    expect(host.ledger.rows(payments)).toEqual([])
  })

  test('a wallet that a restart has locked', async () => {
    const before = wallet()
    await before.enrol(ALICE)
    const host = wallet({ ledger: before.ledger })
    expect(host.control('pay', payArguments()).reply).toMatchObject({ ok: false, code: 'WRONG_PIN' })
    host.control('unlock', { customer: ALICE, cpp: CPP, pin: '1234' })
    host.finish('derive-pin-key', await host.run('derive-pin-key'))
    expect(host.control('pay', payArguments()).reply).toBeUndefined()
  })

  test('the CPP that was asked for pays; without one, the first that has the currency', async () => {
    const host = wallet({ cpps: [CPP, CPP2] })
    await host.enrol(ALICE, CPP)
    await host.enrol(ALICE, CPP2, { account: 'hu-kh:alice-2' })
    host.control('pay', payArguments({ cpp: CPP }))
    host.control('pay', payArguments({ cpp: CPP2 }))
    host.control('pay', payArguments())
    expect(
      host.ledger
        .rows(payments)
        .map(({ cpp }) => cpp)
        .toSorted(),
    ).toEqual([CPP2, CPP2, CPP].toSorted())
  })
})

describe('the guest phase', () => {
  test('login, lookup, offer, invoice, payment request', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    const started = host.control('pay', payArguments({ item: 'bread' }))
    const payment = host.payment()
    expect(started.replyOn).toBe(`payment:${Buffer.from(payment.prId).toString('hex')}`)
    expect(payment.state).toBe('opening')
    expect(started.sends).toEqual([])

    const lookup = oneSent(openGuest(host), 'payee-lookup')
    expect(lookup).toMatchObject({
      to: 'hu-dc',
      nextHop: { role: 'dc', host: 'hu-dc' },
      body: { payee: PAYEE },
      signer: { guest: payment.token },
    })
    expect(host.payment().state).toBe('looking-up')

    const offer = oneSent(host.deliver(recordFor(payment.token ?? '')), 'offer-request')
    expect(offer).toMatchObject({
      to: SHOP_HOST,
      body: { payee: PAYEE, amountMinor: 120n, currency: 'EUR', item: 'bread' },
      signer: { guest: payment.token },
    })
    expect(offer.body.sealingKey).toEqual(testBytes(`sealing ${payment.token}`))
    expect(host.payment().state).toBe('offering')

    const trans = transFor(offer, host.now())
    const decided = host.deliver(trans)
    const request = oneSent(decided, 'payment-request')
    expect(request).toMatchObject({
      to: CPP,
      signer: { device: ALICE },
      expiresAtMs: trans.message.header.expiresAtMs,
      body: { prId: payment.prId, trans: trans.message.frame },
    })
    expect(host.payment()).toMatchObject({
      state: 'requested',
      mpp: MPP,
      txId: trans.message.body.txId,
      description: 'bread',
    })
    expect([...host.ledger.outbox.values()].map((send) => ('kind' in send ? send.kind : ''))).toEqual([
      'payment-request',
    ])
    expect(host.ledger.deadlines().map(({ name }) => name)).toEqual(['payment-query', 'session-end'])
  })

  test('a payee just looked up is not looked up again by a host of many', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    await host.enrol('hu-bob')
    offered(host)
    expect(sentBy(host.control('pay', payArguments()), 'offer-request')).toHaveLength(1)
    host.pass(300_001)
    expect(sentBy(host.control('pay', payArguments()), 'payee-lookup')).toHaveLength(1)
  })

  test('a host of one wallet looks a payee up for each purchase, or an offer would show that it knew him', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    offered(host)
    host.control('pay', payArguments())
    const opened = openGuest(host)
    expect(sentBy(opened, 'offer-request')).toHaveLength(0)
    expect(sentBy(opened, 'payee-lookup')).toHaveLength(1)
  })

  test("a record that no lookup of this login waits for, or that another realm's data center signed, is dropped", async () => {
    const host = wallet()
    await host.enrol(ALICE)
    host.control('pay', payArguments())
    openGuest(host)
    const { token = '' } = host.payment()
    expect(host.deliver(recordFor(`U${'A'.repeat(55)}`)).sends).toEqual([])
    expect(host.deliver(recordFor(token, { payee: 'hu-butcher' })).sends).toEqual([])
    expect(host.deliver(recordFor(token, { from: 'de-dc-1' })).sends).toEqual([])
    expect(host.ledger.rows(payeeRecords)).toEqual([])
    expect(host.payment().state).toBe('looking-up')
  })

  const invoices: readonly [string, TransChanges, FailureCode][] = [
    ['of another payee', { payee: 'hu-butcher' }, 'TRANS_INVALID'],
    ['whose chain is of another host', { chain: chainOf(PAYEE, 'hu-other-shops') }, 'TRANS_INVALID'],
    ['over another amount', { amountMinor: 121n }, 'AMOUNT_INVALID'],
    ['in another currency', { currency: 'USD' }, 'AMOUNT_INVALID'],
    ['whose chain is of another payee', { chain: chainOf('hu-butcher') }, 'TRANS_INVALID'],
    ['that has expired', { expiresAtMs: 1_799_999_999_000 }, 'TRANS_EXPIRED'],
    [
      'that lives too long',
      { expiresAtMs: 1_800_000_000_000 + LIMITS.maxTransLifetimeMs + LIMITS.maxFutureSkewMs + 60_000 },
      'TRANS_INVALID',
    ],
    ['whose text is not the hashed one', { description: 'a car' }, 'TRANS_INVALID'],
  ]
  test.each(invoices)('an invoice %s ends the purchase', async (_, changes, code) => {
    const host = wallet()
    await host.enrol(ALICE)
    const decision = host.deliver(transFor(offered(host), host.now(), changes))
    expect(sentBy(decision, 'payment-request')).toEqual([])
    expect(host.payment()).toMatchObject({ state: 'refused', code: failureNumber(code) })
    expect(decision.announce[0]?.value).toMatchObject({
      outcome: 'refused',
      code,
      paymentId: Buffer.from(host.payment().prId).toString('hex'),
    })
    expect(host.ledger.outbox.size).toBe(0)
    expect(host.ledger.rows(unfinished)).toEqual([])
  })

  // Found by the fuzz suite: any merchant host that had overheard the offer ended the purchase.
  test('an invoice from a host that was not asked changes nothing, and the right one is paid', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    const offer = offered(host)
    const decision = host.deliver(transFor(offer, host.now(), { host: 'hu-other-shops' }))
    expect(decision).toMatchObject({ writes: [], sends: [], refuse: undefined })
    expect(sentBy(host.deliver(transFor(offer, host.now())), 'payment-request')).toHaveLength(1)
  })

  test('an invoice for no purchase, without its purchase token, or for one that is over, changes nothing', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    const offer = offered(host)
    const stranger = transFor({ ...offer, body: { ...offer.body, purchaseToken: testId('other') } }, host.now())
    const bare = { ...stranger, message: { ...stranger.message, beside: undefined } } as unknown as typeof stranger
    for (const trans of [stranger, bare])
      expect(host.deliver(trans)).toMatchObject({ writes: [], sends: [], refuse: undefined })
    host.deliver(transFor(offer, host.now()))
    expect(host.deliver(transFor(offer, host.now(), { txId: testId('second') }))).toMatchObject({
      writes: [],
      sends: [],
    })
  })

  test('a transaction id that another payment used ends the purchase', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    host.ledger.put(transactions, new Uint8Array([...utf8(`${PAYEE}\0`), ...testId('used')]), {
      prId: testId('earlier'),
    })
    host.ledger.put(payments, testId('earlier'), { ...BASE, prId: testId('earlier') })
    const offer = offeredBeside(host)
    host.deliver(transFor(offer, host.now(), { txId: testId('used') }))
    expect(host.ledger.rows(payments).find(({ state }) => state === 'refused')).toMatchObject({
      code: failureNumber('TRANS_INVALID'),
    })
  })
})

const BASE = {
  customer: ALICE,
  cpp: CPP,
  payee: PAYEE,
  amountMinor: 1n,
  currency: 'EUR',
  state: 'confirmed',
  goodsQueries: 0,
  startedAtMs: 1,
} as const
const offeredBeside = (host: Awaited<ReturnType<typeof wallet>>) => {
  host.control('pay', payArguments())
  openGuest(host)
  const token = host.ledger.rows(payments).find(({ state }) => state === 'looking-up')?.token ?? ''
  return oneSent(host.deliver(recordFor(token)), 'offer-request')
}

describe('a guest phase that fails ends as a refusal with nothing paid', () => {
  const silent: readonly [string, (host: ReturnType<typeof wallet>) => void, FailureCode][] = [
    ['no login', () => undefined, 'BUSY'],
    ['no record', (host) => void openGuest(host), 'UNKNOWN_DESTINATION'],
    [
      'no invoice',
      (host) => (openGuest(host), void host.deliver(recordFor(host.payment().token ?? ''))),
      'MESSAGE_EXPIRED',
    ],
  ]
  test.each(silent)('%s in time', async (_, reach, code) => {
    const host = wallet()
    await host.enrol(ALICE)
    host.control('pay', payArguments())
    reach(host)
    const decision = host.fireNext('guest-phase')
    expect(decision.announce).toMatchObject([{ value: { outcome: 'refused', code } }])
    expect(host.payment().state).toBe('refused')
    expect(host.ledger.outbox.size).toBe(0)
    for (const table of [waitingForLogin, waitingForRecord, unfinished, payeeRecords])
      expect(host.ledger.rows(table as never)).toEqual([])
    // The login of one purchase ends with it.
    expect(host.ledger.rows(sessions)).toEqual([])
    expect(host.jobs.map(({ name }) => name)).toContain('close-guest')
  })

  test('the broker takes no login', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    host.control('pay', payArguments())
    const decision = host.finish('open-guest', { ok: false, detail: 'refused-by-broker' })
    expect(decision.announce).toMatchObject([{ value: { outcome: 'refused', code: 'BUSY' } }])
    expect(host.ledger.rows(sessions)).toEqual([])
    expect(host.ledger.deadlines()).toEqual([])
  })

  test('the directory does not know the payee', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    host.control('pay', payArguments())
    openGuest(host)
    const decision = host.refused('payee-lookup', ['lookup', host.payment().token ?? '', PAYEE], {
      code: 'NOT_FOUND',
      by: 'hu-dc-1',
    })
    expect(decision.announce).toMatchObject([{ value: { outcome: 'refused', code: 'NOT_FOUND' } }])
    expect(host.ledger.outbox.size).toBe(0)
  })

  test('the payee refuses the offer; somebody else can not', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    offered(host)
    const { prId } = host.payment()
    host.refused('offer-request', ['offer', prId], { code: 'NOT_FOUND', by: 'hu-somebody' })
    expect(host.payment().state).toBe('offering')
    host.refused('offer-request', ['offer', prId], { code: 'AMOUNT_INVALID', by: SHOP_HOST })
    expect(host.payment()).toMatchObject({ state: 'refused', code: failureNumber('AMOUNT_INVALID') })
    expect(host.ledger.rows(payeeRecords)).toEqual([])
  })

  test('the host restarts: the one-time keys are gone, the purchase ends; a requested payment goes on', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    requested(host)
    host.control('pay', payArguments())
    const decision = host.start()
    expect(decision.announce).toMatchObject([{ value: { outcome: 'refused', code: 'MESSAGE_EXPIRED' } }])
    expect(
      host.ledger
        .rows(payments)
        .map(({ state }) => state)
        .toSorted(),
    ).toEqual(['refused', 'requested'])
    expect(host.ledger.rows(sessions)).toEqual([])
    expect(host.ledger.rows(waitingForLogin)).toEqual([])
    expect([...host.ledger.outbox.values()].map((send) => ('kind' in send ? send.kind : '')).toSorted()).toEqual([
      'host-registration',
      'payment-request',
    ])
    expect(host.ledger.deadlines().map(({ name }) => name)).toEqual(['payment-query'])
    // A login that was being made for the old process is closed when it comes.
    expect(host.finish('open-guest', { ok: true, sealingKey: testBytes('late') }).jobs).toMatchObject([
      { name: 'close-guest' },
    ])
  })
})

describe('guest logins', () => {
  test('a host of one wallet has a fresh login for each purchase', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    host.control('pay', payArguments())
    host.control('pay', payArguments())
    expect(new Set(host.ledger.rows(payments).map(({ token }) => token)).size).toBe(2)
    expect(host.ledger.rows(sessions).every(({ shared }) => !shared)).toBe(true)
  })

  test('its token is the public key of a seed that only the job is told', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    host.control('pay', payArguments())
    const [{ input } = { input: undefined }] = host.jobs.filter(({ name }) => name === 'open-guest')
    const { token, seed } = input as OpenGuestInput
    expect(token).toBe(guestToken(publicKeyOf(seed)))
    expect(seed).toHaveLength(32)
    const rows = WALLET_TABLES.flatMap((table) => host.ledger.rows(table as typeof payments)).flatMap(leavesOf)
    expect(rows.some((leaf) => contains(leaf, utf8(token)))).toBe(true)
    for (const secret of [seed, utf8(toHex(seed))]) expect(rows.some((leaf) => contains(leaf, secret))).toBe(false)
    // A login that came too late is closed by its token alone.
    host.fireNext('guest-phase')
    const closing = openGuest(host).jobs
    expect(closing).toEqual([{ name: 'close-guest', input: { token } }])
  })

  test('a host of many shares one, changed by count and by age', async () => {
    const host = wallet({ policy: { purchasesPerGuestLogin: 2 } })
    await host.enrol(ALICE)
    await host.enrol('hu-bob')
    const tokenAfter = (customer: string): string => {
      host.control('pay', payArguments({ customer }))
      return host.ledger.get(currentSession, 'current')?.token ?? ''
    }
    const first = tokenAfter(ALICE)
    expect(tokenAfter('hu-bob')).toBe(first)
    const second = tokenAfter(ALICE)
    expect(second).not.toBe(first)
    openGuestOf(host, first)
    openGuestOf(host, second)
    host.pass(LIMITS.maxGuestLoginAgeMs)
    expect(tokenAfter(ALICE)).not.toBe(second)
  })

  test('one that hangs does not take every purchase with it', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    await host.enrol('hu-bob')
    host.control('pay', payArguments())
    host.pass(15_000)
    host.control('pay', payArguments({ customer: 'hu-bob' }))
    expect(new Set(host.ledger.rows(payments).map(({ token }) => token)).size).toBe(2)
  })

  test('purchases of many wallets wait for one login, look a payee up once, and offer each for itself', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    await host.enrol('hu-bob')
    host.control('pay', payArguments())
    host.control('pay', payArguments({ customer: 'hu-bob' }))
    expect(host.jobs.filter(({ name }) => name === 'open-guest')).toHaveLength(1)
    const opened = openGuest(host)
    expect(sentBy(opened, 'payee-lookup')).toHaveLength(1)
    host.control('pay', payArguments({ customer: 'hu-bob' }))
    expect(host.ledger.rows(waitingForRecord)).toHaveLength(3)
    const { token = '' } = host.ledger.rows(payments)[0] ?? {}
    // One purchase gives up; the lookup goes on for the others.
    host.fireNext('guest-phase')
    expect(host.ledger.outbox.size).toBe(1)
    const offers = sentBy(host.deliver(recordFor(token)), 'offer-request')
    expect(offers).toHaveLength(2)
    expect(new Set(offers.map(({ body }) => Buffer.from(body.purchaseToken).toString('hex'))).size).toBe(2)
  })

  test('a login ends after its time', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    requested(host)
    host.fireNext('session-end')
    expect(host.ledger.rows(sessions)).toEqual([])
    expect(host.jobs.at(-1)?.name).toBe('close-guest')
  })

  test('the jobs never reject', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    host.control('pay', payArguments())
    expect(await host.run('open-guest')).toMatchObject({ ok: true })
    const { guestJobs } = await import('./guest-session.ts')
    const broken = guestJobs({
      open: () => Promise.reject(new Error('no broker')),
      close: () => Promise.reject(new Error('no broker')),
    })
    expect(await broken['open-guest']({ token: 't' })).toEqual({ ok: false, detail: 'no broker' })
    expect(await broken['close-guest']({ token: 't' })).toBeNull()
  })
})

const openGuestOf = (host: ReturnType<typeof wallet>, token: string) => {
  const at = host.jobs.findIndex(
    ({ name, input }) => name === 'open-guest' && (input as { token: string }).token === token,
  )
  const [job] = host.jobs.splice(at, 1)
  if (job !== undefined) host.jobs.unshift(job)
  return openGuest(host)
}
