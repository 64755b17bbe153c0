/** A published message as a judge reads it: subject, outer frame, and the message itself, which a carrier of a confidential kind hides. */
import { cursorOf, readArrayLength, readBytes } from '../../../protocol/msgpack.ts'
import { parseFrame, type ParsedFrame } from '../../../protocol/seals.ts'
import { parseSubject, type Subject } from '../../../protocol/subjects.ts'
import { keyText } from '../../../nodes/runtime/sorted-map.ts'
import type { Wire } from '../observed.ts'
import type { Overheard } from '../overhear.ts'

export type Speech = {
  /** Login that published. */
  readonly login: string
  readonly subject: Subject
  readonly outer: ParsedFrame
  /** The message: the outer frame itself, or what its carrier hides. */
  readonly inner: ParsedFrame
  readonly confidential: boolean
  /** Content digest of the message, as key text. */
  readonly digest: string
  readonly data: Uint8Array
}

/** Why it can not be read, as a rule's detail; who says such a thing has broken a rule. */
export const readSpeech = ({ from, subject: text, data }: Wire, overheard: Overheard): Speech | string => {
  const subject = parseSubject(text)
  if (subject === undefined) return `no subject of this network: ${text}`
  const outer = parseFrame(data)
  if (!outer.ok) return `${subject.kind}: ${outer.failure.code} ${outer.failure.detail}`
  const frame = outer.value
  const confidential = frame.header.bodyForm === 'encrypted'
  let inner = frame
  if (confidential) {
    const plaintext = overheard.plaintextOf(frame.bodyBytes)
    const hidden = plaintext === undefined ? undefined : readCargo(plaintext)
    if (hidden === undefined) return `${subject.kind}: a carrier that no host of this network made`
    inner = hidden
  }
  return { login: from, subject, outer: frame, inner, confidential, digest: keyText(inner.digest), data }
}

const readCargo = (plaintext: Uint8Array): ParsedFrame | undefined => {
  const cursor = cursorOf(plaintext)
  if (readArrayLength(cursor) !== 2) return undefined
  const bytes = readBytes(cursor)
  const parsed = bytes === undefined ? undefined : parseFrame(bytes)
  return parsed?.ok === true ? parsed.value : undefined
}
