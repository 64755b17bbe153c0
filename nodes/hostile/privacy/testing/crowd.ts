/**
 * A crowd: two realms with two CPPs in the first, customers packed on a wallet host and alone on theirs, shops that approve, reject
 * and stay silent. Everything is recorded: what is published and delivered, every log line, what the control sockets answer.
 * Names are such that nobody makes them up by chance. For tests only.
 */
import { encodeBody } from '../../../../protocol/codec.ts'
import { createSealer, makeCarrier } from '../../../../protocol/confidential.ts'
import { makeContent } from '../../../../protocol/envelope.ts'
import { ENVELOPE_VERSION, type Header } from '../../../../protocol/header.ts'
import { sealOne } from '../../../../protocol/seals.ts'
import type { KindName } from '../../../../protocol/kinds.ts'
import { networkIdOf, signingKeyFromSeed } from '../../../../protocol/keys.ts'
import { DELIVERED_AT_ONCE } from '../../../../bus/simulated-bus.ts'
import { defineBank } from '../../../bank/define.ts'
import { defineCpp } from '../../../cpp/define.ts'
import { defineWallet } from '../../../customer/define.ts'
import { dataCenter } from '../../../data-center/definition.ts'
import { defineMerchant } from '../../../merchant/define.ts'
import { mpp as defineMpp } from '../../../mpp/definition.ts'
import type { NodeServices } from '../../../runtime/host-types.ts'
import { toJson } from '../../../runtime/json.ts'
import type { Log } from '../../../runtime/log.ts'
import type { AnyNodeDefinition } from '../../../runtime/node.ts'
import { createSimNetwork, seededRandom } from '../../../runtime/sim-network.ts'
import { createSimPeople } from '../../../runtime/sim-people.ts'

export type CrowdCustomer = {
  readonly id: string
  readonly host: string
  readonly cpps: readonly string[]
  readonly account: string
  readonly pin: string
  readonly alias: string
}
const customer = (name: string, host: string, cpps: readonly string[], pin: string): CrowdCustomer => ({
  id: `${host.slice(0, 2)}-${name}`,
  host,
  cpps,
  account: `${host.slice(0, 2)}-bank:k-${name.split('').toReversed().join('')}-77`,
  pin,
  alias: `${host.slice(0, 2)}-known-as-${name.slice(-6)}`,
})

export const CUSTOMERS = {
  zsofia: customer('zsofia-8k3v9q', 'hu-wallets-1', ['hu-otp', 'hu-erste'], '730519846207'),
  marton: customer('marton-x2wq7b', 'hu-wallets-1', ['hu-otp'], '918273051648'),
  piroska: customer('piroska-j5t0zd', 'hu-wallets-1', ['hu-otp'], '604817392505'),
  bela: customer('bela-r6n1yc', 'hu-wallets-1', ['hu-erste'], '275930618442'),
  gergely: customer('gergely-p4m8sk', 'hu-phone-1', ['hu-otp'], '846150293717'),
  katalin: customer('katalin-v7d2hw', 'hu-phone-2', ['hu-otp'], '391746208553'),
  ionela: customer('ionela-c9f3ux', 'ro-wallets-1', ['ro-cec'], '552089361744'),
  mircea: customer('mircea-l0g6ea', 'ro-wallets-1', ['ro-cec'], '167430925885'),
} as const
export type Name = keyof typeof CUSTOMERS

const WALLET_HOSTS = {
  'hu-wallets-1': ['hu-otp', 'hu-erste'],
  'hu-phone-1': ['hu-otp'],
  'hu-phone-2': ['hu-otp'],
  'ro-wallets-1': ['ro-cec'],
}
const REALM_OF_CPP = { 'hu-otp': 'hu', 'hu-erste': 'hu', 'ro-cec': 'ro' }
const MPPS = { 'hu-cosmo': 'hu', 'ro-netopia': 'ro' }

export type Traffic = {
  readonly from: string
  readonly to: string | undefined
  readonly subject: string
  readonly data: Uint8Array
}
export type Line = { readonly host: string; readonly text: string }
export type Crowd = Awaited<ReturnType<typeof gather>>

export const gather = async (
  options: {
    readonly seed?: string
    readonly who?: readonly Name[]
    readonly wallets?: unknown
    /** In place of the CPPs' own program. */
    readonly cpp?: (services: NodeServices) => AnyNodeDefinition
  } = {},
) => {
  const traffic: Traffic[] = []
  const lines: Line[] = []
  const answers: Line[] = []
  const log = (host: string): Log => ({
    write: (level, text, fields = {}) => void lines.push({ host, text: `${level} ${text} ${toJson(fields)}` }),
    of: (sender, level, text, fields) =>
      void lines.push({ host, text: `${level} ${sender} ${text} ${toJson(fields)}` }),
  })
  const sim = createSimNetwork({
    seed: options.seed ?? 'crowd',
    log,
    onPublish: ({ from, subject, data }) => void traffic.push({ from, to: undefined, subject, data: data.slice() }),
    onSend: ({ from, to, subject, data }) => {
      traffic.push({ from, to, subject, data: data.slice() })
      return DELIVERED_AT_ONCE
    },
  })
  const networkId = networkIdOf(sim.root.publicKey)
  const clearing = { settlementBank: 'eu-reserve', clearing: { windowMs: 3_000 } }
  for (const [realm, peer] of [
    ['hu', 'ro'],
    ['ro', 'hu'],
  ] as const)
    await sim.add({
      id: `${realm}-dc-1`,
      role: 'dc',
      operatorId: `${realm}-dc`,
      define: dataCenter,
      policy: { peerRealms: [peer] },
    })
  await sim.add({
    id: 'eu-reserve',
    role: 'bank',
    define: defineBank,
    policy: { dataCenters: ['ro-dc-1'], peers: ['hu-bank', 'ro-bank'], ...clearing },
  })
  for (const [realm, peer] of [
    ['hu', 'ro'],
    ['ro', 'hu'],
  ] as const)
    await sim.add({
      id: `${realm}-bank`,
      role: 'bank',
      define: defineBank,
      policy: { dataCenters: [`${realm}-dc-1`], peers: [`${peer}-bank`, 'eu-reserve'], ...clearing },
    })
  const own = (id: string, realm: string): string => `${realm}-bank:${id}`
  const accountsOf = (ids: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
    Object.fromEntries(Object.entries(ids).map(([id, realm]) => [id, own(id, realm)]))
  const settlement = { thresholdMinor: { EUR: '100000' }, maxAgeMs: 600_000, retryMs: 2_000 }
  for (const [id, realm] of Object.entries(REALM_OF_CPP))
    await sim.add({
      id,
      role: 'cpp',
      define: options.cpp ?? defineCpp,
      policy: {
        dataCenters: [`${realm}-dc-1`],
        operatorAccounts: { EUR: own(id, realm) },
        settlementAccounts: accountsOf(MPPS),
        noticeLifetimeMs: 10_000,
        settlement,
      },
    })
  for (const [id, realm] of Object.entries(MPPS)) {
    await sim.add({
      id,
      role: 'mpp',
      define: defineMpp,
      policy: {
        dataCenters: [`${realm}-dc-1`],
        operatorAccounts: { EUR: own(id, realm) },
        settlementAccounts: accountsOf(REALM_OF_CPP),
        payout: { thresholdMinor: { EUR: '500' }, maxAgeMs: 5_000, retryMs: 2_000 },
      },
    })
    await sim.add({ id: `${realm}-shop-1`, role: 'merchant', certifiedBy: [id], define: defineMerchant })
  }
  const who = (options.who ?? (Object.keys(CUSTOMERS) as Name[])).map((name) => CUSTOMERS[name])
  for (const [id, certifiedBy] of Object.entries(WALLET_HOSTS))
    if (who.some(({ host }) => host === id))
      await sim.add({ id, role: 'customer', certifiedBy, define: defineWallet, policy: options.wallets ?? {} })
  await sim.run()
  await sim.advance(5_000)

  const { command, must, holder, mandate, open, ...people } = createSimPeople(
    sim,
    (host, answer) => void answers.push({ host, text: toJson(answer) }),
  )
  for (const bank of ['hu-bank', 'ro-bank'])
    await must('eu-reserve', 'fund-reserve', { bank, currency: 'EUR', amountMinor: '10000000' })
  for (const [role, ids] of [
    ['cpp', REALM_OF_CPP],
    ['mpp', MPPS],
  ] as const)
    for (const [id, realm] of Object.entries(ids))
      await open(own(id, realm), { operatorId: id, holderHost: { role, host: id } })
  const enrolPayee = async (payee: string, by: string, approval: object): Promise<void> => {
    const realm = payee.slice(0, 2)
    const of = `${realm}-bank:${payee}`
    const host = `${realm}-shop-1`
    await open(of, { balanceMinor: '0', holderHost: { role: 'merchant', host } })
    await people.enrolPayee({ payee, host, mpp: by, account: of, approval })
  }
  await enrolPayee('hu-bakery', 'hu-cosmo', { rule: 'approve' })
  await enrolPayee('hu-quiet', 'hu-cosmo', { rule: 'silent' })
  await enrolPayee('hu-cheap', 'hu-cosmo', { rule: 'reject-over', limitMinor: '100' })
  await enrolPayee('ro-pub', 'ro-netopia', { rule: 'approve' })
  for (const one of who) {
    await open(one.account)
    for (const cpp of one.cpps)
      await people.enrolCustomer({
        customer: one.id,
        host: one.host,
        cpp,
        account: one.account,
        pin: one.pin,
        ...(cpp === one.cpps[0] ? { alias: one.alias } : {}),
      })
  }
  await sim.advance(2_000)
  const header = (kind: KindName, to: string): Omit<Header, 'messageId' | 'from'> => ({
    version: ENVELOPE_VERSION,
    networkId,
    kind,
    bodyVersion: 1,
    to,
    sentAtMs: sim.now(),
    expiresAtMs: undefined,
    correlationId: undefined,
    bodyForm: 'plain',
  })

  return {
    sim,
    who,
    command,
    must,
    mandate,
    holder,
    traffic: traffic as readonly Traffic[],
    lines: lines as readonly Line[],
    answers: answers as readonly Line[],
    pay: (name: Name, payee: string, amountMinor: string, more: object = {}) =>
      command(CUSTOMERS[name].host, 'pay', {
        customer: CUSTOMERS[name].id,
        payee,
        amountMinor,
        currency: 'EUR',
        ...more,
      }),
    /** A payment query of a device that its CPP does not know any more, or not yet; carried by its host or by a strange one. */
    lostDevice: async (name: Name, stranger?: string): Promise<void> => {
      const { id, host, cpps } = CUSTOMERS[name]
      const to = cpps[0] as string
      const random = seededRandom(`lost device of ${id}`).bytes
      const from = stranger ?? host
      const by = stranger === undefined ? sim.host(host).identity.signing : signingKeyFromSeed(sim.engine, random(32))
      const body = encodeBody('payment-query', { prId: random(16), transExpiresAtMs: sim.now() })
      const inner = sealOne(
        makeContent({ ...header('payment-query', to), messageId: random(16), from: id }, body),
        signingKeyFromSeed(sim.engine, random(32)),
      )
      const carrier = makeCarrier(
        createSealer(sim.engine, random),
        { ...header('payment-query', to), messageId: random(16), from, bodyForm: 'encrypted' },
        { innerFrame: inner, beside: null },
        sim.host(to).identity.sealing.publicKey,
      )
      sim.network.inject(from, `semops.v1.cpp.${to}.payment-query.${from}`, sealOne(carrier, by))
      await sim.advance(2_000)
    },
    /** A refusal to a guest, sealed with a key that nobody knows, by who says that he is `from`. */
    provoke: async (token: string, from: string): Promise<void> => {
      const random = seededRandom(`provocation ${from}`).bytes
      const body = encodeBody('refusal', { digest: random(32), code: 1, detail: '' })
      const content = makeContent({ ...header('refusal', token), messageId: random(16), from }, body)
      const frame = sealOne(content, signingKeyFromSeed(sim.engine, random(32)))
      sim.network.inject(from, `semops.v1.guest.${token}.refusal.${from}`, frame)
      await sim.advance(2_000)
    },
    /** What a host says on its control socket, kept with the answers. */
    ask: (id: string, name: string, args: Readonly<Record<string, unknown>> = {}): unknown => {
      const answer = sim.host(id).host().ask(name, args)
      answers.push({ host: id, text: toJson(answer) })
      return answer.ok ? answer.value : undefined
    },
  }
}
