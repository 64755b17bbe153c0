/** A message of every live kind, on every way of the registry and at every hop of it, on the sample network. */
import { toHex } from '../bytes.ts'
import { encodeBeside, encodeBody } from '../codec.ts'
import type { Engine } from '../engines/engine.ts'
import type { Header } from '../header.ts'
import type { Role } from '../ids.ts'
import { signingKeyFromSeed, type SigningKey } from '../keys.ts'
import { KIND_NAMES, kindRow, type Hop, type KindName } from '../kinds.ts'
import { sealOne } from '../seals.ts'
import { makeContent } from '../envelope.ts'
import { parseCredential } from '../statements.ts'
import { createSampleMessages } from '../testing/sample-messages.ts'
import { createSampleNetwork, NOW, seededRandom, seedOf, type SampleNetwork } from '../testing/sample-network.ts'
import { createSmith, issuedName, type Material, type Smith } from './forge.ts'
import { generateValue } from './generate.ts'
import { createChance, type Chance } from './random.ts'

export type Receiver = keyof SampleNetwork['contexts']
/** A way a message may come to one of the sample network's receivers. */
export type Way = {
  readonly kind: KindName
  readonly path: readonly Role[]
  /** Where on the path it is received: 1 is the first hop. */
  readonly at: number
  readonly as: Receiver
}

const VARIANTS = 12
const RECEIVERS: Partial<Record<Role, Receiver>> = {
  dc: 'dc',
  cpp: 'cpp',
  mpp: 'mpp',
  bank: 'bank',
  customer: 'wallet',
  merchant: 'merchant',
  guest: 'guest',
}
const roleOfHop = (hop: Hop): Role => (hop === 'dc?' ? 'dc' : hop)

/** Kinds that some version of is accepted, whose sender and receivers the sample network has. */
export const waysOf = (): readonly Way[] =>
  KIND_NAMES.flatMap((kind) =>
    kindRow(kind).accepts.length === 0
      ? []
      : kindRow(kind).paths.flatMap((hops) => {
          const path = hops.map(roleOfHop)
          return path.flatMap((role, at) => {
            const as = RECEIVERS[role]
            return at === 0 || as === undefined || path[0] === 'observer' ? [] : [{ kind, path, at, as }]
          })
        }),
  )

export const createSamples = (engine: Engine) => {
  const network = createSampleNetwork(engine)
  const messages = createSampleMessages(network)
  const { dc, peerDc, cpp, mpp, bank, wallet, merchant, guest, device, root } = network
  const hosts = { dc, cpp, mpp, bank, customer: wallet, merchant } as const
  const mallory = signingKeyFromSeed(engine, seedOf('mallory'))
  const insiders: readonly SigningKey[] = [dc, peerDc, cpp, mpp, bank, wallet, merchant]
    .map(({ signing }) => signing)
    .concat(device, guest.signing, network.holder, root, mallory)
  const ids = [
    ...Object.values(hosts).map(({ id }) => id),
    peerDc.id,
    'hu-dc',
    'at-dc',
    'hu-alice',
    'hu-bakery',
    guest.token,
  ]
  const smith = createSmith(engine, insiders, ids, () => NOW, seededRandom('fuzz sealer'))

  /** Credentials that the network's own issuers signed. */
  const issued = new Set(
    [
      ...[dc, peerDc, cpp, mpp, bank, wallet, merchant].flatMap(({ chain }) => chain),
      network.payeeCredential,
      network.enrolment,
    ].map((bytes) => {
      const credential = parseCredential(bytes)
      if (!credential.ok) throw new Error('a credential of the sample network')
      return issuedName(credential.value.keyId, credential.value.payload)
    }),
  )

  const idOf = (role: Role): string => (role === 'guest' ? guest.token : hosts[role as keyof typeof hosts].id)
  const nestedFrames = new Map<KindName, Uint8Array>([
    ['transaction-details', messages.trans],
    ['payment-decision', messages.decision],
    ['delayed-transfer-confirmation', messages.delayedConfirmation],
  ])
  /** A frame for a field that nests one of these kinds. */
  const nestedFrame = (kinds: readonly KindName[], chance: Chance): Uint8Array => {
    const kind = chance.pick(kinds.filter((one) => kindRow(one).accepts.length > 0))
    const known = nestedFrames.get(kind)
    if (known !== undefined) return known
    const path = (kindRow(kind).paths[0] ?? []).map(roleOfHop)
    const made = plainFrame(materialOf({ kind, path, at: 1, as: 'cpp' }, createChance(`nested ${kind}`)))
    nestedFrames.set(kind, made)
    return made
  }

  const bodyOf = (kind: KindName, originator: Role, chance: Chance): Uint8Array => {
    const row = kindRow(kind)
    const schema = row.bodies[1]
    if (schema === undefined) throw new Error(`${kind} has no body`)
    const body = generateValue(schema, chance) as Record<string, unknown>
    if ('chain' in body)
      body['chain'] =
        kind === 'transaction-details' || kind === 'payee-registration' || originator === 'guest'
          ? [...network.merchantChain]
          : [...hosts[originator as keyof typeof hosts].chain]
    if (kind === 'transaction-details') body['payee'] = 'hu-bakery'
    for (const [field, kinds] of Object.entries(row.nests)) {
      const frame = (): Uint8Array => nestedFrame(kinds as readonly KindName[], chance)
      if (body[field] !== undefined) body[field] = Array.isArray(body[field]) ? body[field].map(frame) : frame()
    }
    return encodeBody<KindName>(kind, body)
  }

  /** A message that its receiver accepts. */
  const materialOf = (way: Way, chance: Chance): Material => {
    const { kind, path, at } = way
    const row = kindRow(kind)
    const originator = path[0] as Role
    const addressee = path.at(-1) as Role
    const asDevice = kind === 'payment-request' || kind === 'payment-query'
    const from = originator === 'guest' ? guest.signing.publicKey : asDevice ? 'hu-alice' : idOf(originator)
    const to = idOf(addressee)
    const header = (extra: Partial<Header>): Header =>
      network.header(kind, from, to, `fuzz ${toHex(chance.bytes(8))}`, {
        correlationId: chance.percent(20) ? chance.bytes(16) : undefined,
        ...extra,
      })
    const key =
      originator === 'guest' ? guest.signing : asDevice ? device : hosts[originator as keyof typeof hosts].signing
    const previous = path[at - 1] as Role
    const arrival = { toRole: path[at] as Role, kind, fromHost: idOf(previous) }
    const material = { kind, header: header({}), body: bodyOf(kind, originator, chance), key, arrival }
    if (!row.confidential) return material
    const { beside: schema } = row
    const recipient =
      addressee === 'guest' ? guest.sealing.publicKey : hosts[addressee as keyof typeof hosts].sealing.publicKey
    return {
      ...material,
      carrier: {
        header: header({ from: idOf(originator), bodyForm: 'encrypted' }),
        key: hosts[originator as keyof typeof hosts].signing,
        recipient,
        beside:
          schema === undefined
            ? null
            : encodeBeside(kind as 'transaction-details', generateValue(schema, chance) as never),
      },
    }
  }
  const made = new Map<Way, Material[]>()
  /** One of a few messages of this way, which are renewed now and then: making one costs more than mutating it. */
  const anyMaterial = (way: Way, chance: Chance): Material => {
    const known = made.get(way) ?? []
    made.set(way, known)
    const at = chance.below(VARIANTS)
    const found = known[at]
    if (found !== undefined && !chance.percent(2)) return found
    const material = materialOf(way, chance)
    known[at] = material
    return material
  }
  for (const kind of KIND_NAMES)
    for (const kinds of Object.values(kindRow(kind).nests))
      for (const one of kinds as readonly KindName[])
        if (kindRow(one).accepts.length > 0) nestedFrame([one], createChance('nested'))
  /** Contents nested in sample bodies, which the network's own hosts sealed. */
  const nested: readonly Uint8Array[] = [...nestedFrames.values()]
  return { network, smith, issued, nested, materialOf, anyMaterial }
}
export type Samples = ReturnType<typeof createSamples>
export type { Smith }
/** A sealed sample that is not nested in anything, for splicing. */
export const plainFrame = ({ header, body, key }: Material): Uint8Array => sealOne(makeContent(header, body), key)
