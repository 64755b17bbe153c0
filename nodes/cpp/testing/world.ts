/**
 * A CPP in a test: its whole definition over a ledger in memory, with a clock, banks, MPPs and wallets that say what the test
 * tells them to. Every decision is checked and applied; postings are kept, so that the books can be compared with the rows.
 */
import { equalBytes } from '../../../protocol/bytes.ts'
import type { Currency } from '../../../protocol/amount.ts'
import { loadEngine } from '../../../protocol/engines/load.ts'
import { failureNumber, type FailureCode } from '../../../protocol/failures.ts'
import type { KindName } from '../../../protocol/kinds.ts'
import { accountClosureSubject, pinProof } from '../../../protocol/pin.ts'
import type { MerchantChain, Verified } from '../../../protocol/verified.ts'
import { NOT_HERE } from '../../runtime/evidence.ts'
import type { Decision, HandledKind, Job, Message, Relay } from '../../runtime/node.ts'
import { decision, put } from '../../runtime/node.ts'
import { keyOf } from '../../runtime/table.ts'
import { toJson } from '../../runtime/json.ts'
import {
  TEST_NOW_MS,
  context as makeContext,
  incoming,
  testBytes,
  testId,
  testLedger,
  type IncomingOptions,
  type TestBody,
} from '../../runtime/testing.ts'
import { newTotal } from '../account.ts'
import { cppDefinition } from '../definition.ts'
import type { FramesOf } from '../decide-settlement.ts'
import { createPinVault } from '../pin-vault.ts'
import { DEFAULT_CPP_POLICY, type CppPolicy } from '../policy.ts'
import {
  customers,
  ledger as ledgerTable,
  notices as noticesTable,
  payments as paymentsTable,
  type CustomerRow,
} from '../state.ts'

const nothing = decision()

export const CPP = 'hu-otp'
export const OPERATOR = 'hu-otp-group'
export const BANK = 'hu-kh'
export const MPP = 'hu-cosmo'
export const WALLET_HOST = 'hu-wallet-1'
export const MERCHANT_HOST = 'hu-shops-1'
export const CHAIN: readonly Uint8Array[] = [testBytes('own credential')]

export const testPolicy = (changes: Partial<CppPolicy> = {}): CppPolicy => ({
  ...DEFAULT_CPP_POLICY,
  dataCenters: ['hu-dc-1'],
  operatorAccounts: { EUR: `${BANK}:otp-eur`, HUF: `${BANK}:otp-huf` },
  settlementAccounts: { [MPP]: `${BANK}:cosmo` },
  ...changes,
})

export const merchantChain = (
  changes: { readonly mpp?: string; readonly mppOperator?: string; readonly payee?: string } = {},
): MerchantChain => {
  const { mpp = MPP, mppOperator = mpp, payee = 'hu-bakery' } = changes
  return {
    mpp: { id: mpp, role: 'mpp', realm: 'hu', operatorId: mppOperator },
    host: { id: MERCHANT_HOST, role: 'merchant' },
    payee: { payee, host: MERCHANT_HOST, account: `hu-erste:${payee.slice(3)}`, currency: 'EUR' },
  } as unknown as MerchantChain
}

export type Invoice = {
  readonly tx?: string
  readonly amountMinor?: bigint
  readonly currency?: Currency
  readonly payee?: string
  readonly expiresAtMs?: number
  readonly merchant?: MerchantChain
}
export const invoice = ({
  tx = 'tx',
  amountMinor = 120n,
  currency = 'EUR',
  payee = 'hu-bakery',
  ...rest
}: Invoice = {}) =>
  incoming(
    'transaction-details',
    {
      txId: testId(tx),
      payee,
      amountMinor,
      currency,
      descriptionHash: testBytes('description'),
      nonce: testId(`nonce ${tx}`),
      chain: [],
    },
    {
      from: MERCHANT_HOST,
      merchant: rest.merchant ?? merchantChain({ payee }),
      header: { expiresAtMs: rest.expiresAtMs ?? TEST_NOW_MS + 120_000 },
    },
  ).message

type Handler = (read: unknown, event: unknown, context: unknown) => Decision
export type Sent<K extends KindName> = Extract<Message, { readonly kind: K }>

export type WorldOptions = { readonly policy?: Partial<CppPolicy>; readonly framesOf?: FramesOf }

export const createWorld = (options: WorldOptions = {}) => {
  const ledger = testLedger()
  const vault = createPinVault(loadEngine(), testBytes('node key'))
  let chain = CHAIN
  const definition = cppDefinition({
    vault,
    chain: () => chain,
    issueEnrolment: async ({ customer, deviceKey }) =>
      equalBytes(deviceKey, UNSOUND_KEY) ? undefined : testBytes(`record ${customer}`),
    authorizeDevice: async ({ authorizationId }) => testBytes(`authorization ${authorizationId.join('.')}`),
    framesOf: options.framesOf ?? (async (sent) => sent.map(() => testBytes('frame'))),
    seal: async ({ kind }) => testBytes(`sealed ${kind}`),
    evidence: () => NOT_HERE,
  })
  const policy = testPolicy(options.policy)
  const world = { nowMs: TEST_NOW_MS, policy }
  const books = new Map<string, bigint>()
  const jobs: Job[] = []
  let events = 0

  const here = () =>
    makeContext({
      self: { id: CPP, role: 'cpp', operatorId: OPERATOR },
      policy: world.policy,
      nowMs: world.nowMs,
      seed: `event ${(events += 1)}`,
    })
  const run = (handler: unknown, event: unknown): Decision => {
    const decided = (handler as Handler)(ledger, event, here())
    ledger.apply(decided)
    for (const { account, currency, amountMinor } of decided.postings)
      books.set(`${account} ${currency}`, (books.get(`${account} ${currency}`) ?? 0n) + amountMinor)
    jobs.push(...decided.jobs)
    return decided
  }

  /** A message arrives, new and verified. */
  const receive = <K extends HandledKind<'cpp'> & KindName>(
    kind: K,
    body: TestBody<K>,
    opts: IncomingOptions<K> = {},
  ): Decision => run((definition.messages as Readonly<Record<string, unknown>>)[kind], incoming(kind, body, opts))

  const pinKeyOf = (customer: string): Uint8Array => testBytes(`pin key ${customer}`)

  /** A customer whose enrolment is complete. */
  const enrol = (customer: string, changes: Partial<CustomerRow> = {}): void => {
    const row: CustomerRow = {
      customer,
      state: 'active',
      walletHost: WALLET_HOST,
      deviceKey: testBytes(`device ${customer}`),
      sealedPinKey: vault.seal(customer, pinKeyOf(customer), testBytes('nonce', 12)),
      account: `${BANK}:${customer.slice(3)}`,
      currency: 'EUR',
      wrongPins: 0,
      pinLockedAtMs: 0,
      enrolmentId: testId(`enrolment ${customer}`),
      enrolmentRef: testBytes(`ref ${customer}`),
      enrolmentDigest: testBytes(`digest ${customer}`),
      mandate: testBytes('mandate'),
      serial: 1,
      requestedAtMs: TEST_NOW_MS,
      enrolledAtMs: TEST_NOW_MS,
      record: testBytes(`record ${customer}`),
      ...changes,
    }
    ledger.put(customers, keyOf(customer), row)
    ledger.apply({ ...nothing, writes: [put(ledgerTable, keyOf(customer), newTotal(row))] })
  }

  type Pay = Invoice & {
    readonly customer?: string
    readonly pr?: string
    readonly pinKey?: Uint8Array
    /** The quote that the request names. */
    readonly quote?: string
    /** In place of the TRANS: a nested frame that did not open. */
    readonly badTrans?: FailureCode
  }
  const pay = (given: Pay = {}): Decision => {
    const { customer = 'hu-alice', tx = given.pr ?? 'tx', pr = tx } = given
    const trans = invoice({ ...given, tx })
    const prId = testId(pr)
    const proof = pinProof(given.pinKey ?? pinKeyOf(customer), trans.digest, prId)
    const nested = given.badTrans === undefined ? trans : { ok: false, failure: { code: given.badTrans, detail: '' } }
    return receive(
      'payment-request',
      { prId, pinProof: proof, ...(given.quote === undefined ? {} : { quoteId: testId(given.quote) }) },
      {
        from: customer,
        host: WALLET_HOST,
        nested: { trans: nested },
        header: { expiresAtMs: trans.header.expiresAtMs },
      },
    )
  }

  /** A customer asks what an amount would cost. Default: 1.20 EUR. */
  const askQuote = (
    customer: string,
    id: string,
    wanted: { readonly amountMinor?: bigint; readonly currency?: Currency; readonly as?: string } = {},
  ): Decision =>
    receive(
      'fx-quote-request',
      {
        quoteId: testId(id),
        customer: wanted.as ?? customer,
        currency: wanted.currency ?? 'EUR',
        amountMinor: wanted.amountMinor ?? 120n,
      },
      { from: customer, host: WALLET_HOST },
    )

  type Decide = {
    readonly decision?: 'approve' | 'reject'
    readonly code?: FailureCode
    readonly reason?: string
    readonly from?: string
    readonly payee?: string
    /** Changes to the merchant's own decision; null: none is nested. */
    readonly merchant?: Partial<Verified<'payment-decision'>['body']> | null
    readonly merchantHost?: string
    readonly badMerchant?: FailureCode
  }
  /** The payee's side answers a notice. */
  const decide = (notice: Sent<'payment-notice'>, given: Decide = {}): Decision => {
    const { decision: verdict = 'approve', from = MPP, merchantHost = MERCHANT_HOST } = given
    const { pnId, payee } = notice.body
    const code = given.code === undefined ? {} : { code: failureNumber(given.code) }
    const txId = ledger.get(...paymentOf(pnId))?.txId ?? testId('unknown')
    const own = incoming(
      'payment-decision',
      {
        pnId,
        payee,
        txId,
        noticeDigest: testBytes('notice'),
        decision: verdict,
        ...code,
        ...(given.reason === undefined ? {} : { reason: given.reason }),
        ...given.merchant,
      },
      { from: merchantHost },
    ).message
    const nested =
      given.badMerchant === undefined ? own : { ok: false, failure: { code: given.badMerchant, detail: '' } }
    return receive(
      'countersigned-decision',
      { pnId, payee: given.payee ?? payee, noticeDigest: testBytes('notice'), decision: verdict, ...code },
      { from, nested: given.merchant === null ? {} : { merchantDecision: nested } },
    )
  }
  const paymentOf = (pnId: Uint8Array) =>
    [paymentsTable, ledger.get(noticesTable, pnId)?.prId ?? testId('none')] as const

  /** The bank answers an order. */
  const answer = (
    order: Message | undefined,
    result: 'done' | 'refused',
    code?: FailureCode,
    from = BANK,
  ): Decision => {
    const why = code === undefined ? {} : { code: failureNumber(code) }
    const done = result === 'done'
    switch (order?.kind) {
      case 'hold-order':
        return receive(
          'hold-answer',
          { holdId: order.body.holdId, result: done ? 'held' : 'refused', ...why },
          { from },
        )
      case 'post-order': {
        const { orderId, holdId } = order.body
        return receive('post-answer', { orderId, holdId, result: done ? 'booked' : 'refused', ...why }, { from })
      }
      case 'void-order': {
        const { orderId, holdId } = order.body
        return receive('void-answer', { orderId, holdId, result: done ? 'voided' : 'posted', ...why }, { from })
      }
      case 'transfer-order':
        return receive(
          'transfer-answer',
          { orderId: order.body.orderId, result: done ? 'booked' : 'refused', ...why },
          { from },
        )
      default:
        throw new Error(`no bank answers ${order?.kind}`)
    }
  }

  /** The bank answers a bulk order, item by item. @param codeOf why an item is refused; undefined: it is booked */
  const answerBulk = (
    { body }: Sent<'bulk-transfer-order'>,
    codeOf: (item: Sent<'bulk-transfer-order'>['body']['items'][number]) => FailureCode | undefined = () => undefined,
    from = BANK,
  ): Decision =>
    receive(
      'bulk-transfer-answer',
      {
        orderId: body.orderId,
        items: body.items.map((item) => {
          const code = codeOf(item)
          return code === undefined
            ? { itemId: item.itemId, result: 'booked' }
            : { itemId: item.itemId, result: 'refused', code: failureNumber(code) }
        }),
      },
      { from },
    )

  /** The customer closes the account. */
  const close = (customer: string, pinKey = pinKeyOf(customer), closureId = testId(`closure ${customer}`)): Decision =>
    receive(
      'account-closure',
      { closureId, customer, pinProof: pinProof(pinKey, accountClosureSubject(customer), closureId) },
      { from: customer, host: WALLET_HOST },
    )
  /** The operator's. Pages of what follows are run by `finishJobs`. */
  const setPolicy = (changes: Partial<CppPolicy>): Decision => {
    world.policy = { ...world.policy, ...changes }
    return run(definition.policyChanged, {})
  }

  return Object.assign(world, {
    answerBulk,
    close,
    setPolicy,
    ledger,
    definition,
    books,
    jobs,
    receive,
    enrol,
    pay,
    askQuote,
    decide,
    answer,
    pinKeyOf,
    run,
    setChain: (next: readonly Uint8Array[]) => {
      chain = next
    },
    start: (): Decision => run(definition.started, {}),
    control: (command: string, args: Record<string, unknown> = {}): Decision =>
      run(definition.controls[command], { command, args }),
    // What a read gives is plain data that each test looks into.
    read: (name: string, args: Record<string, unknown> = {}): any => definition.reads[name]?.(ledger, args, here()),
    refused: (key: Uint8Array, kind: KindName, code: FailureCode): Decision =>
      run(definition.refused, { kind, key, code, detail: '', by: 'hu-peer' }),
    receipted: (key: Uint8Array, kind: KindName): Decision => run(definition.receipted, { kind, key }),
    /** Lets time pass up to the next deadline at or before `atMs`, fires it, and so on; then it is `atMs`. */
    advance: (atMs: number): readonly Decision[] => {
      const fired: Decision[] = []
      for (;;) {
        const next = ledger.deadlines()[0]
        if (next === undefined || next.atMs > atMs) break
        world.nowMs = Math.max(world.nowMs, next.atMs)
        ledger.apply({ ...nothing, clear: [next] })
        fired.push(run(definition.deadlines[next.name], next))
      }
      world.nowMs = Math.max(world.nowMs, atMs)
      return fired
    },
    /** A job is done, with this result. */
    finish: (job: Job, result: unknown): Decision => run(definition.finished[job.name], { ...job, result }),
    finishJobs: async (): Promise<readonly Decision[]> => {
      const done: Decision[] = []
      for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
        const result = await definition.jobs[job.name]?.(job.input)
        done.push(run(definition.finished[job.name], { ...job, result }))
      }
      return done
    },
  })
}
export type World = ReturnType<typeof createWorld>

export const UNSOUND_KEY = new Uint8Array(32)

/** The only message of this kind that a decision sends. @throws Error when it sends none or several */
export const sent = <K extends KindName>(decided: Decision, kind: K): Sent<K> => {
  const found = sentAll(decided, kind)
  if (found.length !== 1) throw new Error(`${found.length} messages of kind ${kind} were sent`)
  return found[0] as Sent<K>
}
export const sentAll = <K extends KindName>(decided: Decision, kind: K): readonly Sent<K>[] =>
  decided.sends.filter((send): send is Sent<K> => 'kind' in send && send.kind === kind)
export const kindsOf = (decided: Decision): readonly string[] =>
  decided.sends.map((send: Message | Relay) => ('kind' in send ? send.kind : `relay ${send.relay}`))

/** Everything a value holds, as text in which ids and names can be looked for: byte strings as hex. */
export const textOf = (value: unknown): string => toJson(value)
