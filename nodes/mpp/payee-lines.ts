/**
 * A payee's account in order (design §5: `[merchant, seq]`): one line for each change of what this MPP owes the payee, whichever of
 * accrued, payable, refunding or paying it stands in. Invariant: the sum of a payee's lines is what the payee is owed, since
 * a change that no rule gave a name to becomes a line of its own.
 */
import { put, type Write } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { PAYEE_LINES, type PayeeLineRow, type PayeeRow } from './state.ts'

/** What a rule says of a change that it makes. */
export type PayeeLine = Pick<PayeeLineRow, 'what' | 'amountMinor' | 'id'> & { readonly payee: string }

const owed = ({ accruedMinor, payableMinor, refundingMinor, payingMinor }: PayeeRow): bigint =>
  accruedMinor + payableMinor + refundingMinor + payingMinor

const NAMELESS = new Uint8Array(16)

/**
 * The lines of one decision for one payee, and the payee's row that counts them.
 * @param before the payee as the decision found it; undefined: there was none
 */
export const payeeLines = (
  before: PayeeRow | undefined,
  after: PayeeRow,
  told: readonly PayeeLine[],
  nowMs: number,
): { readonly row: PayeeRow; readonly writes: readonly Write[] } => {
  const own = told.filter(({ payee, amountMinor }) => payee === after.payee && amountMinor !== 0n)
  const changeMinor = owed(after) - (before === undefined ? 0n : owed(before))
  const untoldMinor = changeMinor - own.reduce((sum, { amountMinor }) => sum + amountMinor, 0n)
  const lines =
    untoldMinor === 0n ? own : [...own, { what: 'correction' as const, amountMinor: untoldMinor, id: NAMELESS }]
  if (lines.length === 0) return { row: after, writes: [] }
  let seq = after.lines ?? 0
  const writes = lines.map(({ what, amountMinor, id }) => {
    seq += 1
    return put(PAYEE_LINES, keyOf(after.payee, seq), { seq, what, amountMinor, id, atMs: nowMs })
  })
  return { row: { ...after, lines: seq }, writes }
}
