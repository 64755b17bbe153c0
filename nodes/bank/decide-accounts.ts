/**
 * Accounts and mandates. Invariant: only an operator event opens an account, and only a mandate signed with the key it was
 * opened with lets another's operator debit it.
 */
import type { Currency } from '../../protocol/amount.ts'
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import { failureNumber, type FailureCode, type Result } from '../../protocol/failures.ts'
import { bankOf } from '../../protocol/ids.ts'
import { keyIdOf } from '../../protocol/keys.ts'
import {
  combine,
  decision,
  on,
  put,
  remove,
  type Context,
  type ControlEvent,
  type Decision,
  type Incoming,
  type Reader,
  type Revoked,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { isInRange, nostroAccount, reserveAccount } from './accounts.ts'
import {
  badArguments,
  DepositArguments,
  FundReserveArguments,
  OpenAccountArguments,
  parseArguments,
  refusedReply,
  ResolveCreditArguments,
} from './arguments.ts'
import { loadBooks, openBooks, type BooksSlice } from './books.ts'
import { closeWindow, loadWindow } from './decide-clearing.ts'
import { endCredit, loadOutgoing, type OutgoingSlice } from './decide-interbank.ts'
import { fundReserve, loadQueue, settlementAccounts, type QueueSlice } from './decide-settlement.ts'
import type { BankPolicy } from './policy.ts'
import { ACCOUNTS, MANDATES, type AccountRow, type HolderHost, type MandateRow } from './state.ts'

/** What a mandate says, once its signature has been verified with the holder's key: `verifyMandate` of the protocol. */
export type MandateTerms = {
  readonly account: string
  readonly operatorId: string
  readonly limitMinor: bigint
  readonly currency: Currency
  readonly serial: number
  readonly notBeforeMs: number
  readonly notAfterMs: number
}
/** Reads account and operator of a mandate without judging it; undefined when it is no mandate at all. */
export type ReadMandate = (mandate: Uint8Array) => Pick<MandateTerms, 'account' | 'operatorId'> | undefined
/** MANDATE_INVALID unless `holderKey` signed it, for this network and time. */
export type VerifyMandate = (mandate: Uint8Array, holderKey: Uint8Array, atMs: number) => Result<MandateTerms>

type MandateSlice = {
  readonly claimed: Pick<MandateTerms, 'account' | 'operatorId'> | undefined
  readonly account: AccountRow | undefined
  readonly held: MandateRow | undefined
}
/**
 * Order of checks: MANDATE_INVALID (not a mandate, or of another operator than the sender's), ACCOUNT_UNKNOWN,
 * MANDATE_INVALID (signature, network, time), CURRENCY_UNSUPPORTED, MANDATE_INVALID (older than the one held).
 */
const decideMandate =
  (verify: VerifyMandate) =>
  (
    { claimed, account, held }: MandateSlice,
    { message, ref }: Incoming<'mandate-registration'>,
    { nowMs }: Context<BankPolicy>,
  ): Decision => {
    const { body, sender } = message
    const { registrationId, mandate } = body
    const refused = (code: FailureCode): Decision =>
      decision({
        sends: [
          {
            kind: 'mandate-answer',
            to: sender.id,
            body: { registrationId, result: 'refused', code: failureNumber(code) },
            delivery: { answers: ref },
          },
        ],
        record: { event: 'mandate-refused', ids: [registrationId], fields: { code } },
      })
    if (claimed === undefined || claimed.operatorId !== sender.operatorId) return refused('MANDATE_INVALID')
    if (account?.holderKey === undefined) return refused('ACCOUNT_UNKNOWN')
    const verified = verify(mandate, account.holderKey, nowMs)
    if (!verified.ok) return refused(verified.failure.code)
    const { currency, limitMinor, operatorId, serial, notBeforeMs, notAfterMs } = verified.value
    if (currency !== account.currency) return refused('CURRENCY_UNSUPPORTED')
    if (held !== undefined && serial < held.serial) return refused('MANDATE_INVALID')
    const row: MandateRow = {
      account: account.account,
      operatorId,
      currency,
      limitMinor,
      serial,
      notBeforeMs,
      notAfterMs,
      mandate,
      registeredBy: sender.id,
      registeredAtMs: nowMs,
    }
    return decision({
      writes: [put(MANDATES, keyOf(row.account, operatorId), row)],
      sends: [
        {
          kind: 'mandate-answer',
          to: sender.id,
          body: { registrationId, result: 'accepted' },
          delivery: { answers: ref },
        },
      ],
      record: { event: 'mandate-registered', ids: [registrationId] },
    })
  }
export const mandateRegistration = (readMandate: ReadMandate, verify: VerifyMandate) =>
  on((read: Reader, { message }: Incoming<'mandate-registration'>): MandateSlice => {
    const claimed = readMandate(message.body.mandate)
    return {
      claimed,
      account: claimed === undefined ? undefined : read.get(ACCOUNTS, claimed.account),
      held: claimed === undefined ? undefined : read.get(MANDATES, claimed.account, claimed.operatorId),
    }
  }, decideMandate(verify))

/** The mandates of accounts whose holder's key is revoked: nobody knows who signed them. */
export const holdersRevoked = on(
  (read: Reader, { keyIds }: Revoked): readonly MandateRow[] => {
    if (keyIds.length === 0) return []
    const revoked = new Set(keyIds.map(toHex))
    return [...read.scan(MANDATES, [])]
      .map(([, mandate]) => mandate)
      .filter(({ account }) => {
        const holderKey = read.get(ACCOUNTS, account)?.holderKey
        return holderKey !== undefined && revoked.has(toHex(keyIdOf('ed25519', holderKey)))
      })
  },
  (mandates): Decision =>
    mandates.length === 0
      ? decision()
      : decision({
          writes: mandates.map(({ account, operatorId }) => remove(MANDATES, keyOf(account, operatorId))),
          record: {
            event: 'mandates-revoked',
            ids: [],
            level: 'warn',
            fields: { accounts: mandates.map(({ account }) => account) },
          },
        }),
)

type BooksOnly = { readonly books: BooksSlice }
const fundingLegs = (account: string, currency: Currency, amountMinor: bigint) => [
  { account: nostroAccount(currency), amountMinor: -amountMinor },
  { account, amountMinor },
]
/** Every account of both currencies' sides that a funding may touch. */
const loadFunding = (read: Reader, account: unknown, currency: unknown): BooksOnly => {
  const name = typeof account === 'string' ? account : ''
  const row = read.get(ACCOUNTS, name)
  const of = row?.currency ?? (typeof currency === 'string' ? currency : '')
  return { books: loadBooks(read, [name, nostroAccount(of as Currency)]) }
}

const sameHosts = (a: readonly HolderHost[] = [], b: readonly HolderHost[] = []): boolean =>
  a.length === b.length && a.every(({ role, host }, at) => b[at]?.role === role && b[at]?.host === host)

/**
 * `open-account {account, holderKey, currency, balanceMinor, holderHost?, alsoTold?, operatorId?}`: idempotent, so that a fleet that was
 * interrupted repeats it; funded at the first opening only. Order of checks: SCHEMA_VIOLATION, ACCOUNT_UNKNOWN (of another
 * bank), BAD_KEY, NAME_TAKEN (open with other terms), AMOUNT_INVALID.
 */
const decideOpen =
  (isHolderKey: (key: Uint8Array) => boolean) =>
  ({ books: slice }: BooksOnly, { args }: ControlEvent, context: Context<BankPolicy>): Decision => {
    const parsed = parseArguments(OpenAccountArguments, args)
    if (!parsed.ok) return badArguments(parsed.failure)
    const { account, holderKey, currency, balanceMinor, holderHost, alsoTold, operatorId } = parsed.value
    if (bankOf(account) !== context.self.id)
      return refusedReply('ACCOUNT_UNKNOWN', `the account is not of ${context.self.id}`)
    if (!isHolderKey(holderKey)) return refusedReply('BAD_KEY', 'the holder key is not sound')
    const books = openBooks(slice, context)
    const known = books.account(account)
    if (known !== undefined) {
      const isSame =
        known.holderKey !== undefined &&
        equalBytes(known.holderKey, holderKey) &&
        known.currency === currency &&
        known.operatorId === operatorId &&
        known.holderHost === holderHost?.host &&
        known.holderRole === holderHost?.role &&
        sameHosts(known.alsoTold, alsoTold)
      return isSame
        ? decision({ reply: { ok: true, account, opened: false } })
        : refusedReply('NAME_TAKEN', `${account} is open with other terms`)
    }
    if (!isInRange(books.account(nostroAccount(currency)), -balanceMinor))
      return refusedReply('AMOUNT_INVALID', 'beyond what a ledger row holds')
    books.open({
      account,
      kind: 'holder',
      currency,
      holderKey,
      ...(operatorId !== undefined && { operatorId }),
      ...(holderHost !== undefined && { holderRole: holderHost.role, holderHost: holderHost.host }),
      ...(alsoTold !== undefined && { alsoTold }),
    })
    if (balanceMinor > 0n)
      books.post({ event: 'funding', currency, legs: fundingLegs(account, currency, balanceMinor) })
    return combine(books.parts(), {
      reply: { ok: true, account, opened: true },
      record: { event: 'account-opened', ids: [], fields: { account } },
    })
  }
export const openAccount = (isHolderKey: (key: Uint8Array) => boolean) =>
  on(
    (read: Reader, { args }: ControlEvent) => loadFunding(read, args['account'], args['currency']),
    decideOpen(isHolderKey),
  )

/** `deposit {account, amountMinor}`: money from outside. Order of checks: SCHEMA_VIOLATION, ACCOUNT_UNKNOWN, AMOUNT_INVALID. */
const decideDeposit = ({ books: slice }: BooksOnly, { args }: ControlEvent, context: Context<BankPolicy>): Decision => {
  const parsed = parseArguments(DepositArguments, args)
  if (!parsed.ok) return badArguments(parsed.failure)
  const { account, amountMinor } = parsed.value
  const books = openBooks(slice, context)
  const row = books.account(account)
  if (row?.kind !== 'holder') return refusedReply('ACCOUNT_UNKNOWN', account)
  const { currency } = row
  const nostro = books.account(nostroAccount(currency))
  if (amountMinor <= 0n || !isInRange(row, amountMinor) || !isInRange(nostro, -amountMinor))
    return refusedReply('AMOUNT_INVALID', 'nothing, or beyond what a ledger row holds')
  books.post({ event: 'funding', currency, legs: fundingLegs(account, currency, amountMinor) })
  return combine(books.parts(), {
    reply: { ok: true, account, balanceMinor: books.account(account)?.balanceMinor },
    record: { event: 'account-funded', ids: [], fields: { account } },
  })
}
export const deposit = on(
  (read: Reader, { args }: ControlEvent) => loadFunding(read, args['account'], undefined),
  decideDeposit,
)

type ReserveSlice = BooksOnly & { readonly queue: QueueSlice }
/** `fund-reserve {bank, currency, amountMinor}`, at the settlement bank. Order of checks: SCHEMA_VIOLATION, AMOUNT_INVALID. */
const decideFundReserve = (
  { books: slice, queue }: ReserveSlice,
  { args }: ControlEvent,
  context: Context<BankPolicy>,
): Decision => {
  const parsed = parseArguments(FundReserveArguments, args)
  if (!parsed.ok) return badArguments(parsed.failure)
  const { bank, currency, amountMinor } = parsed.value
  const account = reserveAccount(bank, currency)
  const nostro = nostroAccount(currency)
  const books = openBooks(slice, context)
  if (!isInRange(books.account(account), amountMinor) || !isInRange(books.account(nostro), -amountMinor))
    return refusedReply('AMOUNT_INVALID', 'beyond what a ledger row holds')
  const { posted, parts } = fundReserve(books, queue, { bank, currency, amountMinor, nostro }, context)
  return combine(books.parts(), parts, {
    reply: { ok: true, bank, balanceMinor: books.account(account)?.balanceMinor, posted: posted.length },
    record: { event: 'reserve-funded', ids: posted.map(({ clearingId }) => clearingId), fields: { bank } },
  })
}
export const fundReserveControl = on((read: Reader, { args }: ControlEvent): ReserveSlice => {
  const bank = String(args['bank'])
  const currency = String(args['currency']) as Currency
  const queue = loadQueue(read, currency)
  return {
    queue,
    books: loadBooks(read, [
      reserveAccount(bank, currency),
      nostroAccount(currency),
      ...settlementAccounts(queue.queued),
    ]),
  }
}, decideFundReserve)

/** `close-window-now {}`: orders at once what this bank owes. */
export const closeWindowNow = on(
  (read: Reader) => loadWindow(read),
  (slice, _: ControlEvent, context: Context<BankPolicy>) => {
    const closed = closeWindow(slice, context)
    return combine(closed, {
      reply: { ok: true, window: slice.window?.window ?? 1, orders: closed.record?.ids.length ?? 0 },
    })
  },
)

/** `resolve-credit {creditId, booked}`: what the other bank's operator said of a credit whose answer can not come. */
export const resolveCredit = on(
  (read: Reader, { args }: ControlEvent): OutgoingSlice | undefined => {
    const parsed = parseArguments(ResolveCreditArguments, args)
    return parsed.ok ? loadOutgoing(read, parsed.value.creditId) : undefined
  },
  (slice, { args }: ControlEvent, context: Context<BankPolicy>): Decision => {
    const parsed = parseArguments(ResolveCreditArguments, args)
    if (!parsed.ok || slice === undefined)
      return badArguments(parsed.ok ? { code: 'SCHEMA_VIOLATION', detail: '' } : parsed.failure)
    if (slice.credit?.state !== 'unclear') return refusedReply('NOT_FOUND', 'no unclear credit has this id')
    const end = parsed.value.booked
      ? ({ state: 'booked' } as const)
      : ({ state: 'returned', code: 'CREDIT_RETURNED' } as const)
    return combine(endCredit(slice, end, context), { reply: { ok: true, state: end.state } })
  },
)
