/**
 * The life of a network from one seed: payments by several customers at once, payees who reject or are silent, collections that
 * fail, deposits, refunds, disputes, debts given up, hosts that die, messages that are lost; judged by the independent model at every
 * rest, and by the checks of `verify`.
 */
import { toHex } from '../../../protocol/bytes.ts'
import { isDeepStrictEqual } from 'node:util'
import { CURRENCIES } from '../../../protocol/amount.ts'
import { randomBelow } from '../../runtime/random.ts'
import type { StoreWatch } from '../../runtime/memory-store.ts'
import { seededRandom } from '../../runtime/sim-network.ts'
import { createModel, ModelBroken, type Approval, type End } from '../model.ts'
import { buildNetwork, ids, type Network } from './network.ts'

export type LifeOptions = {
  readonly seed: string
  readonly intermediaries: 'one' | 'two'
  readonly realms: readonly string[]
  readonly steps: number
  /** Sees every row of every ledger. */
  readonly watch?: (host: string) => StoreWatch
}
export type Life = {
  /** What was done, in order: enough to see how a finding came to be. */
  readonly story: readonly string[]
  readonly payments: number
  readonly confirmed: number
  readonly collections: number
  readonly refunds: number
  readonly restarts: number
}

const PROCESSOR_MINOR = 5_000_000n
/** Rich, poor, and one who can pay a little. */
const CUSTOMERS = { rich: 1_000_000n, some: 2_500n, poor: 300n } as const
const PAYEES: Readonly<Record<string, Approval>> = { bakery: 'approve', cafe: 'approve', fussy: 'reject-all' }
const EUR = CURRENCIES.EUR

export class LifeBroken extends Error {
  override readonly name = 'LifeBroken'
}

/** @throws LifeBroken with seed and story, whatever it was that did not hold */
export const live = async (options: LifeOptions): Promise<Life> => {
  const story: string[] = []
  try {
    return await lived(options, story)
  } catch (error) {
    const line = `seed ${options.seed}, ${options.intermediaries} intermediaries, realms ${options.realms.join(' ')}`
    throw new LifeBroken(`${line}: ${(error as Error).message}\n${story.join('\n')}`, { cause: error })
  }
}

const inRealms = <T>(realms: readonly string[], names: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(
    realms.flatMap((realm) => Object.entries(names).map(([name, value]) => [`${realm}-${name}`, value] as const)),
  )

const lived = async ({ seed, intermediaries, realms, steps, watch }: LifeOptions, story: string[]): Promise<Life> => {
  const net = await buildNetwork({
    seed,
    intermediaries,
    realms,
    customers: CUSTOMERS,
    payees: Object.fromEntries(Object.entries(PAYEES).map(([name, rule]) => [name, { rule }])),
    processorMinor: PROCESSOR_MINOR,
    reserveMinor: 50_000_000n,
    ...(watch === undefined ? {} : { watch }),
  })
  const model = createModel({
    macroFromMinor: EUR.macroFromMinor,
    thresholdMinor: EUR.macroFromMinor,
    customers: inRealms(realms, CUSTOMERS),
    payees: inRealms(realms, PAYEES),
  })
  const random = seededRandom(`life ${seed}`)
  const below = (limit: number): number => randomBelow(random, limit)
  const pick = <T>(items: readonly T[]): T => items[below(items.length)] as T
  const customers = Object.keys(inRealms(realms, CUSTOMERS))
  const payees = Object.keys(inRealms(realms, PAYEES))
  const realmOf = (id: string): string => id.slice(0, 2)
  /** Minor units that disputes left with the MPP of each realm, from the CPP of each. */
  const corrected = new Map<string, bigint>()
  /** Confirmed, with what is left of each to give back. */
  const refundable: { customer: string; payee: string; txId: string; minor: bigint; leftMinor: bigint }[] = []
  let refunds = 0
  let payments = 0
  let confirmed = 0
  let restarts = 0

  const standing = (customer: string) => {
    const { outstandingMinor, suspended } = net.ask(ids(realmOf(customer)).cpp, 'customer', { customer })
    const bank = ids(realmOf(customer)).bank
    return { bankMinor: net.balance(`${bank}:${customer.slice(3)}`), outstandingMinor, suspended }
  }

  const amount = (): bigint => {
    const luck = below(10)
    if (luck === 0) return EUR.macroFromMinor + BigInt(below(4_000))
    if (luck < 4) return BigInt(400 + below(600))
    return BigInt(1 + below(300))
  }

  /** Some customers pay at once, each one thing; the hosts of a disturbed round die, or its messages are lost. */
  const pay = async (disturbed: boolean): Promise<void> => {
    const round = customers
      .filter(() => below(3) > 0)
      .map((customer) => ({ customer, payee: pick(payees), minor: amount() }))
    const ended = round.map(async ({ customer, payee, minor }): Promise<End & { readonly txId: string }> => {
      const answer = await net.sim
        .host(ids(realmOf(customer)).wallets)
        .host()
        .command('pay', { customer, payee, amountMinor: String(minor), currency: 'EUR' })
      const value = (answer.ok ? answer.value : answer.error) as { outcome?: string; code?: string; txId?: string }
      return { outcome: value.outcome ?? 'refused', code: value.code, txId: value.txId ?? '' }
    })
    if (disturbed) await disturb()
    let open = round.length
    for (const end of ended) void end.finally(() => (open -= 1))
    for (let waited = 0; open > 0; waited += 250) {
      if (waited > 600_000) throw new Error(`${open} payments are never decided`)
      await net.sim.advance(250, 250)
    }
    for (const [at, { customer, payee, minor }] of round.entries()) {
      const end = (await ended[at]) as End & { readonly txId: string }
      payments += 1
      if (end.outcome === 'confirmed') {
        confirmed += 1
        refundable.push({ customer, payee, txId: end.txId, minor, leftMinor: minor })
      }
      story.push(`pay ${customer} ${payee} ${minor}${disturbed ? ', disturbed' : ''}: ${end.outcome} ${end.code ?? ''}`)
      model.paid(customer, payee, minor, end, disturbed)
    }
    if (disturbed) return
    await net.settleDown()
    for (const customer of customers) model.observe(customer, standing(customer))
  }
  /** All or part of a payment is given back, also while hosts die; it never comes to nothing. */
  const refund = async (disturbed: boolean): Promise<void> => {
    const open = refundable.filter(({ leftMinor }) => leftMinor > 0n)
    if (open.length === 0) return
    // What a payee was not paid out yet, or is just being paid, its bank could not pay back.
    await net.settleDown()
    const payment = pick(open)
    const { customer, payee, txId, minor, leftMinor } = payment
    const back = below(3) === 0 ? leftMinor : 1n + BigInt(below(Number(leftMinor)))
    const { shops } = ids(realmOf(payee))
    story.push(`refund ${back} of ${minor}, ${payee} to ${customer}${disturbed ? ', disturbed' : ''}`)
    let end: unknown
    void net.refund(payee, txId, back).then((answer) => (end = answer))
    if (disturbed) await disturb((id) => id !== shops)
    for (let waited = 0; end === undefined; waited += 250) {
      if (waited > 600_000) throw new Error('a refund is never decided')
      await net.sim.advance(250, 250)
    }
    if ((end as { outcome?: string }).outcome !== 'confirmed') throw new ModelBroken(`refund: ${JSON.stringify(end)}`)
    payment.leftMinor -= back
    refunds += 1
    model.refunded(customer, payee, back, minor >= EUR.macroFromMinor ? 'macro' : 'micro')
    await net.settleDown()
  }
  const mortals = net.sim.hosts().filter(({ id }) => !id.includes('wallets'))
  const disturb = async (may: (id: string) => boolean = () => true): Promise<void> => {
    if (below(2) === 0) {
      const share = 1 + below(4)
      story.push(`lose ${share} in 10 messages`)
      net.sim.setOnSend(() =>
        below(10) < share ? { delaysMs: [] } : { delaysMs: [below(200)], overtake: below(2) === 0 },
      )
      await net.sim.advance(2_000 + below(6_000), 100)
      net.sim.setOnSend(undefined)
      return
    }
    const victim = pick(mortals.filter(({ id }) => may(id)))
    await net.sim.advance(below(300), 20)
    story.push(`${victim.id} dies`)
    await victim.crash()
    await net.sim.advance(below(5_000), 250)
    await victim.restart()
    restarts += 1
  }

  const restart = async (): Promise<void> => {
    const victim = pick(mortals)
    story.push(`${victim.id} dies and is started again`)
    await victim.crash()
    await victim.restart()
    restarts += 1
    await net.sim.advance(1_000, 250)
  }
  const deposit = async (): Promise<void> => {
    const customer = pick(customers)
    const minor = BigInt(100 + below(3_000))
    const { bank } = ids(realmOf(customer))
    story.push(`deposit ${customer} ${minor}`)
    await net.ok(bank, 'deposit', { account: `${bank}:${customer.slice(3)}`, amountMinor: String(minor) })
    model.deposited(customer, minor)
  }
  /** What an operator does about a debt; only what is possible at rest, for else it is refused. */
  const recover = async (): Promise<void> => {
    await net.settleDown()
    const troubled = customers.filter((one) => model.isSuspended(one))
    const customer = pick(troubled.length > 0 ? troubled : customers)
    const { cpp } = ids(realmOf(customer))
    const seen = standing(customer)
    model.observe(customer, seen)
    const act =
      seen.suspended && (seen.outstandingMinor === 0n || below(3) > 0)
        ? 'resume-customer'
        : seen.outstandingMinor > 0n
          ? pick(['collect-customer', 'collect-customer', 'write-off-customer'])
          : undefined
    if (act === undefined) return
    story.push(`${act} ${customer} with ${seen.outstandingMinor}`)
    const done = await net.ok(cpp, act, { customer })
    await net.sim.advance(1_000, 250)
    if (act === 'write-off-customer') model.writtenOff(customer, BigInt(done.writtenOffMinor))
    else model.collected(customer)
  }
  /** The CPP corrects an entry upwards, the MPP disputes it, and a person takes it back or lets it stand. */
  const dispute = async (): Promise<void> => {
    await settle()
    const { cpp } = ids(pick(realms))
    const mpp = ids(pick(realms)).mpp
    const batch = net
      .ask(cpp, 'settlements')
      .batches.findLast((one: { mpp: string; state: string }) => one.mpp === mpp && one.state === 'settled')
    if (batch === undefined) return
    const minor = BigInt(1 + below(500))
    const accept = below(2) === 0
    story.push(`${cpp} corrects an entry of ${mpp} by ${minor}, ${accept ? 'and takes it back' : 'for good'}`)
    const corrects = { mpp, currency: 'EUR', pairSeq: batch.fromSeq, amountMinor: String(minor) }
    const { pairSeq } = await net.ok(cpp, 'correct-entry', corrects)
    await settle()
    const disputed = net
      .ask(cpp, 'settlements')
      .batches.findLast(
        (one: { mpp: string; fromSeq: number; toSeq: number }) =>
          one.mpp === mpp && one.fromSeq <= pairSeq && one.toSeq >= pairSeq,
      )
    await net.ok(cpp, 'resolve-dispute', { batchId: toHex(disputed.batchId), pairSeq, accept })
    if (!accept) corrected.set(`${cpp} ${mpp}`, (corrected.get(`${cpp} ${mpp}`) ?? 0n) + minor)
    await settle()
  }
  const settle = async (): Promise<void> => {
    await net.settleDown()
    for (const realm of realms) await net.ok(ids(realm).cpp, 'settle-now')
    await net.sim.advance(3_000, 500)
    await net.settleDown()
  }

  for (let step = 0; step < steps; step++) {
    const luck = below(20)
    if (luck < 9) for (let round = 0; round < 3; round++) await pay(false)
    else if (luck < 11) await pay(true)
    else if (luck < 12) await deposit()
    else if (luck < 14) await refund(below(3) === 0)
    else if (luck < 16) await recover()
    else if (luck < 17) await dispute()
    else if (luck < 19) await restart()
    else {
      story.push('rest')
      await settle()
      rest(net)
    }
  }
  story.push('the end')
  await settle()
  // Payouts come by their age as well.
  await net.sim.advance(25_000, 500)
  await settle()
  rest(net)
  final()
  const collections = realms.reduce((sum, realm) => sum + net.ask(ids(realm).bank, 'report').collections, 0)
  return { story, payments, confirmed, collections, refunds, restarts }

  function rest(at: Network): void {
    const found = at.problems()
    if (found.length > 0)
      throw new ModelBroken(
        `verify: ${found.map(({ name, left, right, detail = '' }) => `${name}: ${left}, ${right} ${detail}`).join('; ')}`,
      )
    for (const customer of customers) model.observe(customer, standing(customer))
  }

  /** Every account of every bank, to the unit. */
  function final(): void {
    const held = (account: string) => net.balance(account)
    const expect = (what: string, seen: unknown, right: unknown): void => {
      if (!isDeepStrictEqual(seen, right)) throw new ModelBroken(`${what}: ${String(seen)}, not ${String(right)}`)
    }
    let microMinor = 0n
    for (const payee of payees) {
      const credited = model.creditedTo(payee)
      microMinor += credited.microMinor
      const account = `${ids(realmOf(payee)).bank}:shop-${payee.slice(3)}`
      expect(account, held(account), credited.microMinor + credited.macroMinor)
    }
    const all = customers.map((customer) => [customer, model.collectedMinor(customer)] as const)
    const collected = (realm: string): bigint =>
      all.reduce((sum, [customer, minor]) => (realmOf(customer) === realm ? sum + minor : sum), 0n)
    const owed = (realm: string): bigint =>
      net
        .ask(ids(realm).cpp, 'report')
        .pairs.reduce((sum: bigint, pair: { settledMinor: bigint }) => sum + pair.settledMinor, 0n)
    const stood = [...corrected.values()].reduce((sum, minor) => sum + minor, 0n)
    expect(
      'everything settled',
      realms.reduce((sum, realm) => sum + owed(realm), 0n),
      microMinor + stood,
    )
    const cash = (realm: string, role: 'cpp' | 'mpp'): bigint => held(net.accountOf(realm, role))
    const leftWith = (realm: string): bigint =>
      [...corrected].reduce((sum, [pair, minor]) => (pair.endsWith(` ${ids(realm).mpp}`) ? sum + minor : sum), 0n)
    if (intermediaries === 'two')
      for (const realm of realms) {
        expect(`${realm} CPP`, cash(realm, 'cpp'), PROCESSOR_MINOR + collected(realm) - owed(realm))
        expect(`${realm} MPP`, cash(realm, 'mpp'), PROCESSOR_MINOR + leftWith(realm))
      }
    else
      expect(
        'all operators together',
        realms.reduce((sum, realm) => sum + cash(realm, 'cpp'), 0n),
        realms.reduce((sum, realm) => sum + PROCESSOR_MINOR + collected(realm), 0n) - microMinor,
      )
  }
}
