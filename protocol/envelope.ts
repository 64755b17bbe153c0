/**
 * The envelope: a header of eleven fields, and the content that every seal and every stored answer speaks of. What is signed
 * and hashed are the bytes that travel; a header or body is never encoded again to verify it, since msgpack has no canonical
 * form (design §6).
 */
import { concat, u32be } from './bytes.ts'
import { fail, ok, type Result } from './failures.ts'
import { digestOf } from './hash.ts'
import { ENVELOPE_VERSION, type Header } from './header.ts'
import { isGuestToken, isNodeId } from './ids.ts'
import { kindByNumber, kindRow, type KindName } from './kinds.ts'
import { LIMITS } from './limits.ts'
import {
  atEnd,
  beginWrite,
  cursorOf,
  isNil,
  isText,
  readArrayLength,
  readAscii,
  readBytesOf,
  readUint,
  takeWritten,
  writeArrayLength,
  writeAscii,
  writeBytes,
  writeNil,
  writeUint,
} from './msgpack.ts'

const HEADER_FIELDS = 11
const ID_BYTES = 16

/** Who made a message: the id of a host or customer, or a guest's one-time Ed25519 public key (32 bytes). */
export type Originator = Header['from']

/** A header from outside: its kind's number may be unknown here, which is refused only after the seal was verified. */
export type ParsedHeader = Omit<Header, 'kind'> & { readonly kind: KindName | undefined; readonly kindNumber: number }

/** What is signed, stored in the outbox, and named by its digest. */
export type Content = {
  readonly header: Header
  readonly headerBytes: Uint8Array
  readonly bodyBytes: Uint8Array
  readonly digest: Uint8Array
}

const isAddress = (text: string): boolean => isNodeId(text) || isGuestToken(text)

const headerProblem = (header: Header): string | undefined => {
  if (header.networkId.length !== ID_BYTES) return 'networkId must be 16 bytes'
  if (header.messageId.length !== ID_BYTES) return 'messageId must be 16 bytes'
  if (typeof header.from === 'string' ? !isNodeId(header.from) : header.from.length !== 32)
    return 'from is neither an id nor a 32-byte key'
  if (!isAddress(header.to)) return 'to is neither an id nor a guest token'
  if (!Number.isSafeInteger(header.sentAtMs) || header.sentAtMs < 0) return 'sentAtMs is not a time'
  if ((header.expiresAtMs !== undefined) !== kindRow(header.kind).expires)
    return `expiresAtMs does not fit ${header.kind}`
  if (header.expiresAtMs !== undefined && (!Number.isSafeInteger(header.expiresAtMs) || header.expiresAtMs < 0))
    return 'expiresAtMs is not a time'
  if (header.correlationId !== undefined && header.correlationId.length !== ID_BYTES)
    return 'correlationId must be 16 bytes'
  return undefined
}

/** @throws TypeError for a header that no receiver would take. */
export const encodeHeader = (header: Header): Uint8Array => {
  const problem = headerProblem(header)
  if (problem !== undefined) throw new TypeError(problem)
  beginWrite()
  writeArrayLength(HEADER_FIELDS)
  writeUint(ENVELOPE_VERSION)
  writeBytes(header.networkId)
  writeUint(kindRow(header.kind).number)
  writeUint(header.bodyVersion)
  writeBytes(header.messageId)
  if (typeof header.from === 'string') writeAscii(header.from)
  else writeBytes(header.from)
  writeAscii(header.to)
  writeUint(header.sentAtMs)
  if (header.expiresAtMs === undefined) writeNil()
  else writeUint(header.expiresAtMs)
  if (header.correlationId === undefined) writeNil()
  else writeBytes(header.correlationId)
  writeUint(header.bodyForm === 'plain' ? 0 : 1)
  return takeWritten()
}

/** MALFORMED_HEADER, or UNSUPPORTED_VERSION for another envelope version. Byte fields are views of `bytes`. */
export const parseHeader = (bytes: Uint8Array): Result<ParsedHeader> => {
  if (bytes.length > LIMITS.maxHeaderBytes) return fail('MALFORMED_HEADER', 'longer than maxHeaderBytes')
  const cursor = cursorOf(bytes)
  const fields = readArrayLength(cursor)
  if (fields < 1) return fail('MALFORMED_HEADER', 'not an array')
  const version = readUint(cursor)
  if (version < 0) return fail('MALFORMED_HEADER', 'version')
  if (version !== ENVELOPE_VERSION)
    return fail('UNSUPPORTED_VERSION', `envelope version ${version}; accepted: ${ENVELOPE_VERSION}`)
  if (fields !== HEADER_FIELDS) return fail('MALFORMED_HEADER', 'not eleven fields')
  const networkId = readBytesOf(cursor, ID_BYTES)
  const kindNumber = readUint(cursor)
  const bodyVersion = readUint(cursor)
  const messageId = readBytesOf(cursor, ID_BYTES)
  const from = isText(cursor) ? readAscii(cursor) : readBytesOf(cursor, 32)
  const to = readAscii(cursor)
  const sentAtMs = readUint(cursor)
  const expiresAtMs = isNil(cursor) ? skipNil(cursor) : readUint(cursor)
  const correlationId = isNil(cursor) ? skipNil(cursor) : (readBytesOf(cursor, ID_BYTES) ?? null)
  const form = readUint(cursor)
  if (!atEnd(cursor)) return fail('MALFORMED_HEADER', 'wrong type, or bytes after the end')
  if (networkId === undefined || messageId === undefined || correlationId === null)
    return fail('MALFORMED_HEADER', 'an id')
  if (from === undefined || (typeof from === 'string' && !isNodeId(from))) return fail('MALFORMED_HEADER', 'from')
  if (to === undefined || !isAddress(to)) return fail('MALFORMED_HEADER', 'to')
  if (kindNumber < 0 || bodyVersion < 0) return fail('MALFORMED_HEADER', 'kind')
  if (sentAtMs < 0 || (expiresAtMs !== undefined && expiresAtMs < 0)) return fail('MALFORMED_HEADER', 'a time')
  if (form !== 0 && form !== 1) return fail('MALFORMED_HEADER', 'bodyForm')
  const kind = kindByNumber(kindNumber)
  if (kind !== undefined && kindRow(kind).expires !== (expiresAtMs !== undefined))
    return fail('MALFORMED_HEADER', 'expiresAtMs does not fit the kind')
  return ok({
    version,
    networkId,
    kind,
    kindNumber,
    bodyVersion,
    messageId,
    from,
    to,
    sentAtMs,
    expiresAtMs,
    correlationId,
    bodyForm: form === 0 ? 'plain' : 'encrypted',
  })
}

const skipNil = (cursor: { at: number }): undefined => {
  cursor.at += 1
}

/** @throws TypeError for a header no receiver would take; RangeError for a body over maxBodyBytes. */
export const makeContent = (header: Header, bodyBytes: Uint8Array): Content => {
  const headerBytes = encodeHeader(header)
  if (bodyBytes.length > LIMITS.maxBodyBytes)
    throw new RangeError(`a body of ${bodyBytes.length} bytes is over maxBodyBytes`)
  return { header, headerBytes, bodyBytes, digest: digestOf(headerBytes, bodyBytes) }
}

/** From what the outbox stored. @throws TypeError when it is not what {@link makeContent} made. */
export const restoreContent = (headerBytes: Uint8Array, bodyBytes: Uint8Array): Content => {
  const parsed = parseHeader(headerBytes)
  if (!parsed.ok || parsed.value.kind === undefined)
    throw new TypeError('the stored header is not one of this protocol')
  return {
    header: { ...parsed.value, kind: parsed.value.kind },
    headerBytes,
    bodyBytes,
    digest: digestOf(headerBytes, bodyBytes),
  }
}

/** content = u32be(len header) ‖ header ‖ u32be(len body) ‖ body, behind `prefix`. */
export const contentBytes = (prefix: Uint8Array, headerBytes: Uint8Array, bodyBytes: Uint8Array): Uint8Array =>
  concat(prefix, u32be(headerBytes.length), headerBytes, u32be(bodyBytes.length), bodyBytes)
