/** The payees of a merchant host: their enrolment at their MPP, what they sell, and their approval rules. */
import { MAX_PAYMENT_MINOR, type Currency } from '../../protocol/amount.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { fail, ok, type FailureCode, type Result } from '../../protocol/failures.ts'
import { AccountId, CurrencyCode, Fields, List, NodeId, Optional, Text, Type, Word } from '../../protocol/fields.ts'
import { PAYEE_KINDS, type PayeeKind } from '../../protocol/messages/enrolment.ts'
import type { ChainBook } from '../customer/credentials.ts'
import {
  bytesOf,
  BytesArgument,
  minorUnits,
  MoneyArgument,
  PayeeArgument,
  payeeOf,
  readArguments,
  replyRefused,
} from '../customer/arguments.ts'
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
  type Reader,
  type Refused,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { readApproval, type Approval } from './approval.ts'
import type { MerchantPolicy } from './policy.ts'
import {
  accounts,
  catalogue,
  enrolmentTopic,
  idOfKey,
  outbox,
  payeeEnrolments,
  payees,
  type Item,
  type Payee,
  type PayeePointer,
} from './state.ts'

type Ctx = Context<MerchantPolicy>

type EnrolPayeeArguments = {
  readonly payee: string
  readonly payeeKind: PayeeKind
  readonly displayName: string
  readonly mpp: string
  readonly account: string
  readonly currency: Currency
  readonly mandate: Uint8Array
  readonly items: readonly Item[]
  readonly approval: Approval
}
const EnrolPayeeShape = Fields({
  payee: PayeeArgument,
  payeeKind: Word(...PAYEE_KINDS),
  displayName: Text(120),
  mpp: NodeId,
  account: AccountId,
  currency: CurrencyCode,
  mandate: BytesArgument,
  catalogue: Optional(
    List(
      Fields({
        item: Type.String({ minLength: 1, maxLength: 120 }),
        amountMinor: MoneyArgument,
        goods: Optional(Text()),
      }),
    ),
  ),
  approval: Optional(Type.Unknown()),
})
const enrolPayeeArguments = (args: unknown): Result<EnrolPayeeArguments> => {
  const shape = readArguments(EnrolPayeeShape, args)
  if (!shape.ok) return shape
  const { catalogue: given, approval: rule, ...rest } = shape.value
  const payee = payeeOf(rest.payee)
  if (!payee.ok) return payee
  const items: Item[] = []
  for (const { item, amountMinor, goods } of given ?? []) {
    const price = minorUnits(amountMinor, 1n, MAX_PAYMENT_MINOR)
    if (!price.ok) return fail(price.failure.code, `price of ${item}: ${price.failure.detail}`)
    items.push({ item, amountMinor: price.value, goods: goods ?? item })
  }
  const approval = rule === undefined ? ok<Approval>({ rule: 'approve' }) : readApproval(rule)
  if (!approval.ok) return approval
  return ok({ ...rest, payee: payee.value, mandate: bytesOf(rest.mandate), items, approval: approval.value })
}

export type EnrolPayeeSlice = {
  readonly args: Result<EnrolPayeeArguments>
  readonly payee: Payee | undefined
  readonly accountOf: PayeePointer | undefined
}
export const loadEnrolPayee = (read: Reader, { args }: ControlEvent): EnrolPayeeSlice => {
  const parsed = enrolPayeeArguments(args)
  return parsed.ok
    ? { args: parsed, payee: read.get(payees, parsed.value.payee), accountOf: read.get(accounts, parsed.value.account) }
    : { args: parsed, payee: undefined, accountOf: undefined }
}

/**
 * `enrol-payee`. Checks, in order: arguments (SCHEMA_VIOLATION, AMOUNT_INVALID), an MPP that certified this host
 * (ENROLMENT_REFUSED), not enrolled here with other data (NAME_TAKEN), an account of no other payee here (NAME_TAKEN). Enrolled
 * already with the same data: answered at once, with the new catalogue and rule. Otherwise answered by the MPP's record.
 */
export const decideEnrolPayee =
  (chains: ChainBook) =>
  ({ args, payee, accountOf }: EnrolPayeeSlice, _: unknown, context: Ctx): Decision => {
    if (!args.ok) return replyRefused(args.failure.code, args.failure.detail)
    const { payee: id, payeeKind, displayName, mpp, account, currency, mandate, items, approval } = args.value
    if (!chains.newest().has(mpp)) return replyRefused('ENROLMENT_REFUSED', 'this MPP has not certified this host')
    const stands = payee !== undefined && payee.state !== 'refused'
    if (stands && (payee.mpp !== mpp || payee.account !== account || payee.currency !== currency))
      return replyRefused('NAME_TAKEN', 'the payee is enrolled here with other data')
    if (accountOf !== undefined && accountOf.payee !== id)
      return replyRefused('NAME_TAKEN', "the account is another payee's")
    // Nothing can fail from here on.
    const itemRows = items.map((item) => put(catalogue, keyOf(id, item.item), item))
    if (stands) {
      const row: Payee = { ...payee, approval, mandate }
      const answer: Partial<Decision> =
        row.state === 'enrolled' ? { reply: enrolledReply(row) } : { replyOn: enrolmentTopic(row.enrolmentId) }
      const renewal = isOutdated(row, chains) && row.renewalId === undefined ? renewPayees([row], context) : undefined
      const writes = [...itemRows, ...(renewal === undefined ? [put(payees, keyOf(id), row)] : [])]
      return decision(combine({ writes, ...answer }, renewal ?? {}))
    }
    const row: Payee = {
      payee: id,
      payeeKind,
      displayName,
      mpp,
      account,
      currency,
      approval,
      state: 'enrolling',
      enrolmentId: context.freshId(),
      startedAtMs: context.nowMs,
      mandate,
    }
    return decision({
      writes: [
        put(payees, keyOf(id), row),
        put(payeeEnrolments, keyOf(row.enrolmentId), { payee: id }),
        put(accounts, keyOf(account), { payee: id }),
        ...itemRows,
      ],
      sends: [
        {
          kind: 'payee-enrolment',
          to: mpp,
          body: { enrolmentId: row.enrolmentId, payee: id, payeeKind, displayName, account, currency, mandate },
          delivery: { until: outbox.enrolment(row.enrolmentId) },
        },
      ],
      replyOn: enrolmentTopic(row.enrolmentId),
      record: { event: 'payee-enrolment-sent', ids: [row.enrolmentId], fields: { payee: id, mpp } },
    })
  }

const enrolledReply = ({ payee, mpp, account, currency, enrolmentId }: Payee) => ({
  ok: true,
  payee,
  mpp,
  account,
  currency,
  enrolmentId,
})

/** Enrolled, but its credential was signed by a former key of its MPP: it is good while that key is, and is to be renewed. */
const isOutdated = ({ state, mpp, credential }: Payee, chains: ChainBook): boolean =>
  state === 'enrolled' && chains.newest().has(mpp) && !chains.isCurrent(mpp, credential)

export const loadOutdatedPayees = (read: Reader, chains: ChainBook): readonly Payee[] =>
  [...read.scan(payees, [])].map(([, row]) => row).filter((row) => isOutdated(row, chains))

/**
 * Enrols these payees once more, with the mandate that is known, so that the MPP signs their credentials with the key it has now.
 * What was enrolled stands meanwhile. A renewal that waits in the outbox is given up for the new one.
 */
export const renewPayees = (outdated: readonly Payee[], context: Ctx): Partial<Decision> =>
  combine(
    ...outdated.map((row): Partial<Decision> => {
      const { payee, payeeKind, displayName, mpp, account, currency, mandate, renewalId } = row
      if (mandate === undefined)
        return {
          record: { event: 'payee-not-renewed', ids: [], level: 'warn', fields: { payee, reason: 'no mandate' } },
        }
      const enrolmentId = context.freshId()
      return {
        writes: [
          put(payees, keyOf(payee), { ...row, renewalId: enrolmentId }),
          put(payeeEnrolments, keyOf(enrolmentId), { payee }),
          ...(renewalId === undefined ? [] : [remove(payeeEnrolments, keyOf(renewalId))]),
        ],
        forget: renewalId === undefined ? [] : [outbox.enrolment(renewalId)],
        sends: [
          {
            kind: 'payee-enrolment',
            to: mpp,
            body: { enrolmentId, payee, payeeKind, displayName, account, currency, mandate },
            delivery: { until: outbox.enrolment(enrolmentId) },
          },
        ],
        record: { event: 'payee-renewal-sent', ids: [enrolmentId], fields: { payee, mpp } },
      }
    }),
  )

/** What a payee credential says, its signature being the frame's sender's to answer for; undefined when it is none. */
export type ReadPayeeCredential = (
  credential: Uint8Array,
) => { readonly payee: string; readonly host: string; readonly account: string; readonly currency: string } | undefined

export type EnrolmentSlice = { readonly payee: Payee | undefined }
export const loadPayeeByEnrolment = (read: Reader, enrolmentId: Uint8Array): EnrolmentSlice => {
  const pointer = read.get(payeeEnrolments, enrolmentId)
  return { payee: pointer === undefined ? undefined : read.get(payees, pointer.payee) }
}

/**
 * Checks, in order: the enrolment is this MPP's (NOT_FOUND), it waits or renews (else dropped), the credential names payee, host, account
 * and currency as enrolled (ENROLMENT_REFUSED: it stands in every invoice and says where the money goes).
 */
export const decidePayeeRecord =
  (readCredential: ReadPayeeCredential) =>
  ({ payee }: EnrolmentSlice, { message }: Incoming<'payee-enrolment-record'>, { self, nowMs }: Ctx): Decision => {
    if (payee === undefined || message.sender.id !== payee.mpp) return refuse('NOT_FOUND')
    const renews = payee.renewalId !== undefined && equalBytes(payee.renewalId, message.body.enrolmentId)
    if (payee.state !== 'enrolling' && !renews) return decision()
    const said = readCredential(message.body.credential)
    const agrees =
      said !== undefined &&
      said.payee === payee.payee &&
      said.host === self.id &&
      said.account === payee.account &&
      said.currency === payee.currency
    if (!agrees) return refuse('ENROLMENT_REFUSED', 'the credential does not say what was enrolled')
    const { renewalId, ...kept } = payee
    const row: Payee = { ...kept, state: 'enrolled', credential: message.body.credential, decidedAtMs: nowMs }
    if (renewalId !== undefined && renews)
      return decision({
        writes: [put(payees, keyOf(row.payee), row)],
        forget: [outbox.enrolment(renewalId)],
        record: { event: 'payee-renewed', ids: [renewalId], fields: { payee: row.payee, mpp: row.mpp } },
      })
    return decision({
      writes: [put(payees, keyOf(row.payee), row)],
      forget: [outbox.enrolment(row.enrolmentId)],
      announce: [{ topic: enrolmentTopic(row.enrolmentId), value: enrolledReply(row) }],
      record: { event: 'payee-enrolled', ids: [row.enrolmentId], fields: { payee: row.payee, mpp: row.mpp } },
    })
  }

export type RefusedEnrolmentSlice = EnrolmentSlice & { readonly enrolmentId: Uint8Array }
export const loadRefusedEnrolment = (read: Reader, { key }: Refused): RefusedEnrolmentSlice => ({
  ...loadPayeeByEnrolment(read, idOfKey(key)),
  enrolmentId: idOfKey(key),
})

export const decideEnrolmentRefused = (
  { payee, enrolmentId }: RefusedEnrolmentSlice,
  { code, detail, by }: { readonly code: FailureCode; readonly detail: string; readonly by: string },
  { nowMs }: Ctx,
): Decision =>
  payee?.renewalId !== undefined && equalBytes(payee.renewalId, enrolmentId) && by === payee.mpp
    ? renewalRefused(payee, code)
    : payee === undefined || payee.state !== 'enrolling' || by !== payee.mpp
      ? decision()
      : decision({
          writes: [
            put(payees, keyOf(payee.payee), { ...payee, state: 'refused', code, detail, decidedAtMs: nowMs }),
            remove(accounts, keyOf(payee.account)),
          ],
          announce: [{ topic: enrolmentTopic(payee.enrolmentId), value: { ok: false, code, detail } }],
          record: {
            event: 'payee-enrolment-refused',
            ids: [payee.enrolmentId],
            level: 'warn',
            fields: { payee: payee.payee, code },
          },
        })

/** The credential that it has stands; the next start or rotation tries again. */
const renewalRefused = (payee: Payee, code: FailureCode): Decision => {
  const { renewalId, ...kept } = payee
  if (renewalId === undefined) return decision()
  return decision({
    writes: [put(payees, keyOf(kept.payee), kept), remove(payeeEnrolments, keyOf(renewalId))],
    record: {
      event: 'payee-renewal-refused',
      ids: [renewalId],
      level: 'warn',
      fields: { payee: kept.payee, code },
    },
  })
}

const SetApprovalShape = Fields({ payee: PayeeArgument, approval: Type.Unknown() })
export type SetApprovalSlice = { readonly args: Result<Approval>; readonly payee: Payee | undefined }
export const loadSetApproval = (read: Reader, { args }: ControlEvent): SetApprovalSlice => {
  const shape = readArguments(SetApprovalShape, args)
  if (!shape.ok) return { args: shape, payee: undefined }
  const payee = payeeOf(shape.value.payee)
  if (!payee.ok) return { args: payee, payee: undefined }
  return { args: readApproval(shape.value.approval), payee: read.get(payees, payee.value) }
}

/** `set-approval`: SCHEMA_VIOLATION, AMOUNT_INVALID, NOT_FOUND. It holds for notices to come, not for those that were left undecided. */
export const decideSetApproval = ({ args, payee }: SetApprovalSlice): Decision => {
  if (!args.ok) return replyRefused(args.failure.code, args.failure.detail)
  if (payee === undefined) return replyRefused('NOT_FOUND', 'no such payee on this merchant host')
  return decision({
    writes: [put(payees, keyOf(payee.payee), { ...payee, approval: args.value })],
    reply: { ok: true, payee: payee.payee, approval: args.value },
    record: { event: 'approval-set', ids: [], fields: { payee: payee.payee, rule: args.value.rule } },
  })
}
