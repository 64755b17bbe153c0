/** What the operator of a CPP may order over the control socket. A bad argument is an answer, never an error. */
import type { Static, TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import type { FailureCode } from '../../protocol/failures.ts'
import { CurrencyCode, NodeId, Optional, Sequence, Type } from '../../protocol/fields.ts'
import type { Currency } from '../../protocol/amount.ts'
import { decision, on, put, type Context, type ControlEvent, type Decision, type Reader } from '../runtime/node.ts'
import { account, collect, combineParts, putCustomer, writeOff, type Account, type Part } from './account.ts'
import { askBulk } from './decide-bulk.ts'
import { disputedEntry, retrySettlement } from './decide-settlement.ts'
import { registerProcessor } from './decide-enrolment.ts'
import { askBank } from './decide-outbox.ts'
import { loadAccount, loadBatch, loadBatchById, loadEntry } from './load.ts'
import { adjust, batchKey, openBatch, putPair } from './pair.ts'
import type { CppPolicy } from './policy.ts'
import { customers } from './state.ts'
import { batches, pairs, type BatchRow } from './state-pairs.ts'

type Ctx = Context<CppPolicy>

const strict = { additionalProperties: false }
const hexId = Type.String({ pattern: '^[0-9a-f]{32}$' })

const no = (code: FailureCode, detail: string): Decision => decision({ reply: { ok: false, code, detail } })

/** Arguments that fit, or the refusal that says which does not. */
const args = <S extends TSchema>(
  schema: S,
  event: ControlEvent,
): { readonly ok: true; readonly value: Static<S> } | { readonly ok: false; readonly refusal: Decision } => {
  if (Value.Check(schema, event.args)) return { ok: true, value: event.args }
  const first = Value.Errors(schema, event.args).First()
  const detail = first === undefined ? 'wrong arguments' : `${first.path.slice(1) || 'arguments'}: ${first.message}`
  return { ok: false, refusal: no('SCHEMA_VIOLATION', detail) }
}

const OfCustomer = Type.Object({ customer: NodeId }, strict)
const customerArg = ({ args: given }: ControlEvent): string =>
  typeof given['customer'] === 'string' ? given['customer'] : ''

/** Lets a customer try their PIN again. */
export const unlockCustomer = on(
  (read, event: ControlEvent) => read.get(customers, customerArg(event)),
  (customer, event, _context: Ctx): Decision => {
    const given = args(OfCustomer, event)
    if (!given.ok) return given.refusal
    if (customer === undefined) return no('CUSTOMER_UNKNOWN', given.value.customer)
    return combineParts([
      putCustomer({ ...customer, wrongPins: 0, pinLockedAtMs: 0 }),
      {
        reply: { ok: true, customer: customer.customer, wasLocked: customer.pinLockedAtMs !== 0 },
        record: { event: 'customer-unlocked', ids: [customer.enrolmentId] },
      },
    ])
  },
)

const onAccount = (decide: (before: Account, context: Ctx) => Decision) =>
  on(
    (read, event: ControlEvent) => loadAccount(read, customerArg(event)),
    (before, event, context: Ctx): Decision => {
      const given = args(OfCustomer, event)
      if (!given.ok) return given.refusal
      return before === undefined ? no('CUSTOMER_UNKNOWN', given.value.customer) : decide(before, context)
    },
  )

const collecting = (before: Account, context: Ctx): Decision => {
  const { customer } = before.customer
  const { amountMinor, part } = ordered(before, context)
  return combineParts([part, { reply: { ok: true, customer, collectingMinor: amountMinor } }])
}

const ordered = (before: Account, context: Ctx): { readonly amountMinor: bigint; readonly part: Part } => {
  const { customer } = before.customer
  const step = collect(before.total, before.customer, context)
  return { amountMinor: step.total.collectingMinor, part: account(customer, step) }
}

/** Tries the collection of a suspended customer again: once the bank books it, the customer may pay again. */
export const resumeCustomer = onAccount((before, context) => {
  const { total, customer } = before
  if (total.suspendedAtMs === 0) return no('NOT_FOUND', 'the customer is not suspended')
  if (total.collectingMinor !== 0n) return no('UNDECIDED', 'the bank has not answered the last collection')
  if (total.outstandingMinor > 0n) return collecting(before, context)
  return combineParts([
    account(customer.customer, { total: { ...total, suspendedAtMs: 0 }, parts: [] }),
    {
      reply: { ok: true, customer: customer.customer, collectingMinor: 0n },
      record: { event: 'customer-resumed', ids: [customer.enrolmentId] },
    },
  ])
})

/** Collects what a customer owes now, ahead of any crossing. */
export const collectCustomer = onAccount((before, context) => {
  const { total } = before
  if (total.collectingMinor !== 0n) return no('UNDECIDED', 'a collection runs')
  if (total.outstandingMinor === 0n) return no('NOT_FOUND', 'nothing is outstanding')
  return collecting(before, context)
})

/** Gives up what a customer owes and no running collection may still bring in. */
export const writeOffCustomer = onAccount((before, context) => {
  const { customer } = before.customer
  const { step, amountMinor } = writeOff(before, context)
  if (amountMinor === 0n) return no('NOT_FOUND', 'nothing can be written off')
  return combineParts([
    account(customer, step),
    {
      reply: { ok: true, customer, writtenOffMinor: amountMinor },
      record: { event: 'debt-written-off', ids: [before.customer.enrolmentId], fields: { amountMinor } },
    },
  ])
})

const SettleArgs = Type.Object({ mpp: Optional(NodeId), currency: Optional(CurrencyCode) }, strict)

/** Opens a batch of every pair asked for that has entries outside any batch, and orders refused transfers again. */
export const settleNow = (read: Reader, event: ControlEvent, context: Ctx): Decision => {
  const given = args(SettleArgs, event)
  if (!given.ok) return given.refusal
  const { mpp, currency } = given.value
  const asked = [...read.scan(pairs, mpp === undefined ? [] : [mpp])]
    .map(([, pair]) => pair)
    .filter((pair) => currency === undefined || pair.currency === currency)
  const parts: Part[] = []
  let opened = 0
  let retried = 0
  for (const pair of asked) {
    if (!pair.open) {
      const step = openBatch(pair, context, { force: true })
      if (step.pair.open) {
        opened += 1
        parts.push(...putPair(step))
      }
      continue
    }
    const slice = loadBatch(read, { mpp: pair.mpp, currency: pair.currency, seq: pair.sentSeq })
    if (slice?.batch.state !== 'failed' && slice?.batch.state !== 'unpayable') continue
    retried += 1
    parts.push(retrySettlement(slice, context))
  }
  return combineParts([...parts, { reply: { ok: true, opened, retried } }])
}

const ResolveArgs = Type.Object({ batchId: hexId, pairSeq: Sequence, accept: Type.Boolean() }, strict)

/** A person's judgement on a disputed entry that the CPP's own rows did not settle: adjust to what the MPP holds, or dismiss. */
export const resolveDispute = (read: Reader, event: ControlEvent, context: Ctx): Decision => {
  const given = args(ResolveArgs, event)
  if (!given.ok) return given.refusal
  const { batchId, pairSeq, accept } = given.value
  const slice = loadBatchById(read, fromHex(batchId))
  const item = slice?.batch.disputes.find((one) => one.pairSeq === pairSeq && one.state === 'unresolved')
  if (slice === undefined || item === undefined) return no('NOT_FOUND', 'no such unresolved item')
  const found = loadEntry(read, slice.pair, pairSeq)
  const disputes = slice.batch.disputes.map((one) =>
    one === item ? { ...one, state: accept ? ('adjusted' as const) : ('dismissed' as const) } : one,
  )
  const batch: BatchRow = { ...slice.batch, disputes }
  const amountMinor = item.amountMinor - (found.entry?.amountMinor ?? 0n)
  const reply = { ok: true, batchId: toHex(batch.batchId), pairSeq, adjustedMinor: accept ? amountMinor : 0n }
  const written: Part = { writes: [put(batches, batchKey(batch), batch)], reply }
  if (!accept || amountMinor === 0n) return combineParts([written])
  const step = adjust(slice.pair, batch, disputedEntry(pairSeq, found), amountMinor, context)
  const opened = openBatch(step.pair, context, { next: step.cut })
  return combineParts([written, ...step.parts, ...putPair(opened)])
}

const CorrectArgs = Type.Object(
  {
    mpp: NodeId,
    currency: CurrencyCode,
    pairSeq: Sequence,
    amountMinor: Type.String({ pattern: '^-?[1-9][0-9]{0,17}$' }),
  },
  strict,
)

/** The batch of a pair that holds this entry, cut or older. */
const batchOf = (read: Reader, mpp: string, currency: Currency, pairSeq: number): BatchRow | undefined => {
  for (const [, batch] of read.scan(batches, [mpp, currency], { reverse: true }))
    if (batch.fromSeq <= pairSeq && pairSeq <= batch.toSeq) return batch
  return undefined
}

/**
 * Corrects an entry that the operator found to be wrong before the MPP did, by an adjustment (±). The MPP may dispute it like any
 * other entry; then `resolve-dispute` takes it back or lets it stand.
 */
export const correctEntry = (read: Reader, event: ControlEvent, context: Ctx): Decision => {
  const given = args(CorrectArgs, event)
  if (!given.ok) return given.refusal
  const { mpp, currency, pairSeq } = given.value
  const amountMinor = BigInt(given.value.amountMinor)
  const pair = read.get(pairs, mpp, currency)
  const batch = batchOf(read, mpp, currency, pairSeq)
  if (pair === undefined || batch === undefined) return no('NOT_FOUND', 'no batch of this pair holds this entry')
  const step = adjust(pair, batch, disputedEntry(pairSeq, loadEntry(read, pair, pairSeq)), amountMinor, context)
  const opened = openBatch(step.pair, context, { next: step.cut })
  return combineParts([
    { reply: { ok: true, mpp, currency, correctedSeq: pairSeq, pairSeq: step.pair.lastSeq, amountMinor } },
    ...step.parts,
    ...putPair(opened),
  ])
}

const QueryArgs = Type.Object({ orderId: hexId }, strict)

/** Asks the bank once more for the answer to an order that stays open. */
export const queryOrder = (read: Reader, event: ControlEvent, _context: Ctx): Decision => {
  const given = args(QueryArgs, event)
  if (!given.ok) return given.refusal
  const orderId = fromHex(given.value.orderId)
  const asked = combineParts([askBank(read, orderId), askBulk(read, orderId)])
  if (asked.sends.length === 0) return no('NOT_FOUND', 'no open order has this id')
  return combineParts([asked, { reply: { ok: true, orderId: given.value.orderId } }])
}

/** Registers this processor anew at every data-center host of its realm: one of them lost its ledger, say. */
export const register =
  (chain: () => readonly Uint8Array[]) =>
  (read: Reader, event: ControlEvent, context: Ctx): Decision => {
    const given = args(Type.Object({}, strict), event)
    if (!given.ok) return given.refusal
    return combineParts([
      registerProcessor(read, chain(), context, true),
      { reply: { ok: true, dataCenters: context.policy.dataCenters } },
    ])
  }
