/**
 * What becomes of a customer's PIN and device after the enrolment (design §7 "PIN"): the PIN is changed by who knows the old one;
 * a device that is lost is blocked at once, and another takes its place by an authorization that an operator gave to the person
 * and the PIN. Invariant: debt, payments and suspension stay with the customer, whatever device they use.
 */
import { Value } from '@sinclair/typebox/value'
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import { NodeId, Optional, Type } from '../../protocol/fields.ts'
import { hash } from '../../protocol/hash.ts'
import { showId } from '../../protocol/ids.ts'
import { keyIdOf } from '../../protocol/keys.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { deviceReplacementSubject, pinChangeSubject } from '../../protocol/pin.ts'
import {
  decision,
  on,
  put,
  refuse,
  remove,
  type Context,
  type ControlEvent,
  type Decision,
  type Incoming,
  type JobEvent,
  type Reader,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { combineParts, putCustomer, type Part } from './account.ts'
import { enrolmentRecord, type IssueInput, type IssueResult } from './decide-enrolment.ts'
import { wrongPin } from './decide-request.ts'
import { receipt, refusal, toWallet } from './messages.ts'
import { PIN_NONCE_BYTES, type PinVault } from './pin-vault.ts'
import type { CppPolicy } from './policy.ts'
import {
  authorizations,
  customers,
  formerRecords,
  hosts,
  replacements,
  type CustomerRow,
  type ReplacementRow,
} from './state.ts'

type Ctx = Context<CppPolicy>

const active = (read: Reader, customer: string): CustomerRow | undefined => {
  const row = read.get(customers, customer)
  return row?.state === 'active' ? row : undefined
}

/** A wrong PIN is counted also where nothing is paid, or a change would be the way to guess it. */
const wrong = (customer: CustomerRow, context: Ctx): Decision =>
  combineParts([putCustomer(wrongPin(customer, context)), refuse('WRONG_PIN')])

/** Order: CUSTOMER_UNKNOWN, PIN_LOCKED, WRONG_PIN; then the new key is kept. */
export const pinChange = (vault: PinVault) =>
  on(
    (read, { message }: Incoming<'pin-change'>) => active(read, message.sender.id),
    (customer, { message, ref }, context: Ctx): Decision => {
      const { changeId, pinKey, pinProof } = message.body
      if (customer === undefined) return refuse('CUSTOMER_UNKNOWN')
      if (customer.pinLockedAtMs !== 0) return refuse('PIN_LOCKED')
      const { customer: id, walletHost, sealedPinKey } = customer
      if (!vault.isProof(id, sealedPinKey, pinChangeSubject(pinKey), changeId, pinProof))
        return wrong(customer, context)
      return combineParts([
        putCustomer({
          ...customer,
          wrongPins: 0,
          sealedPinKey: vault.seal(id, pinKey, context.freshBytes(PIN_NONCE_BYTES)),
        }),
        {
          sends: [receipt(walletHost, toWallet(walletHost), message.digest, ref)],
          record: { event: 'pin-changed', ids: [changeId] },
        },
      ])
    },
  )

export const AUTHORIZE_JOB = 'authorize-device'
export type AuthorizeInput = {
  readonly authorizationId: Uint8Array
  readonly customer: string
  readonly host: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
}
/** The signed statement. */
export type AuthorizeResult = Uint8Array

const topicOf = (authorizationId: Uint8Array): string => `authorization:${showId(authorizationId)}`
const AuthorizeArguments = Type.Object(
  { customer: NodeId, host: NodeId, lifetimeMs: Optional(Type.Integer({ minimum: 1 })) },
  { additionalProperties: false },
)
const no = (code: string, detail: string): Decision => decision({ reply: { ok: false, code, detail } })

/**
 * `authorize-device {customer, host, lifetimeMs?}`, by an operator who knows who stands before them. From now on the lost device is
 * not believed; the answer is the statement to give to the person. A later one voids the earlier. SCHEMA_VIOLATION,
 * CUSTOMER_UNKNOWN, NOT_FOUND for a wallet host that is not registered here.
 */
export const authorizeDevice = on(
  (read, { args }: ControlEvent) => {
    const fits = Value.Check(AuthorizeArguments, args)
    return fits
      ? { args, customer: active(read, args.customer), host: read.get(hosts, args.host) }
      : { args: undefined, customer: undefined, host: undefined }
  },
  ({ args, customer, host }, _event, context: Ctx): Decision => {
    if (args === undefined) return no('SCHEMA_VIOLATION', 'customer, host, and lifetimeMs as a whole number if given')
    if (customer === undefined) return no('CUSTOMER_UNKNOWN', args.customer)
    if (host === undefined) return no('NOT_FOUND', `no wallet host ${args.host} is registered here`)
    const { nowMs } = context
    const lifetimeMs = Math.min(args.lifetimeMs ?? LIMITS.maxDeviceAuthorizationMs, LIMITS.maxDeviceAuthorizationMs)
    const authorizationId = context.freshId()
    const input: AuthorizeInput = {
      authorizationId,
      customer: args.customer,
      host: args.host,
      notBeforeMs: nowMs,
      notAfterMs: nowMs + lifetimeMs,
    }
    return combineParts([
      putCustomer({ ...customer, deviceLostAtMs: customer.deviceLostAtMs ?? nowMs }),
      {
        jobs: [{ name: AUTHORIZE_JOB, input }],
        replyOn: topicOf(authorizationId),
        record: { event: 'device-blocked', ids: [customer.enrolmentId], level: 'warn' },
      },
    ])
  },
)

export const deviceAuthorized = (_read: Reader, { input, result }: JobEvent): Decision => {
  const { authorizationId, customer, host, notAfterMs } = input as AuthorizeInput
  const authorization = result as AuthorizeResult
  return decision({
    writes: [
      put(authorizations, keyOf(customer), {
        digest: hash(authorization),
        host,
        expiresAtMs: notAfterMs,
        usedAtMs: 0,
      }),
    ],
    announce: [
      {
        topic: topicOf(authorizationId),
        value: { ok: true, customer, host, authorization: toHex(authorization), expiresAtMs: notAfterMs },
      },
    ],
    record: { event: 'device-authorized', ids: [authorizationId], fields: { host } },
  })
}

export const REPLACE_JOB = 'issue-replacement'

const replaceJob = (customer: CustomerRow, { deviceKey, host }: ReplacementRow) => {
  const { customer: id, sealedPinKey, account, currency, serial } = customer
  const input: IssueInput = {
    customer: id,
    walletHost: host,
    deviceKey,
    sealedPinKey,
    account,
    currency,
    serial: serial + 1,
  }
  return { name: REPLACE_JOB, input }
}

/** Jobs that a crash interrupted. */
export const interruptedReplacing = (read: Reader) =>
  [...read.scan(replacements, [])].flatMap(([, row]) => {
    const customer = active(read, row.customer)
    return customer === undefined ? [] : [replaceJob(customer, row)]
  })

/** Order as SPEC 34.R1; then the record is signed, and with it the new device takes the old one's place. */
export const deviceReplacement = (vault: PinVault) =>
  on(
    (read, { message }: Incoming<'device-replacement'>) => ({
      host: read.get(hosts, message.sender.id),
      customer: active(read, message.body.customer),
      authorization: read.get(authorizations, message.body.customer),
      running: read.get(replacements, message.body.customer),
    }),
    ({ host, customer, authorization: held, running }, { message, ref }, context: Ctx): Decision => {
      const { body, sender, digest } = message
      const { changeId, deviceKey, pinProof, authorization } = body
      if (host === undefined) return refuse('ENROLMENT_REFUSED', 'the wallet host is not registered here')
      if (customer === undefined) return refuse('CUSTOMER_UNKNOWN')
      if (
        held === undefined ||
        !equalBytes(held.digest, hash(authorization)) ||
        held.host !== sender.id ||
        held.usedAtMs !== 0 ||
        context.nowMs > held.expiresAtMs
      )
        return refuse('ENROLMENT_REFUSED', 'no authorization that is in force for this host')
      if (customer.pinLockedAtMs !== 0) return refuse('PIN_LOCKED')
      const subject = deviceReplacementSubject(deviceKey, authorization)
      if (!vault.isProof(body.customer, customer.sealedPinKey, subject, changeId, pinProof))
        return wrong(customer, context)
      if (running !== undefined) return refuse('BUSY', 'a replacement is under way')

      const row: ReplacementRow = { customer: body.customer, changeId, ref, digest, deviceKey, host: sender.id }
      return combineParts([
        putCustomer({ ...customer, wrongPins: 0 }),
        {
          writes: [
            put(replacements, keyOf(body.customer), row),
            put(authorizations, keyOf(body.customer), { ...held, usedAtMs: context.nowMs }),
          ],
          jobs: [replaceJob(customer, row)],
          record: { event: 'device-replacement-started', ids: [changeId] },
        },
      ])
    },
  )

export const deviceReplaced = on(
  (read, { input }: JobEvent) => {
    const { customer: id } = input as IssueInput
    return {
      customer: active(read, id),
      replacement: read.get(replacements, id),
      authorization: read.get(authorizations, id),
    }
  },
  ({ customer, replacement, authorization }, { result }, _context: Ctx): Decision => {
    if (customer === undefined || replacement === undefined) return decision()
    const { customer: id, changeId, ref, digest, deviceKey, host } = replacement
    const done: Part = { writes: [remove(replacements, keyOf(id))] }
    const record = result as IssueResult
    if (record === undefined)
      return combineParts([
        done,
        {
          // Nothing was replaced: the authorization is good for a device with a sound key.
          writes:
            authorization === undefined ? [] : [put(authorizations, keyOf(id), { ...authorization, usedAtMs: 0 })],
          sends: [refusal(host, toWallet(host), { digest, ref }, 'ENROLMENT_REFUSED', 'the device key is not sound')],
          record: { event: 'device-replacement-refused', ids: [changeId], level: 'warn' },
        },
      ])
    const { deviceLostAtMs: _, ...kept } = customer
    const replaced: CustomerRow = {
      ...kept,
      deviceKey,
      walletHost: host,
      serial: customer.serial + 1,
      record,
      enrolmentId: changeId,
      enrolmentRef: ref,
      enrolmentDigest: digest,
    }
    return combineParts([
      done,
      putCustomer(replaced),
      {
        writes:
          customer.record === undefined
            ? []
            : [put(formerRecords, keyOf(id, keyIdOf('ed25519', customer.deviceKey)), { record: customer.record })],
        sends: [enrolmentRecord(replaced, changeId, record, ref)],
        record: { event: 'device-replaced', ids: [changeId], fields: { host } },
      },
    ])
  },
)
