/** What customers and payees do: pay, ask for payment, give back; come, change PIN and device, and go. */
import type { Currency } from '../../protocol/amount.ts'
import { toHex } from '../../protocol/bytes.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { networkIdOf, signingKeyFromSeed } from '../../protocol/keys.ts'
import { issueMandate } from '../../protocol/statements.ts'
import { fromHex } from '../../protocol/bytes.ts'
import { readHostCredentials } from '../../nodes/runtime/bundle.ts'
import { randomBytes, randomInt } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually, type FaultFleet } from '../e2e/fault-fleet.ts'
import type { Ordered } from '../e2e/payment-stream.ts'
import { hostOf } from '../fleet/client.ts'
import { newPaymentId, pay, type PayOrder } from '../fleet/pay.ts'
import { refund } from '../fleet/refund.ts'
import { inquire, insist, type Act } from './acts.ts'

const EUR: Currency = 'EUR'
const ASKS_AFTER_MS = 1_500
const pick = <T>(items: readonly T[]): T => items[randomInt(items.length)] as T

/** Micro and macro, at home and abroad, in another currency, to who rejects and who is silent. Every kind within twelve orders. */
export const orderOf = (i: number): PayOrder => {
  const customer = ['hu-anna', 'ro-mihai', 'hu-eva', 'ro-ana', 'hu-bela'][i % 5] as string
  const payee = i % 12 === 5 ? 'museum@ro' : i % 12 === 11 ? 'hotel@hu' : i % 4 < 2 ? 'bakery@hu' : 'cafe@ro'
  const amountMinor = i % 3 === 0 ? BigInt(1_200 + (i % 700)) : BigInt(90 + ((i * 37) % 400))
  return { customer, payee, amountMinor, currency: EUR }
}

/** An account at a bank with a key of its own, and the mandate that its holder gives. */
const openAccount = async (
  net: FaultFleet,
  account: string,
  operatorId: string,
  balanceMinor: bigint,
  more: object = {},
): Promise<string> => {
  const engine = loadEngine()
  const bank = account.slice(0, account.indexOf(':'))
  const { rootKey } = await readHostCredentials(net.directory.credentials(bank))
  const holder = signingKeyFromSeed(engine, new Uint8Array(randomBytes(32)))
  await insist(net, bank, 'open-account', {
    account,
    holderKey: toHex(holder.publicKey),
    currency: EUR,
    balanceMinor: String(balanceMinor),
    ...more,
  })
  const nowMs = Date.now()
  const terms = {
    networkId: networkIdOf(fromHex(rootKey)),
    account,
    operatorId,
    limitMinor: 10_000_000n,
    currency: EUR,
    notBeforeMs: nowMs - 60_000,
    notAfterMs: nowMs + 86_400_000,
    serial: 1,
  }
  return toHex(issueMandate(engine, terms, holder))
}

let born = 0

/** A customer comes, pays, changes the PIN, loses the device, mistypes the PIN until it is locked, and goes. */
const customerLife = (net: FaultFleet): Act => ({
  name: 'a customer comes and goes',
  everyMs: 500,
  run: async () => {
    const at =
      born++ % 2 === 0
        ? { bank: 'hu-kh', cpp: 'hu-otp', wallet: 'hu-wallets-1', payee: 'bakery@hu' }
        : { bank: 'ro-carpat', cpp: 'ro-libra', wallet: 'ro-wallets-1', payee: 'cafe@ro' }
    const customer = `${at.bank.slice(0, 2)}-v${toHex(randomBytes(4))}`
    const account = `${at.bank}:${customer}`
    const mandate = await openAccount(net, account, at.cpp, 100_000n)
    const { cpp } = at
    const enrol = { customer, cpp, account, currency: EUR, pin: '1111', mandate, alias: `${customer}-pays` }
    await insist(net, at.wallet, 'enrol', enrol)
    const order: PayOrder = { customer, payee: at.payee, amountMinor: 130n, currency: EUR }
    const once = async (): Promise<string> => {
      await insist(net, at.wallet, 'unlock', { customer, cpp, pin: '1111' })
      const { outcome } = await net.withHost(at.wallet, (wallet) => pay(wallet, order, 20_000))
      return outcome
    }
    await once()
    await insist(net, at.wallet, 'change-pin', { customer, cpp, pin: '1111', newPin: '2222' })
    await insist(net, at.wallet, 'forget-device', { customer })
    const { authorization } = await insist<{ authorization: string }>(net, cpp, 'authorize-device', {
      customer,
      host: at.wallet,
    })
    await insist(net, at.wallet, 'replace-device', { customer, cpp, pin: '2222', authorization })
    await insist(net, at.wallet, 'unlock', { customer, cpp, pin: '9999' })
    for (let wrong = 0; wrong < 3; wrong++)
      await net.withHost(at.wallet, (wallet) => pay(wallet, order, 20_000)).catch(() => undefined)
    await insist(net, cpp, 'unlock-customer', { customer })
    await insist(net, at.wallet, 'close-account', { customer, cpp, pin: '2222' }, 40_000)
  },
})

/** A payee comes, changes what it approves, is paid and retired. */
const payeeLife = (net: FaultFleet): Act => ({
  name: 'a payee comes and goes',
  everyMs: 1_000,
  run: async () => {
    const name = `s${toHex(randomBytes(4))}`
    const payee = `hu-${name}`
    const account = `hu-kh:${payee}`
    const host = 'hu-shops-1'
    const holderHost = { role: 'merchant', host }
    const mandate = await openAccount(net, account, 'hu-cosmo', 0n, { holderHost })
    await insist(net, host, 'enrol-payee', {
      payee,
      payeeKind: 'shop',
      displayName: name,
      mpp: 'hu-cosmo',
      account,
      currency: EUR,
      mandate,
    })
    await insist(net, host, 'set-approval', { payee, approval: { rule: 'approve' } })
    const order: PayOrder = { customer: 'hu-bela', payee: `${name}@hu`, amountMinor: 210n, currency: EUR }
    const paymentId = newPaymentId()
    await eventually('the payment of a new payee', 20_000, () =>
      net
        .withHost(
          'hu-wallets-1',
          async (wallet) => (await pay(wallet, order, 10_000, paymentId)).outcome !== 'undecided',
        )
        .catch(() => false),
    )
    await insist(net, 'hu-cosmo', 'payout-now', { payee: `${name}@hu` }).catch(() => undefined)
    await insist(net, 'hu-cosmo', 'retire-payee', { payee: `${name}@hu` })
  },
})

/** Some of what was paid is given back, in part or whole, now and then more than was paid. */
const refunds = (net: FaultFleet, made: () => ReadonlyMap<string, Ordered>): Act => ({
  name: 'a refund',
  everyMs: 300,
  run: async () => {
    const paid = [...made().values()].filter(
      ({ result }) => result.outcome === 'confirmed' && result.txId !== undefined,
    )
    if (paid.length === 0) return
    const { order, result } = pick(paid.slice(-40))
    const host = hostOf(net.plan, order.payee)
    const part = pick([1n, 3n, 10n])
    const amountMinor = result.amountMinor / part + (randomInt(8) === 0 ? result.amountMinor : 0n)
    const terms = {
      payee: order.payee,
      txId: result.txId as string,
      currency: EUR,
      amountMinor,
      pin: await net.pin(host),
    }
    const refundId = newPaymentId()
    await eventually('a refund', 30_000, async () => {
      const ended = await net.withHost(host, (shop) => refund(shop, terms, 10_000, refundId))
      return ended.outcome !== 'undecided'
    })
  },
})

/** Somebody is asked for money by the name they chose to show, and gives it or not. */
const requests = (net: FaultFleet): Act => ({
  name: 'a request to pay',
  everyMs: 500,
  run: async () => {
    const [alias, wallet] = pick([
      ['hu-anna-pays', 'hu-wallets-1'],
      ['ro-mihai-pays', 'ro-wallets-1'],
    ] as const)
    const [payee, shop] = pick([
      ['bakery@hu', 'hu-shops-1'],
      ['cafe@ro', 'ro-shops-1'],
    ] as const)
    const lifetimeMs = pick([4_000, 30_000])
    await insist(net, shop, 'request-payment', {
      payee,
      alias,
      amountMinor: '320',
      text: 'a table for two',
      lifetimeMs,
    })
    type Requests = readonly { readonly requestId: string; readonly state: string }[]
    let open: Requests = []
    await eventually('a request to pay', 15_000, async () => {
      open = (await inquire<Requests>(net, wallet, 'requests')).filter(({ state }) => state === 'open')
      return open.length > 0
    })
    const choice = randomInt(5)
    if (choice === 0) return
    for (const { requestId } of open.slice(-2))
      await insist(net, wallet, 'pay-request', { requestId, accept: choice > 1 }, 15_000)
  },
})

/** Who has too little: a collection fails, the customer is suspended, gets money, and pays again. */
const poor = (net: FaultFleet): Act => ({
  name: 'a collection that fails',
  everyMs: 1_500,
  run: async () => {
    const order = (amountMinor: bigint): PayOrder => ({
      customer: 'hu-poor',
      payee: 'bakery@hu',
      amountMinor,
      currency: EUR,
    })
    const paid = (amountMinor: bigint) =>
      net.withHost('hu-wallets-1', (wallet) => pay(wallet, order(amountMinor), 15_000)).catch(() => undefined)
    for (const amountMinor of [450n, 470n, 2_500n]) await paid(amountMinor)
    await insist(net, 'hu-otp', 'collect-customer', { customer: 'hu-poor' }).catch(() => undefined)
    await paid(300n)
    if (randomInt(3) === 0)
      await insist(net, 'hu-otp', 'write-off-customer', { customer: 'hu-poor' }).catch(() => undefined)
    else await insist(net, 'hu-kh', 'deposit', { account: 'hu-kh:cust-hu-poor', amountMinor: '600' })
    await insist(net, 'hu-otp', 'resume-customer', { customer: 'hu-poor' }).catch(() => undefined)
  },
})

/** Somebody pays who has no patience, and asks what became of it. */
const impatient = (net: FaultFleet): Act => ({
  name: 'a payment asked after',
  everyMs: 3_000,
  run: async () => {
    const [customer, wallet] = pick([
      ['hu-anna', 'hu-wallets-1'],
      ['ro-ana', 'ro-wallets-1'],
    ] as const)
    const order: PayOrder = { customer, payee: 'hotel@hu', amountMinor: 140n, currency: EUR }
    const paymentId = newPaymentId()
    const paid = net.withHost(wallet, (host) => pay(host, order, 20_000, paymentId)).catch(() => undefined)
    await delay(ASKS_AFTER_MS)
    await insist(net, wallet, 'query', { paymentId }).catch(() => undefined)
    await paid
  },
})

export const peoplesActs = (net: FaultFleet, made: () => ReadonlyMap<string, Ordered>): readonly Act[] => [
  customerLife(net),
  payeeLife(net),
  refunds(net, made),
  requests(net),
  poor(net),
  impatient(net),
]
