/** Slices: what a decision of an MPP needs to know, read before it decides. Synchronous and bounded. */
import type { Currency } from '../../protocol/amount.ts'
import { toHex } from '../../protocol/bytes.ts'
import type { Incoming, Reader } from '../runtime/node.ts'
import type { BookSlice, EntryMessage } from './books.ts'
import {
  BATCHES,
  DEFAULTS,
  ENTRIES,
  LOCKS,
  NOTICES,
  PAIRS,
  PAYEES,
  type BatchRow,
  type EnrolmentRow,
  type EntryRow,
  type HostRow,
  type LockRow,
  type NoticeRow,
  type PairRow,
  type PayeeRow,
} from './state.ts'
import { REFUNDS, type RefundRow } from './refund-state.ts'

export type NoticeSlice = {
  readonly notice: NoticeRow | undefined
  readonly payee: PayeeRow | undefined
  readonly lock: LockRow | undefined
  readonly pair: PairRow | undefined
  readonly defaulted: boolean
}

export const loadNotice = (read: Reader, { message }: Incoming<'payment-notice'>): NoticeSlice => {
  const { body, nested, sender } = message
  const trans = nested.trans.ok ? nested.trans.value.body : undefined
  let defaulted = false
  for (const _ of read.scan(DEFAULTS, [sender.id], { limit: 1 })) defaulted = true
  return {
    notice: read.get(NOTICES, body.pnId),
    payee: read.get(PAYEES, body.payee),
    lock: trans === undefined ? undefined : read.get(LOCKS, trans.payee, trans.txId),
    pair: trans === undefined ? undefined : read.get(PAIRS, sender.id, trans.currency),
    defaulted,
  }
}

export type PaymentSlice = { readonly notice: NoticeRow | undefined; readonly pair: PairRow | undefined }

type AboutPayment = Incoming<'payment-decision'> | Incoming<'transfer-confirmation'> | Incoming<'payment-outcome'>

export const loadPayment = (read: Reader, { message }: AboutPayment): PaymentSlice => {
  const notice = read.get(NOTICES, message.body.pnId)
  return { notice, pair: notice?.currency === undefined ? undefined : read.get(PAIRS, notice.cpp, notice.currency) }
}

/** Rows of what these entries speak of, and, where they may complete the open batch, its whole range. */
export const loadEntries = (
  read: Reader,
  cpp: string,
  currency: Currency,
  messages: readonly EntryMessage[],
  batchId?: Uint8Array,
): BookSlice => {
  const pair = read.get(PAIRS, cpp, currency)
  const openId = pair?.openBatchId
  const batch = openId === undefined ? undefined : read.get(BATCHES, openId)
  const entries = new Map<number, EntryRow>()
  const notices = new Map<string, NoticeRow>()
  const payees = new Map<string, PayeeRow>()
  const refunds = new Map<string, RefundRow>()
  const addEntry = (seq: number): EntryRow | undefined => {
    const row = entries.get(seq) ?? read.get(ENTRIES, cpp, currency, seq)
    if (row !== undefined) entries.set(seq, row)
    return row
  }
  const addNotice = (pnId: Uint8Array | undefined): void => {
    const row = pnId === undefined ? undefined : read.get(NOTICES, pnId)
    if (row === undefined) return
    notices.set(toHex(row.pnId), row)
    addPayee(read, payees, row.payee)
  }
  const addRefund = (refundId: Uint8Array | undefined): void => {
    const row = refundId === undefined ? undefined : read.get(REFUNDS, refundId)
    if (row === undefined) return
    refunds.set(toHex(row.refundId), row)
    addPayee(read, payees, row.payee)
  }
  for (const { kind, body } of messages) {
    addEntry(body.pairSeq)
    if (kind === 'pair-adjustment') {
      const target = addEntry(body.disputedSeq) ?? entryAmong(messages, body.disputedSeq)
      addNotice(target?.pnId)
      addRefund(target?.refundId)
      continue
    }
    addNotice(body.pnId)
    if (kind === 'refund-confirmation') addRefund(body.refundId)
  }
  const mayComplete = batch !== undefined && (batchId !== undefined || (pair?.openLacking ?? 0) <= messages.length)
  if (mayComplete) addRange(read, batch, entries, payees)
  return {
    cpp,
    currency,
    pair,
    batch: mayComplete ? batch : undefined,
    entries,
    notices,
    payees,
    refunds,
    overdue: false,
  }
}

/** An adjustment may come in the same message as the entry it speaks of. */
const entryAmong = (
  messages: readonly EntryMessage[],
  pairSeq: number,
): Pick<EntryRow, 'pnId' | 'refundId'> | undefined => messages.find(({ body }) => body.pairSeq === pairSeq)?.body

const addPayee = (read: Reader, payees: Map<string, PayeeRow>, payee: string): void => {
  if (payees.has(payee)) return
  const row = read.get(PAYEES, payee)
  if (row !== undefined) payees.set(payee, row)
}

/** The entries of a batch's range, and the payees they credit. */
const addRange = (
  read: Reader,
  batch: BatchRow,
  entries: Map<number, EntryRow>,
  payees: Map<string, PayeeRow>,
): void => {
  for (const [, row] of read.scan(ENTRIES, [batch.cpp, batch.currency], {
    from: [batch.fromSeq],
    before: [batch.toSeq + 1],
  })) {
    entries.set(row.pairSeq, row)
    if (row.credited !== undefined) addPayee(read, payees, row.credited)
  }
}

/** A batch with its whole range: to answer it or to settle it. */
export const loadBatch = (read: Reader, batch: BatchRow): BookSlice => {
  const { cpp, currency, batchId } = batch
  const entries = new Map<number, EntryRow>()
  const payees = new Map<string, PayeeRow>()
  addRange(read, batch, entries, payees)
  const overdue = read.get(DEFAULTS, cpp, batchId) !== undefined
  return {
    cpp,
    currency,
    pair: read.get(PAIRS, cpp, currency),
    batch,
    entries,
    notices: new Map(),
    payees,
    refunds: new Map(),
    overdue,
  }
}

/** One payee's account, for payouts, and for a refund. */
export const payeeSlice = (payee: PayeeRow, refund?: RefundRow): BookSlice => ({
  cpp: '',
  currency: payee.currency,
  pair: undefined,
  batch: undefined,
  entries: new Map(),
  notices: new Map(),
  payees: new Map([[payee.payee, payee]]),
  refunds: new Map(refund === undefined ? [] : [[toHex(refund.refundId), refund]]),
  overdue: false,
})

export type EnrolmentSlice = {
  readonly host: HostRow | undefined
  readonly payee: PayeeRow | undefined
  readonly known: EnrolmentRow | undefined
}
