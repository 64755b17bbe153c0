/**
 * A network in the middle of payments, some of whose hosts have lent their keys to the forger. The liars are hosts of every role,
 * known and certified like any other; what is asserted is asserted of the honest ones. For tests only.
 */
import { createOpener, openCarrier, type Cargo } from '../../../protocol/confidential.ts'
import type { Header } from '../../../protocol/header.ts'
import { isGuestToken, type Role } from '../../../protocol/ids.ts'
import { keyIdOf, signingKeyFromSeed, type SigningKey } from '../../../protocol/keys.ts'
import { kindRow, type KindName } from '../../../protocol/kinds.ts'
import { keyOfBytes } from '../../../protocol/lru.ts'
import { parseFrame, type ParsedFrame } from '../../../protocol/seals.ts'
import { parseSubject } from '../../../protocol/subjects.ts'
import { deviceSeeds } from '../../customer/state.ts'
import { defineWallet } from '../../customer/define.ts'
import { defineMerchant } from '../../merchant/define.ts'
import { hostileWorld, HOSTS, OTHER_CPP, type Sent } from '../testing/world.ts'

export const TARGETS = ['dc', 'bank', 'cpp', 'mpp', 'merchant', 'customer', 'guest'] as const
/** `guest`: the anonymous logins of the wallet host. */
export type Target = (typeof TARGETS)[number]
export const hostOf = (target: Target): string => HOSTS[target === 'guest' ? 'customer' : target]

/** Hosts whose keys the forger holds, by role. The first speaks in the place of honest ones. */
export const LIARS = {
  dc: ['at-dc-1'],
  cpp: [OTHER_CPP],
  mpp: ['at-mpp'],
  bank: ['at-bank'],
  merchant: ['hu-shop-2', 'at-shop-1'],
  customer: ['hu-wallet-2'],
} as const satisfies Partial<Record<Role, readonly string[]>>
type LiarRole = keyof typeof LIARS
const liars = new Set<string>(Object.values(LIARS).flat())
export const isLiar = (id: string): boolean => liars.has(id)
/** Whoever and whatever belongs to them: a figure that speaks of one of these may be wrong. */
export const OF_LIARS: readonly string[] = [...liars, 'hu-kiosk', 'at-pub', 'hu-carol', 'hu-dave', 'hu-erin']
const LYING_CUSTOMERS = ['hu-dave', 'hu-erin'] as const

/** A message as it went over the wire, ready to be made again by a liar. */
export type Template = {
  readonly kind: KindName
  readonly header: Header
  readonly body: Uint8Array
  /** Who seals it now. */
  readonly key: SigningKey
  readonly carrier?: { readonly from: string; readonly recipient: Uint8Array; readonly beside: Uint8Array | null }
  readonly toRole: Role
  readonly toHost: string
  readonly fromHost: string
  /** Its id was never to be read by the liar, who has to make one of his own. */
  readonly secretId: boolean
  /** Chain that its body is to show instead. */
  readonly chain: readonly Uint8Array[] | undefined
}

export type FuzzNetwork = Awaited<ReturnType<typeof fuzzNetwork>>

export const fuzzNetwork = async () => {
  const world = await hostileWorld()
  const { sim } = world
  await sim.add({ id: 'hu-shop-2', role: 'merchant', certifiedBy: [HOSTS.mpp], define: defineMerchant })
  await sim.add({ id: 'hu-wallet-2', role: 'customer', certifiedBy: [HOSTS.cpp, OTHER_CPP], define: defineWallet })
  await sim.advance(2_000)
  await world.enrolPayee('hu-kiosk', 'hu-shop-2', HOSTS.mpp, HOSTS.bank, { rule: 'approve' })
  await world.enrolCustomer('hu-dave', 'hu-wallet-2', HOSTS.cpp)
  await world.enrolCustomer('hu-erin', 'hu-wallet-2', OTHER_CPP)
  await sim.advance(2_000)

  const roles = new Map(sim.hosts().map(({ id, identity }) => [id, identity.role]))
  const opener = createOpener(sim.engine)
  const stranger = signingKeyFromSeed(sim.engine, new Uint8Array(32).fill(5))
  const deviceOf = (customer: string): SigningKey => {
    const row = sim.host('hu-wallet-2').host().read.get(deviceSeeds, customer)
    if (row === undefined) throw new Error(`${customer} has no device`)
    return signingKeyFromSeed(sim.engine, row.seed)
  }
  const devices = new Map<string, SigningKey>(LYING_CUSTOMERS.map((customer) => [customer, deviceOf(customer)]))

  const uncovered = (host: string, { headerBytes, bodyBytes }: ParsedFrame): Cargo | undefined => {
    if (!roles.has(host)) return undefined
    const { sealing } = sim.host(host).identity
    const own = keyOfBytes(keyIdOf('x25519', sealing.publicKey))
    const opened = openCarrier(opener, (id) => (keyOfBytes(id) === own ? sealing : undefined), headerBytes, bodyBytes)
    return opened.ok ? opened.value : undefined
  }
  const liarFor = (id: string): string | undefined => {
    if (isLiar(id)) return id
    const role = roles.get(id)
    return role === undefined ? undefined : LIARS[role as LiarRole][0]
  }

  /** The message as a liar would send it, in its own name where it was an honest host's. Undefined for what can not be read. */
  const templateOf = ({ subject, data }: Sent): Template | undefined => {
    const to = parseSubject(subject)
    const outer = parseFrame(data)
    if (to === undefined || !outer.ok || outer.value.header.kind === undefined) return undefined
    const { kind } = outer.value.header
    const { toRole, toHost } = to
    let frame = outer.value
    let cargo: Cargo | undefined
    if (frame.header.bodyForm === 'encrypted') {
      cargo = uncovered(toHost, frame)
      const inner = cargo === undefined ? undefined : parseFrame(cargo.innerFrame)
      if (inner?.ok !== true) return undefined
      frame = inner.value
    }
    const header = { ...frame.header, kind } as Header
    const secretId = cargo !== undefined && !isLiar(String(outer.value.header.from))
    const common = { kind, body: frame.bodyBytes.slice(), toRole, toHost, secretId }
    if (typeof header.from !== 'string')
      return {
        ...common,
        header: { ...header, from: stranger.publicKey },
        key: stranger,
        fromHost: to.fromHost,
        chain: undefined,
      }
    if (cargo === undefined) {
      const liar = liarFor(header.from)
      if (liar === undefined) return undefined
      const { identity } = sim.host(liar)
      const fromHost = to.fromHost === header.from ? liar : to.fromHost
      const chain = kindRow(kind).introduces && liar !== header.from ? identity.chains[0] : undefined
      return { ...common, header: { ...header, from: liar }, key: identity.signing, fromHost, chain }
    }
    const host = liarFor(String(outer.value.header.from))
    if (host === undefined) return undefined
    const own = roles.has(header.from)
    const customer = devices.has(header.from) ? header.from : 'hu-dave'
    const recipient = sim.host(toHost).identity.sealing.publicKey
    return {
      ...common,
      header: { ...header, from: own ? host : customer },
      key: own ? sim.host(host).identity.signing : (devices.get(customer) as SigningKey),
      carrier: { from: host, recipient, beside: cargo.beside?.slice() ?? null },
      fromHost: host,
      chain: undefined,
    }
  }

  return {
    world,
    sim,
    templateOf,
    roles,
    /** Keys of every liar. */
    insiders: [...liars].map((id) => sim.host(id).identity.signing).concat([...devices.values()], stranger),
    stranger,
    keyOfHost: (id: string): SigningKey => sim.host(id).identity.signing,
    ids: [
      ...sim.hosts().map(({ id }) => id),
      'hu-dc',
      'at-dc',
      'hu-alice',
      'hu-dave',
      'hu-bakery',
      'hu-kiosk',
      'hu-alice-pays',
    ],
    isGuest: (host: string): boolean => isGuestToken(host),
  }
}
