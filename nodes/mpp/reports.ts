/** What an MPP says of its ledger: sums counted afresh from the rows (design §8), payments page by page, one payee. */
import { sumMinor, type Currency } from '../../protocol/amount.ts'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { Context, Reader } from '../runtime/node.ts'
import { isFinalState, type MppReport, type PaymentLine, type PaymentsPage } from '../runtime/reports.ts'
import { readPayeeArgs } from './control-args.ts'
import { creditLimit, type MppPolicy } from './policy.ts'
import { isListed, loadListings } from './registration.ts'
import { refundsOf } from './decide-refund.ts'
import { BATCHES, DEFAULTS, ENTRIES, NOTICES, PAIRS, PAYEES, UNMATCHED } from './state.ts'
import { REFUNDS } from './refund-state.ts'

/** Σ of what entries credited to each payee, and each pair's entries: one pass over the sequence. */
const countEntries = (read: Reader, cpp: string, currency: Currency, credits: Map<string, bigint>) => {
  let entriesMinor = 0n
  let contiguousSeq = 0
  let highestSeq = 0
  let disputed = 0
  for (const [, entry] of read.scan(ENTRIES, [cpp, currency])) {
    if (entry.code !== undefined) disputed++
    if (entry.type === 'missing') continue
    if (entry.pairSeq === contiguousSeq + 1) contiguousSeq = entry.pairSeq
    highestSeq = entry.pairSeq
    entriesMinor = sumMinor(entriesMinor, entry.amountMinor)
    if (entry.credited !== undefined && entry.creditMinor > 0n)
      credits.set(entry.credited, sumMinor(credits.get(entry.credited) ?? 0n, entry.creditMinor))
  }
  return { entriesMinor, contiguousSeq, highestSeq, disputed }
}

/** What the operator sees beside the sums: disputes, defaults, money that fits nothing owed. */
export type MppAttention = {
  readonly disputedEntries: number
  readonly defaultedCpps: readonly string[]
  readonly unmatchedCredits: number
}

export const reportOf = (
  read: Reader,
  context: Context<MppPolicy>,
): MppReport & { readonly attention: MppAttention } => {
  const credits = new Map<string, bigint>()
  const settled = new Map<string, { settledMinor: bigint; openBatches: number }>()
  for (const [, batch] of read.scan(BATCHES, [])) {
    const key = `${batch.cpp} ${batch.currency}`
    const known = settled.get(key) ?? { settledMinor: 0n, openBatches: 0 }
    settled.set(
      key,
      batch.state === 'settled'
        ? { ...known, settledMinor: sumMinor(known.settledMinor, batch.totalMinor) }
        : { ...known, openBatches: known.openBatches + 1 },
    )
  }
  let disputedEntries = 0
  const pairs = [...read.scan(PAIRS, [])].map(([, pair]) => {
    const { disputed, ...counted } = countEntries(read, pair.cpp, pair.currency, credits)
    disputedEntries += disputed
    const { cpp, currency, receivableMinor } = pair
    return {
      cpp,
      currency,
      ...counted,
      ...(settled.get(`${cpp} ${currency}`) ?? { settledMinor: 0n, openBatches: 0 }),
      receivableMinor,
    }
  })
  const undecided: Record<string, number> = {}
  const paidIn = new Map<string, bigint>()
  const add = (key: string, amountMinor: bigint): void => void paidIn.set(key, (paidIn.get(key) ?? 0n) + amountMinor)
  for (const [, { state, payee, mode, funded, fromBankMinor }] of read.scan(REFUNDS, [])) {
    if (funded) add(`${mode} ${payee}`, fromBankMinor)
    if (state === 'funding' || state === 'countersigned')
      undecided[`refund-${state}`] = (undecided[`refund-${state}`] ?? 0) + 1
  }
  const payees = [...read.scan(PAYEES, [])].map(([, row]) => ({
    payee: row.payee,
    currency: row.currency,
    accruedMinor: row.accruedMinor,
    payableMinor: row.payableMinor,
    refundingMinor: row.refundingMinor,
    payingMinor: row.payingMinor,
    paidMinor: row.paidMinor,
    reversedMinor: row.reversedMinor,
    confirmedMicroMinor: credits.get(row.payee) ?? 0n,
    paidInMinor: paidIn.get(`micro ${row.payee}`) ?? 0n,
    macroRefundedMinor: paidIn.get(`macro ${row.payee}`) ?? 0n,
  }))
  for (const [, { state }] of read.scan(NOTICES, []))
    if (!isFinalState(state)) undecided[state] = (undecided[state] ?? 0) + 1
  return {
    role: 'mpp',
    id: context.self.id,
    payees,
    pairs,
    undecided,
    attention: {
      disputedEntries,
      defaultedCpps: [
        ...new Set([...read.scan(DEFAULTS, [])].map(([, { batchId }]) => read.get(BATCHES, batchId)?.cpp ?? '')),
      ],
      unmatchedCredits: [...read.scan(UNMATCHED, [])].length,
    },
  }
}

const refundLines = (read: Reader, id: Uint8Array): Pick<PaymentLine, 'refunds'> => {
  const rows = refundsOf(read, id)
  if (rows.length === 0) return {}
  return {
    refunds: rows.map(({ refundId, amountMinor, state }) => ({ refundId: toHex(refundId), amountMinor, state })),
  }
}

const count = (value: unknown): number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= LIMITS.maxPageRows
    ? value
    : LIMITS.maxPageRows

/** `{after?: hex pnId, limit?}` → payments by pnId. What has no readable invoice is no payment yet, and not listed. */
export const paymentsOf = (
  read: Reader,
  args: Readonly<Record<string, unknown>>,
  { self }: Context<MppPolicy>,
): PaymentsPage => {
  const after =
    typeof args['after'] === 'string' && /^[0-9a-f]{32}$/.test(args['after']) ? fromHex(args['after']) : undefined
  const limit = count(args['limit'])
  const payments: PaymentLine[] = []
  let next: string | undefined
  for (const [, row] of read.scan(NOTICES, [], after === undefined ? {} : { from: [after] })) {
    const pnId = toHex(row.pnId)
    if (after !== undefined && pnId === toHex(after)) continue
    const { payee, txId, amountMinor, currency, mode, state, cpp } = row
    if (txId === undefined || amountMinor === undefined || currency === undefined || mode === undefined) continue
    if (payments.length === limit) {
      next = payments.at(-1)?.pnId
      break
    }
    payments.push({
      pnId,
      payee,
      txId: toHex(txId),
      amountMinor,
      currency,
      mode,
      state,
      cpp,
      mpp: self.id,
      ...refundLines(read, row.pnId),
    })
  }
  return { payments, next }
}

/** `{payee}` → its account and where it is listed; undefined when it is not enrolled here. */
export const payeeOf = (
  read: Reader,
  args: Readonly<Record<string, unknown>>,
  { policy }: Context<MppPolicy>,
): unknown => {
  const token = readPayeeArgs(args)
  const row = token === undefined ? undefined : read.get(PAYEES, token)
  if (row === undefined) return undefined
  const listings = loadListings(read, row.payee)
  const { credential: _, payoutId, enrolmentId, ...account } = row
  return {
    ...account,
    ...(payoutId === undefined ? {} : { payoutId: toHex(payoutId) }),
    ...(enrolmentId === undefined ? {} : { enrolmentId: toHex(enrolmentId) }),
    listed: isListed(row.version, listings, policy.dataCenters),
  }
}

/** Each pair: what its CPP owes, may come to owe by undecided notices, and may owe at most; what is paid in beyond, or advanced. */
export const creditOf = (read: Reader, _: Readonly<Record<string, unknown>>, { policy }: Context<MppPolicy>): unknown =>
  [...read.scan(PAIRS, [])].map(([, { cpp, currency, receivableMinor, reservedMinor, ...pair }]) => ({
    cpp,
    currency,
    receivableMinor,
    reservedMinor,
    limitMinor: creditLimit(policy, cpp, currency),
    surplusMinor: pair.surplusMinor ?? 0n,
    understatedMinor: pair.understatedMinor ?? 0n,
    advancedMinor: pair.advancedMinor ?? 0n,
  }))
