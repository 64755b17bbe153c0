/** Every frame of a whole run, sent again: while it is under way, and when everything is final. Nothing happens twice. */
import { beforeAll, describe, expect, test } from 'vitest'
import { toHex } from '../../protocol/bytes.ts'
import { createOpener, openCarrier } from '../../protocol/confidential.ts'
import { isGuestToken } from '../../protocol/ids.ts'
import { KINDS, type KindName } from '../../protocol/kinds.ts'
import { toJson } from '../runtime/json.ts'
import { ATTACKER, forgery, kindOf, parsed } from './testing/forge.ts'
import { nothingChanged, STORED_ANSWER } from './testing/nothing-changed.ts'
import { HOSTS, hostileWorld, OTHER_CPP, type Sent, type World } from './testing/world.ts'

/** Payments of every kind and outcome, settled and paid out. → the outcome of each */
const run = async (world: World): Promise<readonly unknown[]> => {
  const outcomes: unknown[] = []
  for (const [customer, payee, amountMinor] of [
    ['hu-alice', 'hu-bakery', '120'],
    ['hu-bob', 'hu-bakery', '2500'],
    ['hu-alice', 'at-pub', '90'],
    ['hu-carol', 'at-pub', '2700'],
    ['hu-carol', 'hu-cheap', '300'],
    ['hu-bob', 'hu-quiet', '80'],
    ['hu-bob', 'hu-quiet', '1800'],
    ['hu-alice', 'hu-bakery', '950'],
    ['hu-alice', 'hu-nobody', '100'],
  ] as const)
    outcomes.push((await world.pay(customer, payee, amountMinor))['outcome'])
  await world.must(HOSTS.merchant, 'request-payment', {
    payee: 'hu-bakery',
    alias: 'hu-carol-pays',
    amountMinor: '250',
  })
  await world.sim.advance(1_000)
  const asked = world.sim.host(HOSTS.customer).host().ask('requests', {})
  const requests = asked.ok ? (asked.value as readonly { readonly requestId: string }[]) : []
  for (const { requestId } of requests)
    outcomes.push((await world.command(HOSTS.customer, 'pay-request', { requestId, accept: true }))['outcome'])
  for (const cpp of [HOSTS.cpp, OTHER_CPP]) await world.must(cpp, 'settle-now')
  await world.sim.advance(90_000)
  return outcomes
}
const OUTCOMES = [
  'confirmed',
  'confirmed',
  'confirmed',
  'confirmed',
  'rejected',
  'expired',
  'expired',
  'confirmed',
  'refused',
  'confirmed',
]
/** Lists in the order of their text: some come in the order of random ids, which differ from run to run. */
const inOrder = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(inOrder).toSorted((a, b) => (toJson(a) < toJson(b) ? -1 : 1))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, inOrder(field)]))
}
const reportsOf = (world: World): ReadonlyMap<string, unknown> =>
  new Map(world.sim.hosts().map(({ id }) => [id, inOrder(world.report(id))]))

let plain: World
beforeAll(async () => {
  plain = await hostileWorld()
  expect(await run(plain)).toEqual(OUTCOMES)
}, 120_000)

describe('a run with every kind of payment', () => {
  test('shows every message of a payment, a settlement and a payout', () => {
    const seen = new Set(plain.sent.map(kindOf))
    for (const kind of [
      'offer-request',
      'transaction-details',
      'goods-release',
      'request-to-pay',
      'payment-request',
      'payment-notice',
      'payment-decision',
      'countersigned-decision',
      'customer-transfer-confirmation',
      'customer-delayed-transfer-confirmation',
      'customer-payment-outcome',
      'transfer-confirmation',
      'delayed-transfer-confirmation',
      'payment-outcome',
      'hold-order',
      'hold-answer',
      'post-order',
      'post-answer',
      'void-order',
      'transfer-order',
      'transfer-answer',
      'account-notice',
      'interbank-credit',
      'interbank-booking',
      'clearing-order',
      'settlement-batch',
      'settlement-acceptance',
      'payout-advice',
      'receipt',
    ] as const satisfies readonly KindName[])
      expect([kind, seen.has(kind)]).toEqual([kind, true])
  })

  test('ends in the same sums when every frame is delivered three times, at once and later', async () => {
    const world = await hostileWorld()
    world.setFate(() => ({ delaysMs: [0, 0, 700], overtake: true }))
    expect(await run(world)).toEqual(OUTCOMES)
    expect(reportsOf(world)).toEqual(reportsOf(plain))
  }, 120_000)

  test('replayed once all is final: no row changes, and each answer is the one given before', async () => {
    const { sim, sent } = plain
    const opener = createOpener(sim.engine)
    /** Digest of the original message, also inside a carrier; undefined for one to a guest, whose key is gone. */
    const digestOf = ({ subject, data }: Sent): string | undefined => {
      const frame = parsed(data)
      if (frame.header.bodyForm === 'plain') return toHex(frame.digest)
      const to = subject.split('.')[3] as string
      if (isGuestToken(to)) return undefined
      const cargo = openCarrier(opener, () => sim.host(to).identity.sealing, frame.headerBytes, frame.bodyBytes)
      if (!cargo.ok) throw new Error(cargo.failure.code)
      return toHex(parsed(cargo.value.innerFrame).digest)
    }
    const frames = [...new Map(sent.map((one) => [`${one.subject} ${toHex(one.data)}`, one])).values()]
    expect(frames.length).toBeGreaterThan(300)
    const given = new Set(sent.map(digestOf))
    const { replay } = forgery(plain, 'replay')
    const seqs = () => sim.hosts().flatMap(({ id, host }) => (id.includes('-dc-') ? [] : [[id, host().lastSeq()]]))
    const seqsBefore = seqs()
    // A data center may answer now a question that it could only put off when it was asked; nobody else has anything to write.
    const caused = await nothingChanged(plain, () => frames.forEach(replay), STORED_ANSWER)
    expect(seqs()).toEqual(seqsBefore)
    const answers = caused.sent.filter(({ from }) => from !== ATTACKER)
    expect(answers.length).toBeGreaterThan(50)
    /** Answers to questions are made afresh: they tell what is so now, and no money hangs on them. */
    const fresh = answers.filter((one) => !given.has(digestOf(one)))
    expect([...new Set(fresh.map(kindOf))].filter((kind) => KINDS[kind].id !== null)).toEqual([])
    // And so it stays while time passes.
    const before = reportsOf(plain)
    await sim.advance(60_000)
    expect(reportsOf(plain)).toEqual(before)
  }, 60_000)
})
