/** A wallet host with known customers, a payee, and the messages that others send it. For tests only. */
import { hash } from '../../../protocol/hash.ts'
import type { Currency } from '../../../protocol/amount.ts'
import type { MerchantChain } from '../../../protocol/verified.ts'
import { descriptionHashOf } from '../../merchant/invoice.ts'
import { NOT_HERE } from '../../runtime/evidence.ts'
import type { Decision, Incoming, Message, Self } from '../../runtime/node.ts'
import { incoming, testBytes, testId, type TestLedger } from '../../runtime/testing.ts'
import { walletNode } from '../definition.ts'
import { DEFAULT_WALLET_POLICY, type WalletPolicy } from '../policy.ts'
import type { Payment } from '../state.ts'
import { payments } from '../state.ts'
import { drive, oneSent, type Drive } from './drive.ts'

export const HOST = 'hu-wallet-1'
export const CPP = 'hu-otp'
export const CPP2 = 'hu-erste'
export const MPP = 'hu-cosmo'
export const SHOP_HOST = 'hu-shops'
export const PAYEE = 'hu-bakery'
export const ALICE = 'hu-alice'
export const SELF: Self<'customer'> = { id: HOST, role: 'customer', realm: 'hu', operatorId: HOST }

export const accountOf = (customer: string): string => `hu-kh:${customer}`
/** Stands for the engine: the tests compare, they do not verify. */
export const publicKeyOf = (seed: Uint8Array): Uint8Array => hash(seed)

export const chainOf = (payee = PAYEE, host = SHOP_HOST, mpp = MPP): MerchantChain => ({
  mpp: {
    type: 'processor',
    networkId: testId('network'),
    id: mpp,
    role: 'mpp',
    realm: 'hu',
    operatorId: mpp,
    algorithm: 'ed25519',
    signingKey: testBytes(`signing ${mpp}`),
    sealingKey: testBytes(`sealing ${mpp}`),
    notBeforeMs: 0,
    notAfterMs: Number.MAX_SAFE_INTEGER,
    serial: 1,
  },
  host: {
    type: 'host',
    networkId: testId('network'),
    id: host,
    role: 'merchant',
    algorithm: 'ed25519',
    signingKey: testBytes(`signing ${host}`),
    sealingKey: testBytes(`sealing ${host}`),
    notBeforeMs: 0,
    notAfterMs: Number.MAX_SAFE_INTEGER,
    serial: 1,
  },
  payee: {
    type: 'payee',
    networkId: testId('network'),
    payee,
    host,
    account: `hu-kh:${payee}`,
    currency: 'EUR',
    payeeKind: 'shop',
    displayName: 'Bakery',
    serial: 1,
  },
})

/** Records are readable by their hash: the test's CPP writes them with {@link recordOf}. */
const written = new Map<
  string,
  { customer: string; host: string; deviceKey: Uint8Array; account: string; currency: Currency }
>()
export const recordOf = (said: {
  customer: string
  host: string
  deviceKey: Uint8Array
  account: string
  currency: Currency
}): Uint8Array => {
  const record = testBytes(`record ${written.size}`)
  written.set(Buffer.from(record).toString('hex'), said)
  return record
}

export type Wallet = Drive & {
  readonly enrol: (customer: string, cpp?: string, extra?: Record<string, unknown>) => Promise<void>
  readonly payment: () => Payment
  readonly opened: string[]
  readonly closed: string[]
}

export const wallet = (
  options: {
    readonly cpps?: readonly string[]
    readonly policy?: Partial<WalletPolicy>
    readonly ledger?: TestLedger
  } = {},
): Wallet => {
  const opened: string[] = []
  const closed: string[] = []
  const node = walletNode({
    evidence: () => NOT_HERE,
    chains: () =>
      new Map(
        (options.cpps ?? [CPP]).map((cpp) => [
          cpp,
          [testBytes(`credential ${cpp}`), testBytes(`host credential ${cpp}`)],
        ]),
      ),
    guests: {
      open: async (token) => {
        opened.push(token)
        return { sealingKey: testBytes(`sealing ${token}`) }
      },
      close: async (token) => void closed.push(token),
    },
    publicKeyOf,
    derivePinKey: async (pin, customer, cpp) => testBytes(`pin ${pin} ${customer} ${cpp}`),
    readEnrolment: (record) => written.get(Buffer.from(record).toString('hex')),
  })
  const host = drive(node, SELF, { ...DEFAULT_WALLET_POLICY, ...options.policy }, options.ledger)
  return {
    ...host,
    opened,
    closed,
    payment: () => {
      const [payment, ...more] = host.ledger.rows(payments)
      if (payment === undefined || more.length > 0) throw new Error('not exactly one payment')
      return payment
    },
    enrol: async (customer, cpp = CPP, extra = {}) => {
      host.control('enrol', {
        customer,
        cpp,
        account: accountOf(customer),
        currency: 'EUR',
        mandate: 'aa',
        pin: '1234',
        ...extra,
      })
      const result = await host.run('derive-pin-key')
      const { body } = oneSent(host.finish('derive-pin-key', result), 'customer-enrolment')
      const record = recordOf({
        customer,
        host: HOST,
        deviceKey: body.deviceKey,
        account: body.account,
        currency: body.currency,
      })
      host.deliver(
        incoming(
          'customer-enrolment-record',
          { enrolmentId: body.enrolmentId, record },
          { from: cpp, role: 'cpp', header: { to: customer } },
        ),
      )
    },
  }
}

export const payArguments = (changes: Record<string, unknown> = {}) => ({
  customer: ALICE,
  payee: 'bakery@hu',
  amountMinor: '120',
  currency: 'EUR',
  ...changes,
})

/** The login of the purchase is made. */
export const openGuest = (host: Wallet): Decision => {
  const job = host.jobs.find(({ name }) => name === 'open-guest')
  if (job === undefined) throw new Error('no guest login is being made')
  const { token } = job.input as { token: string }
  return host.finish('open-guest', { ok: true, sealingKey: testBytes(`sealing ${token}`) })
}

export const recordFor = (token: string, changes: { from?: string; payee?: string } = {}): Incoming<'payee-record'> =>
  incoming(
    'payee-record',
    { payee: changes.payee ?? PAYEE, mpp: MPP, host: SHOP_HOST, version: 1, chain: [testBytes('chain')] },
    { from: changes.from ?? 'hu-dc-1', role: 'dc', header: { to: token } },
  )

export type TransChanges = {
  readonly payee?: string
  readonly host?: string
  readonly chain?: MerchantChain
  readonly amountMinor?: bigint
  readonly currency?: Currency
  readonly expiresAtMs?: number
  readonly description?: string
  readonly txId?: Uint8Array
}
export const SALT = testBytes('salt', 16)

/** The answer to an offer, `changes` apart. */
export const transFor = (
  offer: Message<'offer-request'>,
  nowMs: number,
  changes: TransChanges = {},
): Incoming<'transaction-details'> => {
  const host = changes.host ?? SHOP_HOST
  const token = (offer.signer as { guest: string }).guest
  return incoming(
    'transaction-details',
    {
      txId: changes.txId ?? testId(`tx ${Buffer.from(offer.body.purchaseToken).toString('hex')}`),
      payee: changes.payee ?? offer.body.payee,
      amountMinor: changes.amountMinor ?? offer.body.amountMinor ?? 1n,
      currency: changes.currency ?? offer.body.currency,
      descriptionHash: descriptionHashOf(SALT, 'bread'),
      nonce: testId('nonce'),
      chain: [testBytes('chain')],
    },
    {
      from: host,
      role: 'merchant',
      header: { to: token, expiresAtMs: changes.expiresAtMs ?? nowMs + 120_000 },
      beside: { purchaseToken: offer.body.purchaseToken, description: changes.description ?? 'bread', salt: SALT },
      merchant: changes.chain ?? chainOf(),
    },
  )
}

/** A purchase up to its offer request. */
export const offered = (host: Wallet, changes: Record<string, unknown> = {}): Message<'offer-request'> => {
  host.control('pay', payArguments(changes))
  const looked = openGuest(host)
  const { token } = host.payment()
  return oneSent(
    looked.sends.some((send) => 'kind' in send && send.kind === 'offer-request')
      ? looked
      : host.deliver(recordFor(token ?? '')),
    'offer-request',
  )
}

/** A payment up to its payment request. */
export const requested = (host: Wallet, changes: Record<string, unknown> = {}): Message<'payment-request'> =>
  oneSent(host.deliver(transFor(offered(host, changes), host.now())), 'payment-request')

export const confirmationOf = (
  payment: Payment,
  changes: {
    kind?: 'T' | 'DT'
    from?: string
    to?: string
    amountMinor?: bigint
    prId?: Uint8Array
    txId?: Uint8Array
    currency?: Currency
    payee?: string
  } = {},
): Incoming<'customer-transfer-confirmation' | 'customer-delayed-transfer-confirmation'> => {
  const body = {
    prId: changes.prId ?? payment.prId,
    payee: changes.payee ?? payment.payee,
    txId: changes.txId ?? payment.txId ?? testId('none'),
    amountMinor: changes.amountMinor ?? payment.amountMinor,
    currency: changes.currency ?? payment.currency,
    confirmedAtMs: 1,
  }
  const options = {
    from: changes.from ?? payment.cpp,
    role: 'cpp',
    header: { to: changes.to ?? payment.customer },
  } as const
  return changes.kind === 'T'
    ? incoming('customer-transfer-confirmation', body, options)
    : incoming('customer-delayed-transfer-confirmation', { ...body, outstandingMinor: 120n }, options)
}

export const outcomeOf = (
  payment: Payment,
  changes: { outcome?: 'refused' | 'rejected' | 'expired' | 'failed'; from?: string; prId?: Uint8Array } = {},
) =>
  incoming(
    'customer-payment-outcome',
    {
      prId: changes.prId ?? payment.prId,
      outcome: changes.outcome ?? 'rejected',
      code: 6013,
      detail: 'no',
      decidedAtMs: 1,
    },
    { from: changes.from ?? payment.cpp, role: 'cpp', header: { to: payment.customer } },
  )

export const goodsFor = (
  payment: Payment,
  changes: { from?: string; txId?: Uint8Array } = {},
): Incoming<'goods-release'> =>
  incoming(
    'goods-release',
    { txId: changes.txId ?? payment.txId ?? testId('none'), payee: payment.payee, goods: 'a loaf' },
    { from: changes.from ?? SHOP_HOST, role: 'merchant', header: { to: payment.token ?? '' } },
  )
