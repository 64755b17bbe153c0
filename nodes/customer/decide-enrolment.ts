/**
 * The customers of a wallet host and their PINs. Invariant: a device key's seed is a row of one table that only the keyring
 * reads, a PIN key is in the vault's memory or, once, in the encrypted enrolment; no reply, record or announcement holds either.
 */
import type { Currency } from '../../protocol/amount.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import type { FailureCode, Result } from '../../protocol/failures.ts'
import { ok } from '../../protocol/failures.ts'
import { AccountId, CurrencyCode, Fields, NodeId, Optional } from '../../protocol/fields.ts'
import {
  combine,
  decision,
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
import { bytesOf, BytesArgument, PinArgument, readArguments, replyRefused } from './arguments.ts'
import type { HostChains } from './host-registration.ts'
import type { WalletPolicy } from './policy.ts'
import {
  aliases,
  customers,
  deviceSeeds,
  enrolmentIds,
  enrolments,
  enrolmentTopic,
  outbox,
  type Customer,
  type Enrolment,
  type EnrolmentPointer,
} from './state.ts'
import type { Vault } from './vault.ts'

type Ctx = Context<WalletPolicy>

type EnrolArguments = {
  readonly customer: string
  readonly cpp: string
  readonly account: string
  readonly currency: Currency
  readonly mandate: Uint8Array
  readonly pin: string
  readonly alias?: string
}
const EnrolShape = Fields({
  customer: NodeId,
  cpp: NodeId,
  account: AccountId,
  currency: CurrencyCode,
  mandate: BytesArgument,
  pin: PinArgument,
  alias: Optional(NodeId),
})
export type EnrolSlice = {
  readonly args: Result<EnrolArguments>
  readonly customer: Customer | undefined
  readonly enrolment: Enrolment | undefined
  readonly aliasOwner: EnrolmentPointer | undefined
}
export const loadEnrol = (read: Reader, { args }: ControlEvent): EnrolSlice => {
  const shape = readArguments(EnrolShape, args)
  if (!shape.ok) return { args: shape, customer: undefined, enrolment: undefined, aliasOwner: undefined }
  const { customer, cpp, alias } = shape.value
  return {
    args: ok({ ...shape.value, mandate: bytesOf(shape.value.mandate) }),
    customer: read.get(customers, customer),
    enrolment: read.get(enrolments, customer, cpp),
    aliasOwner: alias === undefined ? undefined : read.get(aliases, alias),
  }
}

/** Input of the scrypt job. The PIN goes from the control socket into this and nowhere else. */
export type PinInput = {
  readonly purpose: 'enrol' | 'unlock'
  readonly customer: string
  readonly cpp: string
  readonly pin: string
  readonly topic: string
}
export type PinResult = { readonly ok: boolean }

/** `derive-pin-key`: the key goes into the vault; the event that comes back does not hold it. */
export const pinJobs = (vault: Vault, derive: (pin: string, customer: string, cpp: string) => Promise<Uint8Array>) => ({
  'derive-pin-key': async (input: unknown): Promise<PinResult> => {
    const { pin, customer, cpp } = input as PinInput
    try {
      vault.put(customer, cpp, await derive(pin, customer, cpp))
      return { ok: true }
    } catch {
      // Not the error: its text could hold what was derived from.
      return { ok: false }
    }
  },
})

/**
 * `enrol`. Checks, in order: arguments (SCHEMA_VIOLATION), a CPP that certified this host (ENROLMENT_REFUSED), not enrolled there
 * with other data, a device now lost or an account now closed (NAME_TAKEN), the alias free (NAME_TAKEN). Enrolled already with the same data: answered at once. Otherwise the
 * PIN key is derived, then the enrolment sent; answered by the CPP's record.
 */
export const decideEnrol =
  (chains: () => HostChains, publicKeyOf: (seed: Uint8Array) => Uint8Array) =>
  ({ args, customer, enrolment, aliasOwner }: EnrolSlice, _: unknown, context: Ctx): Decision => {
    if (!args.ok) return replyRefused(args.failure.code, args.failure.detail)
    const { customer: id, cpp, account, currency, mandate, pin, alias } = args.value
    if (!chains().has(cpp)) return replyRefused('ENROLMENT_REFUSED', 'this CPP has not certified this host')
    if (enrolment?.state === 'lost')
      return replyRefused('NAME_TAKEN', 'the device of this enrolment is lost: replace it')
    if (enrolment?.state === 'closed') return replyRefused('NAME_TAKEN', 'the account at this CPP is closed')
    if (enrolment !== undefined && (enrolment.state === 'enrolled' || enrolment.state === 'enrolling')) {
      const same = enrolment.account === account && enrolment.currency === currency && enrolment.alias === alias
      if (!same) return replyRefused('NAME_TAKEN', 'the customer is enrolled there with other data')
      if (enrolment.state === 'enrolling') return decision({ replyOn: enrolmentTopic(enrolment.enrolmentId) })
      return decision({ reply: enrolledReply(enrolment) })
    }
    if (aliasOwner !== undefined && (aliasOwner.customer !== id || aliasOwner.cpp !== cpp))
      return replyRefused('NAME_TAKEN', "the alias is another customer's")
    // Nothing can fail from here on.
    const row: Enrolment = {
      enrolmentId: context.freshId(),
      customer: id,
      cpp,
      account,
      currency,
      mandate,
      ...(alias === undefined ? {} : { alias }),
      state: 'deriving',
      startedAtMs: context.nowMs,
    }
    const topic = enrolmentTopic(row.enrolmentId)
    return decision(
      combine(customer === undefined ? newDevice(id, publicKeyOf, context) : {}, {
        writes: [
          put(enrolments, keyOf(id, cpp), row),
          put(enrolmentIds, keyOf(row.enrolmentId), { customer: id, cpp }),
          ...(enrolment === undefined ? [] : [remove(enrolmentIds, keyOf(enrolment.enrolmentId))]),
          ...(alias === undefined ? [] : [put(aliases, keyOf(alias), { customer: id, cpp })]),
        ],
        jobs: [
          { name: 'derive-pin-key', input: { purpose: 'enrol', customer: id, cpp, pin, topic } satisfies PinInput },
        ],
        replyOn: topic,
        record: { event: 'enrolment-started', ids: [row.enrolmentId] },
      }),
    )
  }

/** A new device key for a customer, in place of a lost one if there was one. */
export const newDevice = (
  customer: string,
  publicKeyOf: (seed: Uint8Array) => Uint8Array,
  context: Ctx,
): Partial<Decision> => {
  const seed = context.freshBytes(32)
  return {
    writes: [
      put(deviceSeeds, keyOf(customer), { seed }),
      put(customers, keyOf(customer), { customer, deviceKey: publicKeyOf(seed), createdAtMs: context.nowMs }),
    ],
  }
}

const enrolledReply = ({ enrolmentId, customer, cpp, account, currency, alias }: Enrolment) => ({
  ok: true,
  enrolmentId,
  customer,
  cpp,
  account,
  currency,
  ...(alias === undefined ? {} : { alias }),
})

const UnlockShape = Fields({ customer: NodeId, cpp: NodeId, pin: PinArgument })
type UnlockArguments = { readonly customer: string; readonly cpp: string; readonly pin: string }
export type UnlockSlice = { readonly args: Result<UnlockArguments>; readonly enrolment: Enrolment | undefined }
export const loadUnlock = (read: Reader, { args }: ControlEvent): UnlockSlice => {
  const shape = readArguments(UnlockShape, args)
  return shape.ok
    ? { args: shape, enrolment: read.get(enrolments, shape.value.customer, shape.value.cpp) }
    : { args: shape, enrolment: undefined }
}

/** `unlock`. Checks, in order: arguments (SCHEMA_VIOLATION), enrolled there (CUSTOMER_UNKNOWN). Whether the PIN is right, the CPP says at a payment. */
export const decideUnlock = ({ args, enrolment }: UnlockSlice, _: unknown, context: Ctx): Decision => {
  if (!args.ok) return replyRefused(args.failure.code, args.failure.detail)
  if (enrolment?.state !== 'enrolled') return replyRefused('CUSTOMER_UNKNOWN', 'not enrolled at this CPP')
  const { customer, cpp, pin } = args.value
  const topic = `unlock:${context.freshBytes(16).join('.')}`
  return decision({
    jobs: [{ name: 'derive-pin-key', input: { purpose: 'unlock', customer, cpp, pin, topic } satisfies PinInput }],
    replyOn: topic,
  })
}

export type PinDerivedSlice = {
  readonly pinKey: Uint8Array | undefined
  readonly enrolment: Enrolment | undefined
  readonly customer: Customer | undefined
}
export const loadPinDerived =
  (vault: Vault) =>
  (read: Reader, { input }: JobEvent): PinDerivedSlice => {
    const { customer, cpp } = input as PinInput
    return {
      pinKey: vault.get(customer, cpp),
      enrolment: read.get(enrolments, customer, cpp),
      customer: read.get(customers, customer),
    }
  }

/** The key is in the vault: an unlock is done, an enrolment goes to the CPP. */
export const decidePinDerived = (
  { pinKey, enrolment, customer }: PinDerivedSlice,
  { input, result }: JobEvent,
  { nowMs }: Ctx,
): Decision => {
  const { purpose, topic } = input as PinInput
  const derived = (result as PinResult).ok && pinKey !== undefined
  if (purpose === 'unlock')
    return decision({
      announce: [
        {
          topic,
          value: derived
            ? { ok: true, state: 'unlocked' }
            : { ok: false, code: 'WRONG_PIN', detail: 'no key could be derived' },
        },
      ],
    })
  // A second `enrol` may have started over: its own job goes on.
  if (
    enrolment === undefined ||
    customer === undefined ||
    enrolment.state !== 'deriving' ||
    enrolmentTopic(enrolment.enrolmentId) !== topic
  )
    return decision()
  if (!derived || pinKey === undefined)
    return enrolmentRefused(enrolment, 'WRONG_PIN', 'no key could be derived', nowMs)
  const { enrolmentId, account, currency, mandate, alias } = enrolment
  return decision({
    writes: [
      put(enrolments, keyOf(enrolment.customer, enrolment.cpp), { ...enrolment, state: 'enrolling', sentAtMs: nowMs }),
    ],
    sends: [
      {
        kind: 'customer-enrolment',
        to: enrolment.cpp,
        body: {
          enrolmentId,
          customer: enrolment.customer,
          deviceKey: customer.deviceKey,
          pinKey,
          account,
          currency,
          mandate,
          ...(alias === undefined ? {} : { alias }),
        },
        delivery: { until: outbox.enrolment(enrolmentId) },
      },
    ],
    record: { event: 'enrolment-sent', ids: [enrolmentId] },
  })
}

const enrolmentRefused = (enrolment: Enrolment, code: FailureCode, detail: string, nowMs: number): Decision =>
  decision({
    writes: [
      put(enrolments, keyOf(enrolment.customer, enrolment.cpp), {
        ...enrolment,
        state: 'refused',
        code,
        detail,
        decidedAtMs: nowMs,
      }),
      ...(enrolment.alias === undefined ? [] : [remove(aliases, keyOf(enrolment.alias))]),
    ],
    forget: [outbox.enrolment(enrolment.enrolmentId)],
    announce: [{ topic: enrolmentTopic(enrolment.enrolmentId), value: { ok: false, code, detail } }],
    record: { event: 'enrolment-refused', ids: [enrolment.enrolmentId], level: 'warn', fields: { code } },
  })

/** What an enrolment record says, its signature being the frame's; undefined when it is none. */
export type ReadEnrolment = (record: Uint8Array) =>
  | {
      readonly customer: string
      readonly host: string
      readonly deviceKey: Uint8Array
      readonly account: string
      readonly currency: Currency
    }
  | undefined

export type EnrolmentSlice = { readonly enrolment: Enrolment | undefined; readonly customer: Customer | undefined }
export const loadEnrolmentById = (read: Reader, enrolmentId: Uint8Array): EnrolmentSlice => {
  const pointer = read.get(enrolmentIds, enrolmentId)
  return pointer === undefined
    ? { enrolment: undefined, customer: undefined }
    : {
        enrolment: read.get(enrolments, pointer.customer, pointer.cpp),
        customer: read.get(customers, pointer.customer),
      }
}

/**
 * Checks, in order: the enrolment is this CPP's (NOT_FOUND), it waits (else dropped), the record says what was asked for
 * (ENROLMENT_REFUSED: device key, account and host are what later disputes turn on).
 */
export const decideEnrolmentRecord =
  (readEnrolment: ReadEnrolment) =>
  (
    { enrolment, customer }: EnrolmentSlice,
    { message }: Incoming<'customer-enrolment-record'>,
    { self, nowMs }: Ctx,
  ): Decision => {
    if (enrolment === undefined || customer === undefined || message.sender.id !== enrolment.cpp)
      return refuse('NOT_FOUND')
    if (enrolment.state !== 'enrolling') return decision()
    const said = readEnrolment(message.body.record)
    const agrees =
      said !== undefined &&
      said.customer === enrolment.customer &&
      said.host === self.id &&
      equalBytes(said.deviceKey, customer.deviceKey) &&
      said.account === enrolment.account &&
      said.currency === enrolment.currency
    if (!agrees) return refuse('ENROLMENT_REFUSED', 'the record does not say what was enrolled')
    const row: Enrolment = { ...enrolment, state: 'enrolled', record: message.body.record, decidedAtMs: nowMs }
    return decision({
      writes: [put(enrolments, keyOf(row.customer, row.cpp), row)],
      forget: [outbox.enrolment(row.enrolmentId)],
      announce: [{ topic: enrolmentTopic(row.enrolmentId), value: enrolledReply(row) }],
      record: { event: 'customer-enrolled', ids: [row.enrolmentId], fields: { cpp: row.cpp } },
    })
  }

export const decideEnrolmentRefused = (
  { enrolment }: EnrolmentSlice,
  refused: { readonly code: FailureCode; readonly detail: string; readonly by: string },
  { nowMs }: Ctx,
): Decision =>
  enrolment === undefined || enrolment.state !== 'enrolling' || refused.by !== enrolment.cpp
    ? decision()
    : enrolmentRefused(enrolment, refused.code, refused.detail, nowMs)
