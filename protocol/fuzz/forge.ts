/**
 * Mutated frames that are sound everywhere but in one place. A message is put together layer by layer (credential, body, header,
 * seal, cargo, carrier, frame); one layer is changed, and everything around it is made as the holder of the keys would make it.
 * So the checks behind the seal are reached, not only those before it.
 *
 * What was signed on the way is noted: a frame that opens must be one whose content somebody sealed with the key it shows.
 */
import { concat, equalBytes, toHex, u32be } from '../bytes.ts'
import { createSealer, type Sealer } from '../confidential.ts'
import { DOMAINS } from '../domains.ts'
import type { Engine } from '../engines/engine.ts'
import { contentBytes, encodeHeader } from '../envelope.ts'
import { digestOf, hash } from '../hash.ts'
import type { Header } from '../header.ts'
import type { SigningKey } from '../keys.ts'
import { KIND_NAMES, kindRow, type KindName } from '../kinds.ts'
import { LIMITS } from '../limits.ts'
import type { Arrival } from '../open.ts'
import { batchLeaf, buildBatchTree } from '../merkle.ts'
import { parseFrame, type BatchSeal, type Seal } from '../seals.ts'
import { parseCredential } from '../statements.ts'
import { mutateHeader } from './mutate-header.ts'
import { BYTE_MUTATORS, type Mutator } from './mutate-bytes.ts'
import { BAD_KEYS, packBytes, packInt, replaced, VALUE_MUTATORS } from './mutate-values.ts'
import type { Chance } from './random.ts'
import { readTree, type Value } from './tree.ts'

/** A message that its receiver accepts, in the parts it is made of. */
export type Material = {
  readonly kind: KindName
  /** Of the message itself; its `bodyForm` is 'plain'. */
  readonly header: Header
  readonly body: Uint8Array
  readonly key: SigningKey
  /** Of a confidential kind. */
  readonly carrier?: {
    readonly header: Header
    readonly key: SigningKey
    readonly recipient: Uint8Array
    readonly beside: Uint8Array | null
  }
  readonly arrival: Arrival
}

/** Who the forger is: the keys it holds and what it has to splice with. */
export type Smith = {
  readonly engine: Engine
  readonly sealer: Sealer
  /** Keys of insiders, of every role. */
  readonly insiders: readonly SigningKey[]
  /** The insider's key of this id. */
  readonly keyOf: (keyId: Uint8Array) => SigningKey | undefined
  readonly ids: readonly string[]
  readonly now: () => number
  /** Frames and bodies of others. */
  readonly frames: Uint8Array[]
  readonly bodies: Uint8Array[]
}

/** @param pool how many frames and bodies are kept to splice with */
export const createSmith = (
  engine: Engine,
  insiders: readonly SigningKey[],
  ids: readonly string[],
  now: () => number,
  random: (length: number) => Uint8Array,
): Smith => {
  const keys = new Map(insiders.map((key) => [toHex(key.keyId), key]))
  return {
    engine,
    sealer: createSealer(engine, random),
    insiders,
    keyOf: (keyId) => keys.get(toHex(keyId)),
    ids,
    now,
    frames: [],
    bodies: [],
  }
}

/** A frame to be thrown, and what is known of how it was made. */
export type Mutant = {
  readonly bytes: Uint8Array
  readonly arrival: Arrival
  readonly kind: KindName
  /** Layer and change, e.g. `body: float`. More than one change: joined by ` + `. */
  readonly mutation: string
  /** `key id ‖ digest` in hex of every content that was signed while this was made, whoever's key it was. */
  readonly sealed: ReadonlySet<string>
  /** `key id ‖ H(payload)` in hex of every credential signed while this was made. */
  readonly issued: ReadonlySet<string>
  /** The body bytes that were put inside, for the codec alone. */
  readonly body: Uint8Array
}

/** What of a message was put together before, so that a change further out need not seal it again. */
type Made = { readonly bytes: Uint8Array; readonly sealed: readonly string[] }
const innerFrames = new WeakMap<Material, Made>()
const outerBodies = new WeakMap<Material, Uint8Array>()
const outerFrames = new WeakMap<Material, Made>()
const INNER: readonly Layer[] = ['credential', 'nested', 'body', 'header', 'seal']
const CARGO: readonly Layer[] = [...INNER, 'inner', 'beside', 'cargo', 'carrier header']

type Layer =
  | 'nothing'
  | 'credential'
  | 'nested'
  | 'body'
  | 'header'
  | 'seal'
  | 'beside'
  | 'cargo'
  | 'inner'
  | 'carrier'
  | 'carrier header'
  | 'carrier seal'
  | 'frame'
  | 'arrival'

const MUTATORS = [...VALUE_MUTATORS, ...VALUE_MUTATORS, ...BYTE_MUTATORS]

export const sealedName = (keyId: Uint8Array, digest: Uint8Array): string => `${toHex(keyId)}${toHex(digest)}`
export const issuedName = (keyId: Uint8Array, payload: Uint8Array): string => `${toHex(keyId)}${toHex(hash(payload))}`

/** The value of a map's field; undefined when the bytes are no map with it. */
export const fieldOf = (bytes: Uint8Array, name: string): Value | undefined => {
  const root = readTree(bytes)
  if (root?.type !== 'map') return undefined
  for (let i = 0; i < root.children.length; i += 2) {
    const key = root.children[i] as Value
    if (String.fromCharCode(...bytes.subarray(key.content, key.end)) === name) return root.children[i + 1]
  }
  return undefined
}
const contentOf = (bytes: Uint8Array, { content, end }: Value): Uint8Array => bytes.slice(content, end)

const layersOf = ({ kind, carrier, body }: Material): readonly Layer[] => [
  ...(['body', 'body', 'body', 'header', 'header', 'seal', 'frame', 'frame', 'arrival'] as const),
  ...(Object.keys(kindRow(kind).nests).length > 0 ? (['nested', 'nested'] as const) : []),
  ...(fieldOf(body, 'chain') !== undefined || fieldOf(body, 'trans') !== undefined
    ? (['credential', 'credential'] as const)
    : []),
  ...(carrier === undefined
    ? []
    : (['cargo', 'inner', 'inner', 'carrier', 'carrier', 'carrier header', 'carrier seal', 'beside'] as const)),
]

/** One frame of this message, as it is when `changes` is 0, else with that many layers changed. */
export const forge = (material: Material, smith: Smith, chance: Chance, changes: number): Mutant => {
  const { kind, carrier } = material
  const sealed = new Set<string>()
  const issued = new Set<string>()
  const done: string[] = []
  const layers = new Set<Layer>()
  const possible = layersOf(material)
  for (let i = 0; i < changes; i++) layers.add(chance.pick(possible))

  const change = (layer: Layer, bytes: Uint8Array, pool: readonly Uint8Array[] = smith.frames): Uint8Array => {
    for (let tries = 0; tries < 8; tries++) {
      const mutator: Mutator = chance.pick(MUTATORS)
      const mutant = mutator.apply(bytes, chance, pool)
      if (mutant === undefined) continue
      done.push(`${layer}: ${mutator.name}`)
      return mutant
    }
    return bytes
  }
  const sign = (headerBytes: Uint8Array, bodyBytes: Uint8Array, key: SigningKey): Seal => {
    const digest = digestOf(headerBytes, bodyBytes)
    sealed.add(sealedName(key.keyId, digest))
    return key.algorithm === 'ed25519' && chance.percent(25)
      ? sealInBatch(digest, key, chance)
      : {
          form: key.algorithm === 'ed25519' ? 1 : 3,
          keyId: key.keyId,
          signature: key.sign(
            contentBytes(key.algorithm === 'ed25519' ? DOMAINS.seal1 : DOMAINS.seal3, headerBytes, bodyBytes),
          ),
        }
  }
  const sealedFrame = (layer: Layer, headerBytes: Uint8Array, bodyBytes: Uint8Array, own: SigningKey): Uint8Array => {
    let key = own
    if (layers.has(layer) && chance.percent(15)) {
      key = chance.pick(smith.insiders)
      done.push(`${layer}: another insider's key`)
    }
    let seal = sign(headerBytes, bodyBytes, key)
    if (!layers.has(layer) || key !== own) return packFrame(headerBytes, bodyBytes, packSeal(seal))
    if (chance.percent(60)) {
      const [name, mutant] = mutateSeal(seal, smith, chance)
      seal = mutant
      done.push(`${layer}: ${name}`)
      return packFrame(headerBytes, bodyBytes, packSeal(seal))
    }
    return packFrame(headerBytes, bodyBytes, change(layer, packSeal(seal)))
  }

  const editCredential = (body: Uint8Array): Uint8Array => {
    const chain = fieldOf(body, 'chain')
    const trans = fieldOf(body, 'trans')
    if (chain === undefined && trans !== undefined) {
      const parsed = parseFrame(contentOf(body, trans))
      if (!parsed.ok) return body
      const { headerBytes, bodyBytes, seal } = parsed.value
      const key = smith.keyOf(seal.keyId)
      const edited = editCredential(bodyBytes)
      const inner = packFrame(headerBytes, edited, packSeal(key === undefined ? seal : sign(headerBytes, edited, key)))
      return replaced(body, trans, packBytes(inner))
    }
    if (chain?.type !== 'array' || chain.children.length === 0) return body
    const credentials = chain.children.map((value) => contentOf(body, value))
    const at = chance.below(credentials.length)
    const way = chance.below(6)
    if (way === 0) credentials.reverse()
    else if (way === 1) credentials.splice(at, 1)
    else if (way === 2) credentials.push(credentials[at] as Uint8Array)
    else if (way === 3) credentials[at] = change('credential', credentials[at] as Uint8Array)
    else credentials[at] = reissued(credentials[at] as Uint8Array, way === 4)
    if (way < 3) done.push(`credential: ${['reversed', 'one less', 'one twice'][way]}`)
    const array = concat(
      Uint8Array.of(0xdc, 0, credentials.length),
      ...credentials.map((credential) => packBytes(credential)),
    )
    return replaced(body, chain, array)
  }
  /** Another payload under the key that the credential names, or under one of another level. */
  const reissued = (credential: Uint8Array, right: boolean): Uint8Array => {
    const parsed = parseCredential(credential)
    if (!parsed.ok) return credential
    const payload = change('credential', parsed.value.payload)
    const key = right ? smith.keyOf(parsed.value.keyId) : chance.pick(smith.insiders)
    if (key === undefined) return credential
    done.push(right ? 'signed by its issuer' : 'signed by another')
    issued.add(issuedName(key.keyId, payload))
    const signature = key.sign(concat(DOMAINS.credential, payload))
    const named = right || chance.percent(50) ? key.keyId : parsed.value.keyId
    return concat(Uint8Array.of(0x93), packBytes(payload), packBytes(named), packBytes(signature))
  }

  const editNested = (body: Uint8Array): Uint8Array => {
    const field = fieldOf(body, chance.pick(Object.keys(kindRow(kind).nests)))
    const place = field?.type === 'array' && field.children.length > 0 ? chance.pick(field.children) : field
    if (place?.type !== 'bytes') return body
    const frame = contentOf(body, place)
    const way = chance.below(4)
    if (way === 0 && smith.frames.length > 0) {
      done.push('nested: another frame')
      return replaced(body, place, packBytes(chance.pick(smith.frames)))
    }
    const parsed = parseFrame(frame)
    const key = parsed.ok ? smith.keyOf(parsed.value.seal.keyId) : undefined
    if (way === 1 || !parsed.ok || key === undefined) return replaced(body, place, packBytes(change('nested', frame)))
    let { headerBytes, bodyBytes } = parsed.value
    if (chance.percent(70)) bodyBytes = change('nested', bodyBytes, smith.bodies)
    else {
      const [name, mutant] = mutateHeader(headerBytes, smith, chance)
      headerBytes = mutant
      done.push(`nested: ${name}`)
    }
    const signer = chance.percent(85) ? key : chance.pick(smith.insiders)
    return replaced(
      body,
      place,
      packBytes(packFrame(headerBytes, bodyBytes, packSeal(sign(headerBytes, bodyBytes, signer)))),
    )
  }

  let { body } = material
  if (layers.has('credential')) body = editCredential(body)
  if (layers.has('nested')) body = editNested(body)
  if (layers.has('body')) body = change('body', body, smith.bodies)
  let headerBytes = encodeHeader(material.header)
  if (layers.has('header')) {
    const [name, mutant] = mutateHeader(headerBytes, smith, chance)
    headerBytes = mutant
    done.push(`header: ${name}`)
  }
  /** Takes what was made before when none of these layers changes. */
  const reused = (from: WeakMap<Material, Made>, changing: readonly Layer[], make: () => Uint8Array): Uint8Array => {
    if (changing.some((layer) => layers.has(layer))) return make()
    const found = from.get(material)
    if (found !== undefined && !chance.percent(10)) {
      found.sealed.forEach((name) => sealed.add(name))
      return found.bytes
    }
    const made = make()
    from.set(material, { bytes: made, sealed: [...sealed] })
    return made
  }
  let bytes = reused(innerFrames, INNER, () => sealedFrame('seal', headerBytes, body, material.key))
  if (carrier !== undefined) {
    if (layers.has('inner')) bytes = change('inner', bytes)
    let { beside } = carrier
    if (layers.has('beside')) beside = change('beside', beside ?? Uint8Array.of(0x80), smith.bodies)
    let cargo = concat(Uint8Array.of(0x92), packBytes(bytes), beside === null ? Uint8Array.of(0xc0) : packBytes(beside))
    if (layers.has('cargo')) cargo = change('cargo', cargo)
    let outer = encodeHeader(carrier.header)
    const late = layers.has('carrier header') && chance.percent(30)
    const edit = (): void => {
      const [name, mutant] = mutateHeader(outer, smith, chance)
      outer = mutant
      done.push(`carrier header: ${name}${late ? ', not the associated data' : ''}`)
    }
    if (layers.has('carrier header') && !late) edit()
    const changed = CARGO.some((layer) => layers.has(layer))
    const before = changed ? undefined : outerBodies.get(material)
    let sealedCargo = before ?? smith.sealer.encrypt(carrier.recipient, outer, cargo)
    if (!changed) outerBodies.set(material, sealedCargo)
    if (late) edit()
    if (layers.has('carrier')) {
      const [name, mutant] = mutateCiphertext(sealedCargo, chance)
      sealedCargo = mutant
      done.push(`carrier: ${name}`)
    }
    const associated = outer
    const cipher = sealedCargo
    bytes = reused(outerFrames, [...CARGO, 'carrier', 'carrier seal'], () =>
      sealedFrame('carrier seal', associated, cipher, carrier.key),
    )
  }
  let { arrival } = material
  if (layers.has('arrival')) {
    arrival = mutateArrival(arrival, smith, chance)
    done.push('arrival: another subject')
  }
  if (layers.has('frame')) bytes = change('frame', bytes)
  else if (chance.percent(40))
    arrival = { ...arrival, kind: kindOfHeader(carrier === undefined ? headerBytes : undefined) ?? arrival.kind }
  return { bytes, arrival, kind, mutation: done.length === 0 ? 'unchanged' : done.join(' + '), sealed, issued, body }
}

/** With the kind that the header now shows on the subject as well, so that the two agree. */
const kindOfHeader = (headerBytes: Uint8Array | undefined): KindName | undefined => {
  const root = headerBytes === undefined ? undefined : readTree(headerBytes)
  const value = root?.type === 'array' ? root.children[2] : undefined
  if (headerBytes === undefined || value?.type !== 'int') return undefined
  const number = headerBytes.subarray(value.start, value.end)
  return KIND_NAMES.find((kind) =>
    (['fix', 'u8', 'u16'] as const).some((form) => equalBytes(packInt(BigInt(kindRow(kind).number), form), number)),
  )
}

const sealInBatch = (digest: Uint8Array, key: SigningKey, chance: Chance): BatchSeal => {
  const count = chance.pick([2, 3, 5, 8, 17])
  const index = chance.below(count)
  const batchId = chance.bytes(16)
  const salt = chance.bytes(16)
  const leaves = Array.from({ length: count }, (_, at) =>
    batchLeaf(batchId, at, at === index ? salt : chance.bytes(16), at === index ? digest : chance.bytes(32)),
  )
  const { root, paths } = buildBatchTree(batchId, leaves)
  const signature = key.sign(concat(DOMAINS.seal2, batchId, u32be(count), key.keyId, root))
  return { form: 2, keyId: key.keyId, batchId, index, count, salt, path: paths[index] as Uint8Array, signature }
}

/** No limit of size is kept: a frame that is too large is a mutation too. */
export const packFrame = (headerBytes: Uint8Array, bodyBytes: Uint8Array, seal: Uint8Array): Uint8Array =>
  concat(Uint8Array.of(0x93), packBytes(headerBytes), packBytes(bodyBytes), seal)
const packSeal = (seal: Seal): Uint8Array =>
  seal.form === 2
    ? concat(
        Uint8Array.of(0x98, 2),
        packBytes(seal.keyId),
        packBytes(seal.batchId),
        packInt(BigInt(seal.index), 'u64'),
        packInt(BigInt(seal.count), 'u64'),
        packBytes(seal.salt),
        packBytes(seal.path),
        packBytes(seal.signature),
      )
    : concat(Uint8Array.of(0x93, seal.form), packBytes(seal.keyId), packBytes(seal.signature))

/** The order of the base point (RFC 8032 §5.1), little-endian. */
const ORDER = Uint8Array.from(
  'edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010'.match(/../g) ?? [],
  (byte) => Number.parseInt(byte, 16),
)
/** S + L: the same equation holds, and a strict verifier refuses it. */
const malleated = (signature: Uint8Array): Uint8Array => {
  const copy = signature.slice()
  let carry = 0
  for (let at = 0; at < 32; at++) {
    const sum = (copy[32 + at] ?? 0) + (ORDER[at] as number) + carry
    copy[32 + at] = sum & 0xff
    carry = sum >> 8
  }
  return copy
}

const mutateSeal = (seal: Seal, smith: Smith, chance: Chance): readonly [string, Seal] => {
  const touched = (bytes: Uint8Array): Uint8Array => {
    const copy = bytes.slice()
    const at = chance.below(copy.length)
    if (copy.length > 0) copy[at] = (copy[at] as number) ^ (1 << chance.below(8))
    return copy
  }
  const common: readonly (() => readonly [string, Seal])[] = [
    () => ['signature touched', { ...seal, signature: touched(seal.signature) }],
    () => ['S + L', { ...seal, signature: malleated(seal.signature) }],
    () => ['R of small order', { ...seal, signature: concat(chance.pick(BAD_KEYS), seal.signature.subarray(32)) }],
    () => ['signature of zeros', { ...seal, signature: new Uint8Array(64) }],
    () => ['signature of another length', { ...seal, signature: seal.signature.slice(0, chance.below(64)) }],
    () => ["another insider's key id", { ...seal, keyId: chance.pick(smith.insiders).keyId }],
    () => ['an unknown key id', { ...seal, keyId: chance.bytes(16) }],
    () => ['another form', { ...seal, form: chance.pick([0, 1, 3, 4, 127]) as 1 }],
  ]
  if (seal.form !== 2) return chance.pick(common)()
  const numbers = [
    0,
    1,
    2,
    seal.index,
    seal.count,
    seal.count + 1,
    LIMITS.maxBatchLeaves,
    LIMITS.maxBatchLeaves + 1,
    2 ** 32,
    2 ** 53 - 1,
  ]
  return chance.pick<() => readonly [string, Seal]>([
    ...common,
    () => ['index', { ...seal, index: chance.pick(numbers) }],
    () => ['count', { ...seal, count: chance.pick(numbers) }],
    () => ['path touched', { ...seal, path: touched(seal.path) }],
    () => ['path cut', { ...seal, path: seal.path.slice(0, chance.below(seal.path.length + 1)) }],
    () => ['path longer', { ...seal, path: concat(seal.path, new Uint8Array(32 * (1 + chance.below(12)))) }],
    () => ['salt', { ...seal, salt: chance.bytes(16) }],
    () => ['batch id', { ...seal, batchId: chance.bytes(16) }],
  ])()
}

const mutateCiphertext = (body: Uint8Array, chance: Chance): readonly [string, Uint8Array] => {
  const put = (at: number, bytes: Uint8Array): Uint8Array => {
    const copy = body.slice()
    copy.set(bytes, at)
    return copy
  }
  const touched = (from: number, to: number): Uint8Array => {
    const at = from + chance.below(Math.max(1, to - from))
    return put(at, Uint8Array.of((body[at] ?? 0) ^ (1 << chance.below(8))))
  }
  return chance.pick<() => readonly [string, Uint8Array]>([
    () => ['recipient key id', put(0, chance.bytes(16))],
    () => ['ephemeral key of no or small order', put(16, chance.pick(BAD_KEYS))],
    () => ['another ephemeral key', put(16, chance.bytes(32))],
    () => ['nonce', touched(48, 60)],
    () => ['ciphertext', touched(60, body.length - 16)],
    () => ['tag', touched(body.length - 16, body.length)],
    () => ['cut short', body.slice(0, chance.below(body.length + 1))],
    () => ['longer', concat(body, chance.bytes(1 + chance.below(40)))],
    () => ['not encrypted', Uint8Array.of(0x80)],
  ])()
}

const mutateArrival = (arrival: Arrival, smith: Smith, chance: Chance): Arrival =>
  chance.pick<() => Arrival>([
    () => ({ ...arrival, kind: chance.pick(KIND_NAMES) }),
    () => ({ ...arrival, fromHost: chance.pick(smith.ids) }),
    () => ({
      ...arrival,
      toRole: chance.pick(['customer', 'merchant', 'cpp', 'mpp', 'bank', 'dc', 'guest', 'observer']),
    }),
  ])()
