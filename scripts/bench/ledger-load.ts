/**
 * What the ledger bench puts into a CPP's ledger: who pays how much, and the rows that stand there before. The same name gives
 * the same load. A payment's ids are drawn beforehand: a host has them from the frame that it opened.
 */
import { Buffer } from 'node:buffer'
import { ENTRY, ledger, type EntryRow, type TotalRow } from '../../nodes/cpp/state.ts'
import { seededRandom } from '../../nodes/runtime/sim-network.ts'
import { requestRef } from '../../nodes/runtime/request-ref.ts'
import { seenTable } from '../../nodes/runtime/runtime-tables.ts'
import type { Mutation, Store } from '../../nodes/runtime/store.ts'
import { keyOf } from '../../nodes/runtime/table.ts'
import type { Verified } from '../../protocol/verified.ts'
import type { Draws } from './draws.ts'

export const PATTERNS = ['hot', 'zipf', 'uniform'] as const
export type Pattern = (typeof PATTERNS)[number]

/** Exponent of the Zipf pattern: the busiest customer of a million pays about one payment in fourteen. */
const ZIPF = 1
const MEAN_MINOR = 40
const SIGMA = 1
/** M in euro cents: an amount of M or more is no micropayment. */
const MACRO_FROM_MINOR = 1_000
export const MPP = 'hu-cosmo'
export const CURRENCY = 'EUR'

/** Fixed width, so that customers stand in the tree in the order of their numbers. */
export const customerOf = (number: number): string => `hu-c${number.toString().padStart(7, '0')}`

export type Accumulation = {
  readonly customer: number
  readonly amountMinor: bigint
  readonly prId: Uint8Array
  readonly txId: Uint8Array
  readonly pnId: Uint8Array
  readonly digest: Uint8Array
  /** Of the countersigned decision, as `requestRef` makes it. */
  readonly ref: Uint8Array
}

/** The message that confirms a payment, as far as the ledger looks at it. */
export const decisionMessage = ({ pnId, digest }: Pick<Accumulation, 'pnId' | 'digest'>): Verified =>
  ({
    kind: 'countersigned-decision',
    header: { from: MPP },
    body: { pnId },
    digest,
    sender: { id: MPP, role: 'mpp', host: MPP },
    previousHop: 'hu-dc',
    nested: {},
  }) as unknown as Verified

const refOf = (pnId: Uint8Array): Uint8Array => {
  const { kind, header, body } = decisionMessage({ pnId, digest: pnId })
  return requestRef(kind, header, body)
}

/** Draws the number of the customer who pays next, of `customers`. */
const chooser = (pattern: Pattern, customers: number, draws: Draws): (() => number) => {
  if (pattern !== 'zipf') return () => draws.below(customers)
  // Rank r with a share of 1 / r: by halving over the running sums. Ranks are spread over the customers by a fixed stride.
  const sums = new Float64Array(customers)
  let sum = 0
  for (let rank = 1; rank <= customers; rank++) sums[rank - 1] = sum += 1 / rank ** ZIPF
  return () => {
    const wanted = draws.uniform() * sum
    let low = 0
    let high = customers - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((sums[middle] as number) < wanted) low = middle + 1
      else high = middle
    }
    return (low * 7_919) % customers
  }
}

/** @returns the next `count` payments of the pattern at each call */
export const createLoad = (
  pattern: Pattern,
  customers: number,
  draws: Draws,
): ((count: number) => readonly Accumulation[]) => {
  const random = seededRandom(`ids ${pattern}`)
  const next = chooser(pattern, customers, draws)
  return (count) =>
    Array.from({ length: count }, () => {
      const bytes = random.bytes(80)
      const pnId = bytes.slice(16, 32)
      const minor = Math.min(MACRO_FROM_MINOR - 1, Math.max(1, Math.round(draws.lognormal(MEAN_MINOR, SIGMA))))
      return {
        customer: next(),
        amountMinor: BigInt(minor),
        prId: bytes.slice(0, 16),
        pnId,
        txId: bytes.slice(32, 48),
        digest: bytes.slice(48, 80),
        ref: refOf(pnId),
      }
    })
}

const PRELOADED_AT_MS = 1_750_000_000_000
/** Rows that one commit of the preload holds. */
const PRELOAD_ROWS = 32_768

export type Preload = { readonly customers: number; readonly entriesEach: number }

/**
 * Totals and entries of every customer, and the seen id of each entry, in key order, so that the tree grows at its right edge.
 * The journal of these payments is not there: it is only ever appended to, whatever came before.
 */
export const preload = async (
  store: Store,
  { customers, entriesEach }: Preload,
  onRows: (rows: number) => void,
): Promise<void> => {
  let mutations: Mutation[] = []
  let running: Promise<void> = Promise.resolve()
  const flush = async (): Promise<void> => {
    const full = mutations
    mutations = []
    await running
    running = store.commit(full)
    onRows(full.length)
  }
  const put = (table: string, key: Uint8Array, value: Uint8Array): void => {
    mutations.push({ table, key, value })
  }
  const ids = seededRandom('preloaded ids')
  const amountMinor = 7n
  for (let number = 0; number < customers; number++) {
    const customer = customerOf(number)
    const total: TotalRow = {
      kind: 0,
      currency: CURRENCY,
      outstandingMinor: amountMinor * BigInt(entriesEach),
      collectingMinor: 0n,
      pendingMinor: 0n,
      thresholdMinor: 1_000n,
      lastSeq: entriesEach,
      waiting: 0,
      nextWait: 1,
      debtSinceMs: entriesEach === 0 ? 0 : PRELOADED_AT_MS,
      debtAgeAtMs: entriesEach === 0 ? 0 : PRELOADED_AT_MS + 1,
      suspendedAtMs: 0,
      orderId: new Uint8Array(0),
    }
    put(ledger.name, keyOf(customer), ledger.encode(total))
    const drawn = ids.bytes(16 * Math.max(1, entriesEach))
    for (let seq = 1; seq <= entriesEach; seq++) {
      const entry: EntryRow = {
        kind: ENTRY.payment,
        amountMinor,
        id: drawn.subarray(16 * (seq - 1), 16 * seq),
        atMs: PRELOADED_AT_MS + seq,
      }
      put(ledger.name, keyOf(customer, seq), ledger.encode(entry))
    }
    if (mutations.length >= PRELOAD_ROWS) await flush()
  }
  const entries = customers * entriesEach
  for (let first = 0; first < entries; first += PRELOAD_ROWS) {
    const count = Math.min(PRELOAD_ROWS, entries - first)
    const drawn = Buffer.from(ids.bytes(48 * count))
    for (let at = 0; at < count; at++) {
      const pnId = drawn.subarray(48 * at, 48 * at + 16)
      // In order, and as spread as ids drawn by chance: evenly over the first four bytes, the rest by chance.
      pnId.writeUInt32BE(Math.floor(((first + at) / entries) * 0xffff_ffff))
      const digest = new Uint8Array(drawn.subarray(48 * at + 16, 48 * at + 48))
      put(seenTable.name, refOf(pnId), seenTable.encode({ digest, seenAtMs: PRELOADED_AT_MS }))
    }
    await flush()
  }
  if (mutations.length > 0) await flush()
  await running
  await store.flushed()
}
