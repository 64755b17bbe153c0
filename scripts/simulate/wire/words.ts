/**
 * What a node may publish at all:
 *
 * - a host that is down says nothing, and nobody speaks in another's name;
 * - what is another's is passed on byte for byte as it was said;
 * - what must be durable is on the speaker's disk before it is said, as is every answer and every refusal that tells of a ledger;
 * - one sender and one business id: one content;
 * - a batch seal holds messages of one audience class, and no carrier beside what it carries; no nonce is used twice.
 */
import { decodeBody } from '../../../protocol/codec.ts'
import { failureCode, FAILURES, isTransient } from '../../../protocol/failures.ts'
import { isGuestToken } from '../../../protocol/ids.ts'
import { kindRow, KINDS, type Body, type KindName } from '../../../protocol/kinds.ts'
import { parseFrame, type ParsedFrame, type Seal } from '../../../protocol/seals.ts'
import { keyText } from '../../../nodes/runtime/sorted-map.ts'
import type { Complain } from './complaints.ts'
import { ANSWERS_QUESTIONS, bodyKey, type Ledgers } from './ledgers.ts'
import type { Speech } from './speech.ts'

/** A message at its first saying, by its originator; what it says is read once. An answer made anew for a question is not new. */
export type Utterance = {
  readonly kind: KindName
  /** Id of the host or customer, or key text of a guest's one-time key. */
  readonly originator: string
  /** The host that said it. */
  readonly host: string
  readonly body: Body<KindName>
  /** The message itself. */
  readonly inner: ParsedFrame
  readonly digest: string
}

export type Words = {
  /** → what was said for the first time: the message, and frames within it that nobody had said by themselves. */
  readonly said: (speech: Speech) => readonly Utterance[]
  readonly wasSaid: (digest: string) => boolean
  readonly started: (host: string) => void
  readonly crashed: (host: string) => void
}

type Known = { readonly kind: KindName; readonly host: string; readonly frames: Uint8Array[] }

const BAD_BATCH = 'a batch seal mixes audiences'

/** Refusals of what was never decided on: found while it was opened, or of its id. They tell nothing of the ledger. */
const tellsNothing = (code: number): boolean => {
  const name = failureCode(code)
  return name === undefined || isTransient(name) || FAILURES[name].number < 4_000 || name === 'ID_REUSED'
}

export const createWords = (
  hosts: ReadonlyMap<string, string>,
  ledgers: Pick<Ledgers, 'isDurable' | 'isCommitted'>,
  complain: Complain,
): Words => {
  const down = new Set<string>()
  const known = new Map<string, Known>()
  /** kind, originator, business id → digest. */
  const contents = new Map<string, string>()
  /** Batch id → the class of what it seals. */
  const batches = new Map<string, string>()
  const nonces = new Set<string>()

  const judgeBatch = (seal: Seal, kind: KindName, toRole: string, layer: string, host: string): void => {
    if (seal.form !== 2) return
    const audience = toRole === 'customer' || toRole === 'guest' ? toRole : kindRow(kind).audience
    const batch = keyText(seal.batchId)
    const name = `${layer} ${audience}`
    const before = batches.get(batch)
    if (before === undefined) batches.set(batch, name)
    else if (before !== name) complain(BAD_BATCH, `${host}: ${kind} as ${name}, others as ${before}`)
  }

  const mayGoUnrecorded = (kind: KindName, body: Body<KindName>): boolean => {
    if (kind !== 'refusal') return !kindRow(kind).durable
    const { digest, code } = body as Body<'refusal'>
    const request = known.get(keyText(digest))
    return tellsNothing(code) || request === undefined || KINDS[request.kind].id === null
  }

  const judgeDurable = (one: Utterance): void => {
    const { host, kind, digest, body, inner } = one
    if (ledgers.isDurable(host, digest) || mayGoUnrecorded(kind, body)) return
    // Made anew for a question, it says what the stored answer says. Goods need no stored answer: a confirmation was said.
    if (ANSWERS_QUESTIONS.has(kind) && (kind === 'goods-release' || ledgers.isDurable(host, bodyKey(inner.bodyBytes))))
      return
    const where = ledgers.isCommitted(host, digest) ? 'committed and not yet flushed' : 'in no row of its ledger'
    complain('sent before it was durable', `${host}: ${kind}, ${where}`)
  }

  /** @returns whether nobody had said it before: in other words it may be said again, to whoever asks */
  const judgeId = ({ kind, originator, digest, body, host, inner }: Utterance): boolean => {
    const field = KINDS[kind].id
    if (field === null) return true
    const name = `${kind}\0${originator}\0${keyText((body as Readonly<Record<string, Uint8Array>>)[field] as Uint8Array)}`
    const content = ANSWERS_QUESTIONS.has(kind) ? bodyKey(inner.bodyBytes) : digest
    const before = contents.get(name)
    if (before === undefined) contents.set(name, content)
    else if (before !== content) complain('one id with two contents', `${host}: ${kind}`)
    return before !== content
  }

  /** What stands in a frame of its own, or within another, at its first saying. */
  const utter = (
    inner: ParsedFrame,
    digest: string,
    host: string,
    frames: Uint8Array[],
    isWithin = false,
  ): readonly Utterance[] => {
    const { from, bodyVersion, kind } = inner.header
    if (kind === undefined) return []
    const decoded = decodeBody(kind, bodyVersion, inner.bodyBytes)
    if (!decoded.ok) {
      complain('a body that is none', `${host}: ${kind}, ${decoded.failure.code} ${decoded.failure.detail}`)
      return []
    }
    known.set(digest, { kind, host, frames })
    const originator = typeof from === 'string' ? from : keyText(from)
    const one: Utterance = { kind, originator, host, body: decoded.value, inner, digest }
    // What stands within a message is as durable as that is.
    if (typeof from === 'string' && !isWithin) judgeDurable(one)
    const isNew = judgeId(one)
    const within = nestedIn(one)
    return isNew ? [...within, one] : within
  }

  /** Frames within a message: others' as they were said; the speaker's own, perhaps sealed anew. */
  const nestedIn = ({ kind, body, host }: Utterance): readonly Utterance[] =>
    Object.keys(kindRow(kind).nests).flatMap((field) => {
      const value = (body as Readonly<Record<string, unknown>>)[field]
      const frames =
        value instanceof Uint8Array ? [value] : Array.isArray(value) ? (value as readonly Uint8Array[]) : []
      return frames.flatMap((frame) => nested(frame, kind, host))
    })

  const nested = (frame: Uint8Array, within: KindName, host: string): readonly Utterance[] => {
    const parsed = parseFrame(frame)
    if (!parsed.ok || parsed.value.header.kind === undefined) {
      complain('said what can not be read', `${host}: within a ${within}`)
      return []
    }
    const { header } = parsed.value
    const digest = keyText(parsed.value.digest)
    const before = known.get(digest)
    if (header.from === host) {
      if (before === undefined) return utter(parsed.value, digest, host, [frame], true)
      addFrame(before, frame)
    } else if (before === undefined) complain('said in another name', `${host}: ${header.kind} within a ${within}`)
    else if (before.frames.length > 0 && !before.frames.some((one) => sameBytes(one, frame)))
      complain('altered on its way', `${host}: ${header.kind} within a ${within}`)
    return []
  }

  const addFrame = ({ frames }: Known, frame: Uint8Array): void => {
    if (!frames.some((one) => sameBytes(one, frame))) frames.push(frame)
  }

  const said: Words['said'] = (speech) => {
    const { login, subject, outer, inner, confidential, digest, data } = speech
    const { kind, fromHost, toRole } = subject
    const guest = isGuestToken(login)
    if (fromHost !== login) complain('said in another name', `${login} publishes as ${fromHost}`)
    if (down.has(login)) complain('said by a host that is down', `${login}: ${kind}`)
    if (outer.header.kind !== kind || inner.header.kind !== kind) {
      complain('subject and header differ', `${login}: ${kind}, ${outer.header.kind ?? outer.header.kindNumber}`)
      return []
    }
    if (confidential !== kindRow(kind).confidential) complain('not confidential as its kind', `${login}: ${kind}`)
    if (confidential) judgeCarrier(outer, kind, toRole, login)
    // What is passed on was sealed for its first hop, by whoever made it.
    if (inner.header.from === login) judgeBatch(inner.seal, kind, toRole, 'messages', login)

    const { from } = inner.header
    const before = known.get(digest)
    const isOwn =
      typeof from !== 'string' ? guest : confidential ? from === login || !hosts.has(from) : from === login && !guest
    if (!isOwn) {
      // On its way: as it was said, and by a host of the path.
      const what = `${login}: ${kind} of ${String(from)}`
      if (before === undefined) complain('said in another name', what)
      else if (!before.frames.some((frame) => sameBytes(frame, data))) complain('altered on its way', what)
      if (hosts.get(login) !== 'dc' && before !== undefined && !ledgers.isDurable(login, digest))
        complain('sent before it was durable', `${what}, passed on`)
      return []
    }
    if (before === undefined) return utter(inner, digest, login, confidential ? [] : [data])
    if (before.host !== login && !guest) complain('said in another name', `${login} and ${before.host}: ${kind}`)
    // Sealed anew at each send; a carrier is passed on by nobody.
    if (!confidential) addFrame(before, data)
    return []
  }

  const judgeCarrier = (outer: ParsedFrame, kind: KindName, toRole: string, login: string): void => {
    if (outer.header.from !== login) complain('said in another name', `${login}: a carrier of ${kind}`)
    const nonce = keyText(outer.bodyBytes.subarray(16, 60))
    if (nonces.has(nonce)) complain('a nonce was used twice', `${login}: ${kind}`)
    nonces.add(nonce)
    judgeBatch(outer.seal, kind, toRole, 'carriers', login)
  }

  return {
    said,
    wasSaid: (digest) => known.has(digest),
    started: (host) => void down.delete(host),
    crashed: (host) => void down.add(host),
  }
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a === b) return true
  if (a.length !== b.length) return false
  // The seal stands last: what differs, differs there.
  for (let at = a.length - 1; at >= 0; at--) if (a[at] !== b[at]) return false
  return true
}
