/** This host's own messages as evidence: what it has sent, sealed again from the stored content. */
import { restoreContent, type Content } from '../../protocol/envelope.ts'
import { KINDS } from '../../protocol/kinds.ts'
import type { SigningKey } from '../../protocol/keys.ts'
import { sealBatch, sealOne } from '../../protocol/seals.ts'
import { audienceOf, compose, type Composer } from './outgoing.ts'
import type { Delivery, Message, Reader } from './node.ts'
import { outboxTable, seenTable, type StoredSend } from './runtime-tables.ts'
import { sentTable, type SentRow } from './sent-store.ts'
import { keyOf } from './table.ts'

/** @throws InvariantBroken for a kind that this role may not send, Error for one that is not the host's own to seal */
export const sealedNow = (composer: Composer, message: Message, key: SigningKey, nowMs: number): Uint8Array => {
  const made = compose(composer, message, nowMs)
  if (made === undefined || made.signer !== undefined || KINDS[made.kind].confidential)
    throw new Error(`${message.kind} is not this host's to nest`)
  return sealOne(restoreContent(made.header, made.body), key)
}

type Stored = Pick<StoredSend, 'kind' | 'header' | 'body' | 'relay' | 'signer' | 'toRole'>
const storedOf = (read: Reader, delivery: Delivery): Stored | undefined => {
  if ('until' in delivery) {
    const key = keyOf(...delivery.until)
    return read.get(outboxTable, key) ?? keptOf(read.get(sentTable, key))
  }
  if ('once' in delivery) return undefined
  const answer = read.get(seenTable, delivery.answers)?.answer
  return answer === undefined ? undefined : outboxTable.decode(answer)
}

/** What was said and is in no outbox any more; not what is confidential. */
const keptOf = (row: SentRow | undefined): Stored | undefined => {
  if (row === undefined || row.sealed) return undefined
  const { kind } = restoreContent(row.header, row.body).header
  return kind === undefined ? undefined : { kind, header: row.header, body: row.body, relay: false }
}

/** In the order asked for; one batch seal for those of one audience class. */
export const framesOf = (
  read: Reader,
  deliveries: readonly Delivery[],
  key: SigningKey,
  random: (length: number) => Uint8Array,
): readonly (Uint8Array | undefined)[] => {
  const frames: (Uint8Array | undefined)[] = deliveries.map(() => undefined)
  const classes = new Map<string, { readonly at: number; readonly content: Content }[]>()
  deliveries.forEach((delivery, at) => {
    const send = storedOf(read, delivery)
    if (send === undefined) return
    if (send.relay) frames[at] = send.body
    else if (!KINDS[send.kind].confidential && send.signer === undefined) {
      const audience = audienceOf(send.kind, send.toRole ?? 'observer')
      const one = { at, content: restoreContent(send.header, send.body) }
      classes.set(audience, [...(classes.get(audience) ?? []), one])
    }
  })
  for (const members of classes.values())
    sealBatch(
      members.map(({ content }) => content),
      key,
      random,
    ).forEach((frame, index) => {
      frames[(members[index] as { readonly at: number }).at] = frame
    })
  return frames
}
