/**
 * A CPP's ledger without the rest of its host: the CPP's rule and rows, the runtime's applier, journal, staged writes and commits,
 * on a store. No envelope is opened and nothing is sent. Each accumulation leaves the customer's total, the entry, the journal's
 * row and the seen id of the message that confirmed it.
 */
import { CURRENCIES } from '../../protocol/amount.ts'
import { account, combineParts, newTotal, owe, receivable } from '../../nodes/cpp/account.ts'
import { admitted, collectionBooked, collectionOrdered, judge } from '../../nodes/cpp/aggregation.ts'
import { bookCollection } from '../../nodes/cpp/account.ts'
import { payable } from '../../nodes/cpp/pair.ts'
import { DEFAULT_CPP_POLICY, type CppPolicy } from '../../nodes/cpp/policy.ts'
import { ledger, type CustomerRow, type PaymentRow, type TotalRow } from '../../nodes/cpp/state.ts'
import { createApplier, emptyBatch } from '../../nodes/runtime/apply.ts'
import { createCommits, type Commits } from '../../nodes/runtime/commits.ts'
import { createFaults } from '../../nodes/runtime/faults.ts'
import { NO_HASH } from '../../nodes/runtime/journal.ts'
import { headWrite } from '../../nodes/runtime/ledger-state.ts'
import { createMetrics } from '../../nodes/runtime/metrics.ts'
import type { Context } from '../../nodes/runtime/node.ts'
import { createOutbox } from '../../nodes/runtime/outbox.ts'
import { createStaged, type Staged } from '../../nodes/runtime/staged.ts'
import { stepName } from '../../nodes/runtime/steps.ts'
import type { Store } from '../../nodes/runtime/store.ts'
import { createLru } from '../../protocol/lru.ts'
import { CURRENCY, customerOf, decisionMessage, MPP, type Accumulation } from './ledger-load.ts'

const CPP = 'hu-otp'
const OPERATOR_ACCOUNT = `hu-kh:${CPP}`
const NOTHING = new Uint8Array(0)
export const BENCH_NETWORK_ID = new Uint8Array(16)

const POLICY: CppPolicy = {
  ...DEFAULT_CPP_POLICY,
  dataCenters: ['hu-dc-1'],
  operatorAccounts: { [CURRENCY]: OPERATOR_ACCOUNT },
  settlementAccounts: {},
}
export const THETA_MINOR = CURRENCIES[CURRENCY].macroFromMinor

export type CppLedger = {
  readonly staged: Staged
  /** Decides and stages one batch and hands it to the store. */
  readonly accumulate: (batch: readonly Accumulation[], nowMs: number) => void
  /** Resolves when another batch may be handed over. */
  readonly room: () => Promise<void>
  /** Resolves when everything handed over is on disk. */
  readonly settled: Commits['settled']
  readonly head: () => { readonly seq: number; readonly hash: Uint8Array }
  /** Collections that crossings brought about: ordered and booked at once, since no bank is asked. */
  readonly collections: () => number
}

/** @param monotonicMs milliseconds of a clock that never goes back */
export const createCppLedger = (store: Store, monotonicMs: () => number): CppLedger => {
  const staged = createStaged(store)
  const metrics = createMetrics()
  const self = { id: CPP, role: 'cpp', realm: 'hu', operatorId: CPP } as const
  const random = (length: number): Uint8Array => new Uint8Array(length)
  const chain = { current: { seq: 0, hash: NO_HASH } }
  let collections = 0
  let orders = 0
  let failure: Error | undefined
  let wake: (() => void) | undefined
  const woken = (): void => {
    wake?.()
    wake = undefined
  }
  const faults = createFaults(() => undefined, stepName)
  const applier = createApplier({
    staged,
    outbox: createOutbox(() => 0),
    composer: {
      self,
      networkId: BENCH_NETWORK_ID,
      random,
      roleOf: () => undefined,
      guestKey: () => undefined,
    },
    metrics,
    chain,
    keepFrames: false,
    sent: { keep: () => [] },
    recent: createLru(1),
    onPassing: () => {},
    onStep: faults.note,
    onRecord: () => {},
    onUnsendable: () => {},
  })
  const commits = createCommits({
    staged,
    store,
    durability: 'flushed',
    monotonicMs,
    metrics,
    faults,
    stageHead: () => {
      staged.write(headWrite(CPP, BENCH_NETWORK_ID, chain.current, lastMs))
      return chain.current
    },
    onDurable: () => {},
    failed: () => failure !== undefined,
    fail: (error) => {
      failure ??= error instanceof Error ? error : new Error(String(error))
      woken()
    },
    onWork: woken,
  })
  let lastMs = 0

  /** A number as 16 bytes: the ids of this bench's own orders. */
  const orderId = (number: number): Uint8Array => {
    const id = new Uint8Array(16)
    new DataView(id.buffer).setBigUint64(8, BigInt(number))
    return id
  }

  /** The bank has booked what was outstanding: entry and total, as the bank's answer leaves them. */
  const collect = (
    customer: CustomerRow,
    total: TotalRow,
    context: Context<CppPolicy>,
    batch: ReturnType<typeof emptyBatch>,
  ): TotalRow => {
    const id = orderId(++orders)
    const running = { ...collectionOrdered(total), orderId: id }
    const booked = bookCollection({ customer, total: running, queue: [] }, id, OPERATOR_ACCOUNT, context)
    if (booked.total.outstandingMinor !== collectionBooked(running).outstandingMinor)
      throw new Error('a collection brought in another sum')
    collections += 1
    const decided = combineParts([account(customer.customer, booked)])
    applier.apply(batch, decided, { trigger: 'message', name: 'transfer-answer', ids: [id] }, context.nowMs)
    return booked.total
  }

  const one = (accumulation: Accumulation, batch: ReturnType<typeof emptyBatch>, context: Context<CppPolicy>): void => {
    const { amountMinor, prId, txId, pnId, ref } = accumulation
    const customer = customerRow(accumulation.customer)
    const found = (staged.get(ledger, customer.customer) as TotalRow | undefined) ?? newTotal(customer)
    const verdict = judge(found, amountMinor, THETA_MINOR)
    const total = verdict.collectMinor > 0n ? collect(customer, found, context, batch) : found
    const before = {
      customer,
      total: { ...admitted(total, amountMinor), thresholdMinor: THETA_MINOR },
      queue: [],
    }
    const payment = { prId, amountMinor, currency: CURRENCY, customer: customer.customer } as PaymentRow
    const decided = combineParts([
      account(customer.customer, owe(before, payment, context)),
      {
        postings: [
          { account: receivable(customer.customer), currency: CURRENCY, amountMinor: -amountMinor },
          { account: payable(MPP), currency: CURRENCY, amountMinor },
        ],
        record: {
          event: 'payment-confirmed',
          ids: [prId, pnId, txId],
          fields: { mode: 'micro', amountMinor, currency: CURRENCY },
        },
      },
    ])
    const message = decisionMessage(accumulation)
    applier.apply(batch, decided, { trigger: 'message', name: message.kind, ids: [pnId], message, ref }, context.nowMs)
  }

  return {
    staged,
    accumulate: (accumulations, nowMs) => {
      lastMs = nowMs
      const batch = emptyBatch()
      const context: Context<CppPolicy> = {
        self,
        nowMs,
        policy: POLICY,
        freshId: () => random(16),
        freshBytes: random,
      }
      for (const accumulation of accumulations) one(accumulation, batch, context)
      commits.submit(() => {
        for (const act of batch.after) act()
      })
    },
    room: async () => {
      while (commits.full()) {
        if (failure !== undefined) throw failure
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
    settled: async () => {
      await commits.settled()
      if (failure !== undefined) throw failure
    },
    head: () => chain.current,
    collections: () => collections,
  }
}

/** As its enrolment left it: read with the payment's request, and not part of what is measured. */
const customerRow = (number: number): CustomerRow => ({
  customer: customerOf(number),
  state: 'active',
  walletHost: 'hu-wallet-1',
  deviceKey: NOTHING,
  sealedPinKey: NOTHING,
  account: `hu-kh:${customerOf(number)}`,
  currency: CURRENCY,
  wrongPins: 0,
  pinLockedAtMs: 0,
  enrolmentId: NOTHING,
  enrolmentRef: NOTHING,
  enrolmentDigest: NOTHING,
  mandate: NOTHING,
  serial: 1,
  requestedAtMs: 0,
  enrolledAtMs: 0,
})
