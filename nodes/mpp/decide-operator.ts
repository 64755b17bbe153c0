/**
 * What the operator of an MPP may order about settlements that the rules alone leave open. A bad argument is an answer, never an
 * error. Invariant: only money that a bank booked, or the books shared with a CPP of the same operator, settles a batch, and
 * exactly its sum; that payees are due more than that is the operator's own expense, counted as `advancedMinor` of the pair.
 */
import { Value } from '@sinclair/typebox/value'
import { equalBytes, fromHex, toHex } from '../../protocol/bytes.ts'
import { Fields, Optional, Type } from '../../protocol/fields.ts'
import { bankOf } from '../../protocol/ids.ts'
import { combine, on, remove, type Context, type ControlEvent, type Decision, type Reader } from '../runtime/node.ts'
import { closeBooks, openBooks, type Books, type BookSlice } from './books.ts'
import { refusedReply } from './control-args.ts'
import { settleBatch } from './entries.ts'
import { loadBatch } from './load.ts'
import type { MppPolicy } from './policy.ts'
import { orderSettlement } from './reconciliation.ts'
import { BATCHES, DEFAULTS, UNMATCHED, type BatchRow, type UnmatchedRow } from './state.ts'

const hexId = Type.String({ pattern: '^[0-9a-f]{32}$' })
const SettleArgs = Fields({ batchId: hexId, noticeId: Optional(hexId) })

type SettleSlice = {
  readonly slice: BookSlice | undefined
  /** Credits of its sum: the one that is named, or those that refer to it. */
  readonly credits: readonly { readonly noticeId: Uint8Array; readonly row: UnmatchedRow }[]
}

/** A bank speaks of accounts that it keeps, and of no other's. */
const isOf = ({ totalMinor, currency }: BatchRow, row: UnmatchedRow): boolean =>
  row.amountMinor === totalMinor && row.currency === currency && bankOf(row.account) === row.bank

const loadSettle = (read: Reader, { args }: ControlEvent): SettleSlice => {
  const batch = Value.Check(SettleArgs, args) ? read.get(BATCHES, fromHex(args.batchId)) : undefined
  if (batch === undefined) return { slice: undefined, credits: [] }
  const asked = args['noticeId']
  const credits = [...read.scan(UNMATCHED, [])]
    .map(([noticeId, row]) => ({ noticeId, row }))
    .filter(({ noticeId, row }) =>
      asked === undefined ? equalBytes(row.id, batch.batchId) : toHex(noticeId) === asked,
    )
    .filter(({ row }) => isOf(batch, row))
  return { slice: loadBatch(read, batch), credits }
}

/**
 * `settle-batch {batchId, noticeId?}` → {ok, batchId, advancedMinor}: settles a batch that awaits its money, by an unmatched
 * credit of exactly its sum (any, if named; else one that refers to it, on this MPP's account of now), or, where no bank has a
 * part in it, by the operator's word; its payees get all they are due. A negative sum whose transfer was not ordered is ordered
 * now, and what was never paid in is advanced. Order of checks: SCHEMA_VIOLATION, NOT_FOUND (batch, or settled), UNDECIDED (being
 * reconciled, or ordered), NOT_FOUND (credit), ACCOUNT_UNKNOWN (no account for a negative sum).
 */
export const onSettleBatch = on(
  loadSettle,
  ({ slice, credits }: SettleSlice, { args }: ControlEvent, context: Context<MppPolicy>): Decision => {
    if (!Value.Check(SettleArgs, args))
      return refusedReply('SCHEMA_VIOLATION', 'expected {"batchId": hex, "noticeId"?: hex}')
    const batch = slice?.batch
    if (slice === undefined || batch === undefined) return refusedReply('NOT_FOUND', 'no such batch')
    if (batch.state === 'settled') return refusedReply('NOT_FOUND', 'the batch is settled')
    if (batch.state === 'reconciling') return refusedReply('UNDECIDED', 'the batch is being reconciled')
    if (batch.state === 'owing') return refusedReply('UNDECIDED', 'the bank has not answered the transfer')
    const books = openBooks(slice, context)
    if (batch.state === 'failed') {
      orderSettlement(books, 'advance')
      const { code } = books.batch ?? batch
      if (code !== undefined) return refusedReply(code, 'the transfer of this batch can not be ordered')
      return combine(closeBooks(books), {
        reply: { ok: true, batchId: args.batchId, advancedMinor: advanced(slice, books) },
        record: {
          event: books.batch?.state === 'settled' ? 'batch-settled' : 'settlement-reordered',
          ids: [batch.batchId],
          level: 'warn',
          fields: { cpp: batch.cpp, advancedMinor: advanced(slice, books), why: 'operator' },
        },
      })
    }
    const byBank = !batch.book && batch.totalMinor !== 0n
    const own = context.policy.operatorAccounts[batch.currency]
    const credit = credits.find(({ row }) => args.noticeId !== undefined || row.account === own)
    if (byBank && credit === undefined) return refusedReply('NOT_FOUND', 'no unmatched credit of exactly its sum')
    settleBatch(books, byBank ? 'bank' : 'operator', 'advance')
    const advancedMinor = advanced(slice, books)
    return combine(closeBooks(books), {
      writes: byBank && credit !== undefined ? [remove(UNMATCHED, credit.noticeId)] : [],
      reply: { ok: true, batchId: args.batchId, advancedMinor },
      record: {
        event: 'batch-settled',
        ids: [batch.batchId, ...(byBank && credit !== undefined ? [credit.noticeId] : [])],
        level: 'warn',
        fields: { cpp: batch.cpp, amountMinor: batch.totalMinor, advancedMinor, why: 'operator' },
      },
    })
  },
)

/** What this decision made the MPP advance. */
const advanced = (slice: BookSlice, { pair }: Books): bigint =>
  (pair.advancedMinor ?? 0n) - (slice.pair?.advancedMinor ?? 0n)

const ListArgs = Fields({ cpp: Optional(Type.String({ maxLength: 63 })), open: Optional(Type.Boolean()) })

/** `settlements {cpp?, open?}` → batches (`open`: only those not settled), credits that fit nothing owed, and who is DEFAULTED. */
export const settlementsOf = (read: Reader, args: Readonly<Record<string, unknown>>): unknown => {
  if (!Value.Check(ListArgs, args)) return { ok: false, code: 'SCHEMA_VIOLATION', detail: 'expected {"cpp"?, "open"?}' }
  const batches = [...read.scan(BATCHES, [])]
    .map(([, row]) => row)
    .filter(({ cpp, state }) => (args.cpp ?? cpp) === cpp && !(args.open === true && state === 'settled'))
    .toSorted((a, b) => a.arrivedAtMs - b.arrivedAtMs || a.seq - b.seq)
  return {
    batches: batches.map(({ batchId, cpp, currency, seq, state, fromSeq, toSeq, totalMinor, items = [], ...row }) => ({
      batchId: toHex(batchId),
      cpp,
      currency,
      seq,
      state,
      fromSeq,
      toSeq,
      totalMinor,
      disputes: items.length,
      code: row.code,
      arrivedAtMs: row.arrivedAtMs,
      answeredAtMs: row.answeredAtMs,
      settledAtMs: row.settledAtMs,
    })),
    unmatched: [...read.scan(UNMATCHED, [])].map(([noticeId, row]) => ({
      noticeId: toHex(noticeId),
      ...row,
      id: toHex(row.id),
    })),
    defaults: [...read.scan(DEFAULTS, [])].map(([, { batchId, sinceMs }]) => ({ batchId: toHex(batchId), sinceMs })),
  }
}
