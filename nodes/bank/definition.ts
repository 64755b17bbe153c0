/**
 * A bank as a table of decisions: accounts, holds, transfers, credits between banks, clearing windows, and (where other banks
 * name it so) the settlement bank that keeps their reserves. The same code is both.
 */
import type { NodeDefinition } from '../runtime/node.ts'
import {
  closeWindowNow,
  deposit,
  fundReserveControl,
  holdersRevoked,
  mandateRegistration,
  openAccount,
  resolveCredit,
  type ReadMandate,
  type VerifyMandate,
} from './decide-accounts.ts'
import { bulkTransferOrder } from './decide-bulk.ts'
import { CLEARING_WINDOW, clearingAnswer, clearingNotice, clearingWindow } from './decide-clearing.ts'
import { HOLD_EXPIRY, holdExpiry, holdOrder, voidOrder } from './decide-holds.ts'
import { interbankBooking, interbankCredit, interbankReturn } from './decide-interbank.ts'
import { orderQuery, postOrder, transferOrder } from './decide-orders.ts'
import { receipted, refused, rotated, started } from './decide-outbox.ts'
import { clearingOrder } from './decide-settlement.ts'
import { BankPolicy, DEFAULT_BANK_POLICY } from './policy.ts'
import { readAccount, readJournal, readPayments, readStatement } from './reads.ts'
import { isRegistered, loadRegistrations } from './registration.ts'
import { bankReport } from './report.ts'
import { TABLES } from './state.ts'
import { accountStatement } from './statement.ts'

/** What a bank needs of the protocol that a pure decision does not import. */
export type BankDependencies = {
  /** This bank's credential as it is now, for the directory. */
  readonly chain: () => readonly Uint8Array[]
  readonly readMandate: ReadMandate
  readonly verifyMandate: VerifyMandate
  /** Is it a sound Ed25519 key? Asked once, before an account is opened with it. */
  readonly isHolderKey: (key: Uint8Array) => boolean
}

export const bankDefinition = ({
  chain,
  readMandate,
  verifyMandate,
  isHolderKey,
}: BankDependencies): NodeDefinition<'bank', BankPolicy> => ({
  role: 'bank',
  tables: TABLES,
  messages: {
    'mandate-registration': mandateRegistration(readMandate, verifyMandate),
    'hold-order': holdOrder,
    'post-order': postOrder,
    'void-order': voidOrder,
    'transfer-order': transferOrder,
    'bulk-transfer-order': bulkTransferOrder,
    'bank-order-query': orderQuery,
    'interbank-credit': interbankCredit,
    'interbank-booking': interbankBooking,
    'interbank-return': interbankReturn,
    'clearing-order': clearingOrder,
    'clearing-answer': clearingAnswer,
    'clearing-notice': clearingNotice,
  },
  deadlines: { [HOLD_EXPIRY]: holdExpiry, [CLEARING_WINDOW]: clearingWindow },
  controls: {
    'open-account': openAccount(isHolderKey),
    deposit,
    'fund-reserve': fundReserveControl,
    'close-window-now': closeWindowNow,
    'resolve-credit': resolveCredit,
  },
  reads: {
    report: (read, _, { self }) => bankReport(read, self.id),
    payments: readPayments,
    account: readAccount,
    statement: readStatement,
    'account-statement': accountStatement,
    journal: readJournal,
  },
  policySchema: BankPolicy,
  policyDefaults: DEFAULT_BANK_POLICY,
  jobs: {},
  finished: {},
  started: started(chain),
  rotated: rotated(chain),
  refused: refused(chain),
  revoked: holdersRevoked,
  receipted,
  ready: (read, { policy }) => isRegistered(loadRegistrations(read), policy),
})
