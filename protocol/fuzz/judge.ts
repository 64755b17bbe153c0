/**
 * The oracle of the fuzz suite. Whatever comes: opening it never throws; a refusal has a code of the table; only who showed a
 * sound seal may be answered; what opens was sealed by a holder of the key it shows, says exactly what its bytes say to an
 * independent reader, and rests on credentials that their issuers signed; and the work done is paid for by the bytes sent.
 */
import { equalBytes, toHex } from '../bytes.ts'
import { decodeBody, encodeBody } from '../codec.ts'
import type { Engine } from '../engines/engine.ts'
import { FAILURES } from '../failures.ts'
import { digestOf } from '../hash.ts'
import { kindRow, type KindName } from '../kinds.ts'
import { openFrame, type OpenContext } from '../open.ts'
import { parseFrame } from '../seals.ts'
import { parseCredential } from '../statements.ts'
import type { Verified } from '../verified.ts'
import { issuedName, sealedName, type Mutant } from './forge.ts'
import { meaningOf, means, readTree } from './tree.ts'

/** Work of the slow kind, counted where it is done. */
export type Work = { signatures: number; agreements: number; decrypted: number }

/** The same engine, counting. */
export const countingEngine = (engine: Engine): { readonly engine: Engine; readonly work: Work } => {
  const work: Work = { signatures: 0, agreements: 0, decrypted: 0 }
  const counted = <E extends Engine['ed25519'] | Engine['rsa']>(inner: E): E => ({
    ...inner,
    verify: (signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array) => {
      work.signatures += 1
      return inner.verify(signature, message, publicKey)
    },
  })
  return {
    work,
    engine: {
      ...engine,
      ed25519: counted({ ...engine.ed25519 }),
      rsa: counted({ ...engine.rsa }),
      sealing: {
        ...engine.sealing,
        agree: (secretKey, publicKey) => {
          work.agreements += 1
          return engine.sealing.agree(secretKey, publicKey)
        },
        decrypt: (key, nonce, ciphertext, associated) => {
          work.decrypted += ciphertext.length
          return engine.sealing.decrypt(key, nonce, ciphertext, associated)
        },
      },
    },
  }
}

export type Verdict = {
  /** A failure code, or `opened`. */
  readonly code: string
  /** What must never be; undefined when all is well. */
  readonly problem: string | undefined
}

/** What the judge knows that nobody can forge: contents and credentials signed before the run. */
export type Known = {
  readonly sealed: ReadonlySet<string>
  readonly issued: ReadonlySet<string>
  /** Frames made before, which may be spliced into this one. */
  readonly earlier: readonly Pick<Mutant, 'sealed' | 'issued'>[]
}

const BYTES_PER_SIGNATURE = 64

/** @param work of the engine in `context`, when it counts */
export const judge = (mutant: Mutant, context: OpenContext, known: Known, work?: Work): Verdict => {
  const { bytes, arrival } = mutant
  const before = work === undefined ? undefined : { ...work }
  let opened: ReturnType<typeof openFrame>
  try {
    opened = openFrame(bytes, arrival, context)
  } catch (error) {
    return { code: 'thrown', problem: `opening threw ${String((error as Error).stack ?? error)}` }
  }
  if (work !== undefined && before !== undefined) {
    // Each signature that is looked at stands in the frame; the invoice inside is judged for its key and for itself.
    const signatures = work.signatures - before.signatures
    if (signatures > 2 + (3 * bytes.length) / BYTES_PER_SIGNATURE)
      return { code: 'work', problem: `${signatures} signatures verified for a frame of ${bytes.length} bytes` }
    if (work.agreements - before.agreements > 1) return { code: 'work', problem: 'more than one key agreement' }
    if (work.decrypted - before.decrypted > bytes.length) return { code: 'work', problem: 'decrypted more than came' }
  }
  if (!opened.ok) {
    const { failure, about } = opened
    const row = Object.hasOwn(FAILURES, failure.code) ? FAILURES[failure.code] : undefined
    if (row === undefined) return { code: failure.code, problem: 'a code that the table does not have' }
    if (!isWellFormed(failure.detail)) return { code: failure.code, problem: 'a detail that is no text' }
    if (about.authenticated) {
      if (about.digest === undefined) return { code: failure.code, problem: 'authenticated, but of no known content' }
      if (!showsSealed(bytes, about.digest, mutant, known))
        return { code: failure.code, problem: 'answered to somebody who sealed nothing of it' }
    }
    return { code: failure.code, problem: undefined }
  }
  return { code: 'opened', problem: problemOf(opened.value, mutant, known) }
}

const isWellFormed = (text: string): boolean =>
  !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text)

const isSealed = (name: string, mutant: Mutant, known: Known): boolean =>
  mutant.sealed.has(name) || known.sealed.has(name) || known.earlier.some(({ sealed }) => sealed.has(name))
const isIssued = (name: string, mutant: Mutant, known: Known): boolean =>
  mutant.issued.has(name) || known.issued.has(name) || known.earlier.some(({ issued }) => issued.has(name))

/** Was the outer frame, or the message that the refusal names, sealed by anybody at all? */
const showsSealed = (bytes: Uint8Array, digest: Uint8Array, mutant: Mutant, known: Known): boolean => {
  const parsed = parseFrame(bytes)
  if (parsed.ok && isSealed(sealedName(parsed.value.seal.keyId, parsed.value.digest), mutant, known)) return true
  const text = toHex(digest)
  for (const names of [mutant.sealed, known.sealed, ...known.earlier.map((one) => one.sealed)])
    for (const name of names) if (name.endsWith(text)) return true
  return false
}

const problemOf = (message: Verified, mutant: Mutant, known: Known): string | undefined => {
  const { kind, header, body, digest, sender, frame } = message
  if (!isSealed(sealedName(sender.keyId, digest), mutant, known)) return 'opened, but the key it shows never sealed it'
  const parsed = parseFrame(frame)
  if (!parsed.ok || !equalBytes(parsed.value.digest, digest)) return 'the frame kept as evidence is another'
  const { headerBytes, bodyBytes } = parsed.value
  if (!equalBytes(digestOf(headerBytes, bodyBytes), digest)) return 'the digest is of other bytes'
  if (!meansTheSame(body, bodyBytes)) return 'the body was read as something else than it says'
  if (!headerMeansTheSame(header, headerBytes)) return 'the header was read as something else than it says'
  const { chain } = body as { readonly chain?: readonly Uint8Array[] }
  if (message.chain !== undefined)
    for (const bytes of chain ?? []) {
      const credential = parseCredential(bytes)
      if (!credential.ok) return 'a chain with what is no credential'
      const name = issuedName(credential.value.keyId, credential.value.payload)
      if (!isIssued(name, mutant, known)) return 'a chain with a credential that nobody issued'
    }
  for (const field of Object.keys(kindRow(kind).nests)) {
    const nested = (message.nested as Readonly<Record<string, unknown>>)[field]
    for (const one of Array.isArray(nested) ? nested : [nested]) {
      const result = one as
        { readonly ok: boolean; readonly value: Verified; readonly failure: { readonly code: string } } | undefined
      if (result === undefined) continue
      if (!result.ok) {
        if (!Object.hasOwn(FAILURES, result.failure.code))
          return 'a nested refusal with a code that the table does not have'
        continue
      }
      const problem = problemOf(result.value, mutant, known)
      if (problem !== undefined) return `nested: ${problem}`
    }
  }
  return undefined
}

const meansTheSame = (value: unknown, bytes: Uint8Array): boolean => {
  const tree = readTree(bytes)
  const meaning = tree === undefined ? undefined : meaningOf(bytes, tree)
  return meaning !== undefined && means(value, meaning)
}

const headerMeansTheSame = (header: Verified['header'], bytes: Uint8Array): boolean => {
  const { version, networkId, kind, bodyVersion, messageId, from, to, sentAtMs, expiresAtMs, correlationId, bodyForm } =
    header
  const ends = [expiresAtMs ?? null, correlationId ?? null, bodyForm === 'plain' ? 0 : 1]
  const fields = [version, networkId, kindRow(kind).number, bodyVersion, messageId, from, to, sentAtMs, ...ends]
  return meansTheSame(fields, bytes)
}

/** The codec alone: these bytes as the body of every version of a kind. → a problem, or undefined. */
export const judgeBody = (kind: KindName, bytes: Uint8Array): string | undefined => {
  for (const version of Object.keys(kindRow(kind).bodies).map(Number)) {
    try {
      const decoded = decodeBody(kind, version, bytes)
      if (!decoded.ok) {
        if (!Object.hasOwn(FAILURES, decoded.failure.code)) return `${kind}: a code that the table does not have`
        if (!isWellFormed(decoded.failure.detail)) return `${kind}: a detail that is no text`
        continue
      }
      if (!meansTheSame(decoded.value, bytes)) return `${kind}: read as something else than it says`
      const again = encodeBody<KindName>(kind, decoded.value, version)
      const back = decodeBody(kind, version, again)
      if (!back.ok) return `${kind}: does not come back`
      if (!meansTheSame(back.value, bytes) && !meansTheSame(decoded.value, again))
        return `${kind}: comes back as another`
    } catch (error) {
      return `${kind}: the codec threw ${String((error as Error).stack ?? error)}`
    }
  }
  return undefined
}
