/**
 * How long CPPs waited for what they had ordered of their banks: posts and voids of holds, collections and settlements, by the journals of both. A
 * wait ends with the first answer that the CPP's ledger knows.
 */
import { toHex } from '../../protocol/bytes.ts'
import type { JournalRow } from '../../nodes/runtime/runtime-tables.ts'

/** What the bank answers at once, or as soon as another bank has answered it, and what never expires. */
const ORDERS = new Set(['post-order', 'void-order', 'transfer-order', 'bulk-transfer-order'])
const ANSWERS = new Set(['post-answer', 'void-answer', 'transfer-answer', 'bulk-transfer-answer'])

export type BankWait = {
  readonly cpp: string
  readonly kind: string
  readonly orderId: string
  readonly orderedAtMs: number
  /** undefined: it has none. */
  readonly answeredAtMs: number | undefined
}

type Entry = Pick<JournalRow, 'atMs' | 'trigger' | 'name' | 'ids' | 'sends' | 'digest' | 'refused'>

/**
 * @param ofCpp the CPP's entries, in order
 * @param ofBanks those of every bank: an order's id is known by the digest of its frame, which the CPP's entry and the bank's share
 * @returns one for each order that a bank has taken; others it refused for good, or they never left
 */
export const bankWaits = (cpp: string, ofCpp: Iterable<Entry>, ofBanks: Iterable<Entry>): readonly BankWait[] => {
  const orderIds = new Map<string, string>()
  for (const { trigger, name, digest, ids, refused } of ofBanks)
    if (
      trigger === 'message' &&
      ORDERS.has(name) &&
      refused === undefined &&
      digest !== undefined &&
      ids[0] !== undefined
    )
      orderIds.set(toHex(digest), toHex(ids[0]))
  const ordered = new Map<string, { readonly kind: string; readonly atMs: number }>()
  const answered = new Map<string, number>()
  for (const { atMs, trigger, name, ids, sends } of ofCpp) {
    for (const [kind, , digest] of sends) {
      const orderId = ORDERS.has(kind) ? orderIds.get(toHex(digest)) : undefined
      if (orderId !== undefined && !ordered.has(orderId)) ordered.set(orderId, { kind, atMs })
    }
    const isAnswer = trigger === 'message' && ANSWERS.has(name)
    if (isAnswer) for (const id of ids) if (!answered.has(toHex(id))) answered.set(toHex(id), atMs)
  }
  return [...ordered].map(([orderId, { kind, atMs }]) => ({
    cpp,
    kind,
    orderId,
    orderedAtMs: atMs,
    answeredAtMs: answered.get(orderId),
  }))
}
