/** An MPP in a test: a ledger in memory, the messages its counterparties send, and its policy. For tests only. */
import { modeOf, type Currency } from '../../../protocol/amount.ts'
import { toHex } from '../../../protocol/bytes.ts'
import type { VerifiedChain } from '../../../protocol/credentials.ts'
import type { FailureCode } from '../../../protocol/failures.ts'
import type { KindName } from '../../../protocol/kinds.ts'
import type { Body } from '../../../protocol/kinds.ts'
import {
  batchHash,
  EMPTY_RANGE,
  appendLeaf,
  NO_PREVIOUS_BATCH,
  pairEntryLeaf,
  rangeRoot,
  type PairEntry,
} from '../../../protocol/mountain-range.ts'
import type { MandateStatement } from '../../../protocol/statements.ts'
import type { MerchantChain, Verified } from '../../../protocol/verified.ts'
import { NOT_HERE } from '../../runtime/evidence.ts'
import {
  put,
  type Context,
  type Decision,
  type Incoming,
  type Message,
  type Relay,
  type Write,
} from '../../runtime/node.ts'
import { keyOf } from '../../runtime/table.ts'
import {
  context,
  incoming,
  TEST_NOW_MS,
  testBytes,
  testId,
  testLedger,
  type TestLedger,
} from '../../runtime/testing.ts'
import { mppDefinition } from '../definition.ts'
import { MPP_POLICY_DEFAULTS, type MppPolicy } from '../policy.ts'
import { HOSTS, PAYEES, type HostRow, type PayeeRow } from '../state.ts'

export const NOW = TEST_NOW_MS
export const SELF = { id: 'hu-mpp', role: 'mpp' as const, realm: 'hu', operatorId: 'hu-mpp' }
export const CPP = 'hu-cpp'
export const HOST = 'hu-shops'
export const PAYEE = 'hu-bakery'
export const BANK = 'hu-kh'
export const ACCOUNT = 'hu-kh:hu-mpp'
export const PAYEE_ACCOUNT = 'ro-bank:payee'

export const POLICY: MppPolicy = {
  ...MPP_POLICY_DEFAULTS,
  dataCenters: ['hu-dc-1', 'hu-dc-2'],
  operatorAccounts: { EUR: ACCOUNT },
  settlementAccounts: { [CPP]: 'ro-bank:cpp' },
  creditLimitMinor: { EUR: 10_000n },
  settlement: { maxUnpaidMs: 60_000, retryMs: 1_000 },
  payout: { thresholdMinor: { EUR: 1_000n }, maxAgeMs: 30_000, retryMs: 2_000 },
}

export const hostRow = (host = HOST): HostRow => ({
  host,
  chain: [testBytes('mpp credential'), testBytes(`${host} credential`)],
  registeredAtMs: NOW,
})

export const payeeRow = (parts: Partial<PayeeRow> = {}): PayeeRow => ({
  payee: PAYEE,
  state: 'active',
  host: HOST,
  payeeKind: 'shop',
  displayName: 'Bakery',
  account: PAYEE_ACCOUNT,
  currency: 'EUR',
  version: 1,
  activeSinceMs: NOW,
  credential: testBytes('payee credential'),
  accruedMinor: 0n,
  payableMinor: 0n,
  refundingMinor: 0n,
  payingMinor: 0n,
  paidMinor: 0n,
  reversedMinor: 0n,
  changedAtMs: NOW,
  ...parts,
})

/** A host and a payee enrolled. */
export const enrolled = (...payees: readonly PayeeRow[]): readonly Write[] => [
  put(HOSTS, keyOf(HOST), hostRow()),
  ...(payees.length === 0 ? [payeeRow()] : payees).map((row) => put(PAYEES, keyOf(row.payee), row)),
]

export const MANDATE: MandateStatement = {
  type: 'mandate',
  networkId: testId('network'),
  account: PAYEE_ACCOUNT,
  operatorId: SELF.operatorId,
  limitMinor: 1_000n,
  currency: 'EUR',
  notBeforeMs: 0,
  notAfterMs: Number.MAX_SAFE_INTEGER,
  serial: 1,
}

const MANDATES = [
  { name: 'mandate', mandate: MANDATE },
  { name: 'mandate of another operator', mandate: { ...MANDATE, operatorId: 'hu-other' } },
  { name: 'mandate in another currency', mandate: { ...MANDATE, currency: 'USD' as const } },
]

export const definition = mppDefinition({
  chain: () => [testBytes('mpp credential')],
  certified: () => true,
  readMandate: (bytes) => MANDATES.find(({ name }) => toHex(testBytes(name)) === toHex(bytes))?.mandate,
  issuePayee: ({ payee, serial, displayName }) =>
    displayName === '' ? undefined : testBytes(`credential of ${payee} ${serial}`),
  dataCenters: [],
  evidence: () => NOT_HERE,
})

export type World = {
  readonly ledger: TestLedger
  nowMs: number
  policy: MppPolicy
  /** Decides on a message and applies the decision. */
  readonly take: <K extends KindName>(message: Incoming<K>) => Decision
  readonly fire: (name: string, key: Uint8Array, atMs?: number) => Decision
  /** Fires every deadline up to now, in order, until none is due. */
  readonly sweep: () => void
  readonly control: (command: string, args: Readonly<Record<string, unknown>>) => Decision
  readonly read: (name: string, args?: Readonly<Record<string, unknown>>) => unknown
  readonly context: () => Context<MppPolicy>
}

type AnyHandler = (read: TestLedger, event: unknown, context: Context<MppPolicy>) => Decision

const handlers = definition.messages as unknown as Readonly<Record<string, AnyHandler>>

export const world = (writes: readonly Write[] = enrolled()): World => {
  const ledger = testLedger(...writes)
  let events = 0
  const self: World = {
    ledger,
    nowMs: NOW,
    policy: POLICY,
    context: () => context({ self: SELF, policy: self.policy, nowMs: self.nowMs, seed: `event ${(events += 1)}` }),
    take: (message) => {
      const handler = handlers[message.message.kind] as AnyHandler
      const made = handler(ledger, message, self.context())
      ledger.apply(made)
      return made
    },
    fire: (name, key, atMs = self.nowMs) => {
      const made = (definition.deadlines[name] as AnyHandler)(ledger, { name, key, atMs }, self.context())
      ledger.apply({ ...made, clear: [...made.clear, { name, key, atMs }] })
      return made
    },
    sweep: () => {
      for (;;) {
        const due = ledger.deadlines().find(({ atMs }) => atMs <= self.nowMs)
        if (due === undefined) return
        self.fire(due.name, due.key, due.atMs)
      }
    },
    control: (command, args) => {
      const made = (definition.controls[command] as AnyHandler)(ledger, { command, args }, self.context())
      ledger.apply(made)
      return made
    },
    read: (name, args = {}) =>
      (definition.reads[name] as NonNullable<(typeof definition.reads)[string]>)(ledger, args, self.context()),
  }
  return self
}

/** The sends of one kind, own or relayed. */
export const sent = <K extends KindName>(made: Decision, kind: K): readonly (Message<K> | Relay)[] =>
  made.sends.filter((send) => ('relay' in send ? send.relay : send.kind) === kind) as (Message<K> | Relay)[]

/** The body of the only own message of this kind. @throws Error unless there is exactly one */
export const bodyOf = <K extends KindName>(made: Decision, kind: K): Body<K> => {
  const [first, ...more] = sent(made, kind)
  if (first === undefined || more.length > 0 || !('body' in first))
    throw new Error(`${1 + more.length} messages ${kind}`)
  return first.body
}

export const refusalOf = (made: Decision): FailureCode | undefined => made.refuse?.code

const merchantChain = (parts: { mpp?: string; host?: string; payee?: string }): MerchantChain =>
  ({
    mpp: { id: parts.mpp ?? SELF.id },
    host: { id: parts.host ?? HOST, role: 'merchant' },
    payee: { payee: parts.payee ?? PAYEE, host: parts.host ?? HOST, account: PAYEE_ACCOUNT },
  }) as unknown as MerchantChain

export type TransParts = {
  readonly txId?: string
  readonly payee?: string
  readonly amountMinor?: bigint
  readonly currency?: Currency
  readonly mpp?: string
  readonly host?: string
  readonly expiresAtMs?: number
}

export const trans = (parts: TransParts = {}): Verified<'transaction-details'> => {
  const { payee = PAYEE, amountMinor = 120n, currency = 'EUR' } = parts
  return incoming(
    'transaction-details',
    {
      txId: testId(parts.txId ?? 'tx'),
      payee,
      amountMinor,
      currency,
      descriptionHash: testBytes('description'),
      nonce: testId('nonce'),
      chain: [testBytes('mpp credential')],
    },
    {
      from: parts.host ?? HOST,
      merchant: merchantChain({
        payee,
        ...(parts.mpp === undefined ? {} : { mpp: parts.mpp }),
        ...(parts.host === undefined ? {} : { host: parts.host }),
      }),
      header: { expiresAtMs: parts.expiresAtMs ?? NOW + 120_000 },
    },
  ).message
}

export type NoticeParts = TransParts & {
  readonly pnId?: string
  readonly cpp?: string
  readonly mode?: 'micro' | 'macro'
  readonly bodyPayee?: string
  readonly broken?: FailureCode
}

export const notice = (parts: NoticeParts = {}): Incoming<'payment-notice'> => {
  const { amountMinor = 120n, currency = 'EUR', cpp = CPP } = parts
  return incoming(
    'payment-notice',
    {
      pnId: testId(parts.pnId ?? parts.txId ?? 'pn'),
      payee: parts.bodyPayee ?? parts.payee ?? PAYEE,
      mode: parts.mode ?? modeOf(amountMinor, currency),
      operatorId: cpp,
    },
    {
      from: cpp,
      nested: {
        trans: parts.broken === undefined ? trans(parts) : { ok: false, failure: { code: parts.broken, detail: '' } },
      },
    },
  )
}

export const paymentDecision = (
  about: Incoming<'payment-notice'>,
  parts: {
    decision?: 'approve' | 'reject'
    code?: number
    from?: string
    txId?: Uint8Array
    noticeDigest?: Uint8Array
    payee?: string
  } = {},
): Incoming<'payment-decision'> => {
  const { body, nested, digest } = about.message
  const txId = nested.trans.ok ? nested.trans.value.body.txId : testId('no tx')
  return incoming(
    'payment-decision',
    {
      pnId: body.pnId,
      payee: parts.payee ?? body.payee,
      txId: parts.txId ?? txId,
      noticeDigest: parts.noticeDigest ?? digest,
      decision: parts.decision ?? 'approve',
      ...(parts.code === undefined ? {} : { code: parts.code }),
    },
    { from: parts.from ?? HOST },
  )
}

type EndParts = {
  readonly pairSeq?: number
  readonly amountMinor?: bigint
  readonly currency?: Currency
  readonly cpp?: string
  readonly mpp?: string
  readonly payee?: string
  readonly txId?: Uint8Array
}

const about = ({ message }: Incoming<'payment-notice'>) => {
  const opened = message.nested.trans
  if (!opened.ok) throw new Error('the notice has no invoice')
  const { txId, amountMinor, currency } = opened.value.body
  return { pnId: message.body.pnId, payee: message.body.payee, txId, amountMinor, currency }
}

export const delayed = (
  of: Incoming<'payment-notice'>,
  parts: EndParts = {},
): Incoming<'delayed-transfer-confirmation'> => {
  const { cpp = of.message.sender.id, mpp = SELF.id, pairSeq = 1, ...changed } = parts
  return incoming(
    'delayed-transfer-confirmation',
    { ...about(of), confirmedAtMs: NOW, mpp, pairSeq, ...changed },
    { from: cpp },
  )
}

export const transfer = (of: Incoming<'payment-notice'>, parts: EndParts = {}): Incoming<'transfer-confirmation'> => {
  const { cpp = of.message.sender.id, mpp: _, pairSeq: __, ...changed } = parts
  return incoming('transfer-confirmation', { ...about(of), confirmedAtMs: NOW, ...changed }, { from: cpp })
}

export const outcome = (
  of: Incoming<'payment-notice'>,
  parts: {
    outcome?: 'refused' | 'rejected' | 'expired' | 'failed'
    code?: number
    cpp?: string
    txId?: Uint8Array
    payee?: string
  } = {},
): Incoming<'payment-outcome'> => {
  const { pnId, payee, txId } = about(of)
  return incoming(
    'payment-outcome',
    {
      pnId,
      payee: parts.payee ?? payee,
      txId: parts.txId ?? txId,
      outcome: parts.outcome ?? 'expired',
      code: parts.code ?? 6015,
      decidedAtMs: NOW,
    },
    { from: parts.cpp ?? of.message.sender.id },
  )
}

export const adjustment = (parts: {
  pairSeq: number
  disputedSeq: number
  amountMinor: bigint
  cpp?: string
  mpp?: string
  currency?: Currency
}): Incoming<'pair-adjustment'> => {
  const { cpp = CPP, mpp = SELF.id, currency = 'EUR', ...body } = parts
  return incoming(
    'pair-adjustment',
    { adjustmentId: testId(`adjustment ${parts.pairSeq}`), mpp, currency, batchId: testId('batch'), ...body },
    { from: cpp },
  )
}

/** A payment up to its DT, booked at `pairSeq`. */
export const confirmMicro = (
  on: World,
  txId: string,
  pairSeq: number,
  amountMinor = 120n,
  parts: NoticeParts = {},
): Incoming<'payment-notice'> => {
  const pn = notice({ txId, amountMinor, ...parts })
  on.take(pn)
  on.take(paymentDecision(pn, parts.host === undefined ? {} : { from: parts.host }))
  on.take(delayed(pn, { pairSeq }))
  return pn
}

export const dtEntry = (of: Incoming<'payment-notice'>, pairSeq: number, amountMinor?: bigint): PairEntry => {
  const { pnId, payee, currency, amountMinor: agreed } = about(of)
  return { pairSeq, type: 'dt', pnId, payee, amountMinor: amountMinor ?? agreed, currency }
}

export const adjustmentEntry = (pairSeq: number, amountMinor: bigint): PairEntry => ({
  pairSeq,
  type: 'adjustment',
  pnId: null,
  payee: null,
  amountMinor,
  currency: 'EUR',
})

export type BatchParts = {
  readonly seq?: number
  readonly prevHash?: Uint8Array
  readonly fromSeq?: number
  readonly toSeq?: number
  readonly totalMinor?: bigint
  readonly root?: Uint8Array
  readonly batchId?: string
  readonly cpp?: string
  readonly mpp?: string
  readonly operatorId?: string
}

/** The batch a CPP makes of these entries, and what the pair's next batch names as `prevHash`. */
export const batch = (
  entries: readonly PairEntry[],
  parts: BatchParts = {},
): { readonly message: Incoming<'settlement-batch'>; readonly hash: Uint8Array } => {
  const { cpp = CPP, mpp = SELF.id, seq = 1, prevHash = NO_PREVIOUS_BATCH } = parts
  const body = {
    batchId: testId(parts.batchId ?? `batch ${cpp} ${seq}`),
    mpp,
    currency: entries[0]?.currency ?? ('EUR' as const),
    seq,
    prevHash,
    fromSeq: parts.fromSeq ?? entries[0]?.pairSeq ?? 1,
    toSeq: parts.toSeq ?? entries.at(-1)?.pairSeq ?? 1,
    root: parts.root ?? rangeRoot(entries.map(pairEntryLeaf).reduce(appendLeaf, EMPTY_RANGE)),
    totalMinor: parts.totalMinor ?? entries.reduce((sum, { amountMinor }) => sum + amountMinor, 0n),
  }
  return {
    message: incoming('settlement-batch', body, { from: cpp, operatorId: parts.operatorId ?? cpp }),
    hash: batchHash(prevHash, { ...body, cpp }),
  }
}

export const missingEntries = (
  requestId: Uint8Array,
  entries: readonly unknown[],
  parts: { cpp?: string; currency?: Currency } = {},
): Incoming<'missing-entries'> =>
  incoming(
    'missing-entries',
    { requestId, currency: parts.currency ?? 'EUR' },
    { from: parts.cpp ?? CPP, nested: { entries } },
  )

export const settlementCredit = (
  batchId: Uint8Array,
  amountMinor: bigint,
  parts: {
    noticeId?: string
    account?: string
    bank?: string
    purpose?: 'settlement' | 'payment'
    currency?: Currency
  } = {},
): Incoming<'account-notice'> =>
  incoming(
    'account-notice',
    {
      noticeId: testId(parts.noticeId ?? `credit ${toHex(batchId)}`),
      account: parts.account ?? ACCOUNT,
      amountMinor,
      currency: parts.currency ?? 'EUR',
      reference: { purpose: parts.purpose ?? 'settlement', id: batchId },
      originatingBank: 'ro-bank',
      bookedAtMs: NOW,
    },
    { from: parts.bank ?? BANK },
  )

export const transferAnswer = (
  orderId: Uint8Array,
  result: 'booked' | 'refused',
  parts: { bank?: string; code?: number } = {},
): Incoming<'transfer-answer'> =>
  incoming(
    'transfer-answer',
    { orderId, result, ...(parts.code === undefined ? {} : { code: parts.code }) },
    { role: 'bank', from: parts.bank ?? BANK },
  )

/** Gives a fabricated message the chain it shows. */
export const showing = <K extends KindName>(message: Incoming<K>, chain: unknown): Incoming<K> =>
  ({ ...message, message: { ...message.message, chain: chain as VerifiedChain } }) as unknown as Incoming<K>
