/** The wallet host and the merchant host among real hosts of every other role, over the simulated bus. */
import { describe, expect, test } from 'vitest'
import { DELIVERED_AT_ONCE, LOST } from '../../bus/simulated-bus.ts'
import { equalBytes, fromHex, utf8 } from '../../protocol/bytes.ts'
import { hash } from '../../protocol/hash.ts'
import { parseSubject } from '../../protocol/subjects.ts'
import type { PaymentLine } from '../runtime/reports.ts'
import { contains } from './testing/drive.ts'
import { PIN, SHOPS, SHOPS_ABROAD, smallNetwork, WALLETS } from './testing/small-network.ts'

const shopping = async (options: Parameters<typeof smallNetwork>[0] = {}, payee: object = {}) => {
  const network = await smallNetwork(options)
  await network.enrolPayee('bakery', payee)
  await network.enrolCustomer('alice')
  return network
}
type Network = Awaited<ReturnType<typeof shopping>>

const statesOf = (network: Network, host: string): readonly string[] =>
  (network.read(host, 'payments') as { payments: readonly PaymentLine[] }).payments.map(({ state }) => state).toSorted()

const startPay = (network: Network, args: object = {}) =>
  network.net
    .host(WALLETS)
    .host()
    .command('pay', { customer: 'hu-alice', payee: 'bakery@hu', amountMinor: '120', currency: 'EUR', ...args })

describe('payments through a whole network', () => {
  test('micro: from an anonymous offer to the goods', async () => {
    const network = await shopping()
    const { net, read } = network
    expect(net.hosts().map(({ id, host }) => [id, host().ready()])).toEqual(net.hosts().map(({ id }) => [id, true]))
    const paid = await network.pay('alice', { item: 'bread' })
    expect(paid).toMatchObject({ outcome: 'confirmed', confirmation: 'DT', amountMinor: 120n, currency: 'EUR' })
    expect(read(WALLETS, 'payment', { paymentId: paid['paymentId'] })).toMatchObject({ goods: 'a loaf' })
    expect(read(SHOPS, 'report')).toMatchObject({ payees: [{ confirmedMicroMinor: 120n, released: 1 }], undecided: {} })
  })

  test('macro: the goods wait for the bank', async () => {
    const network = await shopping()
    const paid = await network.pay('alice', { amountMinor: '2500' })
    expect(paid).toMatchObject({ outcome: 'confirmed', confirmation: 'T' })
    await network.net.advance(10_000)
    expect(network.read(WALLETS, 'payment', { paymentId: paid['paymentId'] })).toMatchObject({
      releasedAtMs: expect.any(Number) as number,
    })
    expect(network.read(SHOPS, 'report')).toMatchObject({
      payees: [{ confirmedMacroMinor: 2500n, macroBookedMinor: 2500n, released: 1 }],
    })
  })

  test('to a person, by a person who is enrolled as both', async () => {
    const network = await shopping()
    await network.enrolPayee('bob', { payeeKind: 'person', catalogue: [] })
    await network.enrolCustomer('bob')
    expect(await network.pay('alice', { payee: 'bob@hu', amountMinor: '77' })).toMatchObject({ outcome: 'confirmed' })
    expect(await network.pay('bob', { amountMinor: '33' })).toMatchObject({ outcome: 'confirmed' })
  })

  test("abroad: the peer realm's data center leads there, micro and macro, and a request to pay comes back", async () => {
    const network = await shopping()
    await network.enrolPayee('pub', {}, 'de')
    await network.enrolCustomer('carol', { alias: 'hu-caz' })
    expect(await network.pay('alice', { payee: 'pub@de' })).toMatchObject({ outcome: 'confirmed', confirmation: 'DT' })
    expect(await network.pay('alice', { payee: 'pub@de', amountMinor: '2500' })).toMatchObject({
      outcome: 'confirmed',
      confirmation: 'T',
    })
    await network.must(SHOPS_ABROAD, 'request-payment', { payee: 'pub@de', alias: 'hu-caz', amountMinor: '250' })
    await network.net.advance(2_000)
    const [request] = network.read(WALLETS, 'requests') as { requestId: string }[]
    expect(await network.call(WALLETS, 'pay-request', { requestId: request?.requestId, accept: true })).toMatchObject({
      outcome: 'confirmed',
    })
  })

  test("rejected by the payee's rule", async () => {
    const network = await shopping({}, { approval: { rule: 'reject-over', limitMinor: '100' } })
    expect(await network.pay('alice')).toMatchObject({ outcome: 'rejected', code: 'REJECTED_BY_PAYEE' })
    expect(await network.pay('alice', { amountMinor: '100' })).toMatchObject({ outcome: 'confirmed' })
    expect(statesOf(network, SHOPS)).toEqual(['confirmed', 'rejected'])
  })

  test('a silent payee: expired at every node, and nothing is left locked', async () => {
    const network = await shopping({ noticeLifetimeMs: 2_000 }, { approval: { rule: 'silent' } })
    const paid = await network.pay('alice')
    expect(paid).toMatchObject({ outcome: 'expired', code: 'NOTICE_EXPIRED' })
    expect(statesOf(network, SHOPS)).toEqual(['expired'])
    expect(network.read(SHOPS, 'report')).toMatchObject({ undecided: {} })
  })

  test('a payee whom nobody knows: refused with nothing sent to the CPP', async () => {
    const network = await shopping()
    const paid = await network.pay('alice', { payee: 'nobody@hu' })
    expect(paid).toMatchObject({ outcome: 'refused' })
    expect(statesOf(network, WALLETS)).toEqual([])
    expect(statesOf(network, 'hu-otp')).toEqual([])
  })

  test("a wrong PIN is the CPP's to see; after three the right one is locked out too", async () => {
    const network = await shopping()
    await network.must(WALLETS, 'unlock', { customer: 'hu-alice', cpp: 'hu-otp', pin: '0000' })
    for (let i = 0; i < 3; i++)
      expect(await network.pay('alice')).toMatchObject({ outcome: 'refused', code: 'WRONG_PIN' })
    await network.must(WALLETS, 'unlock', { customer: 'hu-alice', cpp: 'hu-otp', pin: PIN })
    expect(await network.pay('alice')).toMatchObject({ outcome: 'refused', code: 'PIN_LOCKED' })
  })

  test('a request to pay by alias, accepted: paid, and its goods fetched', async () => {
    const network = await shopping()
    await network.enrolCustomer('carol', { alias: 'hu-caz' })
    const asked = await network.must(SHOPS, 'request-payment', {
      payee: 'bakery@hu',
      alias: 'hu-caz',
      amountMinor: '250',
      text: 'rent',
    })
    const listed = network.read(WALLETS, 'requests', { customer: 'hu-carol' }) as { requestId: string }[]
    expect(listed).toMatchObject([{ payee: 'hu-bakery', amountMinor: 250n, description: 'rent', state: 'open' }])
    expect(asked['requestId']).toEqual(fromHex(listed[0]?.requestId ?? ''))
    const paid = await network.call(WALLETS, 'pay-request', { requestId: listed[0]?.requestId, accept: true })
    expect(paid).toMatchObject({ outcome: 'confirmed', confirmation: 'DT', amountMinor: 250n })
    await network.net.advance(5_000)
    expect(network.read(WALLETS, 'payment', { paymentId: paid['paymentId'] })).toMatchObject({ goods: 'Receipt: rent' })
    expect(network.read(WALLETS, 'requests')).toMatchObject([{ state: 'paid' }])
  })
})

describe('loss and crashes', () => {
  test('goods that were lost on the way are fetched under another login', async () => {
    const network = await shopping()
    let lost = 0
    network.net.setOnSend(({ subject }) =>
      parseSubject(subject)?.kind === 'goods-release' && lost++ === 0 ? LOST : DELIVERED_AT_ONCE,
    )
    const paid = await network.pay('alice', { item: 'bread' })
    expect(network.read(WALLETS, 'payment', { paymentId: paid['paymentId'] })).not.toHaveProperty('goods')
    await network.net.advance(10_000)
    expect(network.read(WALLETS, 'payment', { paymentId: paid['paymentId'] })).toMatchObject({ goods: 'a loaf' })
  })

  test('every third message lost, every fifth twice: each payment ends the same everywhere', async () => {
    const network = await shopping()
    let sent = 0
    network.net.setOnSend(() =>
      (sent += 1) % 3 === 0 ? LOST : sent % 5 === 0 ? { delaysMs: [0, 0] } : DELIVERED_AT_ONCE,
    )
    const asked = [1, 2, 3, 4, 5, 6].map((n) => startPay(network, { amountMinor: String(n) }))
    await network.net.advance(240_000, 1_000)
    network.net.setOnSend(undefined)
    await network.net.advance(120_000, 1_000)
    const outcomes = (await Promise.all(asked)).map(
      (answer) => (answer as { value: { outcome: string } }).value.outcome,
    )
    expect(outcomes.every((outcome) => ['confirmed', 'expired', 'refused'].includes(outcome))).toBe(true)
    expect(outcomes).toContain('confirmed')
    const confirmed = outcomes.filter((outcome) => outcome === 'confirmed').length
    expect(statesOf(network, WALLETS).filter((state) => state === 'confirmed')).toHaveLength(confirmed)
    expect(statesOf(network, 'hu-otp').filter((state) => state === 'confirmed')).toHaveLength(confirmed)
    expect(statesOf(network, SHOPS).filter((state) => state === 'confirmed')).toHaveLength(confirmed)
    expect(network.read(WALLETS, 'report')).toMatchObject({ undecided: {} })
    expect(network.read(SHOPS, 'report')).toMatchObject({ undecided: {}, payees: [{ released: confirmed }] })
  })

  test.each([WALLETS, SHOPS])(
    '%s is killed after each message of a payment in turn, and starts again',
    async (victim) => {
      const ends = new Set<string>()
      for (const at of [1, 2, 3, 5, 7, 9, 11, 13]) {
        const network = await shopping({ seed: `crash ${victim} ${at}` })
        const host = network.net.host(victim)
        let sent = 0
        // On the way for a while, so that the crash falls between two messages.
        network.net.setOnSend(() => {
          sent += 1
          return { delaysMs: [5] }
        })
        void startPay(network)
        while (sent < at) await network.net.advance(1, 1)
        await host.crash()
        await network.net.advance(500, 100)
        await host.restart()
        await network.net.advance(20_000, 1_000)
        await network.net.advance(160_000, 10_000)
        expect(network.read(WALLETS, 'report')).toMatchObject({ undecided: {} })
        expect(network.read(SHOPS, 'report')).toMatchObject({ undecided: {} })
        const [cpp, shop, own] = ['hu-otp', SHOPS, WALLETS].map((id) => statesOf(network, id))
        expect(own).toEqual(cpp)
        if (cpp?.includes('confirmed') === true) expect(shop).toContain('confirmed')
        ends.add(own?.join() ?? '')
      }
      // Among them crashes that the payment survived.
      expect(ends).toContain('confirmed')
    },
    120_000,
  )
})

test('on the wire: nothing that leaves for a merchant, an MPP or a data center holds anything of the customer', async () => {
  const network = await smallNetwork()
  const { net } = network
  const seen: {
    readonly toRole: string
    readonly fromHost: string
    readonly subject: string
    readonly data: Uint8Array
  }[] = []
  await network.enrolPayee('bakery')
  await network.enrolCustomer('alice', { alias: 'hu-caz' })
  await network.enrolCustomer('bob')
  net.setOnSend(({ subject, data }) => {
    const parsed = parseSubject(subject)
    if (parsed !== undefined) seen.push({ toRole: parsed.toRole, fromHost: parsed.fromHost, subject, data })
    return DELIVERED_AT_ONCE
  })
  const paid = [
    await network.pay('alice', { item: 'bread' }),
    await network.pay('bob'),
    await network.pay('alice', { amountMinor: '2500' }),
  ]
  await net.advance(10_000)
  const customers = network.read(WALLETS, 'customers') as { customer: string; deviceKey: Uint8Array }[]
  const secrets = [
    utf8('alice'),
    utf8('hu-bob'),
    utf8('hu-wallets'),
    utf8('hu-caz'),
    utf8(PIN),
    ...customers.map(({ deviceKey }) => deviceKey),
    ...paid.map(({ paymentId }) => fromHex(String(paymentId))),
  ].flatMap((secret) => [secret, hash(secret), hash(secret).subarray(0, 16), utf8(Buffer.from(secret).toString('hex'))])
  // Questions for the revocation list go by the clock, whether or not anybody pays: they say which host asks, and no more.
  const isPoll = ({ subject }: { readonly subject: string }) => {
    const parsed = parseSubject(subject)
    return (
      parsed?.kind.startsWith('revocation-') === true ||
      (parsed?.kind === 'refusal' && parsed.fromHost.includes('-dc-'))
    )
  }
  const toStrangers = seen.filter(({ toRole }) => ['merchant', 'mpp', 'dc', 'guest'].includes(toRole))
  const strangers = toStrangers.filter((one) => !isPoll(one))
  expect(
    new Set(
      strangers
        .map(({ subject }) => parseSubject(subject)?.kind)
        .filter((kind) => kind?.startsWith('credential-') !== true),
    ),
  ).toEqual(
    new Set([
      'payee-lookup',
      'payee-record',
      'offer-request',
      'transaction-details',
      'payment-notice',
      'payment-decision',
      'countersigned-decision',
      'delayed-transfer-confirmation',
      'transfer-confirmation',
      'account-notice',
      'goods-release',
    ]),
  )
  for (const { data } of toStrangers.filter(isPoll))
    for (const secret of secrets) expect(equalBytes(secret, utf8('hu-wallets')) || !contains(data, secret)).toBe(true)
  for (const { subject, data } of strangers)
    for (const secret of secrets) {
      expect(contains(data, secret)).toBe(false)
      expect(contains(utf8(subject), secret)).toBe(false)
    }
})
