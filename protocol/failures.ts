/**
 * The numbered failures. Numbers are for ever: a retired code stays listed. `retry` says whether the same message may be
 * sent again with hope; a transient refusal is never stored and ends nothing at the sender. `peer` says what to do.
 *
 * Ranges: 1xxx bytes, 2xxx trust, 3xxx path, 4xxx identity and time, 5xxx admission, 6xxx payment, 7xxx bank,
 * 8xxx settlement, 9xxx enrolment and directory.
 */
export type Retry = 'transient' | 'permanent'
/** `silent`: found before the sender was authenticated, so it is counted and logged but never answered. */
export type Answer = 'refusal' | 'silent' | 'outcome'

type Row = { readonly number: number; readonly retry: Retry; readonly answer: Answer; readonly meaning: string; readonly peer: string }

export const FAILURES = {
  // 1xxx: the bytes
  FRAME_TOO_LARGE: { number: 1001, retry: 'permanent', answer: 'silent', meaning: 'the frame is longer than maxFrameBytes', peer: 'send less' },
  MALFORMED_FRAME: { number: 1002, retry: 'permanent', answer: 'silent', meaning: 'not msgpack [header: bin, body: bin, seal: array]', peer: 'mend the encoder' },
  MALFORMED_HEADER: { number: 1003, retry: 'permanent', answer: 'silent', meaning: 'the header is not the eleven fields of this version', peer: 'mend the encoder' },
  MALFORMED_SEAL: { number: 1004, retry: 'permanent', answer: 'silent', meaning: 'the seal is not one of the three forms', peer: 'mend the encoder' },
  MALFORMED_BODY: { number: 1005, retry: 'permanent', answer: 'refusal', meaning: 'the body is not well-formed msgpack of the allowed types', peer: 'mend the encoder' },
  SCHEMA_VIOLATION: { number: 1006, retry: 'permanent', answer: 'refusal', meaning: 'a field is unknown, missing, of the wrong type or out of range', peer: 'mend the sender' },
  DUPLICATE_KEY: { number: 1007, retry: 'permanent', answer: 'refusal', meaning: 'a map holds a key twice', peer: 'mend the encoder' },
  FLOAT_FORBIDDEN: { number: 1008, retry: 'permanent', answer: 'refusal', meaning: 'a floating-point number', peer: 'send integers of minor units' },
  TOO_DEEP: { number: 1009, retry: 'permanent', answer: 'refusal', meaning: 'nested deeper than maxDepth', peer: 'mend the sender' },
  EXTENSION_FORBIDDEN: { number: 1010, retry: 'permanent', answer: 'refusal', meaning: 'a msgpack extension type', peer: 'mend the encoder' },
  TRAILING_BYTES: { number: 1011, retry: 'permanent', answer: 'refusal', meaning: 'bytes after the end of the value', peer: 'mend the encoder' },
  UNSUPPORTED_VERSION: { number: 1012, retry: 'permanent', answer: 'refusal', meaning: 'the envelope or body version is not accepted; the detail lists those that are', peer: 'use a listed version' },
  UNKNOWN_KIND: { number: 1013, retry: 'permanent', answer: 'refusal', meaning: 'no such kind in this version of the registry', peer: 'use a registered kind' },
  DECRYPTION_FAILED: { number: 1014, retry: 'permanent', answer: 'refusal', meaning: 'the confidential body cannot be opened with a current or overlapping sealing key', peer: 'fetch the addressee\'s credential and encrypt again' },
  NOT_CONFIDENTIAL: { number: 1015, retry: 'permanent', answer: 'refusal', meaning: 'a confidential kind came in the clear, or a plain kind encrypted', peer: 'mend the sender' },
  // 2xxx: trust
  WRONG_NETWORK: { number: 2001, retry: 'permanent', answer: 'silent', meaning: 'the frame belongs to another network', peer: 'check the root key' },
  UNKNOWN_KEY: { number: 2002, retry: 'transient', answer: 'silent', meaning: 'no credential for this keyId yet; the receiver fetches it', peer: 'resend' },
  BAD_SIGNATURE: { number: 2003, retry: 'permanent', answer: 'silent', meaning: 'the signature does not verify', peer: 'check key and signing input' },
  BAD_PROOF: { number: 2004, retry: 'permanent', answer: 'silent', meaning: 'index, count, salt or path of a batch seal is wrong', peer: 'mend the batch' },
  BAD_KEY: { number: 2005, retry: 'permanent', answer: 'silent', meaning: 'a public key that is not canonical, on the curve and of prime order', peer: 'make a new key' },
  KEY_NOT_OF_SENDER: { number: 2006, retry: 'permanent', answer: 'silent', meaning: 'the key belongs to another id than `from`', peer: 'seal with your own key' },
  CREDENTIAL_EXPIRED: { number: 2007, retry: 'permanent', answer: 'refusal', meaning: 'sentAtMs is after the credential\'s notAfter', peer: 'rotate, then seal again' },
  CREDENTIAL_NOT_YET_VALID: { number: 2008, retry: 'permanent', answer: 'refusal', meaning: 'sentAtMs is before the credential\'s notBefore', peer: 'check the clock' },
  CREDENTIAL_REVOKED: { number: 2009, retry: 'permanent', answer: 'silent', meaning: 'the credential is on the revocation list', peer: 'none' },
  BROKEN_CHAIN: { number: 2010, retry: 'permanent', answer: 'refusal', meaning: 'a chain that does not lead from the root key to the key it claims', peer: 'fetch the chain again' },
  // 3xxx: path
  WRONG_ROLE: { number: 3001, retry: 'permanent', answer: 'refusal', meaning: 'the originator\'s role may not send this kind', peer: 'none' },
  WRONG_PATH: { number: 3002, retry: 'permanent', answer: 'refusal', meaning: 'the previous hop is not one of this kind\'s path', peer: 'none' },
  WRONG_ADDRESSEE: { number: 3003, retry: 'permanent', answer: 'refusal', meaning: 'the message is addressed to someone else', peer: 'none' },
  WRONG_SUBJECT: { number: 3004, retry: 'permanent', answer: 'silent', meaning: 'subject and header disagree on kind or role', peer: 'mend the sender' },
  UNKNOWN_DESTINATION: { number: 3005, retry: 'transient', answer: 'refusal', meaning: 'the directory has no such payee, alias or processor; a hint, never an end', peer: 'look up again later' },
  // 4xxx: identity and time
  ID_REUSED: { number: 4001, retry: 'permanent', answer: 'refusal', meaning: 'this business id was seen with other content', peer: 'use a fresh id' },
  MESSAGE_EXPIRED: { number: 4002, retry: 'permanent', answer: 'refusal', meaning: 'expiresAtMs has passed at the one who judges it', peer: 'start again' },
  CLOCK_SKEW: { number: 4003, retry: 'transient', answer: 'refusal', meaning: 'sentAtMs lies further in the future than maxFutureSkewMs', peer: 'set the clock, resend' },
  // 5xxx: admission
  BUSY: { number: 5001, retry: 'transient', answer: 'refusal', meaning: 'a queue is full', peer: 'resend with back-off' },
  PAUSED: { number: 5002, retry: 'transient', answer: 'refusal', meaning: 'admissions are paused by the operator or by a clock jump', peer: 'resend with back-off' },
  UNDECIDED: { number: 5003, retry: 'transient', answer: 'refusal', meaning: 'what was asked for is not decided yet', peer: 'ask again later' },
  NOT_FOUND: { number: 5004, retry: 'permanent', answer: 'refusal', meaning: 'nothing is known under this id', peer: 'check the id' },
  // 6xxx: payment
  AMOUNT_INVALID: { number: 6001, retry: 'permanent', answer: 'outcome', meaning: 'zero, negative, over the limit or not the amount agreed', peer: 'none' },
  CURRENCY_UNSUPPORTED: { number: 6002, retry: 'permanent', answer: 'outcome', meaning: 'no account in this currency', peer: 'none' },
  TRANS_EXPIRED: { number: 6003, retry: 'permanent', answer: 'outcome', meaning: 'the transaction details have expired', peer: 'ask for a new offer' },
  TRANS_INVALID: { number: 6004, retry: 'permanent', answer: 'outcome', meaning: 'the transaction details are not sealed by the host that their chain certifies for the payee', peer: 'none' },
  TRANS_LOCKED: { number: 6005, retry: 'permanent', answer: 'outcome', meaning: 'another payment of the same transaction details is undecided', peer: 'wait for its outcome' },
  TRANS_ALREADY_PAID: { number: 6006, retry: 'permanent', answer: 'outcome', meaning: 'the transaction details were paid', peer: 'none' },
  MODE_MISMATCH: { number: 6007, retry: 'permanent', answer: 'outcome', meaning: 'micro and macro do not fit the amount', peer: 'mend the CPP' },
  CUSTOMER_UNKNOWN: { number: 6008, retry: 'permanent', answer: 'outcome', meaning: 'no such enrolled customer at this CPP', peer: 'enrol' },
  CUSTOMER_SUSPENDED: { number: 6009, retry: 'permanent', answer: 'outcome', meaning: 'a collection failed; new payments are taken again once one is booked', peer: 'fund the account' },
  WRONG_PIN: { number: 6010, retry: 'permanent', answer: 'outcome', meaning: 'the PIN proof does not fit', peer: 'unlock again' },
  PIN_LOCKED: { number: 6011, retry: 'permanent', answer: 'outcome', meaning: 'too many wrong PINs', peer: 'ask the CPP to unlock' },
  COLLECTION_REFUSED: { number: 6012, retry: 'permanent', answer: 'outcome', meaning: 'the bank refused the collection this payment needed', peer: 'fund the account' },
  REJECTED_BY_PAYEE: { number: 6013, retry: 'permanent', answer: 'outcome', meaning: 'the payee rejected the payment', peer: 'none' },
  ORDER_UNKNOWN: { number: 6014, retry: 'permanent', answer: 'outcome', meaning: 'the payee knows no such transaction', peer: 'none' },
  NOTICE_EXPIRED: { number: 6015, retry: 'permanent', answer: 'outcome', meaning: 'no decision arrived before the notice expired', peer: 'start again' },
  CREDIT_LIMIT: { number: 6016, retry: 'permanent', answer: 'outcome', meaning: 'the MPP lets this CPP owe no more', peer: 'the CPP settles first' },
  CPP_DEFAULTED: { number: 6017, retry: 'permanent', answer: 'outcome', meaning: 'a settlement of this CPP bounced', peer: 'the CPP settles first' },
  WITHDRAWN: { number: 6018, retry: 'permanent', answer: 'outcome', meaning: 'a query found nothing after expiry; the id can not be used any more', peer: 'start again' },
  TRANSFER_FAILED: { number: 6019, retry: 'permanent', answer: 'outcome', meaning: 'the payee\'s bank returned the transfer', peer: 'ask the payee' },
  QUOTE_REQUIRED: { number: 6020, retry: 'permanent', answer: 'outcome', meaning: 'the account is in another currency than the invoice, and the request names no quote', peer: 'ask for a quote' },
  QUOTE_UNKNOWN: { number: 6021, retry: 'permanent', answer: 'outcome', meaning: 'this customer was given no such quote', peer: 'ask for a quote' },
  QUOTE_USED: { number: 6022, retry: 'permanent', answer: 'outcome', meaning: 'another payment was made on this quote', peer: 'ask for a new quote' },
  QUOTE_EXPIRED: { number: 6023, retry: 'permanent', answer: 'outcome', meaning: 'the quote has expired', peer: 'ask for a new quote' },
  QUOTE_MISMATCH: { number: 6024, retry: 'permanent', answer: 'outcome', meaning: 'the quote is of another amount, currency or account', peer: 'ask for a quote of this invoice' },
  COST_EXCEEDED: { number: 6025, retry: 'permanent', answer: 'outcome', meaning: 'the quote is over what the customer agreed to be charged', peer: 'agree to more, or wait for another rate' },
  CUSTOMER_CLOSED: { number: 6026, retry: 'permanent', answer: 'outcome', meaning: 'the customer has closed the account at this CPP', peer: 'pay at another CPP' },
  // 7xxx: bank
  ACCOUNT_UNKNOWN: { number: 7001, retry: 'permanent', answer: 'outcome', meaning: 'no such account at this bank', peer: 'check the account' },
  INSUFFICIENT_FUNDS: { number: 7002, retry: 'permanent', answer: 'outcome', meaning: 'the free balance does not cover it', peer: 'fund the account' },
  NO_MANDATE: { number: 7003, retry: 'permanent', answer: 'outcome', meaning: 'the holder gave this operator no mandate', peer: 'register a mandate' },
  MANDATE_EXCEEDED: { number: 7004, retry: 'permanent', answer: 'outcome', meaning: 'the order is over the mandate\'s limit', peer: 'raise the mandate' },
  HOLD_UNKNOWN: { number: 7005, retry: 'permanent', answer: 'outcome', meaning: 'no such hold', peer: 'query' },
  HOLD_EXPIRED: { number: 7006, retry: 'permanent', answer: 'outcome', meaning: 'the hold has expired', peer: 'none' },
  HOLD_VOIDED: { number: 7007, retry: 'permanent', answer: 'outcome', meaning: 'the hold was voided, perhaps before it arrived', peer: 'none' },
  HOLD_MISMATCH: { number: 7008, retry: 'permanent', answer: 'outcome', meaning: 'the order is not of the hold\'s owner or amount', peer: 'none' },
  CREDIT_RETURNED: { number: 7009, retry: 'permanent', answer: 'outcome', meaning: 'the other bank returned the credit', peer: 'check the payee\'s account' },
  MANDATE_INVALID: { number: 7010, retry: 'permanent', answer: 'outcome', meaning: 'the mandate is not signed by the account\'s holder key or not for this operator', peer: 'sign a new mandate' },
  // 8xxx: settlement
  BATCH_OUT_OF_ORDER: { number: 8001, retry: 'transient', answer: 'refusal', meaning: 'an earlier batch of the pair is still open', peer: 'resend later' },
  BATCH_CHAIN_BROKEN: { number: 8002, retry: 'permanent', answer: 'refusal', meaning: 'seq, prevHash or range does not continue the pair\'s chain', peer: 'reconcile' },
  ENTRY_MISSING: { number: 8003, retry: 'permanent', answer: 'outcome', meaning: 'an entry of the range that the CPP could not show', peer: 'adjust in the next batch' },
  ENTRY_MISMATCH: { number: 8004, retry: 'permanent', answer: 'outcome', meaning: 'an entry whose content differs from the one held', peer: 'adjust in the next batch' },
  ROOT_MISMATCH: { number: 8005, retry: 'permanent', answer: 'outcome', meaning: 'the entries held do not give the batch\'s root', peer: 'reconcile' },
  SETTLEMENT_UNKNOWN: { number: 8006, retry: 'permanent', answer: 'refusal', meaning: 'no such open batch', peer: 'none' },
  REFUND_EXCEEDED: { number: 8007, retry: 'permanent', answer: 'refusal', meaning: 'the refunds of the payment would be more than the payment, or too many', peer: 'refund no more than is left' },
  REFUND_INVALID: { number: 8008, retry: 'permanent', answer: 'refusal', meaning: 'what the payee asked for does not hold: not of its host, not of this payment, or under a key that was revoked since', peer: 'ask for another refund' },
  // 9xxx: enrolment and directory
  REGISTRATION_STALE: { number: 9001, retry: 'permanent', answer: 'refusal', meaning: 'the directory holds a newer version of this row', peer: 'register with a higher version' },
  NAME_TAKEN: { number: 9002, retry: 'permanent', answer: 'refusal', meaning: 'this payee, customer or alias belongs to another', peer: 'choose another name' },
  ENROLMENT_REFUSED: { number: 9003, retry: 'permanent', answer: 'refusal', meaning: 'the enrolment does not prove what it claims', peer: 'enrol again' },
} as const satisfies Record<string, Row>

export type FailureCode = keyof typeof FAILURES

const byNumber = new Map<number, FailureCode>(
  (Object.keys(FAILURES) as FailureCode[]).map((code) => [FAILURES[code].number, code]),
)

export const failureNumber = (code: FailureCode): number => FAILURES[code].number
/** The code of a number from the wire; undefined for one this version does not know. */
export const failureCode = (number: number): FailureCode | undefined => byNumber.get(number)
export const isTransient = (code: FailureCode): boolean => FAILURES[code].retry === 'transient'

/** A refusal is a value: `detail` is for people and logs, and never names a customer. */
export type Failure = { readonly code: FailureCode; readonly detail: string }
export const failure = (code: FailureCode, detail = ''): Failure => ({ code, detail })
export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure: Failure }
export const ok = <T>(value: T): Result<T> => ({ ok: true, value })
export const fail = (code: FailureCode, detail = ''): Result<never> => ({ ok: false, failure: { code, detail } })
