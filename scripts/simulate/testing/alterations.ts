/**
 * Rows of a real history, each altered by hand in one way that breaks one rule of the auditor: what its tests are made of.
 */
import * as bank from '../../../nodes/bank/state.ts'
import * as cpp from '../../../nodes/cpp/state.ts'
import { quotes } from '../../../nodes/cpp/state-fx.ts'
import { batches, pairEntries, pairs } from '../../../nodes/cpp/state-pairs.ts'
import { refundMoney, refunds } from '../../../nodes/cpp/state-refunds.ts'
import * as wallet from '../../../nodes/customer/state.ts'
import * as shop from '../../../nodes/merchant/state.ts'
import { REFUNDS } from '../../../nodes/mpp/refund-state.ts'
import * as mpp from '../../../nodes/mpp/state.ts'
import type { AnyTable } from '../../../nodes/runtime/node.ts'
import { journalTable } from '../../../nodes/runtime/runtime-tables.ts'
import type { Table } from '../../../nodes/runtime/table.ts'
import type { RowChange } from '../observed.ts'
import type { HostRole } from '../world.ts'

/** The rows of one change, decoded. */
export type Rows<Row> = { readonly before: Row | undefined; readonly after: Row; readonly key: Uint8Array }
/** `row`: what it becomes. `and`: rows beside it. `first`: a batch of its own before it. */
export type Altered =
  'left out' | { readonly row?: object; readonly and?: readonly RowChange[]; readonly first?: RowChange }
export type Alteration = {
  readonly rule: string
  readonly what: string
  readonly role: HostRole
  readonly table: AnyTable
  readonly alter: (rows: Rows<never>, change: RowChange) => Altered | undefined
}
/** @param alter undefined: not this change, the next that fits */
const breaks = <Row extends object>(
  rule: string,
  what: string,
  role: HostRole,
  table: Table<Row>,
  alter: (rows: Rows<Row>, change: RowChange) => Altered | undefined,
): Alteration => ({ rule, what, role, table, alter })

const becomes = <Row extends object>(row: Row, fields: Partial<Row>): Altered => ({ row: { ...row, ...fields } })
/** A row more beside the change. */
const and = <Row extends object>(table: Pick<Table<Row>, 'name' | 'encode'>, key: Uint8Array, row: Row): Altered => ({
  and: [{ table: table.name, key, before: undefined, after: table.encode(row) }],
})
const id = (fill: number): Uint8Array => new Uint8Array(16).fill(fill)

export const ALTERATIONS: readonly Alteration[] = [
  // Banks: design §8.1.
  breaks('money made', 'a balance grows', 'bank', bank.ACCOUNTS, ({ after, before }) =>
    before !== undefined && after.kind === 'holder'
      ? becomes(after, { balanceMinor: after.balanceMinor + 1n })
      : undefined,
  ),
  breaks('a balance is not its entries', 'a balance shrinks', 'bank', bank.ACCOUNTS, ({ after, before }) =>
    before !== undefined && after.kind === 'holder'
      ? becomes(after, { balanceMinor: after.balanceMinor - 1n })
      : undefined,
  ),
  breaks('an account below zero', 'a holder overdraws', 'bank', bank.ACCOUNTS, ({ after, before }) =>
    before !== undefined && after.kind === 'holder' ? becomes(after, { balanceMinor: -1n }) : undefined,
  ),
  breaks('a hold below zero', 'more is released than held', 'bank', bank.ACCOUNTS, ({ after, before }) =>
    before !== undefined && after.kind === 'holder' ? becomes(after, { heldMinor: -1n }) : undefined,
  ),
  breaks('what is held is not the holds', 'a hold is not set aside', 'bank', bank.ACCOUNTS, ({ after, before }) =>
    before !== undefined && after.heldMinor > before.heldMinor
      ? becomes(after, { heldMinor: before.heldMinor })
      : undefined,
  ),
  breaks('an entry does not balance', 'a leg is left out', 'bank', bank.ENTRIES, ({ after }) =>
    becomes(after, { legs: after.legs.slice(1) }),
  ),
  breaks('an entry does not balance', 'clearing is booked on one side', 'bank', bank.ENTRIES, ({ after }) =>
    after.event === 'interbank-out' ? becomes(after, { legs: after.legs.slice(0, 1) }) : undefined,
  ),
  breaks('a bank entry is missing', 'a number is skipped', 'bank', bank.ENTRIES, ({ after }) =>
    becomes(after, { entry: after.entry + 1 }),
  ),
  breaks('a balance is not its entries', 'an entry is left out', 'bank', bank.ENTRIES, () => 'left out'),
  breaks('money made', 'a payment is funded by the bank', 'bank', bank.ENTRIES, ({ after }) =>
    after.event === 'transfer' || after.event === 'post'
      ? becomes(after, { legs: [['nostro:EUR', after.legs[0]?.[1] ?? 0n], ...after.legs.slice(1)] })
      : undefined,
  ),
  breaks('money moved twice', 'an order is carried out again', 'bank', bank.ENTRIES, ({ after, key }) =>
    after.event === 'transfer' ? and(bank.ENTRIES, key.with(7, 255), { ...after, entry: 255 }) : undefined,
  ),
  breaks('an order moved another sum', 'a transfer moves one unit more', 'bank', bank.ORDERS, ({ after, before }) =>
    before === undefined && after.kind === 'transfer' && after.movement !== undefined && after.bulkId === undefined
      ? becomes(after, { movement: { ...after.movement, amountMinor: after.movement.amountMinor + 1n } })
      : undefined,
  ),
  breaks('a bank order that nobody gave', 'an order is made up', 'bank', bank.ORDERS, ({ after, before }) =>
    before === undefined && after.kind === 'transfer' && after.movement !== undefined
      ? becomes(after, { orderId: id(7) })
      : undefined,
  ),
  breaks(
    'a bank order moved where it may not',
    'a booked order is refused later',
    'bank',
    bank.ORDERS,
    ({ after, key }) =>
      after.state === 'booked'
        ? {
            and: [
              {
                table: 'orders',
                key,
                before: bank.ORDERS.encode(after),
                after: bank.ORDERS.encode({ ...after, state: 'refused' }),
              },
            ],
          }
        : undefined,
  ),
  breaks(
    'a hold stands though it was voided',
    'what overtook it is forgotten',
    'bank',
    bank.ORDERS,
    ({ after, before }) =>
      before === undefined && after.kind === 'void' && after.posted !== true && after.holdId !== undefined
        ? and(bank.HOLDS, after.holdId, { holdId: after.holdId, state: 'held', owner: after.from, changedAtMs: 0 })
        : undefined,
  ),
  breaks(
    'a returned credit was not given back',
    'the payer is forgotten',
    'bank',
    bank.OUTGOING_CREDITS,
    ({ after }) =>
      after.state === 'booked' ? becomes(after, { state: 'returned', code: 'ACCOUNT_UNKNOWN' }) : undefined,
  ),
  breaks('a hold moved where it may not', 'a voided hold is posted', 'bank', bank.HOLDS, ({ after, before }) =>
    before?.state === 'held' && after.state === 'voided' ? becomes(after, { state: 'returned' }) : undefined,
  ),
  breaks('a credit that no bank sent', 'a credit grows on its way', 'bank', bank.INCOMING_CREDITS, ({ after }) =>
    becomes(after, { amountMinor: after.amountMinor + 1n }),
  ),
  // What customers owe: design §8.2, §8.6, §8.7.
  breaks('what a customer owes is wrong', 'outstanding grows by itself', 'cpp', cpp.ledger, ({ after }) =>
    after.kind === 0 ? becomes(after, { outstandingMinor: after.outstandingMinor + 1n }) : undefined,
  ),
  breaks('what a customer owes is wrong', 'pending is not counted', 'cpp', cpp.ledger, ({ after }) =>
    after.kind === 0 && after.pendingMinor > 0n ? becomes(after, { pendingMinor: 0n }) : undefined,
  ),
  breaks('what a customer owes is wrong', 'an entry is left out', 'cpp', cpp.ledger, ({ after }) =>
    after.kind === cpp.ENTRY.payment ? 'left out' : undefined,
  ),
  breaks('what a customer owes is wrong', 'a collection is entered by another sum', 'cpp', cpp.ledger, ({ after }) =>
    after.kind === cpp.ENTRY.collection ? becomes(after, { amountMinor: after.amountMinor - 1n }) : undefined,
  ),
  breaks('an impossible standing', 'more is collected than owed', 'cpp', cpp.ledger, ({ after }) =>
    after.kind === 0 && after.collectingMinor > 0n
      ? becomes(after, { collectingMinor: after.outstandingMinor + 1n })
      : undefined,
  ),
  breaks('a debt is collected twice', 'a second collection runs', 'cpp', cpp.orders, ({ after, before }) =>
    before === undefined && after.purpose === 'collection' ? and(cpp.orders, id(9), after) : undefined,
  ),
  breaks('a collection of another sum', 'one unit more is collected', 'cpp', cpp.orders, ({ after, before }) =>
    before === undefined && after.purpose === 'collection'
      ? becomes(after, { amountMinor: after.amountMinor + 1n })
      : undefined,
  ),
  breaks('over the bound', 'an admission under a higher threshold', 'cpp', cpp.ledger, ({ after, before }) =>
    after.kind === 0 && before?.kind === 0 && after.pendingMinor > before.pendingMinor
      ? becomes(after, { thresholdMinor: after.thresholdMinor + 1n })
      : undefined,
  ),
  breaks('a suspended customer was served', 'suspended all the time', 'cpp', cpp.ledger, ({ after, before }, change) =>
    after.kind === 0 && before?.kind === 0 && after.pendingMinor > before.pendingMinor
      ? {
          first: { ...change, after: cpp.ledger.encode({ ...before, suspendedAtMs: 1 }) },
          row: { ...after, suspendedAtMs: 1 },
        }
      : undefined,
  ),
  // Payments at the commit point.
  breaks(
    'a payment moved where it may not',
    'expired from a confirmed one',
    'cpp',
    cpp.payments,
    ({ after, before }) =>
      before?.state === 'notified' && after.state === 'confirmed' ? becomes(after, { state: 'failed' }) : undefined,
  ),
  breaks('approved at its expiry', 'a confirmation comes late', 'cpp', cpp.payments, ({ after }) =>
    after.state === 'confirmed' && after.mode === 'micro'
      ? becomes(after, { decidedAtMs: after.expiresAtMs })
      : undefined,
  ),
  breaks('expired before its time', 'an expiry comes early', 'cpp', cpp.payments, ({ after }) =>
    after.state === 'expired' ? becomes(after, { decidedAtMs: after.expiresAtMs - 1 }) : undefined,
  ),
  breaks('confirmed without the payee', "another notice's approve is taken", 'cpp', cpp.payments, ({ after }) =>
    after.state === 'confirmed' && after.mode === 'micro' ? becomes(after, { pnId: id(1) }) : undefined,
  ),
  breaks('posting without an order', 'the post is forgotten', 'cpp', cpp.orders, ({ after, before }) =>
    before === undefined && after.purpose === 'post' ? 'left out' : undefined,
  ),
  breaks('a hold was forgotten', 'no void is ordered', 'cpp', cpp.orders, ({ after, before }) =>
    before === undefined && after.purpose === 'void' ? 'left out' : undefined,
  ),
  breaks('a payment is posted twice', 'a second post', 'cpp', cpp.orders, ({ after, before }) =>
    before === undefined && after.purpose === 'post' ? and(cpp.orders, id(3), after) : undefined,
  ),
  breaks('the terms of a payment changed', 'a payment grows', 'cpp', cpp.payments, ({ after, before }) =>
    before === undefined ? undefined : becomes(after, { amountMinor: after.amountMinor + 1n }),
  ),
  breaks('an invoice is paid twice', 'two payments of one invoice', 'cpp', cpp.payments, ({ after, before }) =>
    before === undefined && after.state === 'notified'
      ? and(cpp.payments, id(4), { ...after, prId: id(4), pnId: id(5) })
      : undefined,
  ),
  breaks(
    'a payment of the wrong mode',
    'a macro payment as a micropayment',
    'cpp',
    cpp.payments,
    ({ after, before }) =>
      before === undefined && after.mode === 'macro' && after.state !== 'refused'
        ? becomes(after, { mode: 'micro' })
        : undefined,
  ),
  breaks('booked without its money', 'a bank answer is made up', 'cpp', cpp.orders, ({ after, before, key }) =>
    before === undefined && after.purpose === 'collection'
      ? {
          and: [
            {
              table: 'orders',
              key,
              before: cpp.orders.encode(after),
              after: cpp.orders.encode({ ...after, state: 'booked' }),
            },
          ],
        }
      : undefined,
  ),
  breaks('refused with its money taken', 'a booked order counts as refused', 'cpp', cpp.orders, ({ after, before }) =>
    before?.state === 'ordered' && after.state === 'booked' && after.purpose === 'collection'
      ? becomes(after, { state: 'refused' })
      : undefined,
  ),
  breaks('a quote rounded wrong', 'rounded down', 'cpp', quotes, ({ after, before }) =>
    before === undefined ? becomes(after, { accountAmountMinor: after.accountAmountMinor - 1n }) : undefined,
  ),
  breaks('a quote by another rate', 'the margin is forgotten', 'cpp', quotes, ({ after, before }) =>
    before === undefined ? becomes(after, { rateNumerator: after.rateNumerator + 1n }) : undefined,
  ),
  breaks('charged other than quoted', 'a charge grows', 'cpp', cpp.payments, ({ after, before }) =>
    before === undefined && after.accountAmountMinor !== undefined && after.state !== 'refused'
      ? becomes(after, { accountAmountMinor: after.accountAmountMinor + 1n })
      : undefined,
  ),
  // Refunds.
  breaks('a refund gave back another sum', 'one unit less', 'cpp', refunds, ({ after, before }) =>
    before === undefined ? becomes(after, { accountMinor: after.accountMinor - 1n }) : undefined,
  ),
  breaks('refunded more than was paid', 'over the amount', 'cpp', refunds, ({ after, before }) =>
    before === undefined ? becomes(after, { amountMinor: after.amountMinor + 1_000_000n }) : undefined,
  ),
  breaks('a refund without the MPP', 'a refund is made up', 'cpp', refunds, ({ after, before }) =>
    before === undefined ? becomes(after, { refundId: id(6) }) : undefined,
  ),
  breaks('refunded without its money', "the payee's money is not there", 'cpp', refundMoney, ({ after }) =>
    after.used ? becomes(after, { used: false }) : undefined,
  ),
  breaks('a refund that its payee did not ask for', 'at its MPP', 'mpp', REFUNDS, ({ after, before }) =>
    before === undefined ? becomes(after, { amountMinor: after.amountMinor + 1n }) : undefined,
  ),
  breaks('a refund that its CPP did not make', 'at its MPP', 'mpp', REFUNDS, ({ after, before }) =>
    before?.state === 'countersigned' && after.state === 'confirmed'
      ? becomes(after, { amountMinor: after.amountMinor + 1n })
      : undefined,
  ),
  breaks('two ends of a refund', 'refused where it was made', 'mpp', REFUNDS, ({ after, before }) =>
    before?.state === 'countersigned' && after.state === 'confirmed' ? becomes(after, { state: 'refused' }) : undefined,
  ),
  // Settlement: design §8.3.
  breaks('what a CPP owes is wrong', 'an entry is skipped', 'cpp', pairEntries, () => 'left out'),
  breaks('what a CPP owes is wrong', 'payable shrinks', 'cpp', pairs, ({ after }) =>
    becomes(after, { payableMinor: after.payableMinor - 1n }),
  ),
  breaks('a batch is not its entries', 'a sum off by one', 'cpp', batches, ({ after, before }) =>
    before === undefined ? becomes(after, { totalMinor: after.totalMinor + 1n }) : undefined,
  ),
  breaks('a gap in the settlement', 'a batch begins late', 'cpp', batches, ({ after, before }) =>
    before === undefined ? becomes(after, { fromSeq: after.fromSeq + 1 }) : undefined,
  ),
  breaks('a gap in the settlement', 'a batch follows another', 'cpp', batches, ({ after, before }) =>
    before === undefined && after.seq > 1 ? becomes(after, { prevHash: id(2) }) : undefined,
  ),
  breaks('a batch moved where it may not', 'settled before it was answered', 'cpp', batches, ({ after, before }) =>
    before === undefined ? becomes(after, { state: 'settled' }) : undefined,
  ),
  breaks('a batch is paid twice', 'a second order', 'cpp', cpp.orders, ({ after, before }) =>
    before === undefined && after.purpose === 'settlement' ? and(cpp.orders, id(8), after) : undefined,
  ),
  breaks('settled without its money', 'at the MPP', 'mpp', mpp.BATCHES, ({ after, before, key }) =>
    before === undefined && after.state === 'owed'
      ? {
          and: [
            {
              table: 'batches',
              key,
              before: mpp.BATCHES.encode(after),
              after: mpp.BATCHES.encode({ ...after, state: 'settled' }),
            },
          ],
        }
      : undefined,
  ),
  breaks('a batch that its CPP did not cut', 'another sum at the MPP', 'mpp', mpp.BATCHES, ({ after, before }) =>
    before === undefined ? becomes(after, { totalMinor: after.totalMinor - 1n }) : undefined,
  ),
  breaks('an entry that its CPP did not make', 'another sum at the MPP', 'mpp', mpp.ENTRIES, ({ after }) =>
    after.type === 'dt' ? becomes(after, { amountMinor: after.amountMinor + 1n }) : undefined,
  ),
  breaks('what an MPP is owed is wrong', 'a receivable shrinks', 'mpp', mpp.PAIRS, ({ after }) =>
    becomes(after, { receivableMinor: after.receivableMinor - 1n }),
  ),
  // Payees: design §8.4, §8.5.
  breaks('a payee was credited another sum', 'a fee is kept', 'mpp', mpp.ENTRIES, ({ after }) =>
    after.creditMinor > 0n ? becomes(after, { creditMinor: after.creditMinor - 1n }) : undefined,
  ),
  breaks('what a payee is owed is wrong', 'accrued grows', 'mpp', mpp.PAYEES, ({ after }) =>
    becomes(after, { accruedMinor: after.accruedMinor + 1n }),
  ),
  breaks('paid out more than was paid in', 'payable before the settlement', 'mpp', mpp.PAYEES, ({ after }) =>
    after.accruedMinor > 0n
      ? becomes(after, { accruedMinor: 0n, payableMinor: after.payableMinor + after.accruedMinor })
      : undefined,
  ),
  breaks('two payouts at once', 'a second payout', 'mpp', mpp.PAYOUTS, ({ after, before }) =>
    before === undefined ? and(mpp.PAYOUTS, id(2), { ...after, payoutId: id(2) }) : undefined,
  ),
  breaks('booked without its money', 'a payout is paid another sum', 'mpp', mpp.PAYOUTS, ({ after, before }) =>
    before?.state === 'ordered' && after.state === 'paid'
      ? becomes(after, { amountMinor: after.amountMinor + 1n })
      : undefined,
  ),
  // One payment, many ledgers: design §8.9.
  breaks('two final states', 'the wallet holds another end', 'customer', wallet.payments, ({ after, before }) =>
    before?.state === 'requested' && after.state === 'confirmed' ? becomes(after, { state: 'expired' }) : undefined,
  ),
  breaks('two final states', 'the payee holds another end', 'merchant', shop.payments, ({ after, before }) =>
    before?.state === 'approved' && after.state === 'confirmed' ? becomes(after, { state: 'refused' }) : undefined,
  ),
  breaks('a payment of two sums', 'the wallet holds another sum', 'customer', wallet.payments, ({ after, before }) =>
    before?.state === 'requested' && after.state === 'confirmed'
      ? becomes(after, { amountMinor: after.amountMinor + 1n })
      : undefined,
  ),
  breaks('final before its CPP', 'the payee decides alone', 'merchant', shop.payments, ({ after, before, key }) =>
    before === undefined && after.state === 'approved'
      ? {
          and: [
            {
              table: 'merchant-payments',
              key,
              before: shop.payments.encode(after),
              after: shop.payments.encode({ ...after, state: 'confirmed' }),
            },
          ],
        }
      : undefined,
  ),
  breaks(
    'a payment at its wallet moved where it may not',
    'an end is undone',
    'customer',
    wallet.payments,
    ({ after, key }) =>
      after.state === 'confirmed'
        ? {
            and: [
              {
                table: 'wallet-payments',
                key,
                before: wallet.payments.encode(after),
                after: wallet.payments.encode({ ...after, state: 'requested' }),
              },
            ],
          }
        : undefined,
  ),
  // The journal.
  breaks('the journal is broken', 'an entry is left out', 'cpp', journalTable, () => 'left out'),
  breaks('the journal is broken', 'an entry does not follow its former', 'cpp', journalTable, ({ after }) =>
    becomes(after, { prevHash: new Uint8Array(32) }),
  ),
  breaks('the journal says another sum', 'a write is not journalled', 'cpp', journalTable, ({ after }) =>
    after.postings.length > 0 ? becomes(after, { postings: [] }) : undefined,
  ),
  breaks('an entry does not balance', 'a posting is left out', 'cpp', journalTable, ({ after }) =>
    after.postings.length > 0 ? becomes(after, { postings: after.postings.slice(1) }) : undefined,
  ),
]
