/**
 * Seals: how content is signed, and how a frame from outside is read and its seal verified. Three forms: 1 Ed25519 over
 * one message, 2 Ed25519 over a Merkle batch of messages, 3 RSA-PSS over one message (design §6). Each frame carries all
 * that is needed to verify it and so stands alone as evidence.
 */
import { concat, equalBytes, u32be } from './bytes.ts'
import { DOMAINS } from './domains.ts'
import { signatureEngine, type Algorithm, type Engine } from './engines/engine.ts'
import { contentBytes, parseHeader, type Content, type ParsedHeader } from './envelope.ts'
import { fail, ok, type FailureCode, type Result } from './failures.ts'
import { digestOf, HASH_BYTES } from './hash.ts'
import { KEY_ID_BYTES, type SigningKey } from './keys.ts'
import { LIMITS } from './limits.ts'
import { createLru, keyOfBytes, type Lru } from './lru.ts'
import { batchLeaf, buildBatchTree, isProven, provenNodes, rootOfPath, type ProvenNodes } from './merkle.ts'
import {
  atEnd,
  beginWrite,
  cursorOf,
  readArrayLength,
  readBytes,
  readBytesOf,
  readUint,
  takeWritten,
  writeArrayLength,
  writeBytes,
  writeUint,
  type Cursor,
} from './msgpack.ts'

const BATCH_ID_BYTES = 16
const SALT_BYTES = 16
const FRAME_FIELDS = 3

export type SingleSeal = { readonly form: 1 | 3; readonly keyId: Uint8Array; readonly signature: Uint8Array }
export type BatchSeal = {
  readonly form: 2
  readonly keyId: Uint8Array
  readonly batchId: Uint8Array
  readonly index: number
  readonly count: number
  readonly salt: Uint8Array
  /** The siblings from the leaf up, 32 bytes each, joined. */
  readonly path: Uint8Array
  readonly signature: Uint8Array
}
export type Seal = SingleSeal | BatchSeal

/** A frame whose structure is right and whose seal nobody has verified yet. */
export type ParsedFrame = {
  readonly frame: Uint8Array
  readonly header: ParsedHeader
  readonly headerBytes: Uint8Array
  readonly bodyBytes: Uint8Array
  readonly digest: Uint8Array
  readonly seal: Seal
}

export type VerificationKey = { readonly algorithm: Algorithm; readonly publicKey: Uint8Array }

// Sealing

/** What a seal is made of. */
export type Sealable = Pick<Content, 'headerBytes' | 'bodyBytes' | 'digest'>

/** Seals one message: form 1 with an Ed25519 key, form 3 with an RSA key. → the frame. */
export const sealOne = (content: Pick<Sealable, 'headerBytes' | 'bodyBytes'>, key: SigningKey): Uint8Array => {
  const form = key.algorithm === 'ed25519' ? 1 : 3
  const signature = key.sign(singleInput(form, content.headerBytes, content.bodyBytes))
  return encodeFrame(content, { form, keyId: key.keyId, signature })
}

/**
 * Seals messages under one signature, → one frame a message, in order. One message gets the plain form, an RSA key seals
 * each on its own, more than maxBatchLeaves messages become several batches.
 *
 * The caller groups by audience class (the kind registry's `audience`): who sees two frames of one batch learns that they
 * were sent together, so a customer's receipt and a network notice must never share a batch.
 *
 * @param random `n` fresh random bytes
 */
export const sealBatch = (
  contents: readonly Sealable[],
  key: SigningKey,
  random: (n: number) => Uint8Array,
): Uint8Array[] => {
  if (contents.length <= 1 || key.algorithm !== 'ed25519') return contents.map((content) => sealOne(content, key))
  if (contents.length > LIMITS.maxBatchLeaves)
    return [
      ...sealBatch(contents.slice(0, LIMITS.maxBatchLeaves), key, random),
      ...sealBatch(contents.slice(LIMITS.maxBatchLeaves), key, random),
    ]
  const count = contents.length
  const batchId = random(BATCH_ID_BYTES).slice()
  const entropy = random(SALT_BYTES * count)
  const salts = contents.map((_, index) => entropy.slice(index * SALT_BYTES, (index + 1) * SALT_BYTES))
  const leaves = contents.map(({ digest }, index) => batchLeaf(batchId, index, salts[index] as Uint8Array, digest))
  const { root, paths } = buildBatchTree(batchId, leaves)
  const signature = key.sign(batchInput(batchId, count, key.keyId, root))
  return contents.map((content, index) =>
    encodeFrame(content, {
      form: 2,
      keyId: key.keyId,
      batchId,
      index,
      count,
      salt: salts[index] as Uint8Array,
      path: paths[index] as Uint8Array,
      signature,
    }),
  )
}

const singleInput = (form: 1 | 3, headerBytes: Uint8Array, bodyBytes: Uint8Array): Uint8Array =>
  contentBytes(form === 1 ? DOMAINS.seal1 : DOMAINS.seal3, headerBytes, bodyBytes)

const batchInput = (batchId: Uint8Array, count: number, keyId: Uint8Array, root: Uint8Array): Uint8Array =>
  concat(DOMAINS.seal2, batchId, u32be(count), keyId, root)

/** frame = msgpack [header: bin, body: bin, seal: array]. @throws RangeError over maxFrameBytes */
export const encodeFrame = (content: Pick<Content, 'headerBytes' | 'bodyBytes'>, seal: Seal): Uint8Array => {
  beginWrite()
  writeArrayLength(FRAME_FIELDS)
  writeBytes(content.headerBytes)
  writeBytes(content.bodyBytes)
  writeArrayLength(seal.form === 2 ? 8 : 3)
  writeUint(seal.form)
  writeBytes(seal.keyId)
  if (seal.form === 2) {
    writeBytes(seal.batchId)
    writeUint(seal.index)
    writeUint(seal.count)
    writeBytes(seal.salt)
    writeBytes(seal.path)
  }
  writeBytes(seal.signature)
  const frame = takeWritten()
  if (frame.length > LIMITS.maxFrameBytes)
    throw new RangeError(`a frame of ${frame.length} bytes is over maxFrameBytes`)
  return frame
}

// Opening

/**
 * Size, structure, header and seal structure; no signature is looked at. The bytes are copied once, so that every field of
 * the result stays what it is when the transport uses its buffer again.
 */
export const parseFrame = (bytes: Uint8Array): Result<ParsedFrame> =>
  bytes.length > LIMITS.maxFrameBytes ? fail('FRAME_TOO_LARGE') : parseOwnFrame(new Uint8Array(bytes))

/** The same without the copy: `frame` is a plain `Uint8Array` that nobody changes, such as a field of a frame that was parsed. */
export const parseOwnFrame = (frame: Uint8Array): Result<ParsedFrame> => {
  if (frame.length > LIMITS.maxFrameBytes) return fail('FRAME_TOO_LARGE')
  const cursor = cursorOf(frame)
  if (readArrayLength(cursor) !== FRAME_FIELDS) return fail('MALFORMED_FRAME', 'not an array of three')
  const headerBytes = readBytes(cursor)
  const bodyBytes = readBytes(cursor)
  if (headerBytes === undefined || bodyBytes === undefined)
    return fail('MALFORMED_FRAME', 'header or body is not a byte string')
  if (bodyBytes.length > LIMITS.maxBodyBytes) return fail('FRAME_TOO_LARGE', 'body')
  const header = parseHeader(headerBytes)
  if (!header.ok) return header
  const seal = readSeal(cursor)
  if (typeof seal === 'string') return fail(seal)
  if (!atEnd(cursor)) return fail('MALFORMED_FRAME', 'bytes after the end')
  return ok({ frame, header: header.value, headerBytes, bodyBytes, digest: digestOf(headerBytes, bodyBytes), seal })
}

/**
 * Whom a frame names as its originator, without looking at anything else: undefined for a guest's, or for what is no frame.
 * Nobody has verified it.
 */
export const originatorOf = (bytes: Uint8Array): string | undefined => {
  const cursor = cursorOf(bytes)
  if (readArrayLength(cursor) !== FRAME_FIELDS) return undefined
  const headerBytes = readBytes(cursor)
  const header = headerBytes === undefined ? undefined : parseHeader(headerBytes)
  return header?.ok === true && typeof header.value.from === 'string' ? header.value.from : undefined
}

/** The key that a frame names in its seal, without looking at anything else; undefined for what is no frame. */
export const sealKeyIdOf = (frame: Uint8Array): Uint8Array | undefined => {
  const cursor = cursorOf(frame)
  if (readArrayLength(cursor) !== FRAME_FIELDS) return undefined
  if (readBytes(cursor) === undefined || readBytes(cursor) === undefined) return undefined
  if (readArrayLength(cursor) < 2 || readUint(cursor) < 0) return undefined
  return readBytesOf(cursor, KEY_ID_BYTES)
}

const readSeal = (cursor: Cursor): Seal | FailureCode => {
  const fields = readArrayLength(cursor)
  const form = readUint(cursor)
  const keyId = readBytesOf(cursor, KEY_ID_BYTES)
  if (keyId === undefined) return 'MALFORMED_SEAL'
  if (form === 1 || form === 3) {
    const signature = readBytes(cursor)
    if (fields !== 3 || signature === undefined || signature.length > LIMITS.maxSignatureBytes) return 'MALFORMED_SEAL'
    return form === 1 && signature.length !== 64 ? 'MALFORMED_SEAL' : { form, keyId, signature }
  }
  if (form !== 2 || fields !== 8) return 'MALFORMED_SEAL'
  const batchId = readBytesOf(cursor, BATCH_ID_BYTES)
  const index = readUint(cursor)
  const count = readUint(cursor)
  const salt = readBytesOf(cursor, SALT_BYTES)
  const path = readBytes(cursor)
  const signature = readBytesOf(cursor, 64)
  if (
    batchId === undefined ||
    index < 0 ||
    count < 0 ||
    salt === undefined ||
    path === undefined ||
    signature === undefined
  )
    return 'MALFORMED_SEAL'
  if (path.length % HASH_BYTES !== 0) return 'MALFORMED_SEAL'
  return { form, keyId, batchId, index, count, salt, path, signature }
}

/**
 * Roots whose signature was verified; bounded, and only a cache. Key and batch → count, root and signature, each as one text of a
 * character a byte: as byte strings of their own, what a host keeps of a few thousand roots is four times as large.
 */
export type RootCache = Lru<string> & {
  /** Trees of the newest of them, by the same names: neighbours in a tree have most of their paths in common. */
  readonly trees: Lru<Tree>
}
type Tree = { readonly count: number; readonly signature: Uint8Array; readonly proven: ProvenNodes }

export const createRootCache = (): RootCache =>
  Object.assign(createLru<string>(LIMITS.verifiedRootCacheSize), { trees: createLru<Tree>(LIMITS.provenTreesKept) })

/** A tree of fewer leaves costs more to keep than its paths cost to hash. */
const MIN_TREE_LEAVES = 8

export type SealContext = { readonly engine: Engine; readonly rootCache: RootCache }

/**
 * BAD_PROOF or BAD_SIGNATURE. `key` is the one that the seal's keyId names and has passed `checkPublicKey`. Each further
 * message of a batch whose root was verified costs hashes only.
 */
export const verifySeal = (
  parsed: ParsedFrame,
  key: VerificationKey,
  { engine, rootCache }: SealContext,
): Result<void> => {
  const { seal } = parsed
  if ((seal.form === 3 ? 'rsa-pss-sha256' : 'ed25519') !== key.algorithm)
    return fail('BAD_SIGNATURE', 'the key is of another algorithm')
  const { verify } = signatureEngine(engine, key.algorithm)
  if (seal.form !== 2)
    return verify(seal.signature, singleInput(seal.form, parsed.headerBytes, parsed.bodyBytes), key.publicKey)
      ? ok(undefined)
      : fail('BAD_SIGNATURE')
  const { keyId, batchId, index, count, salt, path, signature } = seal
  if (count < 2 || count > LIMITS.maxBatchLeaves || index >= count) return fail('BAD_PROOF', 'index and count')
  const leaf = batchLeaf(batchId, index, salt, parsed.digest)
  const name = keyOfBytes(concat(keyId, batchId))
  const tree = count < MIN_TREE_LEAVES ? undefined : rootCache.trees.get(name)
  const isSame = tree !== undefined && tree.count === count && equalBytes(tree.signature, signature)
  if (isSame && isProven(tree.proven, batchId, index, count, leaf, path)) return ok(undefined)
  const root = rootOfPath(batchId, index, count, leaf, path)
  if (root === undefined) return fail('BAD_PROOF', 'path length')
  // The signature is part of it: a frame with a spoilt one would pass by the cache and be worthless as evidence.
  const sealed = keyOfBytes(concat(u32be(count), root, signature))
  if (rootCache.get(name) !== sealed) {
    if (!verify(signature, batchInput(batchId, count, keyId, root), key.publicKey)) return fail('BAD_SIGNATURE')
    rootCache.set(name, sealed)
  }
  if (count >= MIN_TREE_LEAVES && !isSame) {
    const proven = provenNodes(batchId, index, count, leaf, path)
    // A copy: a small entry does not keep a whole frame alive.
    rootCache.trees.set(name, { count, signature: signature.slice(), proven })
  }
  return ok(undefined)
}

/** Many at once, in order; frames of one batch share one signature check. */
export const verifySeals = (
  items: readonly { readonly parsed: ParsedFrame; readonly key: VerificationKey }[],
  context: SealContext,
): Result<void>[] => items.map(({ parsed, key }) => verifySeal(parsed, key, context))
