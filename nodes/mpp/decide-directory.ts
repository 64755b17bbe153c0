/** What this MPP tells the data centers at its start and when a payee leaves, and what it learns from their receipts. */
import type { FailureCode } from '../../protocol/failures.ts'
import {
  combine,
  decision,
  on,
  put,
  remove,
  type Context,
  type ControlEvent,
  type Decision,
  type Reader,
  type Refused,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { noticeRefused } from './decide-notice.ts'
import {
  issueJob,
  loadListed,
  loadMandate,
  mandateRefused,
  payeeListed,
  payeeNotListed,
  type ListedSlice,
  type MandateSlice,
} from './decide-enrolment.ts'
import { countersignedRefused, loadRefund, type RefundSlice } from './decide-refund.ts'
import { loadOrder, orderRefused, type OrderSlice } from './decide-payout.ts'
import { loadOrdered, missingRefused } from './decide-settlement.ts'
import { closeBooks, openBooks, type BookSlice } from './books.ts'
import { considerPayout } from './payouts.ts'
import { readPayeeArgs, refusedReply } from './control-args.ts'
import { payeeSlice } from './load.ts'
import type { MppPolicy } from './policy.ts'
import { loadListings, nextVersion, registerPayee, registerSelf, untold, type Listings } from './registration.ts'
import { ASKS, type AskRow } from './request-state.ts'
import {
  ENROLMENTS,
  HOSTS,
  LISTINGS,
  NOTICES,
  PAYEES,
  readOutboxKey,
  REGISTRATIONS,
  REQUESTS,
  type EnrolmentRow,
  type HostRow,
  type ListingRow,
  type NoticeRow,
  type PayeeRow,
  type RegistrationRow,
  type RequestRow,
} from './state.ts'

type Context_ = Context<MppPolicy>

type StartSlice = {
  readonly payees: readonly { readonly row: PayeeRow; readonly host: HostRow | undefined }[]
  readonly issuing: readonly { readonly enrolment: EnrolmentRow; readonly payee: PayeeRow | undefined }[]
  /** Of every subject. */
  readonly listings: ReadonlyMap<string, Listings>
}
const NONE: Listings = new Map()

const loadStart = (read: Reader): StartSlice => {
  const listings = new Map<string, Map<string, ListingRow>>()
  for (const [, row] of read.scan(LISTINGS, [])) {
    const known = listings.get(row.subject) ?? new Map<string, ListingRow>()
    listings.set(row.subject, known.set(row.dataCenter, row))
  }
  const payees = [...read.scan(PAYEES, [])].map(([, row]) => ({ row, host: read.get(HOSTS, row.host) }))
  const issuing = payees.flatMap(({ row: payee }) => {
    const enrolment = payee.enrolmentId === undefined ? undefined : read.get(ENROLMENTS, payee.enrolmentId)
    return enrolment?.state === 'issuing' ? [{ payee, enrolment }] : []
  })
  return { payees, issuing, listings }
}

/** @param chain this MPP's own credential chain */
export const onStarted = (chain: () => readonly Uint8Array[]) =>
  on(loadStart, ({ payees, issuing, listings }: StartSlice, _: Record<string, never>, context: Context_): Decision => {
    const { dataCenters } = context.policy
    const told = payees.map(({ row, host }) => {
      const known = listings.get(row.payee) ?? NONE
      return host === undefined ? {} : registerPayee(row, host, known, context, untold(row.version, known, dataCenters))
    })
    return combine(registerSelf(chain(), listings.get(context.self.id) ?? NONE, context), ...told, {
      jobs: issuing.map(({ enrolment, payee }) => issueJob(enrolment, payee, context.nowMs)),
      record: { event: 'started', ids: [] },
    })
  })

/**
 * A new key: the data centers are told. Payees keep the credentials that the former key signed, which are good while it is; their
 * host renews them once it is certified under the new one.
 */
export const onRotated = (chain: () => readonly Uint8Array[]) =>
  on(loadStart, ({ listings }: StartSlice, _: Record<string, never>, context: Context_): Decision =>
    combine(registerSelf(chain(), listings.get(context.self.id) ?? NONE, context)),
  )

type RegistrationSlice = {
  readonly registration: RegistrationRow | undefined
  readonly listing: ListingRow | undefined
  readonly listed: ListedSlice | undefined
}

const loadRegistration = (read: Reader, registrationId: Uint8Array): RegistrationSlice => {
  const registration = read.get(REGISTRATIONS, registrationId)
  if (registration === undefined) return { registration, listing: undefined, listed: undefined }
  const { subject, dataCenter } = registration
  return { registration, listing: read.get(LISTINGS, subject, dataCenter), listed: loadListed(read, subject) }
}

const listingAnswered = (
  { registration, listing, listed }: RegistrationSlice,
  registrationId: Uint8Array,
  code: FailureCode | undefined,
  context: Context_,
): Decision => {
  if (registration === undefined || listing === undefined || listed === undefined) return decision()
  const { dataCenter, subject } = registration
  const next: ListingRow = {
    ...listing,
    state: code === undefined ? 'listed' : 'refused',
    changedAtMs: context.nowMs,
    ...(code === undefined ? {} : { code }),
  }
  const slice = { ...listed, listings: new Map(listed.listings).set(dataCenter, next) }
  return combine(
    {
      writes: [remove(REGISTRATIONS, registrationId), put(LISTINGS, keyOf(subject, dataCenter), next)],
      record: {
        event: code === undefined ? 'registration-receipted' : 'registration-refused',
        ids: [registrationId],
        level: code === undefined ? 'info' : 'warn',
        fields: { dataCenter, subject, version: listing.version, ...(code === undefined ? {} : { code }) },
      },
    },
    code === undefined ? payeeListed(slice, context) : payeeNotListed(slice, code, context),
  )
}

type Receipted = { readonly key: Uint8Array }

export const onReceipted = on(
  (read: Reader, { key }: Receipted) => {
    const { name, id } = readOutboxKey(key)
    return {
      id,
      registration: name === 'registration' ? loadRegistration(read, id) : undefined,
      ask: name === 'ask' ? read.get(ASKS, id) : undefined,
    }
  },
  ({ id, registration, ask }, _: Receipted, context: Context_): Decision => {
    if (registration !== undefined) return listingAnswered(registration, id, undefined, context)
    return ask === undefined
      ? decision()
      : decision({ writes: [remove(ASKS, id)], record: { event: 'request-forwarded', ids: [ask.requestId] } })
  },
)

type RefusedSlice = {
  readonly id: Uint8Array
  readonly registration: RegistrationSlice | undefined
  readonly mandate: MandateSlice | undefined
  readonly notice: NoticeRow | undefined
  readonly order: OrderSlice | undefined
  readonly request: RequestRow | undefined
  readonly batch: BookSlice | undefined
  readonly refund: RefundSlice | undefined
  readonly ask: AskRow | undefined
}

const loadRefused = (read: Reader, { key }: Refused): RefusedSlice => {
  const { name, id } = readOutboxKey(key)
  const request = name === 'missing' ? read.get(REQUESTS, id) : undefined
  return {
    id,
    registration: name === 'registration' ? loadRegistration(read, id) : undefined,
    mandate: name === 'mandate' ? loadMandate(read, id) : undefined,
    notice: name === 'notice' ? read.get(NOTICES, id) : undefined,
    order: name === 'order' ? loadOrder(read, id) : undefined,
    request,
    batch: request === undefined ? undefined : loadOrdered(read, request.batchId),
    refund: name === 'refund' ? loadRefund(read, id) : undefined,
    ask: name === 'ask' ? read.get(ASKS, id) : undefined,
  }
}

/** A permanent refusal. A CPP's of a countersigned decision changes nothing: only its outcome frees invoice and credit. */
export const onRefused = on(loadRefused, (slice: RefusedSlice, refusal: Refused, context: Context_): Decision => {
  const { kind, code, by, detail } = refusal
  const { id, registration, mandate, notice, order, request, batch, refund, ask } = slice
  if (registration !== undefined) return listingAnswered(registration, id, code, context)
  if (mandate !== undefined) return mandateRefused(mandate, id, code, context)
  if (notice !== undefined) return noticeRefused(notice, by, code, context.nowMs)
  if (refund !== undefined) return countersignedRefused(refund, refusal, context)
  if (order !== undefined) return orderRefused(order, id, code, context)
  if (request !== undefined) return missingRefused(batch, id, request, context)
  return decision({
    writes: ask === undefined ? [] : [remove(ASKS, id)],
    record: { event: `${kind}-refused`, ids: [ask?.requestId ?? id], level: 'warn', fields: { code, by, detail } },
  })
})

type RetireSlice = {
  readonly payee: PayeeRow | undefined
  readonly host: HostRow | undefined
  readonly listings: Listings
}

const loadRetire = (read: Reader, { args }: ControlEvent): RetireSlice => {
  const token = readPayeeArgs(args)
  const payee = token === undefined ? undefined : read.get(PAYEES, token)
  return {
    payee,
    host: payee === undefined ? undefined : read.get(HOSTS, payee.host),
    listings: payee === undefined ? new Map() : loadListings(read, payee.payee),
  }
}

/** `retire-payee {payee}` → {ok, version}: no new payment is taken; what is and becomes payable is paid out at once. */
export const onRetirePayee = on(
  loadRetire,
  ({ payee, host, listings }: RetireSlice, { args }: ControlEvent, context: Context_): Decision => {
    if (readPayeeArgs(args) === undefined) return refusedReply('SCHEMA_VIOLATION', 'expected {"payee": "name@realm"}')
    if (payee === undefined || host === undefined) return refusedReply('NOT_FOUND', 'no such payee')
    if (payee.state !== 'active' || payee.enrolmentId !== undefined)
      return refusedReply('UNDECIDED', `the payee is ${payee.state}`)
    const retired: PayeeRow = { ...payee, state: 'retired', version: nextVersion(payee.version, context.nowMs) }
    const books = openBooks(payeeSlice(payee), context)
    books.payees.set(payee.payee, retired)
    considerPayout(books, payee.payee)
    return combine(closeBooks(books), registerPayee(retired, host, listings, context), {
      reply: { ok: true, version: retired.version },
      record: { event: 'payee-retired', ids: [], fields: { payee: payee.payee } },
    })
  },
)
