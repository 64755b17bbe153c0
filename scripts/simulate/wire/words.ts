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
import type { Seal } from '../../../protocol/seals.ts'
import { keyText } from '../../../nodes/runtime/sorted-map.ts'
import type { Complain } from './complaints.ts'
import type { Ledgers } from './ledgers.ts'
import type { Speech } from './speech.ts'

/** A message at its first saying, by its originator; what it says is read once. */
export type Utterance = {
  readonly kind: KindName
  /** Id of the host or customer, or key text of a guest's one-time key. */
  readonly originator: string
  /** The host that said it. */
  readonly host: string
  readonly body: Body<KindName>
  readonly speech: Speech
}

export type Words = {
  /** → the message, when it was said for the first time. */
  readonly said: (speech: Speech) => Utterance | undefined
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

  const judgeDurable = (host: string, kind: KindName, digest: string, body: Body<KindName>): void => {
    if (ledgers.isDurable(host, digest) || mayGoUnrecorded(kind, body)) return
    const where = ledgers.isCommitted(host, digest) ? 'committed and not yet flushed' : 'in no row of its ledger'
    complain('sent before it was durable', `${host}: ${kind}, ${where}`)
  }

  const judgeId = (kind: KindName, originator: string, digest: string, body: Body<KindName>, host: string): void => {
    const field = KINDS[kind].id
    if (field === null) return
    const name = `${kind}\0${originator}\0${keyText((body as Readonly<Record<string, Uint8Array>>)[field] as Uint8Array)}`
    const before = contents.get(name)
    if (before === undefined) contents.set(name, digest)
    else if (before !== digest) complain('one id with two contents', `${host}: ${kind}`)
  }

  const said: Words['said'] = (speech) => {
    const { login, subject, outer, inner, confidential, digest, data } = speech
    const { kind, fromHost, toRole } = subject
    const guest = isGuestToken(login)
    if (fromHost !== login) complain('said in another name', `${login} publishes as ${fromHost}`)
    if (down.has(login)) complain('said by a host that is down', `${login}: ${kind}`)
    if (outer.header.kind !== kind || inner.header.kind !== kind) {
      complain('subject and header differ', `${login}: ${kind}, ${outer.header.kind ?? outer.header.kindNumber}`)
      return undefined
    }
    if (confidential !== kindRow(kind).confidential) complain('not confidential as its kind', `${login}: ${kind}`)
    if (confidential) {
      if (outer.header.from !== login) complain('said in another name', `${login}: a carrier of ${kind}`)
      const nonce = keyText(outer.bodyBytes.subarray(16, 60))
      if (nonces.has(nonce)) complain('a nonce was used twice', `${login}: ${kind}`)
      nonces.add(nonce)
      judgeBatch(outer.seal, kind, toRole, 'carriers', login)
    }
    judgeBatch(inner.seal, kind, toRole, confidential ? 'carried' : 'plain', login)

    const { from } = inner.header
    const before = known.get(digest)
    const isOwn =
      typeof from !== 'string' ? guest : confidential ? from === login || !hosts.has(from) : from === login && !guest
    if (!isOwn) {
      // On its way: as it was said, and by a host of the path.
      if (before === undefined) complain('said in another name', `${login}: ${kind} of ${String(from)}`)
      else if (!before.frames.some((frame) => sameBytes(frame, data)))
        complain('altered on its way', `${login}: ${kind} of ${String(from)}`)
      if (hosts.get(login) !== 'dc' && before !== undefined && !ledgers.isDurable(login, digest))
        complain('sent before it was durable', `${login}: ${kind}, passed on`)
      return undefined
    }
    if (before !== undefined) {
      if (before.host !== login && !guest) complain('said in another name', `${login} and ${before.host}: ${kind}`)
      // Sealed anew at each send; a carrier is passed on by nobody.
      if (!confidential && !before.frames.some((frame) => sameBytes(frame, data))) before.frames.push(data)
      return undefined
    }
    const decoded = decodeBody(kind, inner.header.bodyVersion, inner.bodyBytes)
    if (!decoded.ok) {
      complain('a body that is none', `${login}: ${kind}, ${decoded.failure.code} ${decoded.failure.detail}`)
      return undefined
    }
    const body = decoded.value
    const originator = typeof from === 'string' ? from : keyText(from)
    if (!guest) judgeDurable(login, kind, digest, body)
    judgeId(kind, originator, digest, body, login)
    known.set(digest, { kind, host: login, frames: confidential ? [] : [data] })
    return { kind, originator, host: login, body, speech }
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
