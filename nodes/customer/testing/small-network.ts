/** Two realms, the first with a host of every role, the second with what a payee abroad needs: real envelopes and memory stores: what the wallet and the merchant do in it. For tests only. */
import { toHex, utf8 } from '../../../protocol/bytes.ts'
import { hash } from '../../../protocol/hash.ts'
import { networkIdOf, signingKeyFromSeed } from '../../../protocol/keys.ts'
import { issueMandate } from '../../../protocol/statements.ts'
import { defineBank } from '../../bank/define.ts'
import { defineCpp } from '../../cpp/define.ts'
import { dataCenter } from '../../data-center/definition.ts'
import { defineMerchant } from '../../merchant/define.ts'
import { mpp } from '../../mpp/definition.ts'
import type { Answer } from '../../runtime/host.ts'
import { createSimNetwork, SIM_START_MS } from '../../runtime/sim-network.ts'
import { defineWallet } from '../define.ts'

export const WALLETS = 'hu-wallets'
export const SHOPS = 'hu-shops'
export const SHOPS_ABROAD = 'de-shops'
export const PIN = '4711'
const BANK = 'hu-kh'
const MAX_WAIT_MS = 60_000

export const smallNetwork = async (
  options: { readonly seed?: string; readonly noticeLifetimeMs?: number; readonly wallets?: unknown } = {},
) => {
  const net = createSimNetwork({ seed: options.seed ?? 'small' })
  const networkId = networkIdOf(net.root.publicKey)
  const holder = (account: string) => signingKeyFromSeed(net.engine, hash(utf8(`holder ${account}`)))
  const dataCenters = ['hu-dc-1']
  await net.add({ id: 'hu-dc-1', role: 'dc', define: dataCenter, policy: { peerRealms: ['de'] } })
  await net.add({ id: 'de-dc-1', role: 'dc', define: dataCenter, policy: { peerRealms: ['hu'] } })
  await net.add({ id: BANK, role: 'bank', define: defineBank, policy: { dataCenters } })
  await net.add({
    id: 'hu-otp',
    role: 'cpp',
    define: defineCpp,
    policy: {
      dataCenters,
      operatorAccounts: { EUR: `${BANK}:otp` },
      settlementAccounts: { 'hu-cosmo': `${BANK}:cosmo`, 'de-kurier': `${BANK}:kurier` },
      ...(options.noticeLifetimeMs === undefined ? {} : { noticeLifetimeMs: options.noticeLifetimeMs }),
    },
  })
  await net.add({
    id: 'hu-cosmo',
    role: 'mpp',
    define: mpp,
    policy: {
      dataCenters,
      operatorAccounts: { EUR: `${BANK}:cosmo` },
      settlementAccounts: { 'hu-otp': `${BANK}:otp` },
    },
  })
  await net.add({
    id: 'de-kurier',
    role: 'mpp',
    define: mpp,
    policy: {
      dataCenters: ['de-dc-1'],
      operatorAccounts: { EUR: `${BANK}:kurier` },
      settlementAccounts: { 'hu-otp': `${BANK}:otp` },
    },
  })
  await net.add({ id: SHOPS_ABROAD, role: 'merchant', certifiedBy: ['de-kurier'], define: defineMerchant, policy: {} })
  await net.add({ id: SHOPS, role: 'merchant', certifiedBy: ['hu-cosmo'], define: defineMerchant, policy: {} })
  await net.add({
    id: WALLETS,
    role: 'customer',
    certifiedBy: ['hu-otp'],
    define: defineWallet,
    policy: options.wallets ?? {},
  })
  await net.run()

  /** Lets time pass until the answer is there: a first contact takes a resend. */
  const answered = async (asked: Promise<Answer>): Promise<Answer> => {
    let isThere = false
    const seen = asked.finally(() => {
      isThere = true
    })
    await net.run()
    for (let waited = 0; !isThere && waited < MAX_WAIT_MS; waited += 250) await net.advance(250)
    if (!isThere) throw new Error('no answer')
    return seen
  }
  const call = async (
    host: string,
    name: string,
    args: Readonly<Record<string, unknown>> = {},
  ): Promise<Record<string, unknown>> => {
    const answer = await answered(net.host(host).host().command(name, args))
    if (!answer.ok) throw new Error(`${host} ${name}: ${answer.error.code} ${answer.error.detail}`)
    return answer.value as Record<string, unknown>
  }
  const must = async (
    host: string,
    name: string,
    args: Readonly<Record<string, unknown>>,
  ): Promise<Record<string, unknown>> => {
    const value = await call(host, name, args)
    if (value['ok'] === false) throw new Error(`${host} ${name}: ${JSON.stringify(value)}`)
    return value
  }
  const open = (account: string, balanceMinor: string, more: object = {}) =>
    must(BANK, 'open-account', {
      account,
      holderKey: toHex(holder(account).publicKey),
      currency: 'EUR',
      balanceMinor,
      ...more,
    })
  const mandate = (account: string, operatorId: string): string =>
    toHex(
      issueMandate(
        net.engine,
        {
          networkId,
          account,
          operatorId,
          limitMinor: 10_000_000n,
          currency: 'EUR',
          notBeforeMs: SIM_START_MS - 1,
          notAfterMs: SIM_START_MS + 86_400_000,
          serial: 1,
        },
        holder(account),
      ),
    )
  await open(`${BANK}:otp`, '1000000', { operatorId: 'hu-otp', holderHost: { role: 'cpp', host: 'hu-otp' } })
  await open(`${BANK}:cosmo`, '1000000', { operatorId: 'hu-cosmo', holderHost: { role: 'mpp', host: 'hu-cosmo' } })

  await open(`${BANK}:kurier`, '1000000', { operatorId: 'de-kurier', holderHost: { role: 'mpp', host: 'de-kurier' } })

  const read = (host: string, name: string, args: Readonly<Record<string, unknown>> = {}): unknown => {
    const answer = net.host(host).host().ask(name, args)
    if (!answer.ok) throw new Error(`${host} ${name}: ${answer.error.code} ${answer.error.detail}`)
    return answer.value
  }
  return {
    net,
    call,
    must,
    read,
    enrolPayee: async (name: string, more: object = {}, realm: 'hu' | 'de' = 'hu') => {
      const account = `${BANK}:payee-${realm}-${name}`
      const [host, by] = realm === 'hu' ? [SHOPS, 'hu-cosmo'] : [SHOPS_ABROAD, 'de-kurier']
      await open(account, '0', { holderHost: { role: 'merchant', host } })
      return must(host, 'enrol-payee', {
        payee: `${name}@${realm}`,
        payeeKind: 'shop',
        displayName: name,
        mpp: by,
        account,
        currency: 'EUR',
        mandate: mandate(account, by),
        catalogue: [{ item: 'bread', amountMinor: '120', goods: 'a loaf' }],
        ...more,
      })
    },
    enrolCustomer: async (name: string, more: object = {}) => {
      const account = `${BANK}:${name}`
      await open(account, '100000')
      return must(WALLETS, 'enrol', {
        customer: `hu-${name}`,
        cpp: 'hu-otp',
        account,
        currency: 'EUR',
        mandate: mandate(account, 'hu-otp'),
        pin: PIN,
        ...more,
      })
    },
    pay: (name: string, more: object = {}) =>
      call(WALLETS, 'pay', {
        customer: `hu-${name}`,
        payee: 'bakery@hu',
        amountMinor: '120',
        currency: 'EUR',
        ...more,
      }),
  }
}
