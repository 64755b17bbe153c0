/**
 * Accounts: what their names mean, what of a balance is free, and who may debit which. Invariant: an internal account's
 * name can not be an account id of the wire (its first part has no hyphen), so no order ever addresses one.
 */
import { MAX_TOTAL_MINOR, type Currency } from '../../protocol/amount.ts'
import type { FailureCode } from '../../protocol/failures.ts'
import { bankOf } from '../../protocol/ids.ts'
import type { AccountKind, AccountRow, MandateRow } from './state.ts'

export const nostroAccount = (currency: Currency): string => `nostro:${currency}`
export const clearingAccount = (peer: string, currency: Currency): string => `clearing:${peer}:${currency}`
export const reserveAccount = (bank: string, currency: Currency): string => `reserve:${bank}:${currency}`

export type InternalAccount = { readonly kind: Exclude<AccountKind, 'holder'>; readonly bank: string | undefined }
/** Undefined for a holder's account. */
export const internalAccount = (account: string): InternalAccount | undefined => {
  const [kind, bank, currency] = account.split(':')
  if (kind === 'nostro') return { kind, bank: undefined }
  return (kind === 'clearing' || kind === 'reserve') && currency !== undefined ? { kind, bank } : undefined
}

/** Accounts whose balance, less what is held, never falls below zero. The others are this bank's own positions. */
export const isCovered = (kind: AccountKind): boolean => kind === 'holder' || kind === 'reserve'

export const freeMinor = (row: AccountRow): bigint => row.balanceMinor - row.heldMinor

/** What the checks of a debit read. */
export type DebitSlice = {
  readonly account: AccountRow | undefined
  /** Of the ordering operator. */
  readonly mandate: MandateRow | undefined
}
export type Debit = {
  readonly currency: Currency
  readonly amountMinor: bigint
  readonly operatorId: string | undefined
}

/**
 * May this operator take this sum from this account, funds aside? In this order: AMOUNT_INVALID, ACCOUNT_UNKNOWN,
 * CURRENCY_UNSUPPORTED, NO_MANDATE, MANDATE_EXCEEDED.
 */
export const debitRefusal = (
  { account, mandate }: DebitSlice,
  { currency, amountMinor, operatorId }: Debit,
  nowMs: number,
): FailureCode | undefined => {
  if (amountMinor <= 0n) return 'AMOUNT_INVALID'
  if (account?.kind !== 'holder') return 'ACCOUNT_UNKNOWN'
  if (account.currency !== currency) return 'CURRENCY_UNSUPPORTED'
  if (operatorId === undefined) return 'NO_MANDATE'
  if (account.operatorId === operatorId) return undefined
  if (mandate === undefined || nowMs < mandate.notBeforeMs || nowMs > mandate.notAfterMs) return 'NO_MANDATE'
  return amountMinor > mandate.limitMinor ? 'MANDATE_EXCEEDED' : undefined
}

export const isCovering = (account: AccountRow, amountMinor: bigint): boolean => freeMinor(account) >= amountMinor

/** Does the row, perhaps not open yet, stay within what every ledger row promises? Checked before a booking that would throw. */
export const isInRange = (account: AccountRow | undefined, deltaMinor: bigint): boolean => {
  const balanceMinor = (account?.balanceMinor ?? 0n) + deltaMinor
  return balanceMinor <= MAX_TOTAL_MINOR && balanceMinor >= -MAX_TOTAL_MINOR
}

export type CreditSlice = {
  readonly self: string
  /** The row that would be credited: the account's when it is at this bank, else the clearing account of its bank. */
  readonly account: AccountRow | undefined
  readonly peers: readonly string[] | null
}
export type Credit = { readonly creditAccount: string; readonly currency: Currency; readonly amountMinor: bigint }
/**
 * May this account be credited? In this order: ACCOUNT_UNKNOWN, CURRENCY_UNSUPPORTED, AMOUNT_INVALID (the row would leave its
 * range). Of an account at another bank only that bank is judged here.
 */
export const creditRefusal = (
  { self, account, peers }: CreditSlice,
  { creditAccount, currency, amountMinor }: Credit,
): FailureCode | undefined => {
  const bank = bankOf(creditAccount)
  if (bank !== self) {
    if (peers !== null && !peers.includes(bank)) return 'ACCOUNT_UNKNOWN'
  } else if (account?.kind !== 'holder') return 'ACCOUNT_UNKNOWN'
  else if (account.currency !== currency) return 'CURRENCY_UNSUPPORTED'
  return isInRange(account, amountMinor) ? undefined : 'AMOUNT_INVALID'
}

/** The row that a credit to this account changes: its own, or the position against its bank. */
export const creditedRow = (self: string, { creditAccount, currency }: Omit<Credit, 'amountMinor'>): string => {
  const bank = bankOf(creditAccount)
  return bank === self ? creditAccount : clearingAccount(bank, currency)
}
/** Every row that may be it: a load does not know which bank it reads for. */
export const creditableRows = ({ creditAccount, currency }: Omit<Credit, 'amountMinor'>): readonly string[] => [
  creditAccount,
  clearingAccount(bankOf(creditAccount), currency),
]
