/**
 * The networks that are simulated: real nodes of every role in the shapes of the paper. A shape is built once in a process, with
 * accounts, mandates and enrolments; a simulation begins with a copy of its ledgers, as a fleet that was stopped in order begins
 * again. So a seed costs no enrolments.
 */
import type { Published, OnSend } from '../../bus/simulated-bus.ts'
import type { Engine } from '../../protocol/engines/engine.ts'
import { derivePinKeySync } from '../../protocol/pin.ts'
import { hash } from '../../protocol/hash.ts'
import { utf8 } from '../../protocol/bytes.ts'
import { defineBank } from '../../nodes/bank/define.ts'
import { defineCpp } from '../../nodes/cpp/define.ts'
import { defineWallet } from '../../nodes/customer/define.ts'
import { dataCenter } from '../../nodes/data-center/definition.ts'
import { defineMerchant } from '../../nodes/merchant/define.ts'
import { mpp as defineMpp } from '../../nodes/mpp/definition.ts'
import type { NodeServices } from '../../nodes/runtime/host-types.ts'
import type { MemoryStore } from '../../nodes/runtime/memory-store.ts'
import type { AnyNodeDefinition } from '../../nodes/runtime/node.ts'
import { createSimNetwork, type SimNetwork, type SimSpec } from '../../nodes/runtime/sim-network.ts'
import { createSimPeople } from '../../nodes/runtime/sim-people.ts'
import { simulatedRandom } from './chance.ts'
import { PLAIN, type Settings } from './settings.ts'
import type { HostRole, Topology } from './world.ts'

export const SHAPES = {
  'one realm, one intermediary': { intermediaries: 'one', realms: ['hu'], dataCenters: 2 },
  'one realm, two intermediaries': { intermediaries: 'two', realms: ['hu'], dataCenters: 1 },
  'two realms, one intermediary': { intermediaries: 'one', realms: ['hu', 'ro'], dataCenters: 1 },
  'two realms, two intermediaries': { intermediaries: 'two', realms: ['hu', 'ro'], dataCenters: 1 },
} as const satisfies Readonly<
  Record<
    string,
    { readonly intermediaries: 'one' | 'two'; readonly realms: readonly string[]; readonly dataCenters: number }
  >
>
export type ShapeName = keyof typeof SHAPES
export const SHAPE_NAMES = Object.keys(SHAPES) as readonly ShapeName[]

const RESERVE = 'hu-reserve'
const PIN = '246810'
const REFUND_PIN = '1357'
const RICH = '1000000'
/** No whole number of minor units for most amounts: what is charged has to be rounded. */
const RATES = { 'EUR HUF': { numerator: '39917', denominator: '100' } }

/** Runs a host's job; the simulation says when its result is there. */
export type RunJob = (host: string, work: Promise<unknown>) => Promise<unknown>

const idsOf = (realm: string) => ({
  bank: `${realm}-bank`,
  cpp: `${realm}-cpp`,
  mpp: `${realm}-mpp`,
  shops: `${realm}-shops-1`,
  wallets: `${realm}-wallets-1`,
  /** A host of one wallet: a fresh login for each purchase. */
  phone: `${realm}-phone-1`,
})

const dataCentersOf = (shape: ShapeName, realm: string): readonly string[] =>
  Array.from({ length: SHAPES[shape].dataCenters }, (_, at) => `${realm}-dc-${at + 1}`)
const operatorOf = (shape: ShapeName, realm: string, role: 'cpp' | 'mpp'): string =>
  operatorIdOf(SHAPES[shape], idsOf(realm)[role])
const accountOf = (shape: ShapeName, realm: string, role: 'cpp' | 'mpp'): string =>
  `${idsOf(realm).bank}:${operatorOf(shape, realm, role)}`

const customersOf = (realm: string): Topology['customers'] => {
  const { bank, cpp, wallets, phone } = idsOf(realm)
  const one = (name: string, host: string, currency = 'EUR', more: { readonly alias?: string } = {}) =>
    ({ id: `${realm}-${name}`, host, cpp, account: `${bank}:${name}`, currency, pin: PIN, ...more }) as const
  return [
    one('alice', wallets, 'EUR', { alias: `${realm}-alice-pays` }),
    one('bela', wallets),
    one('poor', wallets),
    one('huba', wallets, 'HUF'),
    one('emma', phone, 'EUR', { alias: `${realm}-emma-pays` }),
  ]
}
const BALANCES: Readonly<Record<string, string>> = { poor: '900', huba: '400000000' }

const payeesOf = (realm: string): Topology['payees'] => {
  const { bank, mpp, shops } = idsOf(realm)
  const one = (name: string, approval: Topology['payees'][number]['approval']) => ({
    id: `${realm}-${name}`,
    host: shops,
    mpp,
    account: `${bank}:shop-${name}`,
    currency: 'EUR',
    approval,
    refundPin: REFUND_PIN,
  })
  return [
    one('bakery', 'approve'),
    one('kiosk', 'approve'),
    one('friend', 'approve'),
    one('grump', 'reject-all'),
    one('mute', 'silent'),
  ]
}

export const topologyOf = (shape: ShapeName): Topology => {
  const { intermediaries, realms } = SHAPES[shape]
  const hosts = specsOf(
    shape,
    PLAIN,
    (define) => define,
    async () => new Uint8Array(0),
  ).map(({ id, role }) => ({
    id,
    role: role satisfies HostRole,
    realm: id.slice(0, id.indexOf('-')),
  }))
  return {
    intermediaries,
    realms,
    hosts,
    customers: realms.flatMap(customersOf),
    payees: realms.flatMap(payeesOf),
    settlementBank: realms.length > 1 ? RESERVE : undefined,
  }
}

/** Whose accounts and mandates a CPP or an MPP uses. */
export const operatorIdOf = ({ intermediaries }: Pick<Topology, 'intermediaries'>, host: string): string =>
  intermediaries === 'one' ? `${host.slice(0, host.indexOf('-'))}-one` : host

type Define = (services: NodeServices) => AnyNodeDefinition
type Derive = (pin: string, customer: string, cpp: string) => Promise<Uint8Array>

/** Every host, in the order in which they are added. */
const specsOf = (
  shape: ShapeName,
  settings: Settings,
  wrapped: (define: Define, host: string) => Define,
  derive: Derive,
): readonly SimSpec[] => {
  const { realms } = SHAPES[shape]
  const several = realms.length > 1
  const banks = realms.map((realm) => idsOf(realm).bank)
  const clearing = { windowMs: settings.clearingMs }
  const specs: SimSpec[] = []
  const add = (spec: SimSpec): void => void specs.push({ ...spec, define: wrapped(spec.define as Define, spec.id) })
  for (const realm of realms)
    for (const id of dataCentersOf(shape, realm))
      add({
        id,
        role: 'dc',
        operatorId: `${realm}-dc`,
        define: dataCenter,
        policy: { peerRealms: realms.filter((one) => one !== realm) },
      })
  if (several)
    add({
      id: RESERVE,
      role: 'bank',
      define: defineBank,
      policy: { dataCenters: dataCentersOf(shape, 'hu'), settlementBank: RESERVE, peers: banks, clearing },
    })
  for (const realm of realms) {
    const at = idsOf(realm)
    const dataCenters = dataCentersOf(shape, realm)
    const settlementAccounts = (role: 'cpp' | 'mpp') =>
      Object.fromEntries(realms.map((one) => [idsOf(one)[role], accountOf(shape, one, role)]))
    add({
      id: at.bank,
      role: 'bank',
      define: defineBank,
      policy: {
        dataCenters,
        settlementBank: several ? RESERVE : null,
        peers: several ? [...banks.filter((one) => one !== at.bank), RESERVE] : [],
        clearing,
      },
    })
    add({
      id: at.cpp,
      role: 'cpp',
      operatorId: operatorOf(shape, realm, 'cpp'),
      define: defineCpp,
      policy: {
        dataCenters,
        operatorAccounts: { EUR: accountOf(shape, realm, 'cpp'), HUF: `${at.bank}:cpp-huf` },
        settlementAccounts: settlementAccounts('mpp'),
        noticeLifetimeMs: settings.noticeLifetimeMs,
        aggregation: settings.aggregation,
        collectionRetry: settings.collectionRetry,
        settlement: settings.cppSettlement,
        fx: { rates: RATES, marginBps: 50, quoteLifetimeMs: 30_000, retryMs: 5_000 },
      },
    })
    add({
      id: at.mpp,
      role: 'mpp',
      operatorId: operatorOf(shape, realm, 'mpp'),
      define: defineMpp,
      policy: {
        dataCenters,
        operatorAccounts: { EUR: accountOf(shape, realm, 'mpp') },
        settlementAccounts: settlementAccounts('cpp'),
        settlement: settings.mppSettlement,
        payout: settings.payout,
      },
    })
    add({
      id: at.shops,
      role: 'merchant',
      certifiedBy: [at.mpp],
      define: (services) => defineMerchant(services, derive),
      policy: { transLifetimeMs: settings.transLifetimeMs },
    })
    for (const id of [at.wallets, at.phone])
      add({
        id,
        role: 'customer',
        certifiedBy: [at.cpp],
        define: (services) => defineWallet(services, derive),
      })
  }
  return specs
}

/** What every simulation of a shape begins with. */
export type Foundation = {
  readonly shape: ShapeName
  readonly engine: Engine
  readonly topology: Topology
  /** When it was finished, in true time. */
  readonly endedAtMs: number
  readonly ledgers: ReadonlyMap<string, MemoryStore>
}

const foundations = new Map<string, Promise<Foundation>>()

/** Built once for each shape and engine. @throws Error when an enrolment is refused */
export const foundationOf = (shape: ShapeName, engine: Engine): Promise<Foundation> => {
  const name = `${engine.name} ${shape}`
  let found = foundations.get(name)
  if (found === undefined) foundations.set(name, (found = lay(shape, engine)))
  return found
}

/** scrypt, or with the stand-in engine a hash: the same key for the same words, remembered, and there at once. */
const deriverOf = (engine: Engine): Derive => {
  const known = new Map<string, Uint8Array>()
  return async (pin, customer, cpp) => {
    const name = `${pin} ${customer} ${cpp}`
    let key = known.get(name)
    if (key === undefined) {
      key = engine.name === 'stand-in' ? hash(utf8(`pin ${name}`)) : derivePinKeySync(pin, customer, cpp)
      known.set(name, key)
    }
    return key
  }
}
/** By name: each simulation has an engine of its own, which tells its judges what it encrypts. */
const derivers = new Map<string, Derive>()
const deriveWith = (engine: Engine): Derive => {
  const known = derivers.get(engine.name) ?? deriverOf(engine)
  derivers.set(engine.name, known)
  return known
}

/** What the PINs come to that the customers begin with. */
export const pinKeysOf = async ({ customers }: Topology, engine: Engine): Promise<ReadonlyMap<string, Uint8Array>> => {
  const derive = deriveWith(engine)
  const keys = new Map<string, Uint8Array>()
  for (const { id, cpp, pin } of customers) keys.set(id, await derive(pin, id, cpp))
  return keys
}

/** Keys are of the shape, not of the seed. */
const keySeed = (shape: ShapeName): string => `simulation ${shape}`

const lay = async (shape: ShapeName, engine: Engine): Promise<Foundation> => {
  const sim = createSimNetwork({ seed: keySeed(shape), engine })
  const topology = topologyOf(shape)
  const { realms } = SHAPES[shape]
  const people = createSimPeople(sim)
  const { must, open } = people
  await sim.addAll(specsOf(shape, PLAIN, (define) => define, deriveWith(engine)))
  await sim.run()
  await sim.advance(3_000, 500)
  if (realms.length > 1)
    for (const realm of realms)
      await must(RESERVE, 'fund-reserve', { bank: idsOf(realm).bank, currency: 'EUR', amountMinor: '50000000' })
  for (const realm of realms) {
    const at = idsOf(realm)
    const one = SHAPES[shape].intermediaries === 'one'
    for (const role of one ? (['mpp'] as const) : (['cpp', 'mpp'] as const))
      await open(accountOf(shape, realm, role), {
        operatorId: operatorOf(shape, realm, role),
        holderHost: { role, host: at[role] },
        ...(one ? { alsoTold: [{ role: 'cpp', host: at.cpp }] } : {}),
      })
    await open(`${at.bank}:cpp-huf`, {
      operatorId: operatorOf(shape, realm, 'cpp'),
      holderHost: { role: 'cpp', host: at.cpp },
      currency: 'HUF',
      balanceMinor: '0',
    })
    await must(at.shops, 'set-refund-pin', { pin: REFUND_PIN })
  }
  for (const { id, host, mpp, account, approval } of topology.payees) {
    const realm = id.slice(0, id.indexOf('-'))
    await open(account, { holderHost: { role: 'merchant', host }, balanceMinor: '0' })
    await people.enrolPayee({
      payee: id,
      host,
      mpp,
      operatorId: operatorOf(shape, realm, 'mpp'),
      account,
      payeeKind: id.endsWith('-friend') ? 'person' : 'shop',
      approval: { rule: approval },
      catalogue: [],
    })
  }
  for (const { id, host, cpp, account, currency, pin, alias } of topology.customers) {
    const realm = id.slice(0, id.indexOf('-'))
    await open(account, { currency, balanceMinor: BALANCES[id.slice(realm.length + 1)] ?? RICH })
    await people.enrolCustomer({
      customer: id,
      host,
      cpp,
      operatorId: operatorOf(shape, realm, 'cpp'),
      account,
      pin,
      currency: currency as 'EUR' | 'HUF',
      ...(alias === undefined ? {} : { alias }),
    })
  }
  await sim.advance(1_000, 500)
  const ledgers = new Map(sim.hosts().map(({ id, store }) => [id, store()]))
  return { shape, engine, topology, endedAtMs: sim.now(), ledgers }
}

/** A copy of the foundation as a network that somebody drives. Every host has been started, none has been stepped. */
export const launch = async (
  { shape, engine, endedAtMs }: Foundation,
  options: {
    readonly seed: string
    readonly settings: Settings
    readonly ledger: (host: string) => MemoryStore
    readonly runJob: RunJob
    readonly onWork: (host: string) => void
    readonly onFatal: (host: string, error: unknown) => void
    readonly onSend: OnSend
    readonly onPublish: (message: Published) => void
  },
): Promise<SimNetwork> => {
  const { seed, settings, ledger, runJob } = options
  const sim = createSimNetwork({
    seed: keySeed(shape),
    engine,
    startMs: endedAtMs,
    store: ledger,
    random: (host, start) => simulatedRandom(`${seed} ${host} ${start}`),
    onWork: options.onWork,
    onFatal: options.onFatal,
    onSend: options.onSend,
    onPublish: options.onPublish,
  })
  const inVirtualTime =
    (define: Define, host: string): Define =>
    (services) => {
      const definition = define(services)
      const jobs = Object.entries(definition.jobs).map(
        ([name, run]) => [name, (input: unknown) => runJob(host, run(input))] as const,
      )
      return { ...definition, jobs: Object.fromEntries(jobs) }
    }
  await sim.addAll(specsOf(shape, settings, inVirtualTime, deriveWith(engine)))
  return sim
}
