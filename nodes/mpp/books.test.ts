/**
 * The books of an MPP against an auditor that knows nothing of them: it plays CPPs, merchants, banks and a network that
 * loses, repeats and reorders, and counts on its own what each party must have in the end.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toHex } from '../../protocol/bytes.ts'
import { NO_PREVIOUS_BATCH, type PairEntry } from '../../protocol/mountain-range.ts'
import type { Verified } from '../../protocol/verified.ts'
import type { Decision, Incoming } from '../runtime/node.ts'
import { isFinalState, type MppReport } from '../runtime/reports.ts'
import { testId } from '../runtime/testing.ts'
import { BATCHES, ENTRIES, LOCKS, NOTICES, PAIRS, PAYEES } from './state.ts'
import {
  adjustment,
  adjustmentEntry,
  batch,
  delayed,
  dtEntry,
  enrolled,
  HOST,
  notice,
  outcome,
  payeeRow,
  paymentDecision,
  POLICY,
  settlementCredit,
  transferAnswer,
  missingEntries,
  world,
  type World,
} from './testing/fixture.ts'

const NAMES = ['hu-bakery', 'hu-kiosk', 'hu-anna'] as const
const CPPS = ['hu-cpp', 'ro-cpp'] as const
type Cpp = (typeof CPPS)[number]

type Payment = {
  readonly pn: Incoming<'payment-notice'>
  readonly txId: string
  readonly cpp: Cpp
  readonly payee: string
  readonly amountMinor: bigint
  state: 'noticed' | 'approved' | 'rejected' | 'confirmed' | 'ended'
}
type PairBook = {
  entries: {
    readonly entry: PairEntry
    readonly message: Incoming<'delayed-transfer-confirmation'> | Incoming<'pair-adjustment'>
  }[]
  batchedTo: number
  seq: number
  hash: Uint8Array
  /** Batches sent, not yet paid. */
  owed: { readonly batchId: Uint8Array; readonly totalMinor: bigint }[]
  /** A batch that waits for its answer. */
  waiting: Uint8Array | undefined
}

type Model = {
  readonly on: World
  readonly payments: Payment[]
  readonly pairs: Record<Cpp, PairBook>
  /** account → balance, from postings alone. */
  readonly ledger: Map<string, bigint>
  readonly lost: (() => void)[]
  counter: number
}

const newModel = (): Model => {
  const on = world(enrolled(...NAMES.map((payee) => payeeRow({ payee }))))
  const settlementAccounts = { 'hu-cpp': 'ro-bank:cpp', 'ro-cpp': 'ro-bank:other' }
  on.policy = {
    ...POLICY,
    settlementAccounts,
    creditLimitMinor: { EUR: 3_000n },
    payout: { ...POLICY.payout, thresholdMinor: { EUR: 700n } },
  }
  const book = (): PairBook => ({
    entries: [],
    batchedTo: 0,
    seq: 0,
    hash: NO_PREVIOUS_BATCH,
    owed: [],
    waiting: undefined,
  })
  return { on, payments: [], pairs: { 'hu-cpp': book(), 'ro-cpp': book() }, ledger: new Map(), lost: [], counter: 0 }
}

/** Takes a message and writes its postings down. */
const take = (model: Model, message: Parameters<World['take']>[0]): Decision => note(model, model.on.take(message))
const note = (model: Model, made: Decision): Decision => {
  for (const { account, amountMinor } of made.postings)
    model.ledger.set(account, (model.ledger.get(account) ?? 0n) + amountMinor)
  return made
}

const outboxOf = (model: Model, kind: string) =>
  [...model.on.ledger.outbox.values()].flatMap((send) => ('kind' in send && send.kind === kind ? [send] : []))

const steps = {
  notice: (model: Model, a: number, b: number) => {
    const cpp = CPPS[a % 2] as Cpp
    const payee = NAMES[b % 3] as string
    const amountMinor = BigInt(1 + ((a * 37 + b * 101) % 999))
    // Now and then an invoice that is being paid or was paid.
    const again = b % 5 === 0 ? model.payments[a % Math.max(1, model.payments.length)] : undefined
    const invoice = again ?? { txId: `tx ${model.counter}`, payee, amountMinor }
    const pn = notice({
      txId: invoice.txId,
      pnId: `pn ${model.counter}`,
      cpp,
      payee: invoice.payee,
      amountMinor: invoice.amountMinor,
    })
    model.counter++
    take(model, pn)
    const { txId } = invoice
    if (model.on.ledger.get(NOTICES, pn.message.body.pnId)?.state === 'notified')
      model.payments.push({ pn, txId, cpp, payee: invoice.payee, amountMinor: invoice.amountMinor, state: 'noticed' })
  },
  decide: (model: Model, a: number, b: number) => {
    const payment = pick(model, a, ['noticed'])
    if (payment === undefined) return
    const approve = b % 4 !== 0
    take(model, paymentDecision(payment.pn, { decision: approve ? 'approve' : 'reject', from: HOST }))
    payment.state = approve ? 'approved' : 'rejected'
  },
  confirm: (model: Model, a: number, b: number) => {
    const payment = pick(model, a, ['approved'])
    if (payment === undefined) return
    const book = model.pairs[payment.cpp]
    const pairSeq = book.entries.length + 1
    // Now and then a CPP signs a wrong amount.
    const signed = b % 6 === 0 ? payment.amountMinor + BigInt((b % 7) + 1) : payment.amountMinor
    const message = delayed(payment.pn, { pairSeq, amountMinor: signed })
    book.entries.push({ entry: dtEntry(payment.pn, pairSeq, signed), message })
    payment.state = 'confirmed'
    if (b % 3 === 0) model.lost.push(() => take(model, message))
    else take(model, message)
    if (b % 5 === 0) take(model, message)
  },
  end: (model: Model, a: number, b: number) => {
    const payment = pick(model, a, ['noticed', 'approved', 'rejected'])
    if (payment === undefined) return
    take(model, outcome(payment.pn, { outcome: b % 2 === 0 ? 'expired' : 'rejected' }))
    payment.state = 'ended'
  },
  settle: (model: Model, a: number) => {
    const cpp = CPPS[a % 2] as Cpp
    const book = model.pairs[cpp]
    if (book.waiting !== undefined || book.entries.length === book.batchedTo) return
    const range = book.entries.slice(book.batchedTo).map(({ entry }) => entry)
    const { message, hash } = batch(range, {
      cpp,
      seq: book.seq + 1,
      prevHash: book.hash,
      batchId: `batch ${cpp} ${book.seq + 1}`,
    })
    const { batchId, totalMinor } = message.message.body
    take(model, message)
    book.batchedTo = book.entries.length
    book.seq++
    book.hash = hash
    book.waiting = batchId
    book.owed.push({ batchId, totalMinor })
    answerMissing(model, cpp, a % 3 !== 0)
  },
  pay: (model: Model, a: number) => {
    const cpp = CPPS[a % 2] as Cpp
    const [first] = model.pairs[cpp].owed
    if (first === undefined || model.on.ledger.get(BATCHES, first.batchId)?.state !== 'owed') return
    model.pairs[cpp].owed.shift()
    take(model, settlementCredit(first.batchId, first.totalMinor))
    if (a % 4 === 0)
      take(
        model,
        settlementCredit(first.batchId, first.totalMinor, {
          noticeId: `again ${a} ${model.counter++}`,
          account: 'hu-kh:other',
        }),
      )
  },
  bank: (model: Model, a: number) => {
    const order = outboxOf(model, 'transfer-order')[0]
    if (order?.kind === 'transfer-order')
      take(model, transferAnswer(order.body.orderId, a % 4 === 0 ? 'refused' : 'booked'))
  },
  heal: (model: Model) => model.lost.shift()?.(),
  time: (model: Model, a: number) => {
    model.on.nowMs += (a % 5) * 1_000
    sweep(model)
  },
} as const

const sweep = (model: Model): void => {
  const { on } = model
  for (;;) {
    const due = on.ledger.deadlines().find(({ atMs }) => atMs <= on.nowMs)
    if (due === undefined) return
    note(model, on.fire(due.name, due.key, due.atMs))
  }
}

const pick = (model: Model, a: number, states: readonly Payment['state'][]): Payment | undefined => {
  const open = model.payments.filter(({ state }) => states.includes(state))
  return open[a % Math.max(1, open.length)]
}

/** The CPP shows what it is asked for; `all` asks to the end. */
const answerMissing = (model: Model, cpp: Cpp, all: boolean): void => {
  const book = model.pairs[cpp]
  for (;;) {
    const request = outboxOf(model, 'missing-entries-request').find(({ to }) => to === cpp)
    if (request?.kind !== 'missing-entries-request' || !all) break
    const { requestId, fromSeq, toSeq } = request.body
    take(
      model,
      missingEntries(
        requestId,
        book.entries.slice(fromSeq - 1, toSeq).map(({ message }) => message.message as Verified),
        { cpp },
      ),
    )
  }
  const answered = book.waiting === undefined ? undefined : model.on.ledger.get(BATCHES, book.waiting)
  if (answered === undefined || answered.state === 'reconciling') return
  book.waiting = undefined
  // What was disputed with reason is adjusted, by an entry of the next batch.
  for (const { pairSeq, amountMinor } of answered.items ?? []) {
    const signed = book.entries[pairSeq - 1]?.entry.amountMinor ?? 0n
    const fixSeq = book.entries.length + 1
    const message = adjustment({ pairSeq: fixSeq, disputedSeq: pairSeq, amountMinor: amountMinor - signed, cpp })
    book.entries.push({ entry: adjustmentEntry(fixSeq, amountMinor - signed), message })
    if (pairSeq % 2 === 0) model.lost.push(() => take(model, message))
    else take(model, message)
  }
}

const total = (values: Iterable<bigint>): bigint => [...values].reduce((a, b) => a + b, 0n)

/** Plain comparison: the audit runs after every event of every script. */
const same = (what: string, found: unknown, due: unknown): void => {
  if (found !== due) throw new Error(`${what}: ${String(found)} instead of ${String(due)}`)
}

/** Design §8.3, §8.4, §8.5, counted from outside. */
const audit = ({ on, payments, ledger }: Model): void => {
  const report = on.read('report') as MppReport
  const notices = on.ledger.rows(NOTICES)
  same(
    'pairs are of CPPs that owe or came to owe',
    report.pairs.every(({ cpp }) => (CPPS as readonly string[]).includes(cpp)),
    true,
  )
  for (const pair of report.pairs) {
    const row = on.ledger.get(PAIRS, pair.cpp, pair.currency)
    same('receivable is what was signed and not paid', pair.receivableMinor, pair.entriesMinor - pair.settledMinor)
    same('posted receivable', ledger.get(`receivable:${pair.cpp}`) ?? 0n, -pair.receivableMinor)
    const held = [...on.ledger.scan(ENTRIES, [pair.cpp, 'EUR'])].filter(([, { type }]) => type !== 'missing')
    same('held entries', row?.held, held.length)
    same('highest entry', row?.highestSeq, pair.highestSeq)
    const undecided = notices.filter(
      ({ cpp, state }) => cpp === pair.cpp && !isFinalState(state) && state !== 'declined',
    )
    same('reserved', row?.reservedMinor, total(undecided.map(({ amountMinor }) => amountMinor ?? 0n)))
  }
  for (const row of report.payees) {
    const has = row.accruedMinor + row.payableMinor + row.refundingMinor + row.payingMinor
    same(`account of ${row.payee}`, has, row.confirmedMicroMinor + row.paidInMinor - row.paidMinor - row.reversedMinor)
    const parts = { accrued: row.accruedMinor, payable: row.payableMinor, paying: row.payingMinor }
    for (const [name, minor] of Object.entries(parts)) {
      same(`${name} of ${row.payee} is not negative`, minor >= 0n, true)
      same(`posted ${name} of ${row.payee}`, ledger.get(`${name}:${row.payee}`) ?? 0n, minor)
    }
    const confirmed = notices.filter(({ state, payee }) => state === 'confirmed' && payee === row.payee)
    same(
      `${row.payee} is credited its confirmed invoices`,
      row.confirmedMicroMinor,
      total(confirmed.map(({ amountMinor }) => amountMinor ?? 0n)),
    )
  }
  same('all postings', total(ledger.values()), 0n)
  // An invoice is held by one payment at most, and a paid one stays paid.
  const byInvoice = new Set<string>()
  for (const { payee, txId, pnId, state } of notices) {
    if (txId === undefined || !['notified', 'countersigned', 'confirmed'].includes(state)) continue
    const invoice = `${payee} ${toHex(txId)}`
    same(`a second payment of ${invoice}`, byInvoice.has(invoice), false)
    byInvoice.add(invoice)
    const lock = on.ledger.get(LOCKS, payee, txId)
    same(
      `lock of ${invoice}`,
      lock && `${toHex(lock.pnId)} ${lock.state}`,
      `${toHex(pnId)} ${state === 'confirmed' ? 'paid' : 'locked'}`,
    )
  }
  for (const { pn, state } of payments)
    if (state === 'ended') same('ended', isFinalState(on.ledger.get(NOTICES, pn.message.body.pnId)?.state ?? ''), true)
}

/** Everything lost arrives, every payment is decided, every batch is paid, every payout booked. */
const quiesce = (model: Model): void => {
  const { on } = model
  while (model.lost.length > 0) model.lost.shift()?.()
  for (const payment of model.payments)
    if (payment.state !== 'confirmed' && payment.state !== 'ended') {
      take(model, outcome(payment.pn))
      payment.state = 'ended'
    }
  for (const cpp of CPPS)
    for (let round = 0; round < 3; round++) {
      answerMissing(model, cpp, true)
      steps.settle(model, cpp === 'hu-cpp' ? 4 : 1)
      answerMissing(model, cpp, true)
      for (const { batchId, totalMinor } of model.pairs[cpp].owed.splice(0)) {
        const { state } = on.ledger.get(BATCHES, batchId) ?? {}
        if (state === 'owed') take(model, settlementCredit(batchId, totalMinor))
      }
    }
  for (let round = 0; round < 20; round++) {
    on.nowMs += POLICY.payout.maxAgeMs
    sweep(model)
    for (const order of outboxOf(model, 'transfer-order'))
      if (order.kind === 'transfer-order') take(model, transferAnswer(order.body.orderId, 'booked'))
  }
}

/** Most steps move payments on; small numbers are no more likely than large ones, since they choose by remainder. */
const WEIGHTS: Readonly<Record<keyof typeof steps, number>> = {
  notice: 5,
  decide: 5,
  confirm: 5,
  end: 1,
  settle: 2,
  pay: 2,
  bank: 2,
  heal: 1,
  time: 1,
}
const names = Object.entries(WEIGHTS).flatMap(([name, weight]) =>
  Array.from({ length: weight }, () => name as keyof typeof steps),
)
const number = fc.noBias(fc.nat(10_000))
const step = fc.tuple(fc.noBias(fc.constantFrom(...names)), number, number)

describe('the books of an MPP', () => {
  test('add up after every event, and at rest every payee was paid its confirmed invoices and no CPP owes anything', () => {
    let confirmed = 0
    let disputed = 0
    fc.assert(
      fc.property(fc.array(step, { minLength: 40, maxLength: 120, size: 'max' }), (script) => {
        const model = newModel()
        for (const [name, a, b] of script) {
          steps[name](model, a, b)
          audit(model)
        }
        quiesce(model)
        audit(model)
        const report = model.on.read('report') as MppReport
        expect(report.undecided['notified'] ?? 0).toBe(0)
        expect(report.undecided['countersigned'] ?? 0).toBe(0)
        for (const pair of report.pairs)
          expect(pair).toMatchObject({ receivableMinor: 0n, openBatches: 0, contiguousSeq: pair.highestSeq })
        for (const payee of NAMES) {
          const due = total(
            model.payments
              .filter((payment) => payment.payee === payee && payment.state === 'confirmed')
              .map(({ amountMinor }) => amountMinor),
          )
          expect(model.on.ledger.get(PAYEES, payee)).toMatchObject({
            accruedMinor: 0n,
            payableMinor: 0n,
            payingMinor: 0n,
            paidMinor: due,
          })
        }
        confirmed += model.payments.filter(({ state }) => state === 'confirmed').length
        disputed += model.on.ledger.rows(BATCHES).filter(({ items }) => items !== undefined).length
      }),
      { numRuns: 40, seed: 20_261_122 },
    )
    // The scripts did reach what they are about.
    expect(confirmed).toBeGreaterThan(150)
    expect(disputed).toBeGreaterThan(20)
  })

  test('take the entries of a pair in any order and any number of times to the same end', () => {
    fc.assert(
      fc.property(
        fc.array(fc.bigInt(1n, 999n), { minLength: 1, maxLength: 12 }),
        fc.array(fc.nat(100), { minLength: 1, maxLength: 40 }),
        (amounts, order) => {
          const on = world()
          const pns = amounts.map((amountMinor, i) => {
            const pn = notice({ txId: `t${i}`, amountMinor })
            on.take(pn)
            on.take(paymentDecision(pn))
            return pn
          })
          const known = pns.filter(
            ({ message }) => on.ledger.get(NOTICES, message.body.pnId)?.state === 'countersigned',
          )
          const dts = known.map((pn, i) => delayed(pn, { pairSeq: i + 1 }))
          for (const i of order) on.take(dts[i % dts.length] as (typeof dts)[number])
          for (const dt of dts.toReversed()) on.take(dt)
          const due = total(
            known.map(({ message }) => (message.nested.trans.ok ? message.nested.trans.value.body.amountMinor : 0n)),
          )
          expect(on.ledger.get(PAIRS, 'hu-cpp', 'EUR')).toMatchObject({
            receivableMinor: due,
            reservedMinor: 0n,
            held: dts.length,
            highestSeq: dts.length,
          })
          expect(on.ledger.get(PAYEES, 'hu-bakery')?.accruedMinor).toBe(due)
        },
      ),
      { numRuns: 100, seed: 20_261_122 },
    )
  })
})

test('the page of payments goes through all of them, by pnId, each once', () => {
  const on = world()
  for (let i = 0; i < 25; i++) on.take(notice({ txId: `t${i}`, amountMinor: 10n }))
  on.take(notice({ pnId: 'unreadable', broken: 'BAD_SIGNATURE' }))
  const seen: string[] = []
  let after: string | undefined
  do {
    const page = on.read('payments', { limit: 10, ...(after === undefined ? {} : { after }) }) as {
      payments: { pnId: string }[]
      next?: string
    }
    seen.push(...page.payments.map(({ pnId }) => pnId))
    after = page.next
  } while (after !== undefined)
  expect(seen).toEqual(Array.from({ length: 25 }, (_, i) => toHex(testId(`t${i}`))).toSorted())
})
