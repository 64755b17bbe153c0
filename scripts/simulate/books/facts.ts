/**
 * What ledgers have on disk, as far as another ledger's rows may depend on it. A node says nothing before it is on disk, so whatever
 * one ledger holds because of another must stand here first.
 */
import type { PaymentRow } from '../../../nodes/cpp/state.ts'
import { counts, sums, type Counts, type Sums } from './rows.ts'

export type Final = {
  readonly cpp: string
  readonly state: string
  /** Absent of a request that was refused before its invoice was accepted. */
  readonly row?: PaymentRow
}

export type Facts = {
  /** Payments that their CPP has decided. By prId. */
  readonly finals: Map<string, Final>
  /** pnId → prId. */
  readonly paymentOf: Map<string, string>
  /** pnIds that the merchant host, and the MPP, have approved. */
  readonly merchantApproved: Set<string>
  readonly mppApproved: Set<string>
  /** `<cpp> <mpp> <currency> <seq>` → minor units. */
  readonly pairEntries: Map<string, bigint>
  /** batchId → its range and sum. */
  readonly batches: Map<string, string>
  /** `<host> <orderId>` → minor units: orders that a processor has saved. */
  readonly ordered: Map<string, bigint>
  /** `<host> <orderId>` → minor units, of orders that a bank has booked. */
  readonly booked: Map<string, bigint>
  /** The same, of orders whose money has left its account, booked by the other bank or not. */
  readonly underWay: Counts
  readonly held: Set<string>
  /** `<creditId>` → `<account> <minor units>`: credits that a bank has sent to another. */
  readonly sentCredits: Map<string, string>
  /** `<purpose> <reference id>` → credited to a holder's account. */
  readonly credited: Sums
  /** refundId → minor units, as merchant host, MPP and CPP have it on disk. */
  readonly refundsRequested: Map<string, bigint>
  readonly refundsCountersigned: Map<string, bigint>
  readonly refundsConfirmed: Map<string, bigint>
  /** Where processors keep their money: `<host> <currency>` → account. */
  readonly ownAccounts: Map<string, string>
  /** customer → account; payee → account. */
  readonly accounts: Map<string, string>
  /** account → its balance, less what it was funded with, less every movement that processors hold for booked. Zero at rest. */
  readonly unexplained: Sums
  /** `<payee> <txId>` → minor units that its CPP has refunded. */
  readonly refunded: Sums
  /** Since the beginning: what ledgers took in from outside, gave up and corrected, less what people were told of it. Zero at rest. */
  readonly untold: Sums
  /** prIds of confirmed payments, `<role> <prId>` each. */
  readonly confirmedAt: Set<string>
  /** `<host> <id>` → state, of payments that a ledger holds undecided. */
  readonly undecided: Map<string, string>
  /** `<payee> <txId>`: confirmed payments of an invoice. */
  readonly paidInvoices: Counts
}
export const createFacts = (): Facts => ({
  finals: new Map(),
  paymentOf: new Map(),
  merchantApproved: new Set(),
  mppApproved: new Set(),
  pairEntries: new Map(),
  batches: new Map(),
  ordered: new Map(),
  booked: new Map(),
  underWay: counts(),
  held: new Set(),
  sentCredits: new Map(),
  credited: sums(),
  refundsRequested: new Map(),
  refundsCountersigned: new Map(),
  refundsConfirmed: new Map(),
  ownAccounts: new Map(),
  accounts: new Map(),
  unexplained: sums(),
  refunded: sums(),
  untold: sums(),
  confirmedAt: new Set(),
  undecided: new Map(),
  paidInvoices: counts(),
})

export const FINAL: ReadonlySet<string> = new Set(['confirmed', 'refused', 'rejected', 'expired', 'failed'])

/** Stands for the account of a processor, which its own policy names. */
export const own = (host: string, currency: string): string => `own ${host} ${currency}`
