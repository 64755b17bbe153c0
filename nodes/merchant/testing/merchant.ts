/** A merchant host with an enrolled payee, and the messages that others send it. For tests only. */
import { showId } from '../../../protocol/ids.ts'
import type { Currency } from '../../../protocol/amount.ts'
import type { Verified } from '../../../protocol/verified.ts'
import { chainOf } from '../../customer/testing/wallet.ts'
import { drive, oneSent, type Drive } from '../../customer/testing/drive.ts'
import { NOT_HERE } from '../../runtime/evidence.ts'
import type { Message, Self } from '../../runtime/node.ts'
import { incoming, testBytes, testId, type TestLedger } from '../../runtime/testing.ts'
import { merchantNode } from '../definition.ts'
import { DEFAULT_MERCHANT_POLICY, type MerchantPolicy } from '../policy.ts'
import { orders, payments, type Order, type Payment } from '../state.ts'

export const HOST = 'hu-shops'
export const MPP = 'hu-cosmo'
export const MPP2 = 'hu-other-mpp'
export const CPP = 'hu-otp'
export const BANK = 'hu-kh'
export const BAKERY = 'hu-bakery'
export const TOKEN = `U${'A'.repeat(55)}`
export const SELF: Self<'merchant'> = { id: HOST, role: 'merchant', realm: 'hu', operatorId: HOST }

const credentials = new Map<string, { payee: string; host: string; account: string; currency: string }>()
export const credentialOf = (said: { payee: string; host: string; account: string; currency: string }): Uint8Array => {
  const credential = testBytes(`payee credential ${JSON.stringify(said)}`)
  credentials.set(showId(credential), said)
  return credential
}

export const payeeArguments = (changes: Record<string, unknown> = {}) => ({
  payee: 'bakery@hu',
  payeeKind: 'shop',
  displayName: 'Bakery',
  mpp: MPP,
  account: 'hu-kh:bakery',
  currency: 'EUR',
  mandate: 'aabb',
  catalogue: [
    { item: 'bread', amountMinor: '120', goods: 'a loaf' },
    { item: 'cake', amountMinor: '2500' },
  ],
  ...changes,
})

export type Merchant = Drive & {
  readonly enrol: (changes?: Record<string, unknown>) => void
  readonly order: () => Order
  readonly payment: () => Payment
}

const only = <Row>(rows: readonly Row[]): Row => {
  const [row, ...more] = rows
  if (row === undefined || more.length > 0) throw new Error(`${rows.length} rows, not one`)
  return row
}

export const merchant = (
  options: {
    readonly mpps?: readonly string[]
    readonly policy?: Partial<MerchantPolicy>
    readonly ledger?: TestLedger
  } = {},
): Merchant => {
  const chains = new Map(
    (options.mpps ?? [MPP]).map((mpp) => [mpp, [testBytes(`credential ${mpp}`), testBytes(`host credential ${mpp}`)]]),
  )
  const node = merchantNode({
    evidence: () => NOT_HERE,
    // Fabricated credentials name no issuer: every payee of these tests is the first MPP's.
    chains: { newest: () => chains, beside: () => [...chains.values()][0], isCurrent: () => true },
    sealInvoice: ({ trans }) => testBytes(`sealed ${showId(trans.txId)}`),
    readPayeeCredential: (credential) => credentials.get(showId(credential)),
    // As slow a hash as a test needs.
    deriveRefundPin: async (pin) => testBytes(`refund PIN ${pin}`),
  })
  const host = drive(node, SELF, { ...DEFAULT_MERCHANT_POLICY, ...options.policy }, options.ledger)
  return {
    ...host,
    order: () => only(host.ledger.rows(orders)),
    payment: () => only(host.ledger.rows(payments)),
    enrol: (changes = {}) => {
      const { body } = oneSent(host.control('enrol-payee', payeeArguments(changes)), 'payee-enrolment')
      const credential = credentialOf({ payee: body.payee, host: HOST, account: body.account, currency: body.currency })
      host.deliver(
        incoming('payee-enrolment-record', { enrolmentId: body.enrolmentId, credential }, { from: MPP, role: 'mpp' }),
      )
    },
  }
}

export type OfferChanges = {
  readonly payee?: string
  readonly currency?: Currency
  readonly amountMinor?: bigint | undefined
  readonly item?: string
  readonly token?: string
  readonly purchase?: string
}
export const offerRequest = (changes: OfferChanges = {}) => {
  const { payee = BAKERY, currency = 'EUR', item, token = TOKEN, purchase = 'one' } = changes
  const amountMinor = 'amountMinor' in changes ? changes.amountMinor : 120n
  return incoming(
    'offer-request',
    {
      purchaseToken: testId(`purchase ${purchase}`),
      sealingKey: testBytes(`sealing ${purchase}`),
      payee,
      currency,
      ...(amountMinor === undefined ? {} : { amountMinor }),
      ...(item === undefined ? {} : { item }),
    },
    { previousHop: token },
  )
}

/** An offer answered: the invoice as the wallet gets it. */
export const invoiced = (host: Merchant, changes: OfferChanges = {}): Message<'transaction-details'> =>
  oneSent(host.deliver(offerRequest(changes)), 'transaction-details')

export const asSealed = (
  trans: Pick<Message<'transaction-details'>, 'body'> & { readonly expiresAtMs?: number },
  changes: Partial<Message<'transaction-details'>['body']> & {
    readonly host?: string
    readonly expiresAtMs?: number
  } = {},
): Verified<'transaction-details'> => {
  const { host = HOST, expiresAtMs = trans.expiresAtMs, ...body } = changes
  return incoming(
    'transaction-details',
    { ...trans.body, ...body },
    {
      from: host,
      role: 'merchant',
      header: expiresAtMs === undefined ? {} : { expiresAtMs },
      merchant: chainOf(BAKERY, HOST, MPP),
    },
  ).message
}

export type NoticeChanges = {
  readonly pn?: string
  readonly payee?: string
  readonly mode?: 'micro' | 'macro'
  readonly from?: string
  readonly previousHop?: string
}
export const noticeOf = (trans: unknown, changes: NoticeChanges = {}) =>
  incoming(
    'payment-notice',
    {
      pnId: testId(`pn ${changes.pn ?? 'one'}`),
      payee: changes.payee ?? BAKERY,
      mode: changes.mode ?? 'micro',
      operatorId: CPP,
    },
    { from: changes.from ?? CPP, role: 'cpp', previousHop: changes.previousHop ?? MPP, nested: { trans } },
  )

export type EndChanges = {
  readonly pn?: string
  readonly payee?: string
  readonly from?: string
  readonly previousHop?: string
  readonly amountMinor?: bigint
  readonly currency?: Currency
  readonly txId?: Uint8Array
}
const where = (changes: EndChanges) =>
  ({ from: changes.from ?? CPP, role: 'cpp', previousHop: changes.previousHop ?? MPP }) as const

export const confirmationOf = (order: Order, kind: 'T' | 'DT', changes: EndChanges = {}) => {
  const body = {
    pnId: testId(`pn ${changes.pn ?? 'one'}`),
    payee: changes.payee ?? order.payee,
    txId: changes.txId ?? order.txId,
    amountMinor: changes.amountMinor ?? order.amountMinor,
    currency: changes.currency ?? order.currency,
    confirmedAtMs: 1,
  }
  return kind === 'T'
    ? incoming('transfer-confirmation', body, where(changes))
    : incoming('delayed-transfer-confirmation', { ...body, mpp: MPP, pairSeq: 1 }, where(changes))
}

export const outcomeOf = (
  order: Pick<Order, 'payee' | 'txId'>,
  changes: EndChanges & { readonly outcome?: 'refused' | 'rejected' | 'expired' | 'failed' } = {},
) =>
  incoming(
    'payment-outcome',
    {
      pnId: testId(`pn ${changes.pn ?? 'one'}`),
      payee: changes.payee ?? order.payee,
      txId: changes.txId ?? order.txId,
      outcome: changes.outcome ?? 'expired',
      code: 6015,
      decidedAtMs: 1,
    },
    where(changes),
  )

export const accountNotice = (
  changes: {
    readonly notice?: string
    readonly account?: string
    readonly amountMinor?: bigint
    readonly currency?: Currency
    readonly purpose?: 'payment' | 'payout' | 'collection'
    readonly id?: Uint8Array
    readonly from?: string
  } = {},
) =>
  incoming(
    'account-notice',
    {
      noticeId: testId(`notice ${changes.notice ?? 'one'}`),
      account: changes.account ?? 'hu-kh:bakery',
      amountMinor: changes.amountMinor ?? 2500n,
      currency: changes.currency ?? 'EUR',
      reference: { purpose: changes.purpose ?? 'payment', id: changes.id ?? testId('reference') },
      originatingBank: 'de-bank',
      bookedAtMs: 1,
    },
    { from: changes.from ?? BANK, role: 'bank' },
  )

/** A payment up to its approval. */
export const approved = (host: Merchant, changes: OfferChanges = {}): Order => {
  const trans = invoiced(host, changes)
  host.deliver(noticeOf(asSealed(trans), { mode: trans.body.amountMinor >= 1000n ? 'macro' : 'micro' }))
  return host.order()
}
