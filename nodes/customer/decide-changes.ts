/**
 * What becomes of a PIN and a device after the enrolment. A PIN is changed by who knows the old one, while no payment made with it
 * is undecided; a device that is lost is forgotten, and a new one made with an authorization of the CPP and the PIN. Invariant:
 * old and new PIN keys are in the vault's memory or, the new one, once in the encrypted change; no reply, row or record holds one.
 */
import { equalBytes } from '../../protocol/bytes.ts'
import type { FailureCode, Result } from '../../protocol/failures.ts'
import { ok } from '../../protocol/failures.ts'
import { Fields, NodeId, Optional } from '../../protocol/fields.ts'
import { showId } from '../../protocol/ids.ts'
import { accountClosureSubject, deviceReplacementSubject, pinChangeSubject, pinProof } from '../../protocol/pin.ts'
import {
  combine,
  decision,
  put,
  remove,
  refuse,
  type Context,
  type ControlEvent,
  type Decision,
  type Incoming,
  type JobEvent,
  type Reader,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { bytesOf, BytesArgument, PinArgument, readArguments, replyRefused } from './arguments.ts'
import { newDevice, type ReadEnrolment } from './decide-enrolment.ts'
import type { HostChains } from './host-registration.ts'
import type { WalletPolicy } from './policy.ts'
import {
  aliases,
  changes,
  changeTopic,
  customers,
  deviceSeeds,
  enrolmentIds,
  enrolments,
  latestChanges,
  outbox,
  payments,
  unfinished,
  type Change,
  type Customer,
  type Enrolment,
  type EnrolmentPointer,
} from './state.ts'
import type { Vault } from './vault.ts'

type Ctx = Context<WalletPolicy>

/** Inputs of jobs. A PIN goes from the control socket into one of these and nowhere else. */
export type ChangeKeysInput = {
  readonly changeId: string
  readonly customer: string
  readonly cpp: string
  readonly pin: string
  /** Of a PIN change. */
  readonly newPin?: string
}
export type ChangeKeysResult = { readonly ok: boolean }
type ReleaseInput = {
  readonly changeId: string
  readonly customer: string
  readonly cpp: string
  readonly adopted: boolean
}

export const changeJobs = (
  vault: Vault,
  derive: (pin: string, customer: string, cpp: string) => Promise<Uint8Array>,
) => ({
  'derive-change-keys': async (input: unknown): Promise<ChangeKeysResult> => {
    const { changeId, customer, cpp, pin, newPin } = input as ChangeKeysInput
    try {
      const current = await derive(pin, customer, cpp)
      vault.hold(changeId, { current, next: newPin === undefined ? current : await derive(newPin, customer, cpp) })
      return { ok: true }
    } catch {
      // Not the error: its text could hold what was derived from.
      return { ok: false }
    }
  },
  'release-change-keys': async (input: unknown): Promise<null> => {
    const { changeId, adopted, ...wallet } = input as ReleaseInput
    vault.release(changeId, wallet, adopted)
    return null
  },
  'lock-wallet': async (input: unknown): Promise<null> => {
    vault.forget((input as { readonly customer: string }).customer)
    return null
  },
})

/** The change under way at this CPP. */
export const runningChange = (read: Reader, customer: string, cpp: string): Change | undefined => {
  const latest = read.get(latestChanges, customer, cpp)
  const change = latest === undefined ? undefined : read.get(changes, latest.changeId)
  return change?.state === 'sent' ? change : undefined
}

export const begin = (change: Change, keys: Pick<ChangeKeysInput, 'pin' | 'newPin'>): Decision => {
  const { changeId, customer, cpp, kind } = change
  const input: ChangeKeysInput = { changeId: showId(changeId), customer, cpp, ...keys }
  return decision({
    writes: [put(changes, keyOf(changeId), change), put(latestChanges, keyOf(customer, cpp), { changeId })],
    jobs: [{ name: 'derive-change-keys', input }],
    replyOn: changeTopic(changeId),
    record: { event: `${kind}-change-started`, ids: [changeId] },
  })
}

/** Is a payment of this customer at this CPP under way? */
export const isPaying = (read: Reader, customer: string, cpp: string): boolean => {
  for (const [, { prId }] of read.scan(unfinished, [])) {
    const payment = read.get(payments, prId)
    if (payment?.state === 'requested' && payment.customer === customer && payment.cpp === cpp) return true
  }
  return false
}

const ChangePinShape = Fields({ customer: NodeId, cpp: NodeId, pin: PinArgument, newPin: PinArgument })
type ChangePinArguments = {
  readonly customer: string
  readonly cpp: string
  readonly pin: string
  readonly newPin: string
}
/** What an order to change something at a CPP meets at the wallet. */
export type ChangeOrderSlice<Arguments> = {
  readonly args: Result<Arguments>
  readonly enrolment: Enrolment | undefined
  readonly running: Change | undefined
  /** A payment of this customer at this CPP is under way. */
  readonly paying: boolean
}
export const loadChangeOrder = <Arguments extends { readonly customer: string; readonly cpp: string }>(
  read: Reader,
  args: Result<Arguments>,
): ChangeOrderSlice<Arguments> => {
  if (!args.ok) return { args, enrolment: undefined, running: undefined, paying: false }
  const { customer, cpp } = args.value
  return {
    args,
    enrolment: read.get(enrolments, customer, cpp),
    running: runningChange(read, customer, cpp),
    paying: isPaying(read, customer, cpp),
  }
}
export const loadChangePin = (read: Reader, { args }: ControlEvent): ChangeOrderSlice<ChangePinArguments> =>
  loadChangeOrder(read, readArguments(ChangePinShape, args))

/** `change-pin`. SCHEMA_VIOLATION, CUSTOMER_UNKNOWN, UNDECIDED while a payment or another change is; then as the CPP answers. */
export const decideChangePin = (
  { args, enrolment, running, paying }: ChangeOrderSlice<ChangePinArguments>,
  _: unknown,
  { freshId, nowMs }: Ctx,
): Decision => {
  if (!args.ok) return replyRefused(args.failure.code, args.failure.detail)
  if (enrolment?.state !== 'enrolled') return replyRefused('CUSTOMER_UNKNOWN', 'not enrolled at this CPP')
  if (running !== undefined) return replyRefused('UNDECIDED', 'another change is under way')
  if (paying) return replyRefused('UNDECIDED', 'a payment made with the old PIN is under way')
  const { customer, cpp, pin, newPin } = args.value
  return begin(
    { changeId: freshId(), kind: 'pin', customer, cpp, state: 'deriving', startedAtMs: nowMs },
    { pin, newPin },
  )
}

const ForgetShape = Fields({ customer: NodeId })
export type ForgetDeviceSlice = {
  readonly args: Result<{ readonly customer: string }>
  readonly customer: Customer | undefined
  readonly enrolments: readonly Enrolment[]
  /** Begun under the key that is lost, and not ended. */
  readonly running: readonly Change[]
}
export const loadForgetDevice = (read: Reader, { args }: ControlEvent): ForgetDeviceSlice => {
  const shape = readArguments(ForgetShape, args)
  if (!shape.ok) return { args: shape, customer: undefined, enrolments: [], running: [] }
  const { customer } = shape.value
  return {
    args: shape,
    customer: read.get(customers, customer),
    enrolments: [...read.scan(enrolments, [customer])].map(([, row]) => row),
    running: [...read.scan(latestChanges, [customer])]
      .flatMap(([, { changeId }]) => read.get(changes, changeId) ?? [])
      .filter(({ kind, state }) => kind !== 'device' && (state === 'deriving' || state === 'sent')),
  }
}

/**
 * `forget-device`: the device is lost. Its key is removed, its wallets are locked; payments that it had asked for go on. A change of
 * a PIN, or a closure, can not be asked for any more without its key: it ends here, and whether the CPP has made it, the CPP
 * says. CUSTOMER_UNKNOWN.
 */
export const decideForgetDevice = (
  { args, customer, enrolments: held, running }: ForgetDeviceSlice,
  _: unknown,
  context: Ctx,
): Decision => {
  if (!args.ok) return replyRefused(args.failure.code, args.failure.detail)
  if (customer === undefined) return replyRefused('CUSTOMER_UNKNOWN', 'no such customer on this host')
  const lost = held.filter(({ state }) => state === 'enrolled')
  const cutShort = running.map((change) => changeRefused(change, 'UNDECIDED', 'the device is lost', context))
  return combine(...cutShort, {
    writes: [
      remove(deviceSeeds, keyOf(customer.customer)),
      ...lost.map((row) => put(enrolments, keyOf(row.customer, row.cpp), { ...row, state: 'lost' as const })),
    ],
    jobs: [{ name: 'lock-wallet', input: { customer: customer.customer } }],
    reply: { ok: true, customer: customer.customer, lostAt: lost.map(({ cpp }) => cpp) },
    record: { event: 'device-forgotten', ids: lost.map(({ enrolmentId }) => enrolmentId), level: 'warn' },
  })
}

const ReplaceShape = Fields({
  customer: NodeId,
  cpp: NodeId,
  pin: PinArgument,
  authorization: BytesArgument,
  alias: Optional(NodeId),
})
type ReplaceArguments = {
  readonly customer: string
  readonly cpp: string
  readonly pin: string
  readonly authorization: Uint8Array
  readonly alias?: string
}
export type ReplaceDeviceSlice = {
  readonly args: Result<ReplaceArguments>
  readonly customer: Customer | undefined
  readonly hasDevice: boolean
  readonly enrolment: Enrolment | undefined
  readonly running: Change | undefined
  readonly aliasOwner: EnrolmentPointer | undefined
}
export const loadReplaceDevice = (read: Reader, { args }: ControlEvent): ReplaceDeviceSlice => {
  const shape = readArguments(ReplaceShape, args)
  const nothing = {
    customer: undefined,
    hasDevice: false,
    enrolment: undefined,
    running: undefined,
    aliasOwner: undefined,
  }
  if (!shape.ok) return { args: shape, ...nothing }
  const { customer, cpp, alias } = shape.value
  return {
    args: ok({ ...shape.value, authorization: bytesOf(shape.value.authorization) }),
    customer: read.get(customers, customer),
    hasDevice: read.get(deviceSeeds, customer) !== undefined,
    enrolment: read.get(enrolments, customer, cpp),
    running: runningChange(read, customer, cpp),
    aliasOwner: alias === undefined ? undefined : read.get(aliases, alias),
  }
}

/**
 * `replace-device`, on the host that carries the new device: the same as before, or another. SCHEMA_VIOLATION, ENROLMENT_REFUSED (no
 * CPP of this host), NAME_TAKEN (the customer's device here works, or the alias is another's), UNDECIDED; then as the CPP answers.
 */
export const decideReplaceDevice =
  (chains: () => HostChains, publicKeyOf: (seed: Uint8Array) => Uint8Array) =>
  ({ args, hasDevice, enrolment, running, aliasOwner }: ReplaceDeviceSlice, _: unknown, context: Ctx): Decision => {
    if (!args.ok) return replyRefused(args.failure.code, args.failure.detail)
    const { customer, cpp, pin, authorization, alias } = args.value
    if (!chains().has(cpp)) return replyRefused('ENROLMENT_REFUSED', 'this CPP has not certified this host')
    if (enrolment !== undefined && enrolment.state !== 'lost' && enrolment.state !== 'refused')
      return replyRefused('NAME_TAKEN', 'the customer has a device here that is not lost')
    if (running !== undefined) return replyRefused('UNDECIDED', 'another change is under way')
    if (aliasOwner !== undefined && (aliasOwner.customer !== customer || aliasOwner.cpp !== cpp))
      return replyRefused('NAME_TAKEN', "the alias is another customer's")
    const change: Change = {
      changeId: context.freshId(),
      kind: 'device',
      customer,
      cpp,
      state: 'deriving',
      authorization,
      startedAtMs: context.nowMs,
      ...(alias === undefined ? {} : { alias }),
    }
    return combine(hasDevice ? {} : newDevice(customer, publicKeyOf, context), begin(change, { pin }))
  }

export type ChangeSlice = {
  readonly change: Change | undefined
  readonly customer: Customer | undefined
  readonly keys: ReturnType<Vault['held']>
}
export const loadChange =
  (vault: Vault) =>
  (read: Reader, changeId: Uint8Array): ChangeSlice => {
    const change = read.get(changes, changeId)
    return {
      change,
      customer: change === undefined ? undefined : read.get(customers, change.customer),
      keys: vault.held(showId(changeId)),
    }
  }

/** The keys are in the vault: the change goes to the CPP. */
export const decideChangeKeys = (
  { change, customer, keys }: ChangeSlice,
  { result }: JobEvent,
  context: Ctx,
): Decision => {
  if (change?.state !== 'deriving' || customer === undefined) return decision()
  if (!(result as ChangeKeysResult).ok || keys === undefined)
    return changeRefused(change, 'WRONG_PIN', 'no key could be derived', context)
  const { changeId, cpp } = change
  const sent = put(changes, keyOf(changeId), { ...change, state: 'sent' as const })
  const delivery = { until: outbox.change(changeId) }
  const record = { event: `${change.kind}-change-sent`, ids: [changeId] }
  if (change.kind === 'pin') {
    const proof = pinProof(keys.current, pinChangeSubject(keys.next), changeId)
    const body = { changeId, pinKey: keys.next, pinProof: proof }
    const signer = { device: change.customer }
    return decision({ writes: [sent], sends: [{ kind: 'pin-change', to: cpp, body, delivery, signer }], record })
  }
  if (change.kind === 'closure') {
    const proof = pinProof(keys.current, accountClosureSubject(change.customer), changeId)
    const body = { closureId: changeId, customer: change.customer, pinProof: proof }
    const signer = { device: change.customer }
    return decision({ writes: [sent], sends: [{ kind: 'account-closure', to: cpp, body, delivery, signer }], record })
  }
  const { authorization = new Uint8Array(0) } = change
  const { deviceKey } = customer
  const proof = pinProof(keys.current, deviceReplacementSubject(deviceKey, authorization), changeId)
  const body = { changeId, customer: change.customer, deviceKey, pinProof: proof, authorization }
  return decision({ writes: [sent], sends: [{ kind: 'device-replacement', to: cpp, body, delivery }], record })
}

export const release = ({ changeId, customer, cpp }: Change, adopted: boolean) => ({
  name: 'release-change-keys',
  input: { changeId: showId(changeId), customer, cpp, adopted } satisfies ReleaseInput,
})

const changeRefused = (change: Change, code: FailureCode, detail: string, { nowMs }: Ctx): Decision =>
  decision({
    writes: [put(changes, keyOf(change.changeId), { ...change, state: 'refused', code, decidedAtMs: nowMs })],
    forget: [outbox.change(change.changeId)],
    jobs: [release(change, false)],
    announce: [{ topic: changeTopic(change.changeId), value: { ok: false, code, detail } }],
    record: { event: `${change.kind}-change-refused`, ids: [change.changeId], level: 'warn', fields: { code } },
  })

export const decideChangeRefused = (
  { change }: ChangeSlice,
  refused: { readonly code: FailureCode; readonly detail: string; readonly by: string },
  context: Ctx,
): Decision =>
  change?.state !== 'sent' || refused.by !== change.cpp
    ? decision()
    : changeRefused(change, refused.code, refused.detail, context)

/** The CPP keeps the new PIN key. */
export const decidePinChanged = ({ change }: ChangeSlice, _: unknown, { nowMs }: Ctx): Decision => {
  if (change?.state !== 'sent') return decision()
  const { changeId, customer, cpp } = change
  return decision({
    writes: [put(changes, keyOf(changeId), { ...change, state: 'done', decidedAtMs: nowMs })],
    jobs: [release(change, true)],
    announce: [{ topic: changeTopic(changeId), value: { ok: true, customer, cpp } }],
    record: { event: 'pin-changed', ids: [changeId] },
  })
}

export type ReplacedSlice = ChangeSlice & { readonly before: Enrolment | undefined }
export const loadReplaced =
  (vault: Vault) =>
  (read: Reader, { message }: Incoming<'customer-enrolment-record'>): ReplacedSlice => {
    const slice = loadChange(vault)(read, message.body.enrolmentId)
    const { change } = slice
    return { ...slice, before: change && read.get(enrolments, change.customer, change.cpp) }
  }

/** The CPP's record of the new device. ENROLMENT_REFUSED when it is not of this customer, device and host. */
export const decideReplaced =
  (readEnrolment: ReadEnrolment) =>
  (
    { change, customer, before }: ReplacedSlice,
    { message }: Incoming<'customer-enrolment-record'>,
    { self, nowMs }: Ctx,
  ): Decision => {
    if (change === undefined || customer === undefined || message.sender.id !== change.cpp) return refuse('NOT_FOUND')
    if (change.state !== 'sent' || change.kind !== 'device') return decision()
    const { record } = message.body
    const said = readEnrolment(record)
    if (
      said === undefined ||
      said.customer !== change.customer ||
      said.host !== self.id ||
      !equalBytes(said.deviceKey, customer.deviceKey)
    )
      return refuse('ENROLMENT_REFUSED', 'the record is not of this customer, device and host')
    const { changeId, cpp } = change
    const alias = change.alias ?? before?.alias
    const enrolment: Enrolment = {
      enrolmentId: changeId,
      customer: change.customer,
      cpp,
      account: said.account,
      currency: said.currency,
      mandate: before?.mandate ?? new Uint8Array(0),
      ...(alias === undefined ? {} : { alias }),
      state: 'enrolled',
      record,
      startedAtMs: change.startedAtMs,
      decidedAtMs: nowMs,
    }
    return decision({
      writes: [
        put(changes, keyOf(changeId), { ...change, state: 'done', decidedAtMs: nowMs }),
        put(enrolments, keyOf(change.customer, cpp), enrolment),
        put(enrolmentIds, keyOf(changeId), { customer: change.customer, cpp }),
        ...(before === undefined ? [] : [remove(enrolmentIds, keyOf(before.enrolmentId))]),
        ...(alias === undefined ? [] : [put(aliases, keyOf(alias), { customer: change.customer, cpp })]),
      ],
      forget: [outbox.change(changeId)],
      jobs: [release(change, true)],
      announce: [{ topic: changeTopic(changeId), value: { ok: true, customer: change.customer, cpp } }],
      record: { event: 'device-replaced', ids: [changeId], fields: { cpp } },
    })
  }
