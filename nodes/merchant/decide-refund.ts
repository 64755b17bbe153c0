/**
 * Refunds at a merchant host: an operator who knows the host's PIN gives back all or part of a confirmed payment. Invariants: no refund
 * leaves without the right PIN; the refunds of a payment that are not refused never add up to more than it; a refund is confirmed by
 * its CPP's word alone. The PIN goes from the control socket into the scrypt job and nowhere else.
 */
import { MAX_PAYMENT_MINOR, sumMinor } from '../../protocol/amount.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { fail, failureNumber, ok, type FailureCode, type Result } from '../../protocol/failures.ts'
import { Fields, Optional } from '../../protocol/fields.ts'
import { showId } from '../../protocol/ids.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { equalSecrets, pinKeyFingerprint } from '../../protocol/pin.ts'
import {
  bytesOf,
  IdArgument,
  minorUnits,
  MoneyArgument,
  PayeeArgument,
  payeeOf,
  PinArgument,
  readArguments,
  replyRefused,
} from '../customer/arguments.ts'
import {
  decision,
  put,
  refuse,
  type Context,
  type ControlEvent,
  type Decision,
  type Incoming,
  type JobEvent,
  type Reader,
  type Refused,
} from '../runtime/node.ts'
import { isFinalState, type RefundLine } from '../runtime/reports.ts'
import { keyOf } from '../runtime/table.ts'
import type { MerchantPolicy } from './policy.ts'
import {
  idOfKey,
  orders,
  outbox,
  payees,
  paymentRefunds,
  payments,
  PIN,
  refundPins,
  refunds,
  refundTopic,
  type Order,
  type Payee,
  type Payment,
  type Refund,
} from './state.ts'

type Ctx = Context<MerchantPolicy>
type PinRow = NonNullable<ReturnType<typeof loadPin>>
const loadPin = (read: Reader) => read.get(refundPins, PIN)

/** Refunds of a payment, by id. */
export const refundsOf = (read: Reader, pnId: Uint8Array): readonly Refund[] =>
  [...read.scan(paymentRefunds, [pnId])].flatMap(([, { refundId }]) => read.get(refunds, refundId) ?? [])

/** As a payment's line shows them; absent where there is none. */
export const refundLines = (read: Reader, pnId: Uint8Array): { readonly refunds?: readonly RefundLine[] } => {
  const rows = refundsOf(read, pnId)
  if (rows.length === 0) return {}
  return {
    refunds: rows.map(({ refundId, amountMinor, state }) => ({ refundId: showId(refundId), amountMinor, state })),
  }
}

/** What is to be refunded, once the PIN has shown to be right. */
type Ask = {
  readonly refundId: Uint8Array
  readonly payee: string
  readonly txId: Uint8Array
  readonly amountMinor: bigint
}
/** Input of the scrypt job `derive-refund-pin`; `ask` absent: the PIN is set. */
export type RefundPinInput = { readonly pin: string; readonly topic: string; readonly ask?: Ask }
export const REFUND_PIN_JOB = 'derive-refund-pin'

/** @param derive scrypt, off the step loop, with this host's salt */
export const refundJobs = (derive: (pin: string) => Promise<Uint8Array>) => ({
  [REFUND_PIN_JOB]: async (input: unknown): Promise<Uint8Array | undefined> => {
    try {
      return pinKeyFingerprint(await derive((input as RefundPinInput).pin))
    } catch {
      // Not the error: its text could hold what was derived from.
      return undefined
    }
  },
})

const derivePin = (pin: string, ask: Ask | undefined, { freshBytes }: Ctx): Decision => {
  const topic = `refund-pin:${showId(freshBytes(16))}`
  const input: RefundPinInput = { pin, topic, ...(ask === undefined ? {} : { ask }) }
  return decision({ jobs: [{ name: REFUND_PIN_JOB, input }], replyOn: topic })
}

const SetPinShape = Fields({ pin: PinArgument })
/** `set-refund-pin {pin}`: sets the host's PIN for refunds, and lifts a lock. It is whose socket this is that may, and nobody else. */
export const decideSetRefundPin = (_: unknown, { args }: ControlEvent, context: Ctx): Decision => {
  const shape = readArguments(SetPinShape, args)
  if (!shape.ok) return replyRefused(shape.failure.code, shape.failure.detail)
  return derivePin(shape.value.pin, undefined, context)
}

const RefundShape = Fields({
  payee: PayeeArgument,
  txId: IdArgument,
  amountMinor: MoneyArgument,
  pin: PinArgument,
  refundId: Optional(IdArgument),
})
const refundArguments = (args: unknown, context: Ctx): Result<Ask & { readonly pin: string }> => {
  const shape = readArguments(RefundShape, args)
  if (!shape.ok) return shape
  const payee = payeeOf(shape.value.payee)
  if (!payee.ok) return payee
  const amount = minorUnits(shape.value.amountMinor, 1n, MAX_PAYMENT_MINOR)
  if (!amount.ok) return amount
  const { txId, pin, refundId } = shape.value
  return ok({
    refundId: refundId === undefined ? context.freshId() : bytesOf(refundId),
    payee: payee.value,
    txId: bytesOf(txId),
    amountMinor: amount.value,
    pin,
  })
}

/** `refund-pin` → is one set, and is it locked? */
export const refundPinState = (read: Reader): { readonly set: boolean; readonly locked: boolean } => {
  const pin = loadPin(read)
  return { set: pin !== undefined, locked: (pin?.lockedAtMs ?? 0) !== 0 }
}

export const loadRefundPin = (read: Reader): PinRow | undefined => loadPin(read)

/**
 * `refund {payee, txId, amountMinor, pin, refundId?}` → {ok, refundId, state}: answered once the request is on its way; what becomes of it
 * says `refund-result`. Checks, in order: arguments (SCHEMA_VIOLATION, AMOUNT_INVALID), a PIN is set (NOT_FOUND), not locked
 * (PIN_LOCKED), the PIN (WRONG_PIN); then those of {@link decideRefundPin}.
 */
export const decideRefund = (pin: PinRow | undefined, { args }: ControlEvent, context: Ctx): Decision => {
  const given = refundArguments(args, context)
  if (!given.ok) return replyRefused(given.failure.code, given.failure.detail)
  if (pin === undefined) return replyRefused('NOT_FOUND', 'no PIN for refunds is set on this merchant host')
  if (pin.lockedAtMs !== 0) return replyRefused('PIN_LOCKED', 'set the PIN for refunds anew')
  const { pin: typed, ...ask } = given.value
  return derivePin(typed, ask, context)
}

type Slice = {
  readonly pin: PinRow | undefined
  readonly known: Refund | undefined
  readonly payee: Payee | undefined
  readonly order: Order | undefined
  readonly payment: Payment | undefined
  readonly earlier: readonly Refund[]
}
export const loadPinDerived = (read: Reader, { input }: JobEvent): Slice => {
  const { ask } = input as RefundPinInput
  const order = ask === undefined ? undefined : read.get(orders, ask.payee, ask.txId)
  const pnId = order?.pnId
  return {
    pin: loadPin(read),
    known: ask === undefined ? undefined : read.get(refunds, ask.refundId),
    payee: ask === undefined ? undefined : read.get(payees, ask.payee),
    order,
    payment: pnId === undefined ? undefined : read.get(payments, pnId),
    earlier: pnId === undefined ? [] : refundsOf(read, pnId),
  }
}

/**
 * The PIN is derived: it is set; or compared, counted when wrong, and, when right, the refund is checked, in this order: a refundId seen
 * before (its state again, or ID_REUSED for other terms), payee here (NOT_FOUND), order and payment known (NOT_FOUND), the payment decided
 * (UNDECIDED: its confirmation may be on its way) and confirmed (NOT_FOUND),
 * no more than is left of the payment, no more than maxRefundsPerPayment of them (REFUND_EXCEEDED).
 */
export const decideRefundPin = (slice: Slice, { input, result }: JobEvent, context: Ctx): Decision => {
  const { topic, ask } = input as RefundPinInput
  const fingerprint = result as Uint8Array | undefined
  const { pin } = slice
  const { nowMs } = context
  const no = (code: FailureCode, detail: string): Decision =>
    decision({ announce: [{ topic, value: { ok: false, code, detail } }] })
  if (fingerprint === undefined) return no('WRONG_PIN', 'no key could be derived')
  if (ask === undefined)
    return decision({
      writes: [put(refundPins, keyOf(PIN), { fingerprint, wrong: 0, lockedAtMs: 0, setAtMs: nowMs })],
      announce: [{ topic, value: { ok: true } }],
      record: { event: 'refund-pin-set', ids: [], level: 'warn' },
    })
  if (pin === undefined) return no('NOT_FOUND', 'no PIN for refunds is set on this merchant host')
  if (pin.lockedAtMs !== 0) return no('PIN_LOCKED', 'set the PIN for refunds anew')
  if (!equalSecrets(pin.fingerprint, fingerprint)) {
    const wrong = pin.wrong + 1
    const lockedAtMs = wrong >= LIMITS.maxWrongPins ? nowMs : 0
    return decision({
      writes: [put(refundPins, keyOf(PIN), { ...pin, wrong, lockedAtMs })],
      announce: [
        {
          topic,
          value: { ok: false, code: lockedAtMs === 0 ? 'WRONG_PIN' : 'PIN_LOCKED', detail: 'wrong PIN for refunds' },
        },
      ],
      record: { event: 'refund-pin-wrong', ids: [], level: 'warn', fields: { wrong, locked: lockedAtMs !== 0 } },
    })
  }
  const right = pin.wrong === 0 ? [] : [put(refundPins, keyOf(PIN), { ...pin, wrong: 0 })]
  const checked = termsOf(slice, ask)
  if (!checked.ok) return { ...no(checked.failure.code, checked.failure.detail), writes: right }
  const { payment, mpp } = checked.value
  const { known } = slice
  if (known !== undefined) return decision({ writes: right, announce: [{ topic, value: startedReply(known) }] })
  const { refundId, payee, txId, amountMinor } = ask
  const { pnId, cpp, currency, mode } = payment
  const refund: Refund = {
    refundId,
    payee,
    txId,
    pnId,
    cpp,
    amountMinor,
    currency,
    mode,
    state: 'requested',
    requestedAtMs: nowMs,
  }
  return decision({
    writes: [...right, put(refunds, keyOf(refundId), refund), put(paymentRefunds, keyOf(pnId, refundId), { refundId })],
    sends: [
      {
        kind: 'refund-request',
        to: mpp,
        body: { refundId, payee, txId, pnId, amountMinor, currency },
        delivery: { until: outbox.refund(refundId) },
      },
    ],
    announce: [{ topic, value: startedReply(refund) }],
    record: { event: 'refund-requested', ids: [refundId, pnId, txId], fields: { payee, amountMinor, currency } },
  })
}

const termsOf = (
  { known, payee, order, payment, earlier }: Slice,
  ask: Ask,
): Result<{ readonly payment: Payment; readonly mpp: string }> => {
  if (payee === undefined) return fail('NOT_FOUND', 'no such payee on this merchant host')
  if (order === undefined || payment === undefined) return fail('NOT_FOUND', 'no payment of this order')
  if (!isFinalState(payment.state)) return fail('UNDECIDED', 'the payment is not decided here yet')
  if (payment.state !== 'confirmed') return fail('NOT_FOUND', 'no confirmed payment of this order')
  const terms = { payment, mpp: payee.mpp }
  if (known !== undefined) {
    const same = known.payee === ask.payee && equalBytes(known.txId, ask.txId) && known.amountMinor === ask.amountMinor
    return same ? ok(terms) : fail('ID_REUSED', 'another refund has this id')
  }
  if (earlier.length >= LIMITS.maxRefundsPerPayment) return fail('REFUND_EXCEEDED', 'too many refunds of one payment')
  const refundedMinor = sumMinor(...earlier.map((row) => (row.state === 'refused' ? 0n : row.amountMinor)))
  if (refundedMinor + ask.amountMinor > payment.amountMinor)
    return fail('REFUND_EXCEEDED', `${payment.amountMinor - refundedMinor} minor units are left`)
  return ok(terms)
}

const startedReply = ({ refundId, state, amountMinor, currency }: Refund) => ({
  ok: true,
  refundId: showId(refundId),
  state,
  amountMinor,
  currency,
})

/** What a refund has become; `outcome` as a payment's is. */
const resultOf = ({ refundId, payee, txId, amountMinor, currency, state, code, detail, ...at }: Refund) => ({
  ok: true,
  refundId: showId(refundId),
  payee,
  txId: showId(txId),
  amountMinor,
  currency,
  outcome: state,
  ...(code === undefined ? {} : { code }),
  ...(detail === undefined ? {} : { detail }),
  requestedAtMs: at.requestedAtMs,
  ...(at.decidedAtMs === undefined ? {} : { decidedAtMs: at.decidedAtMs }),
})

const ResultShape = Fields({ refundId: IdArgument })
export const loadRefundResult = (read: Reader, { args }: ControlEvent): Result<Refund | undefined> => {
  const shape = readArguments(ResultShape, args)
  return shape.ok ? ok(read.get(refunds, bytesOf(shape.value.refundId))) : shape
}
/** `refund-result {refundId}`: SCHEMA_VIOLATION, NOT_FOUND; answered once the refund is confirmed or refused. */
export const decideRefundResult = (asked: Result<Refund | undefined>): Decision => {
  if (!asked.ok) return replyRefused(asked.failure.code, asked.failure.detail)
  if (asked.value === undefined) return replyRefused('NOT_FOUND', 'no such refund on this merchant host')
  return asked.value.state === 'requested'
    ? decision({ replyOn: refundTopic(asked.value.refundId) })
    : decision({ reply: resultOf(asked.value) })
}

const ended = (refund: Refund): Pick<Decision, 'writes' | 'announce'> => ({
  writes: [put(refunds, keyOf(refund.refundId), refund)],
  announce: [{ topic: refundTopic(refund.refundId), value: resultOf(refund) }],
})

export type ConfirmationSlice = { readonly payee: Payee | undefined; readonly refund: Refund | undefined }
export const loadRefundConfirmation = (
  read: Reader,
  { message }: Incoming<'refund-confirmation'>,
): ConfirmationSlice => ({
  payee: read.get(payees, message.body.payee),
  refund: read.get(refunds, message.body.refundId),
})

/**
 * Checks, in order: payee served here (NOT_FOUND), its MPP brings it (WRONG_PATH), the refund asked for here, of this payment and its CPP
 * (NOT_FOUND), its sum (AMOUNT_INVALID). Confirmed already: nothing new.
 */
export const decideRefundConfirmation = (
  { payee, refund }: ConfirmationSlice,
  { message }: Incoming<'refund-confirmation'>,
  { nowMs }: Ctx,
): Decision => {
  const { body, sender, previousHop } = message
  if (payee === undefined) return refuse('NOT_FOUND', 'no such payee here')
  if (previousHop !== payee.mpp) return refuse('WRONG_PATH')
  const fits =
    refund !== undefined &&
    refund.cpp === sender.id &&
    refund.payee === body.payee &&
    equalBytes(refund.pnId, body.pnId) &&
    equalBytes(refund.txId, body.txId)
  if (!fits) return refuse('NOT_FOUND', 'no such refund of this CPP')
  if (refund.amountMinor !== body.amountMinor || refund.currency !== body.currency) return refuse('AMOUNT_INVALID')
  if (refund.state === 'confirmed') return decision()
  const { code: _, detail: __, ...open } = refund
  const { refundId, pnId, txId, amountMinor, currency } = refund
  return decision({
    ...ended({ ...open, state: 'confirmed', decidedAtMs: nowMs }),
    forget: [outbox.refund(refundId)],
    record: {
      event: 'refund-confirmed',
      ids: [refundId, pnId, txId],
      fields: { payee: refund.payee, amountMinor, currency },
    },
  })
}

export const loadRefusedRefund = (read: Reader, { key }: Pick<Refused, 'key'>): Refund | undefined =>
  read.get(refunds, idOfKey(key))

/** The MPP's refusal ends it, unless it leaves open what became of an earlier sending (1xxx to 3xxx): then its answer does, if one comes. */
export const decideRefundRefused = (
  refund: Refund | undefined,
  { code, detail, by }: Pick<Refused, 'code' | 'detail' | 'by'>,
  { nowMs }: Ctx,
): Decision => {
  if (refund === undefined || refund.state !== 'requested') return decision()
  const { refundId, pnId, txId, payee } = refund
  const record = {
    event: 'refund-refused',
    ids: [refundId, pnId, txId],
    level: 'warn',
    fields: { payee, code, detail, by },
  } as const
  if (failureNumber(code) < 4_000)
    return decision({ writes: [put(refunds, keyOf(refundId), { ...refund, code, detail })], record })
  return decision({ ...ended({ ...refund, state: 'refused', code, detail, decidedAtMs: nowMs }), record })
}
