/**
 * What a CPP owes MPPs (design §3, §8.3): a gapless sequence of entries that are the confirmed micropayments less their refunds, cut into
 * batches without gap or overlap, each the sum of its range and paid once.
 */
import {
  batches,
  pairEntries,
  pairs,
  type BatchRow,
  type PairEntryRow,
  type PairRow,
} from '../../../nodes/cpp/state-pairs.ts'
import type { OrderRow, PaymentRow } from '../../../nodes/cpp/state.ts'
import type { Facts } from './facts.ts'
import {
  contribute,
  happened,
  hex,
  moved,
  numberAt,
  reading,
  textAt,
  type Change,
  type Desk,
  type Edges,
  type Reading,
} from './rows.ts'

const BATCH_EDGES: Edges = {
  none: ['cut', 'open'],
  cut: ['open'],
  open: ['ordered', 'owed', 'unpayable', 'settled', 'broken'],
  ordered: ['settled', 'failed'],
  owed: ['settled'],
  failed: ['ordered', 'unpayable', 'settled'],
  unpayable: ['ordered', 'settled'],
}

type Pair = {
  row: PairRow | undefined
  readonly entries: Map<number, PairEntryRow>
  highest: number
  entriesMinor: bigint
  adjustedMinor: bigint
  settledMinor: bigint
  /** Confirmed micropayments, less their refunds. */
  paidMinor: bigint
  readonly batches: Map<number, BatchRow>
}
export type PairBooks = {
  readonly readings: readonly Reading[]
  readonly payment: (change: Change<PaymentRow>) => void
  readonly refund: (mpp: string, currency: string, minor: bigint) => void
  readonly order: (change: Change<OrderRow>) => void
  readonly settle: (judge: boolean) => void
  readonly clear: () => void
}

export const auditPairs = (desk: Desk, facts: Facts): PairBooks => {
  const { host, broken } = desk
  const books = new Map<string, Pair>()
  const touched = new Set<string>()
  const entryIds = new Map<string, number>()
  /** `<mpp> <currency> <batchSeq>` → settlement orders that were not refused. */
  const paying = new Map<string, Set<string>>()
  let added: (readonly [pair: string, BatchRow])[] = []

  const pairOf = (name: string): Pair => {
    touched.add(name)
    let found = books.get(name)
    if (found === undefined)
      books.set(
        name,
        (found = {
          row: undefined,
          entries: new Map(),
          highest: 0,
          entriesMinor: 0n,
          adjustedMinor: 0n,
          settledMinor: 0n,
          paidMinor: 0n,
          batches: new Map(),
        }),
      )
    return found
  }

  const entry = ({ key, before, after, judge }: Change<PairEntryRow>): void => {
    const [mpp, at] = textAt(key)
    const [currency, next] = textAt(key, at)
    const seq = numberAt(key, next)
    const name = `${mpp} ${currency}`
    const pair = pairOf(name)
    contribute({ before, after }, (row, sign) => {
      pair.entriesMinor += sign * row.amountMinor
      if (row.kind === 'pair-adjustment') {
        pair.adjustedMinor += sign * row.amountMinor
        if (happened({ after, judge })) facts.untold.add(`corrected ${host} ${name}`, sign * row.amountMinor)
      }
      const id = `${row.kind} ${hex(row.id)}`
      const count = (entryIds.get(id) ?? 0) + Number(sign)
      if (count === 0) entryIds.delete(id)
      else entryIds.set(id, count)
      if (count > 1 && judge) broken('an entry is owed twice', `${host} to ${name}: ${id}`)
    })
    if (after === undefined) {
      pair.entries.delete(seq)
      pair.highest = Math.min(pair.highest, seq - 1)
    } else {
      pair.entries.set(seq, after)
      pair.highest = Math.max(pair.highest, seq)
      desk.later(() => facts.pairEntries.set(`${host} ${name} ${seq}`, after.amountMinor))
    }
    if (judge && before !== undefined) broken('an entry was changed', `${host} to ${name}: ${seq}`)
  }

  const batch = (change: Change<BatchRow>): void => {
    const { before, after, judge } = change
    const row = (after ?? before) as BatchRow
    const name = `${row.mpp} ${row.currency}`
    const pair = pairOf(name)
    contribute(change, ({ state, totalMinor }, sign) => {
      if (state === 'settled') pair.settledMinor += sign * totalMinor
    })
    if (after === undefined) pair.batches.delete(row.seq)
    else {
      pair.batches.set(row.seq, after)
      const { batchId, fromSeq, toSeq, totalMinor } = after
      desk.later(() => facts.batches.set(hex(batchId), `${host} ${fromSeq} ${toSeq} ${totalMinor}`))
    }
    if (!judge) return
    moved(desk, 'a batch', BATCH_EDGES, change, () => `${name} ${row.seq}`)
    if (after === undefined) return
    if (before === undefined) added.push([name, after])
    else if (before.fromSeq !== after.fromSeq || before.toSeq !== after.toSeq || before.totalMinor !== after.totalMinor)
      broken('a batch was made again', `${host} to ${name}: ${after.seq}`)
    // Money between two operators passes through a bank.
    if (after.state === 'settled' && before?.state === 'ordered') {
      const orderId = after.orderId === undefined ? '' : hex(after.orderId)
      if (facts.booked.get(`${host} ${orderId}`) !== after.totalMinor)
        broken('settled without its money', `${host} to ${name}: batch ${after.seq} of ${after.totalMinor}`)
    }
  }

  const checkBatch = (name: string, row: BatchRow): void => {
    const pair = pairOf(name)
    const former = pair.batches.get(row.seq - 1)
    if (row.fromSeq !== (former?.toSeq ?? 0) + 1 || row.toSeq < row.fromSeq)
      broken(
        'a gap in the settlement',
        `${host} to ${name}: batch ${row.seq} is ${row.fromSeq} to ${row.toSeq} after ${former?.toSeq ?? 0}`,
      )
    if (former !== undefined && hex(former.hash) !== hex(row.prevHash))
      broken('a gap in the settlement', `${host} to ${name}: batch ${row.seq} does not follow its former`)
    let sumMinor = 0n
    for (let seq = row.fromSeq; seq <= row.toSeq; seq++) sumMinor += pair.entries.get(seq)?.amountMinor ?? 0n
    if (sumMinor !== row.totalMinor)
      broken(
        'a batch is not its entries',
        `${host} to ${name}: batch ${row.seq} of ${row.totalMinor}, entries ${sumMinor}`,
      )
  }

  const checkPair = (name: string, pair: Pair): void => {
    const { row } = pair
    const equal = (what: string, found: bigint, right: bigint): void => {
      if (found !== right) broken('what a CPP owes is wrong', `${host} to ${name}: ${what} is ${found}, not ${right}`)
    }
    equal('the last entry', BigInt(pair.highest), BigInt(pair.entries.size))
    equal('entries of payments and refunds', pair.entriesMinor - pair.adjustedMinor, pair.paidMinor)
    equal('payable', row?.payableMinor ?? 0n, pair.entriesMinor - pair.settledMinor)
    if (row === undefined) return
    equal('the sequence', BigInt(row.lastSeq), BigInt(pair.highest))
    const last = pair.batches.get(pair.batches.size)
    equal('where the open range begins', BigInt(row.fromSeq), BigInt((last?.toSeq ?? 0) + 1))
    let rangeMinor = 0n
    for (let seq = row.fromSeq; seq <= row.lastSeq; seq++) rangeMinor += pair.entries.get(seq)?.amountMinor ?? 0n
    equal('the open range', row.rangeMinor, rangeMinor)
    let sent = 0
    for (let seq = pair.batches.size; seq > 0; seq--) {
      const state = pair.batches.get(seq)?.state
      if (state === 'settled') break
      if (state !== 'cut') sent++
    }
    if (sent > 1) broken('two batches are open', `${host} to ${name}`)
  }

  return {
    readings: [
      reading(pairEntries, entry),
      reading(batches, batch),
      reading(pairs, ({ before, after }) => {
        const row = (after ?? before) as PairRow
        pairOf(`${row.mpp} ${row.currency}`).row = after
      }),
    ],
    payment: (change) =>
      contribute(change, ({ state, mode, mpp, currency, amountMinor }, sign) => {
        if (state === 'confirmed' && mode === 'micro') pairOf(`${mpp} ${currency}`).paidMinor += sign * amountMinor
      }),
    refund: (mpp, currency, minor) => {
      pairOf(`${mpp} ${currency}`).paidMinor -= minor
    },
    order: ({ key, before, after, judge }) => {
      const row = (after ?? before) as OrderRow
      if (row.purpose !== 'settlement') return
      const name = `${row.subject} ${row.currency} ${row.batchSeq}`
      const orders = paying.get(name) ?? new Set<string>()
      paying.set(name, orders)
      if (after === undefined || after.state === 'refused') orders.delete(hex(key))
      else orders.add(hex(key))
      if (judge && orders.size > 1) broken('a batch is paid twice', `${host}: ${name}`)
      if (!judge || before !== undefined || after === undefined) return
      const total = pairOf(`${row.subject} ${row.currency}`).batches.get(row.batchSeq ?? 0)?.totalMinor
      // The batch may be a row of the same step that is read later.
      if (total !== undefined && total !== row.amountMinor)
        broken('a batch is paid another sum', `${host}: ${name} of ${total} by ${row.amountMinor}`)
    },
    settle: (judge) => {
      for (const name of touched) checkPair(name, pairOf(name))
      if (judge) for (const [name, row] of added) checkBatch(name, row)
    },
    clear: () => {
      touched.clear()
      added = []
    },
  }
}
