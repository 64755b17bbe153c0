/**
 * What banks and operators do: money from outside, debts collected and given up, settlements and payouts out of turn, disputes, other
 * policies, new keys. Invariant: an order whose answer a crash took is looked up in the ledger before anybody is told of it.
 */
import type { Currency } from '../../../protocol/amount.ts'
import { reserveAccount } from '../../../nodes/bank/accounts.ts'
import type { Draws, HostRole } from '../world.ts'
import { belowMinor, money, type Acting, type Reply } from './acting.ts'
import { bankOf, macroFrom, type Customer, type People } from './people.ts'
import { hexOf } from './payments.ts'

const DISPUTE_LOOK_MS = 1_500
const DISPUTE_LOOKS = 60
const STATEMENT_LINES = 1_000

type Line = { readonly event?: string; readonly what?: string; readonly kind?: string; readonly amountMinor: bigint }

export const createOperators = (acting: Acting, people: People) => {
  const { ask, happened, insist, inTurn, order, sleep, tell, whenUp, world } = acting
  const hostsOf = (role: HostRole): readonly string[] =>
    world.topology.hosts.filter((host) => host.role === role).map(({ id }) => id)

  /** Every line of a list that comes in pages, that fits. */
  const countLines = (
    host: string,
    page: (after: unknown) => Reply | undefined,
    lines: string,
    fits: (line: Line) => boolean,
  ): number | undefined => {
    let count = 0
    for (let after: unknown; ;) {
      const answer = page(after)
      if (answer === undefined || !world.isUp(host)) return undefined
      count += ((answer[lines] ?? []) as readonly Line[]).filter(fits).length
      after = answer['next']
      if (after === undefined) return count
    }
  }
  const pageArgs = (after: unknown): object => ({ limit: STATEMENT_LINES, ...(after === undefined ? {} : { after }) })
  const fundings = (account: string) => (): number | undefined => {
    const bank = bankOf(account)
    const page = (after: unknown) => ask(bank, 'statement', { account, ...pageArgs(after) })
    return countLines(bank, page, 'lines', ({ event }) => event === 'funding')
  }
  const writeOffs =
    ({ id, cpp }: Customer) =>
    (): number | undefined => {
      const page = (after: unknown) => ask(cpp, 'customer', { customer: id, ...pageArgs(after) })
      return countLines(cpp, page, 'entries', ({ kind }) => kind === 'write-off')
    }

  const deposit = (account: string, currency: Currency, amountMinor: bigint): Promise<void> =>
    inTurn(`deposit ${account}`, async () => {
      const bank = bankOf(account)
      const before = await happened(bank, fundings(account))
      const reply = await order(bank, 'deposit', { account, amountMinor: money(amountMinor) })
      const done = reply === undefined ? (await happened(bank, fundings(account))) > before : reply.ok
      if (done) tell({ type: 'deposited', account, currency, amountMinor })
    })

  const makeCollectable = async (customer: Customer): Promise<void> => {
    const { id, cpp, account, currency } = customer
    const known = ask(cpp, 'customer', { customer: id })
    const held = ask(bankOf(account), 'account', { account })
    if (known?.ok !== true || held?.ok !== true) return
    const owedMinor = known['outstandingMinor'] as bigint
    const freeMinor = held['freeMinor'] as bigint
    if (owedMinor > freeMinor) await deposit(account, currency, owedMinor - freeMinor)
    if (known['suspended'] === true) await order(cpp, 'resume-customer', { customer: id })
  }

  /** Looks at a suspended customer first: who is not, is collected from, or forgiven. */
  const recover = async (draws: Draws): Promise<void> => {
    const standings = people.customers.map((customer) => ({
      customer,
      row: ask(customer.cpp, 'customer', { customer: customer.id }),
    }))
    const known = standings.filter(({ row }) => row?.ok === true)
    const troubled = known.filter(({ row }) => row?.['suspended'] === true || row?.['pinLocked'] === true)
    if (known.length === 0) return
    const { customer, row } = draws.pick(troubled.length > 0 ? troubled : known)
    const { id, cpp, account, currency } = customer
    if (row?.['pinLocked'] === true) await order(cpp, 'unlock-customer', { customer: id })
    const luck = draws.below(5)
    if (luck < 2) await order(cpp, 'collect-customer', { customer: id })
    else if (luck === 2) await writeOff(customer)
    else {
      const macroMinor = macroFrom(currency)
      await deposit(account, currency, 1n + belowMinor(draws, 3n * macroMinor))
      if (row?.['suspended'] === true) await order(cpp, 'resume-customer', { customer: id })
    }
  }

  const writeOff = (customer: Customer): Promise<void> =>
    inTurn(`write off ${customer.id}`, async () => {
      const { id, cpp, currency } = customer
      const owed = async (): Promise<Reply> => {
        for (;;) {
          await whenUp(cpp)
          const row = ask(cpp, 'customer', { customer: id })
          if (row !== undefined) return row
          await sleep(DISPUTE_LOOK_MS)
        }
      }
      const before = await happened(cpp, writeOffs(customer))
      const reply = await order(cpp, 'write-off-customer', { customer: id })
      if (reply?.ok === true) {
        tell({ type: 'written-off', customer: id, currency, amountMinor: reply['writtenOffMinor'] as bigint })
        return
      }
      if (reply !== undefined || (await happened(cpp, writeOffs(customer))) === before) return
      const entries = (await owed())['entries'] as readonly Line[]
      const last = entries.findLast(({ kind }) => kind === 'write-off')
      if (last !== undefined) tell({ type: 'written-off', customer: id, currency, amountMinor: last.amountMinor })
    })

  const reserves = async (amountOf: (macroMinor: bigint) => bigint): Promise<void> => {
    const at = world.topology.settlementBank
    if (at === undefined) return
    const currencies = [...new Set(people.payees.map(({ currency }) => currency))]
    for (const bank of hostsOf('bank'))
      for (const currency of currencies) {
        if (bank === at) continue
        const account = reserveAccount(bank, currency)
        const amountMinor = amountOf(macroFrom(currency))
        await inTurn(`fund ${account}`, async () => {
          const before = await happened(at, reserveFundings(at, account))
          const reply = await order(at, 'fund-reserve', { bank, currency, amountMinor: money(amountMinor) })
          const done = reply === undefined ? (await happened(at, reserveFundings(at, account))) > before : reply.ok
          if (done) tell({ type: 'funded', account: `${at} ${account}`, currency, amountMinor })
        })
      }
  }
  const reserveFundings = (at: string, account: string) => (): number | undefined => {
    const page = (after: unknown) => ask(at, 'statement', { account, ...pageArgs(after) })
    return countLines(at, page, 'lines', ({ event }) => event === 'reserve-funding')
  }

  const adjustments = (cpp: string, mpp: string, currency: string, amountMinor: bigint) => (): number | undefined => {
    const page = (after: unknown) => ask(cpp, 'statement', { mpp, currency, ...pageArgs(after) })
    return countLines(cpp, page, 'lines', (line) => line.what === 'adjustment' && line.amountMinor === amountMinor)
  }

  type Batch = {
    readonly batchId: Uint8Array
    readonly mpp: string
    readonly currency: string
    readonly state: string
    readonly fromSeq: number
    readonly toSeq: number
    readonly disputes: readonly { readonly pairSeq: number; readonly state: string }[]
  }
  const batchesOf = (cpp: string): readonly Batch[] => (ask(cpp, 'settlements')?.['batches'] ?? []) as readonly Batch[]

  /** The CPP corrects an entry, the MPP disputes it, and a person takes it back or lets it stand. */
  const dispute = async (draws: Draws): Promise<void> => {
    const cpp = draws.pick(hostsOf('cpp'))
    const settled = batchesOf(cpp).filter(({ state }) => state === 'settled')
    if (settled.length === 0) return
    const { mpp, currency, fromSeq } = draws.pick(settled)
    const amountMinor = 1n + BigInt(draws.below(500))
    const accept = draws.chance(0.6)
    await inTurn(`dispute ${cpp} ${mpp} ${currency}`, async () => {
      const counted = adjustments(cpp, mpp, currency, amountMinor)
      const before = await happened(cpp, counted)
      const terms = { mpp, currency, pairSeq: fromSeq, amountMinor: money(amountMinor) }
      const reply = await order(cpp, 'correct-entry', terms)
      const done = reply === undefined ? (await happened(cpp, counted)) > before : reply.ok
      if (!done) return
      const item = await disputedItem(cpp, mpp, currency, reply?.['pairSeq'] as number | undefined, fromSeq)
      if (item !== undefined)
        await insist(cpp, 'resolve-dispute', { batchId: hexOf(item.batchId), pairSeq: item.pairSeq, accept })
      if (item === undefined || !accept) tell({ type: 'corrected', cpp, mpp, currency, amountMinor })
    })
  }

  /** Batches are opened until the MPP has said that it does not know the entry. */
  const disputedItem = async (
    cpp: string,
    mpp: string,
    currency: string,
    pairSeq: number | undefined,
    above: number,
  ) => {
    for (let looks = 0; looks < DISPUTE_LOOKS; looks++) {
      await whenUp(cpp)
      await order(cpp, 'settle-now', { mpp, currency })
      await sleep(DISPUTE_LOOK_MS)
      for (const batch of batchesOf(cpp)) {
        if (batch.mpp !== mpp || batch.currency !== currency) continue
        const item = batch.disputes.find(
          (one) =>
            one.state === 'unresolved' && (pairSeq === undefined ? one.pairSeq > above : one.pairSeq === pairSeq),
        )
        if (item !== undefined) return { batchId: batch.batchId, pairSeq: item.pairSeq }
      }
    }
    return undefined
  }

  /** Another policy for a while: each is one that an operator may well set. */
  const changePolicy = async (draws: Draws): Promise<void> => {
    const role = draws.pick(['cpp', 'cpp', 'cpp', 'mpp', 'bank', 'merchant', 'customer'] as const)
    const host = draws.pick(hostsOf(role))
    const policy = world.policyOf(host) as Readonly<Record<string, unknown>> | undefined
    if (policy === undefined) return
    await world.setPolicy(host, { ...policy, ...changeOf(role, policy, draws) })
  }

  const changeOf = (role: HostRole, policy: Readonly<Record<string, unknown>>, draws: Draws): object => {
    const part = (name: string): object => policy[name] ?? {}
    switch (role) {
      case 'cpp': {
        const thresholdMinor = { EUR: String(200 + draws.below(801)) }
        const windowMs = 5_000 * (1 + draws.below(6))
        return draws.pick<() => object>([
          () => ({ aggregation: { policy: 'threshold' } }),
          () => ({ aggregation: { policy: 'threshold', thresholdMinor, maxDebtAgeMs: 20_000 + draws.below(60_000) } }),
          () => ({ aggregation: { policy: 'window', windowMs } }),
          () => ({ aggregation: { policy: 'bulk', windowMs, lowWaterMinor: { EUR: String(draws.below(400)) } } }),
          () => ({ noticeLifetimeMs: 4_000 + draws.below(16_000) }),
          () => ({ settlement: { ...part('settlement'), thresholdMinor: { EUR: String(200 + draws.below(5_000)) } } }),
        ])()
      }
      case 'mpp':
        return { payout: { ...part('payout'), thresholdMinor: { EUR: String(1 + draws.below(3_000)) } } }
      case 'bank':
        return { clearing: { windowMs: 500 + draws.below(8_000) } }
      case 'merchant':
        return { transLifetimeMs: 15_000 + draws.below(60_000) }
      default:
        return { payeeRecordTtlMs: draws.below(60_000) }
    }
  }

  return {
    deposit,
    dispute,
    makeCollectable,
    recover,
    changePolicy,
    reserves,
    depositFor: async (draws: Draws): Promise<void> => {
      const { account, currency } = draws.pick(people.customers)
      await deposit(account, currency, 1n + belowMinor(draws, 4n * macroFrom(currency)))
    },
    /** Ahead of their time: what is owed to MPPs, to a payee, between banks. */
    settleNow: async (draws: Draws): Promise<void> => {
      const luck = draws.below(3)
      if (luck === 0) await order(draws.pick(hostsOf('cpp')), 'settle-now')
      else if (luck === 1) await order(draws.pick(hostsOf('bank')), 'close-window-now')
      else {
        const { id, mpp } = draws.pick(people.payees)
        await order(mpp, 'payout-now', { payee: id })
      }
    },
    /** A bank takes no credits of another for a while: what is settled meanwhile comes back. */
    estrange: async (draws: Draws): Promise<void> => {
      const banks = hostsOf('bank').filter((id) => id !== world.topology.settlementBank)
      if (banks.length < 2) return
      const bank = draws.pick(banks)
      const stranger = draws.pick(banks.filter((id) => id !== bank))
      const setPeers = async (change: (peers: readonly string[]) => readonly string[]): Promise<boolean> => {
        await whenUp(bank)
        const policy = world.policyOf(bank) as { readonly peers: readonly string[] } | undefined
        if (policy === undefined) return false
        return (await world.setPolicy(bank, { ...policy, peers: change(policy.peers) }))?.ok === true
      }
      await inTurn(`peers of ${bank}`, async () => {
        await setPeers((peers) => peers.filter((id) => id !== stranger))
        for (const cpp of hostsOf('cpp')) await order(cpp, 'settle-now')
        await sleep(1_000 + draws.below(15_000))
        while (!(await setPeers((peers) => [...new Set([...peers, stranger])]))) await sleep(1_000)
      })
    },
    rotate: async (draws: Draws): Promise<void> => {
      const { id } = draws.pick(world.topology.hosts)
      await inTurn('keys', async () => {
        await whenUp(id)
        await world.rotate(id)
      })
    },
    /** The keys before the last exchange were stolen. */
    revoke: async (draws: Draws): Promise<void> => {
      const { id } = draws.pick(world.topology.hosts)
      await inTurn('keys', async () => {
        await whenUp(id)
        if (!(await world.rotate(id))) return
        await sleep(draws.below(4_000))
        await world.revokeFormer(id)
      })
    },
  }
}
export type Operators = ReturnType<typeof createOperators>
