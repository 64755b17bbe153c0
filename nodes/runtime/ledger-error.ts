/** What keeps a host from its ledger: each has a code for machines, and a line for people that says what to do. */
export const LEDGER_ERRORS = ['LEDGER_DAMAGED', 'LEDGER_NOT_WRITTEN', 'LEDGER_LOCKED', 'LEDGER_MISMATCH'] as const
export type LedgerErrorCode = (typeof LEDGER_ERRORS)[number]

export class LedgerError extends Error {
  readonly code: LedgerErrorCode
  constructor(code: LedgerErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'LedgerError'
    this.code = code
  }
}
