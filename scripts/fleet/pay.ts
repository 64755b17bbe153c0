/**
 * One payment through a running wallet host. The id is made and known here before anything is asked, so that after a lost
 * connection or a passed time the payment is asked for, never made again.
 */
import { randomBytes } from 'node:crypto'
import type { Currency } from '../../protocol/amount.ts'
import { toHex } from '../../protocol/bytes.ts'
import { payeeAddress } from '../../protocol/ids.ts'
import { isFinalState, type FinalState } from '../../nodes/runtime/reports.ts'
import { TimeLimitError } from './concurrency.ts'
import { HostRefusal, type HostClient } from './host-client.ts'

export type PayOrder = {
  readonly customer: string
  /** `bakery@hu` or `hu-bakery`. */
  readonly payee: string
  readonly amountMinor: bigint
  readonly currency: Currency
  readonly cpp?: string | undefined
  readonly item?: string | undefined
  /** The most that the customer agrees to be charged, in minor units of their account's currency. */
  readonly maxCostMinor?: bigint | undefined
}

/** What is known of a payment when the time is up: `undecided` is no end. */
export type PayResult = {
  readonly paymentId: string
  readonly outcome: FinalState | 'undecided'
  readonly confirmation: 'T' | 'DT' | undefined
  readonly payee: string
  readonly cpp: string | undefined
  readonly amountMinor: bigint
  readonly currency: Currency
  /** What the customer is charged, where the account is in another currency. */
  readonly accountAmountMinor: bigint | undefined
  readonly accountCurrency: Currency | undefined
  /** Failure code of an end that is not confirmed. */
  readonly code: string | undefined
  readonly detail: string | undefined
  readonly txId: string | undefined
  /** From the order to the end, as the caller saw it. */
  readonly ms: number
}

type Announcement = Pick<PayResult, 'paymentId' | 'payee' | 'currency'> & {
  /** Decimal text, as money is in JSON. */
  readonly amountMinor: string
  readonly outcome: string
  readonly accountAmountMinor?: string
  readonly accountCurrency?: Currency
  readonly confirmation?: 'T' | 'DT'
  readonly cpp?: string
  readonly code?: string
  readonly detail?: string
  readonly txId?: string
}

export const newPaymentId = (): string => toHex(randomBytes(16))

/** @throws HostRefusal when the order itself is refused: nothing was started */
export const pay = (
  wallet: HostClient,
  order: PayOrder,
  timeoutMs: number,
  paymentId: string = newPaymentId(),
): Promise<PayResult> =>
  decided(wallet, order, paymentId, () =>
    wallet.command<Announcement>('pay', { paymentId, ...argumentsOf(order) }, timeoutMs),
  )

const argumentsOf = ({ amountMinor, cpp, item, maxCostMinor, ...rest }: PayOrder) => ({
  ...rest,
  amountMinor: String(amountMinor),
  ...(cpp === undefined ? {} : { cpp }),
  ...(item === undefined ? {} : { item }),
  ...(maxCostMinor === undefined ? {} : { maxCostMinor: String(maxCostMinor) }),
})

/** Accepts a request to pay, or declines it, which is answered with undefined. */
export const payRequest = async (
  wallet: HostClient,
  order: PayOrder,
  request: { readonly requestId: string; readonly accept: boolean },
  timeoutMs: number,
): Promise<PayResult | undefined> => {
  if (!request.accept) {
    await wallet.command('pay-request', request, timeoutMs)
    return undefined
  }
  return decided(wallet, order, undefined, () => wallet.command<Announcement>('pay-request', request, timeoutMs))
}

const decided = async (
  wallet: HostClient,
  order: PayOrder,
  paymentId: string | undefined,
  ask: () => Promise<Announcement>,
): Promise<PayResult> => {
  const startedAt = performance.now()
  const ms = (): number => Math.round(performance.now() - startedAt)
  try {
    return resultOf(await ask(), ms())
  } catch (error) {
    const isUnknown = error instanceof TimeLimitError || (error instanceof HostRefusal && error.code === 'DISCONNECTED')
    if (!isUnknown || paymentId === undefined) throw error
    const found = await askFor(wallet, paymentId).catch(() => undefined)
    return found === undefined ? undecided(order, paymentId, ms()) : { ...found, ms: ms() }
  }
}

/** What the wallet host holds of a payment; undefined when it knows none. */
export const askFor = async (wallet: HostClient, paymentId: string): Promise<PayResult | undefined> => {
  try {
    return resultOf(await wallet.read<Announcement>('payment', { paymentId }), 0)
  } catch (error) {
    if (error instanceof HostRefusal && error.code === 'NOT_FOUND') return undefined
    throw error
  }
}

const resultOf = (said: Announcement, ms: number): PayResult => {
  const { paymentId, outcome, confirmation, payee, cpp, amountMinor, currency, code, detail, txId } = said
  const { accountAmountMinor, accountCurrency } = said
  return {
    paymentId,
    outcome: isFinalState(outcome) ? outcome : 'undecided',
    confirmation,
    payee: payeeAddress(payee),
    cpp,
    amountMinor: BigInt(amountMinor),
    currency,
    accountAmountMinor: accountAmountMinor === undefined ? undefined : BigInt(accountAmountMinor),
    accountCurrency,
    code,
    detail,
    txId,
    ms,
  }
}

const undecided = (order: PayOrder, paymentId: string, ms: number): PayResult => ({
  paymentId,
  outcome: 'undecided',
  confirmation: undefined,
  payee: order.payee,
  cpp: order.cpp,
  amountMinor: order.amountMinor,
  currency: order.currency,
  accountAmountMinor: undefined,
  accountCurrency: undefined,
  code: undefined,
  detail: undefined,
  txId: undefined,
  ms,
})
