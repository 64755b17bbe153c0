/** Obligations of what banks are told and answer, and of settlement, payouts, refunds and quotes: a part of `obligations.ts`. */
import type { KindName } from './kinds.ts'
import { answerOnce, type Obligations } from './obligation.ts'

const bankAnswer = (order: string): Obligations => ({
  purpose: `The bank's answer to a ${order}.`,
  sender: ['MUST have booked, or decided not to, durably before it answers.', answerOnce],
  receiver: [
    'MUST accept it only from the bank that was asked, and MUST refuse any other with NOT_FOUND.',
    'MUST end the resending of the order.',
  ],
})

export const MONEY_OBLIGATIONS = {
  'mandate-registration': {
    purpose: "A processor shows a bank the holder's mandate for an account.",
    sender: ["MUST forward the holder's bytes unchanged."],
    receiver: [
      "MUST verify them with the holder key of the account, and that they name the sender's operator; MANDATE_INVALID otherwise.",
    ],
  },
  'mandate-answer': bankAnswer('mandate registration'),
  'hold-order': {
    purpose: 'Binds funds of a customer for a macro payment.',
    sender: [
      'MUST hold a mandate for the account.',
      "MUST set holdExpiresAtMs to the notice's expiry plus postGraceMs.",
    ],
    receiver: [
      'MUST check, in this order: a tombstone of an earlier void (HOLD_VOIDED), account, currency, mandate, mandate limit, free balance.',
      "MUST judge the hold's expiry alone, and release the funds then.",
    ],
  },
  'hold-answer': bankAnswer('hold order'),
  'post-order': {
    purpose: 'Turns a hold into a transfer to the payee.',
    sender: ['MUST send it only after an approve in time.', "MUST name the payout account of the TRANS's chain."],
    receiver: [
      'MUST refuse an unknown (HOLD_UNKNOWN), expired, voided or mismatched hold.',
      "MUST answer booked only after the payee's bank has booked.",
    ],
  },
  'post-answer': bankAnswer('post order'),
  'void-order': {
    purpose: 'Releases a hold.',
    sender: ['MUST send it after every end of a macro payment but confirmed.'],
    receiver: [
      'MUST keep a tombstone for a hold it does not know, so that a hold overtaken by its void is refused.',
      'MUST leave a posted hold posted and say so.',
    ],
  },
  'void-answer': bankAnswer('void order'),
  'transfer-order': {
    purpose: 'A collection, a settlement, a payout, what a payee pays in for a refund, or what a CPP credits for one.',
    sender: ['MUST save orderId before it sends; after a time-out it resends the same order and never issues another.'],
    receiver: [
      'MUST check, in this order: debit account, currency, ownership or mandate, mandate limit, free balance.',
      'MUST answer only after the credit is booked, at another bank too; a returned credit goes back and is CREDIT_RETURNED.',
    ],
  },
  'transfer-answer': bankAnswer('transfer order'),
  'bulk-transfer-order': {
    purpose: 'Many collections in one signed order: each item one transfer to the same account.',
    sender: [
      'MUST save orderId and every itemId before it sends, each a fresh one; after a time-out it resends the same order and never issues another.',
      'MUST put no more than maxBulkItems into it.',
    ],
    receiver: [
      'MUST refuse an order whose orderId, or any itemId of which, it has seen before, or that is too long (ID_REUSED, SCHEMA_VIOLATION), as a whole, with nothing done.',
      'MUST check each item as an order of its own, in the order given: debit account, currency, ownership or mandate, mandate limit, free balance; one refusal changes nothing for the others.',
      'MUST book each item by itself. Where the credited account is at another bank it MAY send their sum in one credit; a returned one gives every sum back, and each of these items is CREDIT_RETURNED.',
      'MUST answer once every item is booked or refused.',
    ],
  },
  'bulk-transfer-answer': {
    purpose: "The bank's answer to a bulk order, item by item.",
    sender: ['MUST name every item of the order once, with its own result.', answerOnce],
    receiver: [
      'MUST accept it only from the bank that was asked, and MUST refuse any other with NOT_FOUND.',
      'MUST treat each item as the answer to a transfer order of its own.',
    ],
  },
  'bank-order-query': {
    purpose: 'Asks for the answer to an order.',
    sender: ['MUST come from the host that ordered.'],
    receiver: [
      'MUST repeat the stored answer; UNDECIDED while there is none, NOT_FOUND for an order it does not know.',
    ],
  },
  'account-notice': {
    purpose: "Tells an account's holder of a booking, with the transaction, batch or payout it belongs to.",
    sender: [
      'MUST be sent after the booking, until a receipt.',
      'MUST name the originating bank only, never the debited account.',
    ],
    receiver: ["MUST accept it only from the account's bank.", 'MUST book each noticeId once.'],
  },
  'interbank-credit': {
    purpose: 'A bank that owes another asks it to credit an account.',
    sender: [
      'MUST have debited the payer and credited its clearing account for the peer.',
      'MUST resend it until it is booked or returned.',
    ],
    receiver: [
      'MUST book it to the account or return it; never both, never twice.',
      'MUST return a credit of a bank that is not its peer with ACCOUNT_UNKNOWN.',
    ],
  },
  'interbank-booking': bankAnswer('interbank credit'),
  'interbank-return': bankAnswer('interbank credit that could not be booked'),
  'clearing-order': {
    purpose: 'What a bank owes the others at the end of a clearing window.',
    sender: ['MUST carry every positive position once; a position under order MUST NOT be ordered again.'],
    receiver: [
      'MUST post all its items in one balanced entry, or queue it while reserves do not cover it; a queued order is visible.',
    ],
  },
  'clearing-answer': bankAnswer('clearing order, once posted'),
  'clearing-notice': {
    purpose: 'Tells a creditor bank that its reserve was credited.',
    sender: ['MUST be sent after the posting, until a receipt.'],
    receiver: ['MUST reduce its claim on the debtor by exactly this sum, once.'],
  },
  'settlement-batch': {
    purpose: "A range of a pair's entries, to be settled in one transfer.",
    sender: [
      "MUST continue the pair's chain: seq, prevHash, fromSeq = the last toSeq + 1.",
      'MUST have one open batch a pair, and MUST NOT reissue one.',
    ],
    receiver: [
      'MUST refuse a batch that does not continue the chain with BATCH_CHAIN_BROKEN, one that comes too early with BATCH_OUT_OF_ORDER.',
      'MUST ask for the entries it lacks, then compare total and root, then accept or dispute item by item.',
      'MUST NOT make payable, nor pay back to the CPP, more than this CPP has paid in: a total that does not cover what its entries credited, or claims back what was never paid in, is not settled, and what was paid for it is kept for the operator.',
      'MUST count against the credit limit what the CPP took off its debt and the MPP disputes.',
    ],
  },
  'settlement-acceptance': {
    purpose: 'The MPP agrees with a batch.',
    sender: ['MUST hold every entry of the range.', answerOnce],
    receiver: ['MUST order one transfer of exactly totalMinor; the MPP orders it where the sum is negative.'],
  },
  'settlement-dispute': {
    purpose: 'The MPP names the entries that are missing or differ.',
    sender: ['MUST name the amount that it holds to be right.', answerOnce],
    receiver: ['MUST settle the batch as it is, and settle each item it agrees with by an adjustment in the next.'],
  },
  'missing-entries-request': {
    purpose: 'Asks for the frames of a range of entries.',
    sender: ['MUST ask in ranges of at most maxMissingEntriesPerMessage.'],
    receiver: ["MUST answer with the entries' own frames."],
  },
  'missing-entries': {
    purpose: 'The frames that created the entries asked for.',
    sender: ['MUST be the CPP of the pair.'],
    receiver: ['MUST treat each frame as if it had arrived by itself.'],
  },
  'pair-adjustment': {
    purpose: 'An entry (±) that settles a disputed one.',
    sender: ['MUST take the next pairSeq.', 'MUST resend it until a receipt.'],
    receiver: ['MUST book it once by pairSeq, and answer with a receipt.'],
  },
  'payout-advice': {
    purpose: 'Tells a payee what was paid out.',
    sender: ["MUST follow the bank's booked answer, until a receipt."],
    receiver: ["MUST compare it with its bank's notice of the same payoutId."],
  },
  'refund-request': {
    purpose: 'A payee returns all or part of a confirmed payment.',
    sender: [
      'MUST save refundId before it sends, and resend the same content until a confirmation or a refusal.',
      "MUST have seen the host's PIN for refunds, and MUST NOT ask for more than is left of the payment.",
    ],
    receiver: [
      'MUST check, in this order: a new refundId (ID_REUSED), that the payee is of the host that asks, that the payment is known, of this payee and invoice, and confirmed (NOT_FOUND), the currency (CURRENCY_UNSUPPORTED), that the refunds of the payment add up to no more than it and are no more than maxRefundsPerPayment (REFUND_EXCEEDED).',
      "MUST make the money sure before it countersigns: of a micropayment it sets the sum aside, of what is payable to the payee first, then of what is accrued, and has what lacks paid in from the payee's account; of a macro payment it has the sum booked from there to the CPP's account. A bank's refusal refuses the refund.",
      'MUST give back what it set aside, and answer with a refusal, when the refund is refused.',
    ],
  },
  'countersigned-refund': {
    purpose: "The MPP's countersignature over a refund: the payee's money for it is there.",
    sender: [
      "MUST nest the merchant host's frame byte for byte, and show the chain that it was taken under.",
      'MUST resend it until a confirmation or a refusal. A refusal of 1xxx to 3xxx says nothing of an earlier sending, and MUST NOT free what was set aside.',
    ],
    receiver: [
      "MUST check, in this order: a new refundId (ID_REUSED), that the notice is known, of this MPP and payee, and its payment confirmed (NOT_FOUND), that the nested request is of the merchant host that the TRANS's chain names and for this payment (REFUND_INVALID), the currency (CURRENCY_UNSUPPORTED), that the refunds of the payment add up to no more than it and are no more than maxRefundsPerPayment (REFUND_EXCEEDED).",
      "MUST confirm a macro payment's refund only once its own bank has booked exactly its sum for this refundId, coming from the bank of the TRANS's payout account; either may come first.",
      'MUST take the sum off what the customer owes, but never off a part that a running collection may bring in, and order the rest to the account of the customer; a credit that the bank refuses stays due and is ordered again.',
    ],
  },
  'refund-confirmation': {
    purpose: "The CPP's word that the customer is refunded; of a micropayment it is an entry (−) of the pair.",
    sender: [
      "MUST follow the commit of the refund. Of a micropayment's refund it MUST take the next pairSeq in that commit; a macro payment's has none.",
      answerOnce,
    ],
    receiver: [
      'The MPP MUST take an entry that it did not countersign, or of another sum, for a disputed one; a right one it books with its negative sum, reverses what it had set aside, and forwards the frame byte for byte.',
      "The merchant MUST accept it only from the payment's CPP by way of its MPP, for a refund that it asked for, of that sum.",
    ],
  },
  'customer-refund-notice': {
    purpose: 'Tells a customer of a refund.',
    sender: ['MUST follow the commit of the refund, until a receipt.', 'MUST say nothing of it to anyone else.'],
    receiver: [
      "MUST accept it only from the payment's CPP, and no more than was paid; UNDECIDED while the confirmation of the payment is still on its way.",
    ],
  },
  'fx-quote-request': {
    purpose: 'Asks the CPP what an invoice would cost an account in another currency.',
    sender: ["MUST sign it with the customer's device key and name that customer.", 'MUST use a fresh quoteId.'],
    receiver: [
      'MUST check, in this order: the customer is enrolled and the sender (CUSTOMER_UNKNOWN), the quoteId is new (ID_REUSED), the currency is exchanged (CURRENCY_UNSUPPORTED), the cost is at most that of one payment (AMOUNT_INVALID).',
      'MUST tell the quote to nobody but the customer, and keep it before it is told.',
    ],
  },
  'fx-quote': {
    purpose: 'What one payment of this amount costs the customer, promised until it expires.',
    sender: [
      "MUST give as accountAmountMinor the amount at the rate, rounded up to the minor unit of the account's currency.",
      'MUST charge exactly this sum when the customer names the quote in time, whatever its rates have become.',
      'MUST let it be used for one payment.',
      answerOnce,
    ],
    receiver: [
      'MUST compute the sum again, and MUST NOT pay on a quote of another amount or currency, or one over what the customer agreed to.',
    ],
  },
} satisfies Partial<Readonly<Record<KindName, Obligations>>>
