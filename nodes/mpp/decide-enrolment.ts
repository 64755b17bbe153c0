/**
 * Merchant hosts and payees (design §7 "Chain"). A payee is enrolled when its bank has taken its mandate, which proves that the
 * payout account is the payee's, its credential is signed, and every data center of the realm lists it.
 */
import { equalBytes } from '../../protocol/bytes.ts'
import { failureCode, failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { bankOf, realmOf } from '../../protocol/ids.ts'
import type { PayeeKind } from '../../protocol/messages/enrolment.ts'
import { haveSameIssuer, type MandateStatement } from '../../protocol/statements.ts'
import type { Currency } from '../../protocol/amount.ts'
import {
  combine,
  decision,
  on,
  put,
  refuse,
  remove,
  type Context,
  type Decision,
  type Incoming,
  type JobEvent,
  type Reader,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import type { EnrolmentSlice } from './load.ts'
import type { MppPolicy } from './policy.ts'
import { hostChainOf, isListed, loadListings, nextVersion, registerPayee, type Listings } from './registration.ts'
import {
  ENROLMENTS,
  HOSTS,
  MANDATES,
  outboxKey,
  PAYEES,
  type EnrolmentRow,
  type HostRow,
  type MandateRow,
  type PayeeRow,
} from './state.ts'

type Context_ = Context<MppPolicy>

/** What a payee credential says beside network and signature. */
export type PayeeTerms = {
  readonly payee: string
  readonly host: string
  readonly account: string
  readonly currency: Currency
  readonly payeeKind: PayeeKind
  readonly displayName: string
  readonly serial: number
}
export const ISSUE_CREDENTIAL = 'issue-credential'
export type IssueInput = { readonly enrolmentId: Uint8Array; readonly terms: PayeeTerms }

type HostSlice = {
  readonly known: HostRow | undefined
  readonly payees: readonly {
    readonly row: PayeeRow
    readonly listings: Listings
    /** Its enrolment, where only the credential is still to be signed. */
    readonly issuing: EnrolmentRow | undefined
  }[]
}

const loadHost = (read: Reader, { message }: Incoming<'host-registration'>): HostSlice => {
  const known = read.get(HOSTS, message.sender.id)
  if (known === undefined || sameChain(known.chain, message.body.chain)) return { known, payees: [] }
  const payees = [...read.scan(PAYEES, [])].flatMap(([, row]) => {
    if (row.host !== message.sender.id) return []
    const enrolment = row.enrolmentId === undefined ? undefined : read.get(ENROLMENTS, row.enrolmentId)
    const issuing = enrolment?.state === 'issuing' ? enrolment : undefined
    return [{ row, listings: loadListings(read, row.payee), issuing }]
  })
  return { known, payees }
}

const sameChain = (a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean =>
  a.length === b.length && a.every((credential, i) => equalBytes(credential, b[i] as Uint8Array))

const MAX_FORMER_CHAINS = 8
/** Newest first; one for each other key of this MPP. */
const formerChains = (known: HostRow | undefined, chain: readonly Uint8Array[]): readonly (readonly Uint8Array[])[] =>
  (known === undefined ? [] : [known.chain, ...(known.former ?? [])])
    .filter((one) => !haveSameIssuer(one[1], chain[1]) && !sameChain(one, chain))
    .slice(0, MAX_FORMER_CHAINS)

/**
 * The chain is of this host and certified by this MPP. A new key of a host known is passed on to the data centers, with each payee
 * whose credential the same MPP key signed; the others are as they were until the host renews them.
 */
const decideHost = (
  { known, payees }: HostSlice,
  { message, ref }: Incoming<'host-registration'>,
  context: Context_,
): Decision => {
  const { sender, chain, digest, body } = message
  if (chain?.processor.id !== context.self.id) return refuse('BROKEN_CHAIN', 'certified by another MPP')
  if (chain.host?.id !== sender.id || chain.host.role !== 'merchant')
    return refuse('BROKEN_CHAIN', 'the chain is of another host')
  const former = formerChains(known, body.chain)
  const row: HostRow = {
    host: sender.id,
    chain: body.chain,
    registeredAtMs: context.nowMs,
    ...(former.length === 0 ? {} : { former }),
  }
  const renewed = payees
    .filter(({ row: payee }) => known !== undefined && !sameChain(hostChainOf(known, payee), hostChainOf(row, payee)))
    .map(({ row: payee, listings }) => {
      const next = { ...payee, version: nextVersion(payee.version, context.nowMs), changedAtMs: context.nowMs }
      return combine(registerPayee(next, row, listings, context), {
        writes: [put(PAYEES, keyOf(payee.payee), next)],
      })
    })
  return combine(...renewed, {
    writes: [put(HOSTS, keyOf(sender.id), row)],
    // Signed with a key that this host was not yet certified under, or about to be.
    jobs: payees.flatMap(({ row: payee, issuing }) =>
      issuing === undefined ? [] : [issueJob(issuing, payee, context.nowMs)],
    ),
    sends: [{ kind: 'receipt', to: sender.id, body: { digest }, delivery: { answers: ref } }],
    record: { event: 'host-registered', ids: [body.registrationId], fields: { host: sender.id } },
  })
}

export const onHostRegistration = on(loadHost, decideHost)

const loadEnrolment = (read: Reader, { message }: Incoming<'payee-enrolment'>): EnrolmentSlice => ({
  host: read.get(HOSTS, message.sender.id),
  payee: read.get(PAYEES, message.body.payee),
  known: read.get(ENROLMENTS, message.body.enrolmentId),
})

/**
 * In this order: the enrolment id is new; the host is registered here; the payee is of this realm; its name is free or held by
 * this host; no other enrolment of it is under way (transient); its currency is one this MPP pays out in, and the one it
 * had before; the mandate names account, operator and currency.
 */
export const enrolmentProblem = (
  { host, payee, known }: EnrolmentSlice,
  { body, sender }: Incoming<'payee-enrolment'>['message'],
  mandate: MandateStatement | undefined,
  { self, policy }: Context_,
): { readonly code: FailureCode; readonly detail: string } | undefined => {
  const no = (code: FailureCode, detail: string) => ({ code, detail })
  if (known !== undefined) return no('ID_REUSED', 'another enrolment has this id')
  if (host === undefined) return no('ENROLMENT_REFUSED', `${sender.id} is not registered here`)
  if (realmOf(body.payee) !== self.realm) return no('ENROLMENT_REFUSED', `a payee of realm ${self.realm} only`)
  if (payee !== undefined && payee.host !== sender.id) return no('NAME_TAKEN', body.payee)
  if (payee?.enrolmentId !== undefined) return no('BUSY', 'another enrolment of this payee is under way')
  if (policy.operatorAccounts[body.currency] === undefined) return no('CURRENCY_UNSUPPORTED', body.currency)
  if (payee !== undefined && payee.currency !== body.currency)
    return no('CURRENCY_UNSUPPORTED', `the payee has an account in ${payee.currency}`)
  const isMandate =
    mandate !== undefined &&
    mandate.account === body.account &&
    mandate.operatorId === self.operatorId &&
    mandate.currency === body.currency
  return isMandate ? undefined : no('MANDATE_INVALID', 'not for this account, operator and currency')
}

const newPayee = ({ body, sender }: Incoming<'payee-enrolment'>['message'], nowMs: number): PayeeRow => ({
  payee: body.payee,
  state: 'enrolling',
  host: sender.id,
  payeeKind: body.payeeKind,
  displayName: body.displayName,
  account: body.account,
  currency: body.currency,
  version: 0,
  accruedMinor: 0n,
  payableMinor: 0n,
  refundingMinor: 0n,
  payingMinor: 0n,
  paidMinor: 0n,
  reversedMinor: 0n,
  changedAtMs: nowMs,
})

/**
 * After {@link enrolmentProblem}: the host is certified under the key that would sign the payee's credential, else BUSY: what
 * two keys of this MPP signed makes no chain, and the host is about to be certified anew.
 *
 * @param readMandate what a mandate says; its signature is the bank's to judge, which knows the holder's key
 */
export const onPayeeEnrolment = (
  readMandate: (mandate: Uint8Array) => MandateStatement | undefined,
  certified: (hostCredential: Uint8Array | undefined) => boolean,
) =>
  on(
    loadEnrolment,
    (slice: EnrolmentSlice, { message, ref }: Incoming<'payee-enrolment'>, context: Context_): Decision => {
      const { body, sender, digest } = message
      const { nowMs } = context
      const problem = enrolmentProblem(slice, message, readMandate(body.mandate), context)
      if (problem !== undefined) return refuse(problem.code, problem.detail)
      if (!certified(slice.host?.chain[1])) return refuse('BUSY', 'the host is certified under a former key')
      const { enrolmentId, payee, payeeKind, displayName, account, currency, mandate } = body
      const registrationId = context.freshId()
      return decision({
        writes: [
          put(PAYEES, keyOf(payee), { ...(slice.payee ?? newPayee(message, nowMs)), enrolmentId, changedAtMs: nowMs }),
          put<EnrolmentRow>(ENROLMENTS, enrolmentId, {
            enrolmentId,
            state: 'mandating',
            host: sender.id,
            payee,
            payeeKind,
            displayName,
            account,
            currency,
            ref,
            digest,
            startedAtMs: nowMs,
            changedAtMs: nowMs,
          }),
          put<MandateRow>(MANDATES, registrationId, { enrolmentId }),
        ],
        sends: [
          {
            kind: 'mandate-registration',
            to: bankOf(account),
            body: { registrationId, mandate },
            delivery: { until: outboxKey('mandate', registrationId) },
          },
        ],
        record: { event: 'enrolment-started', ids: [enrolmentId], fields: { payee, host: sender.id } },
      })
    },
  )

export type MandateSlice = { readonly enrolment: EnrolmentRow | undefined; readonly payee: PayeeRow | undefined }

export const loadMandate = (read: Reader, registrationId: Uint8Array): MandateSlice => {
  const mandate = read.get(MANDATES, registrationId)
  const enrolment = mandate === undefined ? undefined : read.get(ENROLMENTS, mandate.enrolmentId)
  return { enrolment, payee: enrolment === undefined ? undefined : read.get(PAYEES, enrolment.payee) }
}

const termsOf = (
  { payee, host, account, currency, payeeKind, displayName }: EnrolmentRow,
  serial: number,
): PayeeTerms => ({
  payee,
  host,
  account,
  currency,
  payeeKind,
  displayName,
  serial,
})

export const issueJob = (enrolment: EnrolmentRow, payee: PayeeRow | undefined, nowMs: number) => {
  const input: IssueInput = {
    enrolmentId: enrolment.enrolmentId,
    terms: termsOf(enrolment, nextVersion(payee?.version ?? 0, nowMs)),
  }
  return { name: ISSUE_CREDENTIAL, input }
}

export const onMandateAnswer = on(
  (read: Reader, { message }: Incoming<'mandate-answer'>) => loadMandate(read, message.body.registrationId),
  (slice: MandateSlice, { message }: Incoming<'mandate-answer'>, context: Context_): Decision => {
    const { enrolment, payee } = slice
    const { registrationId, result, code } = message.body
    if (enrolment === undefined || enrolment.state !== 'mandating' || bankOf(enrolment.account) !== message.sender.id)
      return combine(refuse('NOT_FOUND', 'no such registration'), {
        record: { event: 'mandate-answer-ignored', ids: [registrationId], level: 'warn' },
      })
    if (result === 'refused')
      return mandateRefused(
        slice,
        registrationId,
        (code === undefined ? undefined : failureCode(code)) ?? 'MANDATE_INVALID',
        context,
      )
    return decision({
      writes: [
        put<EnrolmentRow>(ENROLMENTS, enrolment.enrolmentId, {
          ...enrolment,
          state: 'issuing',
          changedAtMs: context.nowMs,
        }),
        remove(MANDATES, registrationId),
      ],
      forget: [outboxKey('mandate', registrationId)],
      jobs: [issueJob(enrolment, payee, context.nowMs)],
      record: { event: 'mandate-accepted', ids: [enrolment.enrolmentId], fields: { payee: enrolment.payee } },
    })
  },
)

export const mandateRefused = (
  { enrolment, payee }: MandateSlice,
  registrationId: Uint8Array,
  code: FailureCode,
  context: Context_,
): Decision =>
  enrolment === undefined || enrolment.state !== 'mandating'
    ? decision()
    : combine(refuseEnrolment(enrolment, payee, code, context), {
        writes: [remove(MANDATES, registrationId)],
        forget: [outboxKey('mandate', registrationId)],
      })

/** The host learns why; a payee that never was active leaves no row. */
const refuseEnrolment = (
  enrolment: EnrolmentRow,
  payee: PayeeRow | undefined,
  code: FailureCode,
  { nowMs }: Context_,
): Partial<Decision> => {
  const { enrolmentId, host, ref, digest } = enrolment
  const { enrolmentId: _, ...kept } = payee ?? ({} as PayeeRow)
  const rows =
    payee === undefined
      ? []
      : payee.activeSinceMs === undefined
        ? [remove(PAYEES, keyOf(payee.payee))]
        : [
            put<PayeeRow>(PAYEES, keyOf(payee.payee), {
              ...kept,
              state: payee.state === 'active' ? 'active' : 'retired',
              changedAtMs: nowMs,
            }),
          ]
  return {
    writes: [
      put<EnrolmentRow>(ENROLMENTS, enrolmentId, { ...enrolment, state: 'refused', code, changedAtMs: nowMs }),
      ...rows,
    ],
    sends: [
      {
        kind: 'refusal',
        to: host,
        body: { digest, code: failureNumber(code), detail: 'the payee was not enrolled' },
        delivery: { answers: ref },
      },
    ],
    record: { event: 'enrolment-refused', ids: [enrolmentId], level: 'warn', fields: { payee: enrolment.payee, code } },
  }
}

type IssuedSlice = MandateSlice & { readonly host: HostRow | undefined; readonly listings: Listings }

const loadIssued = (read: Reader, { input }: JobEvent): IssuedSlice => {
  const enrolment = read.get(ENROLMENTS, (input as IssueInput).enrolmentId)
  if (enrolment === undefined) return { enrolment, payee: undefined, host: undefined, listings: new Map() }
  return {
    enrolment,
    payee: read.get(PAYEES, enrolment.payee),
    host: read.get(HOSTS, enrolment.host),
    listings: loadListings(read, enrolment.payee),
  }
}

/** The credential is signed: the data centers are told, and the record waits for them. */
export const onCredentialIssued = on(
  loadIssued,
  ({ enrolment, payee, host, listings }: IssuedSlice, { result }: JobEvent, context: Context_): Decision => {
    if (enrolment === undefined || payee === undefined || host === undefined || enrolment.state !== 'issuing')
      return decision()
    const { nowMs, policy } = context
    if (!(result instanceof Uint8Array)) return combine(refuseEnrolment(enrolment, payee, 'ENROLMENT_REFUSED', context))
    // Signed with a key that the host is not certified under yet: it is signed again when the host has shown its new chain.
    if (haveSameIssuer(result, result) && !certifiesWith(host, result))
      return decision({ record: { event: 'credential-waits', ids: [enrolment.enrolmentId], level: 'warn' } })
    const { account, payeeKind, displayName } = enrolment
    const row: PayeeRow = {
      ...payee,
      account,
      payeeKind,
      displayName,
      credential: result,
      version: nextVersion(payee.version, nowMs),
      state: payee.state === 'active' ? 'active' : 'enrolling',
      changedAtMs: nowMs,
    }
    const issued: EnrolmentRow = { ...enrolment, state: 'registering', version: row.version, changedAtMs: nowMs }
    const record = {
      event: 'credential-issued',
      ids: [enrolment.enrolmentId],
      fields: { payee: row.payee, version: row.version },
    }
    if (policy.dataCenters.length === 0) return combine({ record }, completeEnrolment(issued, row, nowMs))
    return combine(registerPayee(row, host, listings, context), {
      writes: [put(PAYEES, keyOf(row.payee), row), put(ENROLMENTS, enrolment.enrolmentId, issued)],
      record,
    })
  },
)

const certifiesWith = ({ chain, former = [] }: HostRow, credential: Uint8Array): boolean =>
  [chain, ...former].some((one) => haveSameIssuer(one[1], credential))

const completeEnrolment = (enrolment: EnrolmentRow, payee: PayeeRow, nowMs: number): Partial<Decision> => {
  const { enrolmentId, host, ref } = enrolment
  const { enrolmentId: _, ...row } = payee
  if (row.credential === undefined) throw new Error('an enrolment is complete without a credential')
  return {
    writes: [
      put<PayeeRow>(PAYEES, keyOf(row.payee), {
        ...row,
        state: 'active',
        activeSinceMs: row.activeSinceMs ?? nowMs,
        changedAtMs: nowMs,
      }),
      put<EnrolmentRow>(ENROLMENTS, enrolmentId, { ...enrolment, state: 'enrolled', changedAtMs: nowMs }),
    ],
    sends: [
      {
        kind: 'payee-enrolment-record',
        to: host,
        body: { enrolmentId, credential: row.credential },
        delivery: { answers: ref },
      },
    ],
    record: { event: 'payee-enrolled', ids: [enrolmentId], fields: { payee: row.payee, version: row.version } },
  }
}

export type ListedSlice = {
  readonly listings: Listings
  readonly payee: PayeeRow | undefined
  readonly enrolment: EnrolmentRow | undefined
  readonly host: HostRow | undefined
}

export const loadListed = (read: Reader, subject: string): ListedSlice => {
  const payee = read.get(PAYEES, subject)
  return {
    listings: loadListings(read, subject),
    payee,
    enrolment: payee?.enrolmentId === undefined ? undefined : read.get(ENROLMENTS, payee.enrolmentId),
    host: payee === undefined ? undefined : read.get(HOSTS, payee.host),
  }
}

/** A data center has listed a payee: with the last one its enrolment is complete. */
export const payeeListed = (
  { listings, payee, enrolment }: ListedSlice,
  { policy, nowMs }: Context_,
): Partial<Decision> =>
  payee !== undefined &&
  enrolment?.state === 'registering' &&
  isListed(enrolment.version ?? 0, listings, policy.dataCenters)
    ? completeEnrolment(enrolment, payee, nowMs)
    : {}

/** A data center refuses a payee, since another MPP of the realm has the name: those that did list it are told it is not. */
export const payeeNotListed = (
  { listings, payee, enrolment, host }: ListedSlice,
  code: FailureCode,
  context: Context_,
): Partial<Decision> => {
  if (payee === undefined || enrolment?.state !== 'registering' || code === 'REGISTRATION_STALE') return {}
  const listed = [...listings.values()].filter(({ state }) => state !== 'refused').map(({ dataCenter }) => dataCenter)
  const withdrawn: PayeeRow = { ...payee, state: 'retired', version: nextVersion(payee.version, context.nowMs) }
  const told =
    payee.state === 'active' || host === undefined ? {} : registerPayee(withdrawn, host, listings, context, listed)
  return combine(told, refuseEnrolment(enrolment, payee, code, context))
}
