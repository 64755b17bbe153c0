/**
 * What an MPP holds of one payment: the CPP's notice, the merchant's decision and its own countersignature, the CPP's end, and the
 * settlement batch that holds the entry with the bank's notice of it. Nothing of it names a customer.
 */
import { equalBytes, fromHex } from '../../protocol/bytes.ts'
import type { SettlementState } from '../../protocol/evidence.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { pairEntryLeaf, proveLeaf, rangeOf, rangeRoot, type RangeProof } from '../../protocol/mountain-range.ts'
import {
  createGatherer,
  evidenceId,
  NO_ID,
  NOT_DECIDED,
  NOT_HERE,
  type EvidenceAnswer,
  type EvidenceServices,
  type Gatherer,
} from '../runtime/evidence.ts'
import type { Context, Reader } from '../runtime/node.ts'
import { isFinalState } from '../runtime/reports.ts'
import { refundsOf } from './decide-refund.ts'
import { BATCHES, ENTRIES, NOTICES, ORDERS, outboxKey, type BatchRow, type NoticeRow } from './state.ts'

/** `evidence {paymentId}`: a pnId. */
export const evidence =
  (services: EvidenceServices) =>
  (read: Reader, args: Readonly<Record<string, unknown>>, { nowMs }: Context): EvidenceAnswer => {
    const id = evidenceId(args)
    if (id === undefined) return NO_ID
    const notice = read.get(NOTICES, fromHex(id))
    if (notice?.txId === undefined) return NOT_HERE
    if (!isFinalState(notice.state)) return NOT_DECIDED
    const { pnId, payee, txId } = notice
    const gatherer = createGatherer(services, read)
    gatherMessages(gatherer, notice)
    const isMicro = notice.state === 'confirmed' && notice.mode === 'micro'
    return {
      ok: true,
      bundle: gatherer.seal({
        gatheredAtMs: nowMs,
        payee,
        txId,
        pnId,
        ...gatherRefunds(gatherer, read, pnId),
        ...(isMicro ? gatherSettlement(gatherer, read, notice) : {}),
      }),
    }
  }

const ENDS = ['delayed-transfer-confirmation', 'transfer-confirmation', 'payment-outcome'] as const

const gatherMessages = (
  gatherer: Gatherer,
  { pnId, arrivedAtMs, countersignedAtMs, finalAtMs, decisionRef, outcomeFrame }: NoticeRow,
): void => {
  const isIt = (body: { readonly pnId: Uint8Array }): boolean => equalBytes(body.pnId, pnId)
  gatherer.received('payment-notice', arrivedAtMs, isIt)
  gatherer.received('payment-decision', countersignedAtMs, isIt)
  gatherer.sent({ until: outboxKey('countersigned', pnId) })
  // What is passed on to the merchant host is the CPP's frame under its newest seal: an end that came with others, or that was
  // asked for again after a revocation, stands there alone.
  if (decisionRef !== undefined && gatherer.sent({ answers: decisionRef })) return
  if (ENDS.some((kind) => gatherer.received(kind, finalAtMs, isIt) !== undefined)) return
  if (outcomeFrame !== undefined) gatherer.frame(outcomeFrame)
}

/** What the merchant host asked for inside this MPP's countersignature, and the CPP's word. */
const gatherRefunds = (gatherer: Gatherer, read: Reader, pnId: Uint8Array): { readonly refunds?: number } => {
  const confirmed = refundsOf(read, pnId).filter(({ state }) => state === 'confirmed')
  for (const { refundId, ref } of confirmed.slice(0, LIMITS.maxRefundsInEvidence)) {
    gatherer.sent({ until: outboxKey('refund', refundId) })
    gatherer.sent({ answers: ref })
  }
  return confirmed.length === 0 ? {} : { refunds: confirmed.length }
}

type Settlement = { readonly settlement: SettlementState; readonly inclusion?: RangeProof }

const gatherSettlement = (gatherer: Gatherer, read: Reader, { cpp, currency, pairSeq }: NoticeRow): Settlement => {
  const batch = batchOf(read, cpp, currency, pairSeq)
  if (batch === undefined || pairSeq === undefined) return { settlement: 'none' }
  const { batchId, ref, arrivedAtMs, settledAtMs, orderId } = batch
  gatherer.received('settlement-batch', arrivedAtMs, (body) => equalBytes(body.batchId, batchId))
  gatherer.sent({ answers: ref })
  if (orderId !== undefined) {
    gatherer.sent({ until: outboxKey('order', orderId) })
    if (read.get(ORDERS, orderId) !== undefined)
      gatherer.received('transfer-answer', settledAtMs, (body) => equalBytes(body.orderId, orderId))
  } else gatherer.received('account-notice', settledAtMs, ({ reference }) => equalBytes(reference.id, batchId))
  const inclusion = includes(read, batch, pairSeq)
  return {
    settlement: batch.state === 'settled' ? 'settled' : batch.answeredAtMs === undefined ? 'sent' : 'answered',
    ...(inclusion === undefined ? {} : { inclusion }),
  }
}

const batchOf = (
  read: Reader,
  cpp: string,
  currency: NoticeRow['currency'],
  pairSeq: number | undefined,
): BatchRow | undefined => {
  if (pairSeq === undefined) return undefined
  for (const [, batch] of read.scan(BATCHES, []))
    if (batch.cpp === cpp && batch.currency === currency && batch.fromSeq <= pairSeq && pairSeq <= batch.toSeq)
      return batch
  return undefined
}

/**
 * Leads from the entry to the root that the CPP signed: undefined where this MPP lacks an entry or holds another, since its leaves
 * then make another root.
 */
const includes = (
  read: Reader,
  { cpp, currency, fromSeq, toSeq, root }: BatchRow,
  pairSeq: number,
): RangeProof | undefined => {
  const leaves: Uint8Array[] = []
  for (const [, entry] of read.scan(ENTRIES, [cpp, currency], { from: [fromSeq], before: [toSeq + 1] })) {
    const { type, amountMinor, pnId, payee } = entry
    if (type === 'missing') return undefined
    leaves.push(
      pairEntryLeaf({
        pairSeq: entry.pairSeq,
        type,
        pnId: pnId ?? null,
        payee: payee ?? null,
        amountMinor,
        currency,
      }),
    )
  }
  const isWhole = leaves.length === toSeq - fromSeq + 1 && equalBytes(rangeRoot(rangeOf(leaves)), root)
  return isWhole ? proveLeaf(leaves, pairSeq - fromSeq) : undefined
}
