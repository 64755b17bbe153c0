/** Under which key a request and its stored answer are kept: (kind, originator, business id), for ever (design §4). */
import { toHex } from '../../protocol/bytes.ts'
import type { Header } from '../../protocol/header.ts'
import { KINDS, type Body, type KindName } from '../../protocol/kinds.ts'
import type { RequestRef } from './node.ts'
import { keyOf } from './table.ts'

/** The id that a message is known by: a field of its body, or the header's messageId. */
export const businessId = (kind: KindName, header: Pick<Header, 'messageId'>, body: Body<KindName>): Uint8Array => {
  const field = KINDS[kind].id
  return field === null ? header.messageId : ((body as Readonly<Record<string, unknown>>)[field] as Uint8Array)
}

export const requestRef = (
  kind: KindName,
  header: Pick<Header, 'from' | 'messageId'>,
  body: Body<KindName>,
): RequestRef => {
  const from = typeof header.from === 'string' ? header.from : toHex(header.from)
  return keyOf(kind, from, businessId(kind, header, body))
}

/**
 * What a request to pay is kept and relayed under: the start of its digest. Not the requestId: another merchant may choose the same
 * one, and would take this one's place.
 */
export const requestToPayKey = (digest: Uint8Array): Uint8Array => digest.slice(0, 16)
