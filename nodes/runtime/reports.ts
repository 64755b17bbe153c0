/**
 * What each role reports of its ledger, in sums that are counted afresh from the rows at the moment of asking, never from
 * kept totals: `verify`, the tests and the simulator compare them across nodes (design §8). Plain data, bigint money;
 * byte ids as hex. Read over the control socket as `report` and, page by page, `payments`.
 */
import type { Currency } from '../../protocol/amount.ts'

/** A payment's state at one node. Only `confirmed`, `refused`, `rejected`, `expired` and `failed` are final. */
export const FINAL_STATES = ['confirmed', 'refused', 'rejected', 'expired', 'failed'] as const
export type FinalState = (typeof FINAL_STATES)[number]
export const isFinalState = (state: string): state is FinalState => (FINAL_STATES as readonly string[]).includes(state)

/** A refund of a payment at one node; `confirmed` and `refused` are final, and a refused one counts for nothing. */
export type RefundLine = { readonly refundId: string; readonly amountMinor: bigint; readonly state: string }

export type PaymentLine = {
  /** Customer's side: prId. Absent at MPP and merchant. */
  readonly prId?: string
  /** Absent before a notice was made, and at the wallet. */
  readonly pnId?: string
  readonly payee: string
  readonly txId: string
  readonly amountMinor: bigint
  readonly currency: Currency
  readonly mode: 'micro' | 'macro'
  readonly state: string
  /** CPP and MPP of the payment, as far as this node knows them. */
  readonly cpp?: string
  readonly mpp?: string
  readonly customer?: string
  /** Customer's side: what the customer is charged, where the account is in another currency. */
  readonly accountAmountMinor?: bigint
  readonly accountCurrency?: Currency
  /** Absent where there is none. */
  readonly refunds?: readonly RefundLine[]
}
export type PaymentsPage = { readonly payments: readonly PaymentLine[]; readonly next: string | undefined }

export type CppReport = {
  readonly role: 'cpp'
  readonly id: string
  readonly customers: number
  readonly totals: readonly {
    readonly currency: Currency
    /** Σ over customer rows. */
    readonly outstandingMinor: bigint
    readonly collectingMinor: bigint
    readonly pendingMinor: bigint
    /** Σ over the customers' entries: confirmed micropayments, collections booked, offsets, write-offs. */
    readonly confirmedMicroMinor: bigint
    readonly collectedMinor: bigint
    readonly refundOffsetMinor: bigint
    readonly writtenOffMinor: bigint
    readonly confirmedMacroMinor: bigint
    readonly collections: number
    /** Σ of confirmed refunds, and of them what the customer's bank has booked, and what it is still to book. */
    readonly refundedMinor: bigint
    readonly refundCreditedMinor: bigint
    readonly refundDueMinor: bigint
  }[]
  /** In each currency that this CPP has exchanged. */
  readonly positions: readonly {
    readonly currency: Currency
    /** As the ledger keeps it. */
    readonly positionMinor: bigint
    /** Σ over confirmed payments in another currency: what customers are charged, and what payees were paid. */
    readonly boughtMinor: bigint
    readonly soldMinor: bigint
    /** What confirmed refunds of them brought back, less what they gave back. */
    readonly refundedMinor: bigint
    /** Of what was bought by macro payments: what the CPP has, and what customers' banks are still to pay. */
    readonly exchangedMinor: bigint
    readonly owedMinor: bigint
  }[]
  /** Customers whose outstanding + pending is at or over their threshold without being a single admitted payment below M. */
  readonly boundBreaches: number
  readonly pairs: readonly {
    readonly mpp: string
    readonly currency: Currency
    readonly lastSeq: number
    readonly entriesMinor: bigint
    readonly settledMinor: bigint
    readonly payableMinor: bigint
    readonly openBatches: number
  }[]
  /** Undecided payments by state: empty on a quiet network. */
  readonly undecided: Readonly<Record<string, number>>
}

export type MppReport = {
  readonly role: 'mpp'
  readonly id: string
  readonly payees: readonly {
    readonly payee: string
    readonly currency: Currency
    readonly accruedMinor: bigint
    readonly payableMinor: bigint
    readonly refundingMinor: bigint
    readonly payingMinor: bigint
    readonly paidMinor: bigint
    readonly reversedMinor: bigint
    /** Σ over the DTs booked for this payee. */
    readonly confirmedMicroMinor: bigint
    /** Σ over refunds of what the payee's bank has booked for them: to this MPP (micro), and to CPPs (macro). */
    readonly paidInMinor: bigint
    readonly macroRefundedMinor: bigint
  }[]
  readonly pairs: readonly {
    readonly cpp: string
    readonly currency: Currency
    /** Highest n such that every entry 1…n is held. */
    readonly contiguousSeq: number
    readonly highestSeq: number
    readonly entriesMinor: bigint
    readonly settledMinor: bigint
    readonly receivableMinor: bigint
    readonly openBatches: number
  }[]
  readonly undecided: Readonly<Record<string, number>>
}

export type BankReport = {
  readonly role: 'bank'
  readonly id: string
  readonly totals: readonly {
    readonly currency: Currency
    /** Σ over all accounts, clearing and reserves included: zero by construction of double entry. */
    readonly sumMinor: bigint
    /** Σ over holders' accounts only. */
    readonly heldByHoldersMinor: bigint
    /** Σ over active holds. */
    readonly holdsMinor: bigint
    /** Holders' accounts and reserves whose balance is below zero, or below what is held on it. */
    readonly negativeHolderAccounts: number
    /** Journal entries whose legs do not add up to zero. */
    readonly unbalancedEntries: number
    /** Accounts whose balance is not the sum of their journal legs. */
    readonly accountsOffJournal: number
    /** Accounts whose held sum is not that of their active holds (clearing accounts: of open clearing orders). */
    readonly accountsOffHolds: number
    /** What this bank paid through clearing, less what it received; Σ of its nostro's legs of such entries. */
    readonly clearedMinor: bigint
  }[]
  /** Position against each other bank: positive, this bank owes it. Mirrors the peer's on a quiet network. */
  readonly clearing: readonly { readonly peer: string; readonly currency: Currency; readonly positionMinor: bigint }[]
  readonly accounts: readonly {
    readonly account: string
    readonly currency: Currency
    readonly balanceMinor: bigint
    readonly heldMinor: bigint
  }[]
  /** Interbank credits without an answer and clearing orders not yet posted: empty on a quiet network. */
  readonly inTransit: { readonly credits: number; readonly clearingOrders: number }
  /** The same by peer: what may stand in this bank's position and not yet in the peer's, or no more in the peer's. */
  readonly transit: readonly {
    readonly peer: string
    readonly currency: Currency
    readonly creditsMinor: bigint
    readonly clearingMinor: bigint
  }[]
  /** Credits that only an operator can decide, because the peer's protocol layer refused them for good. */
  readonly unclearCredits: number
  /** Orders booked, by who ordered them and what for. */
  readonly orders: readonly {
    readonly from: string
    readonly purpose: string
    readonly currency: Currency
    readonly count: number
    readonly amountMinor: bigint
  }[]
  /** Booked orders with purpose `collection`. */
  readonly collections: number
  /** As settlement bank: other banks' reserves, each the funded sum and what was posted to it. */
  readonly reserves: readonly {
    readonly bank: string
    readonly currency: Currency
    readonly balanceMinor: bigint
    readonly fundedMinor: bigint
  }[]
  /** As settlement bank: clearing orders that reserves do not cover yet. */
  readonly queued: readonly {
    readonly debtor: string
    readonly currency: Currency
    readonly orders: number
    readonly amountMinor: bigint
  }[]
  /** As settlement bank: posted credits whose creditor has not receipted the notice. */
  readonly pendingNotices: readonly {
    readonly debtor: string
    readonly creditor: string
    readonly currency: Currency
    readonly amountMinor: bigint
  }[]
}

export type MerchantReport = {
  readonly role: 'merchant'
  readonly id: string
  readonly payees: readonly {
    readonly payee: string
    readonly mpp: string
    readonly currency: Currency
    readonly confirmedMicroMinor: bigint
    readonly confirmedMacroMinor: bigint
    /** Σ of bank notices with purpose `payout` and `payment`. */
    readonly paidOutMinor: bigint
    readonly macroBookedMinor: bigint
    readonly released: number
    /** Σ of confirmed refunds. */
    readonly refundedMinor: bigint
  }[]
  readonly undecided: Readonly<Record<string, number>>
}

export type WalletReport = {
  readonly role: 'customer'
  readonly id: string
  readonly customers: readonly { readonly customer: string; readonly cpps: readonly string[] }[]
  readonly undecided: Readonly<Record<string, number>>
}

export type DataCenterReport = {
  readonly role: 'dc'
  readonly id: string
  readonly payees: number
  readonly aliases: number
  readonly processors: number
}

export type Report = CppReport | MppReport | BankReport | MerchantReport | WalletReport | DataCenterReport
