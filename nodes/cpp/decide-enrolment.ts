/**
 * Wallet hosts, customers, aliases, and this processor's own place in the directory.
 *
 * An enrolment is checked in this order, and the first check that fails decides:
 *   host not registered here → ENROLMENT_REFUSED, currency not served → ENROLMENT_REFUSED, name of another → NAME_TAKEN, account closed
 *   (its ledger stays, so that it is nobody's again) → NAME_TAKEN, enrolment under way → BUSY, alias of another realm → ENROLMENT_REFUSED, alias taken → NAME_TAKEN, mandate that enrolled another customer, or
 *   does not say what is needed → ENROLMENT_REFUSED; then the bank is asked to register the mandate, the record is signed by a job, and the customer is active.
 */
import { equalBytes } from '../../protocol/bytes.ts'
import { codecOf } from '../../protocol/codec.ts'
import { failureCode, fail, ok, type FailureCode, type Result } from '../../protocol/failures.ts'
import { hash } from '../../protocol/hash.ts'
import { bankOf, realmOf } from '../../protocol/ids.ts'
import { acceptsOf } from '../../protocol/kinds.ts'
import { MandateStatement, parseCredential } from '../../protocol/statements.ts'
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
  type Message,
  type Reader,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { combineParts, newTotal, putCustomer, type Part } from './account.ts'
import { aliasRegistration } from './closing.ts'
import { loadEnrolment, mandateKey } from './load.ts'
import { OUTBOX, outbox, outboxId, receipt, refusal, toWallet, until } from './messages.ts'
import { PIN_NONCE_BYTES, type PinVault } from './pin-vault.ts'
import type { CppPolicy } from './policy.ts'
import {
  aliases,
  customers,
  directory,
  hosts,
  ledger,
  mandateUses,
  registrations,
  type AliasRow,
  type CustomerRow,
  type MandateUseRow,
  type RegistrationRow,
} from './state.ts'

type Ctx = Context<CppPolicy>

/** Order: certified by another processor or for another role → ENROLMENT_REFUSED; then the host may enrol customers. */
export const hostRegistration = on(
  (read, { message }: Incoming<'host-registration'>) => read.get(hosts, message.sender.id),
  (_before, { message, ref }, { self, nowMs }: Ctx): Decision => {
    const { chain, sender } = message
    if (chain?.processor.id !== self.id || chain.host?.role !== 'customer' || chain.host.id !== sender.id)
      return refuse('ENROLMENT_REFUSED', 'not a wallet host that this processor certified')
    return decision({
      writes: [put(hosts, keyOf(sender.id), { host: sender.id, keyId: sender.keyId, registeredAtMs: nowMs })],
      sends: [receipt(sender.id, toWallet(sender.id), message.digest, ref)],
      record: { event: 'host-registered', ids: [message.body.registrationId], fields: { host: sender.id } },
    })
  },
)

export const customerEnrolment = (vault: PinVault) =>
  on(
    (read, { message }: Incoming<'customer-enrolment'>) => loadEnrolment(read, message.sender.id, message.body),
    (slice, { message, ref }, context: Ctx): Decision => {
      const { body, sender, digest } = message
      const { customer, deviceKey, account, currency, mandate, alias } = body
      const { self, policy, nowMs } = context
      if (slice.host === undefined) return refuse('ENROLMENT_REFUSED', 'the wallet host is not registered here')
      if (policy.operatorAccounts[currency] === undefined)
        return refuse('ENROLMENT_REFUSED', `no account in ${currency}`)
      const known = slice.customer
      if (known !== undefined && !(known.walletHost === sender.id && equalBytes(known.deviceKey, deviceKey)))
        return refuse('NAME_TAKEN', 'customer')
      if (known?.state === 'closing' || known?.state === 'closed') return refuse('NAME_TAKEN', 'the account is closed')
      if (known !== undefined && known.state !== 'active') return refuse('BUSY', 'the enrolment is under way')
      // The same device again, under a new id: the answer to the first was lost.
      if (known?.record !== undefined)
        return decision({ sends: [enrolmentRecord(known, body.enrolmentId, known.record, ref)] })
      if (alias !== undefined && realmOf(alias) !== self.realm)
        return refuse('ENROLMENT_REFUSED', 'the alias is of another realm')
      if (slice.alias !== undefined && slice.alias.customer !== customer) return refuse('NAME_TAKEN', 'alias')
      if (slice.mandateUse !== undefined && slice.mandateUse.customer !== customer)
        return refuse('ENROLMENT_REFUSED', "the mandate is another customer's")
      const readable = readMandate(mandate, { account, currency, operatorId: self.operatorId, nowMs })
      if (!readable.ok) return refuse(readable.failure.code, readable.failure.detail)

      // From here on only the bank can refuse.
      const registrationId = context.freshId()
      const row: CustomerRow = {
        customer,
        state: 'mandating',
        walletHost: sender.id,
        deviceKey,
        sealedPinKey: vault.seal(customer, body.pinKey, context.freshBytes(PIN_NONCE_BYTES)),
        account,
        currency,
        wrongPins: 0,
        pinLockedAtMs: 0,
        enrolmentId: body.enrolmentId,
        enrolmentRef: ref,
        enrolmentDigest: digest,
        mandate,
        serial: 1,
        requestedAtMs: nowMs,
        enrolledAtMs: 0,
        ...(alias === undefined ? {} : { alias }),
      }
      const bank = bankOf(account)
      const aliasRow: AliasRow = { customer, version: 0, state: 'registering' }
      return combine(putCustomer(row), {
        writes: [
          put<RegistrationRow>(registrations, keyOf(registrationId), { purpose: 'mandate', subject: customer }),
          ...mandateUse(mandate).map((key) => put<MandateUseRow>(mandateUses, key, { customer })),
          ...(alias === undefined ? [] : [put(aliases, keyOf(alias), aliasRow)]),
        ],
        sends: [
          {
            kind: 'mandate-registration',
            to: bank,
            body: { registrationId, mandate },
            delivery: until(OUTBOX.mandate, registrationId),
          },
        ],
        record: { event: 'enrolment-started', ids: [body.enrolmentId], fields: { bank, currency } },
      })
    },
  )

/** Where it is kept whom a mandate enrolled. */
const mandateUse = (mandate: Uint8Array): readonly Uint8Array[] => {
  const key = mandateKey(mandate)
  return key === undefined ? [] : [key]
}

const mandateCodec = codecOf(MandateStatement)
/** Only the bank knows the holder's key and verifies the signature; here it is asked whether it says what is needed. */
const readMandate = (
  bytes: Uint8Array,
  need: {
    readonly account: string
    readonly currency: string
    readonly operatorId: string
    readonly nowMs: number
  },
): Result<void> => {
  const credential = parseCredential(bytes)
  if (!credential.ok) return fail('ENROLMENT_REFUSED', 'the mandate is not readable')
  const mandate = mandateCodec.decode(credential.value.payload)
  if (!mandate.ok) return fail('ENROLMENT_REFUSED', 'the mandate is not readable')
  const { account, currency, operatorId, notBeforeMs, notAfterMs } = mandate.value
  if (account !== need.account || currency !== need.currency || operatorId !== need.operatorId)
    return fail('ENROLMENT_REFUSED', 'the mandate is for another account, currency or operator')
  if (need.nowMs < notBeforeMs || need.nowMs > notAfterMs)
    return fail('ENROLMENT_REFUSED', 'the mandate is not valid now')
  return ok(undefined)
}

export const ISSUE_JOB = 'issue-enrolment'
/** What the record says of the customer. The PIN key stays sealed: the job's maker opens it. */
export type IssueInput = Pick<
  CustomerRow,
  'customer' | 'walletHost' | 'deviceKey' | 'sealedPinKey' | 'account' | 'currency' | 'serial'
>
/** The signed record; undefined when the device key is not sound, so that nothing was signed. */
export type IssueResult = Uint8Array | undefined

const issueJob = (row: CustomerRow): { readonly name: string; readonly input: IssueInput } => {
  const { customer, walletHost, deviceKey, sealedPinKey, account, currency, serial } = row
  return { name: ISSUE_JOB, input: { customer, walletHost, deviceKey, sealedPinKey, account, currency, serial } }
}

/** Jobs that a crash interrupted. */
export const interruptedIssuing = (read: Reader) =>
  [...read.scan(customers, [])].flatMap(([, row]) => (row.state === 'recording' ? [issueJob(row)] : []))

/** Order: registration known, answered by the account's bank, not answered before (NOT_FOUND); then the record is made, or the enrolment refused. */
export const mandateAnswer = on(
  (read, { message }: Incoming<'mandate-answer'>) => loadMandate(read, message.body.registrationId),
  (row, { message }, _context: Ctx): Decision => {
    const { registrationId, result, code } = message.body
    if (row === undefined || bankOf(row.account) !== message.sender.id) return refuse('NOT_FOUND', 'registration')
    return combineParts([
      { forget: [outbox(OUTBOX.mandate, registrationId)] },
      mandated(row, registrationId, result === 'accepted', failureCode(code ?? 0)),
    ])
  },
)

export const loadMandate = (read: Reader, registrationId: Uint8Array): CustomerRow | undefined => {
  const registration = read.get(registrations, registrationId)
  if (registration?.purpose !== 'mandate') return undefined
  const row = read.get(customers, registration.subject)
  return row?.state === 'mandating' ? row : undefined
}

/** The outcome of a mandate registration, or of a refusal that stands for one. */
export const mandated = (
  row: CustomerRow,
  registrationId: Uint8Array,
  accepted: boolean,
  code: FailureCode | undefined,
): Part => {
  const done: Part = { writes: [remove(registrations, keyOf(registrationId))] }
  if (accepted) {
    const recording: CustomerRow = { ...row, state: 'recording' }
    return combine(done, putCustomer(recording), { jobs: [issueJob(recording)] })
  }
  return combine(done, giveUp(row, `the bank refused the mandate: ${code ?? 'unknown'}`))
}

/** The name is free again, and the wallet host learns why. */
const giveUp = (row: CustomerRow, detail: string): Part => ({
  writes: [
    remove(customers, keyOf(row.customer)),
    ...mandateUse(row.mandate).map((key) => remove(mandateUses, key)),
    ...(row.alias === undefined ? [] : [remove(aliases, keyOf(row.alias))]),
  ],
  sends: [
    refusal(
      row.walletHost,
      toWallet(row.walletHost),
      { digest: row.enrolmentDigest, ref: row.enrolmentRef },
      'ENROLMENT_REFUSED',
      detail,
    ),
  ],
  record: { event: 'enrolment-refused', ids: [row.enrolmentId], level: 'warn', fields: { detail } },
})

export const enrolmentIssued = on(
  (read, { input }: JobEvent) => {
    const row = read.get(customers, (input as IssueInput).customer)
    const alias = row?.alias === undefined ? undefined : read.get(aliases, row.alias)
    return { row, alias }
  },
  ({ row, alias }, { result }, context: Ctx): Decision => {
    if (row?.state !== 'recording') return decision()
    const record = result as IssueResult
    if (record === undefined) return combineParts([giveUp(row, 'the device key is not sound')])
    const active: CustomerRow = { ...row, state: 'active', record, enrolledAtMs: context.nowMs }
    return combineParts([
      putCustomer(active),
      {
        writes: [put(ledger, keyOf(row.customer), newTotal(active))],
        sends: [enrolmentRecord(active, row.enrolmentId, record, row.enrolmentRef)],
        record: { event: 'customer-enrolled', ids: [row.enrolmentId] },
      },
      row.alias === undefined || alias === undefined ? {} : aliasRegistration(row.alias, alias, 'active', context),
    ])
  },
)

export const enrolmentRecord = (
  row: CustomerRow,
  enrolmentId: Uint8Array,
  record: Uint8Array,
  ref: Uint8Array,
): Message<'customer-enrolment-record'> => ({
  kind: 'customer-enrolment-record',
  to: row.customer,
  body: { enrolmentId, record },
  delivery: { answers: ref },
  nextHop: toWallet(row.walletHost),
})

/** What peers choose from. */
const ACCEPTS = acceptsOf('cpp')

/** Registers at every data-center host that does not hold this chain yet. `force`: also at those that do. */
export const registerProcessor = (read: Reader, chain: readonly Uint8Array[], context: Ctx, force = false): Part => {
  const digest = hash(...chain, ...ACCEPTS.map(({ kind, versions }) => Uint8Array.of(kind, ...versions)))
  return combine(
    ...context.policy.dataCenters.map((host): Part => {
      const row = read.get(directory, host)
      if (!force && row !== undefined && equalBytes(row.digest, digest)) return {}
      const registrationId = context.freshId()
      const version = (row?.version ?? 0) + 1
      const registration: RegistrationRow = { purpose: 'processor', subject: host }
      return {
        writes: [
          put(directory, keyOf(host), { registrationId, version, digest, registeredAtMs: 0 }),
          put(registrations, keyOf(registrationId), registration),
        ],
        forget: row === undefined ? [] : [outbox(OUTBOX.registration, row.registrationId)],
        sends: [
          {
            kind: 'processor-registration',
            to: host,
            body: { registrationId, version, chain: [...chain], accepts: ACCEPTS },
            delivery: until(OUTBOX.registration, registrationId),
            nextHop: { role: 'dc', host },
          },
        ],
      }
    }),
  )
}

/** Is this processor registered at every data-center host of its realm? */
export const isRegistered = (read: Reader, { policy }: Ctx): boolean =>
  policy.dataCenters.every((host) => (read.get(directory, host)?.registeredAtMs ?? 0) > 0)

/** A data center holds what was registered. */
export const registrationReceipted = (read: Reader, key: Uint8Array, { nowMs }: Ctx): Decision => {
  const registrationId = outboxId(key)
  const registration = read.get(registrations, registrationId)
  if (registration === undefined) return decision()
  const done = remove(registrations, keyOf(registrationId))
  const { purpose, subject } = registration
  if (purpose === 'processor') {
    const row = read.get(directory, subject)
    if (row === undefined || !equalBytes(row.registrationId, registrationId)) return decision({ writes: [done] })
    return decision({
      writes: [done, put(directory, keyOf(subject), { ...row, registeredAtMs: nowMs })],
      record: { event: 'processor-registered', ids: [registrationId], fields: { dataCenter: subject } },
    })
  }
  const alias = purpose === 'alias' ? read.get(aliases, subject) : undefined
  if (alias === undefined || alias.state === 'refused' || alias.state === 'retired') return decision({ writes: [done] })
  const active: AliasRow = { ...alias, state: 'active' }
  return decision({ writes: [done, put(aliases, keyOf(subject), active)] })
}

/** A data center refused a registration for good: visible in `report`, mended by the operator. */
export const registrationRefused = (read: Reader, key: Uint8Array, code: FailureCode, detail: string): Decision => {
  const registrationId = outboxId(key)
  const registration = read.get(registrations, registrationId)
  if (registration === undefined) return decision()
  const { purpose, subject } = registration
  const alias = purpose === 'alias' ? read.get(aliases, subject) : undefined
  const refused: AliasRow | undefined =
    alias === undefined || alias.state === 'retired' ? undefined : { ...alias, state: 'refused' }
  return decision({
    writes: [
      remove(registrations, keyOf(registrationId)),
      ...(refused === undefined ? [] : [put(aliases, keyOf(subject), refused)]),
    ],
    record: { event: 'registration-refused', ids: [registrationId], level: 'warn', fields: { purpose, code, detail } },
  })
}
