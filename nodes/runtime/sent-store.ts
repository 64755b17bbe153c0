/**
 * What this host has said that binds it or others, kept when it is sent, so that it can be shown when nobody asks for it any more
 * (protocol/evidence.ts says which kinds). Content, not a seal: it is sealed again with the key in force when it is shown.
 *
 * Invariant: what is confidential stands here under the host's local key alone. A payment request holds a proof of the PIN: a
 * stolen ledger without the host's key file must not be a way to try PINs.
 */
import { concat } from '../../protocol/bytes.ts'
import { CONTEXTS } from '../../protocol/domains.ts'
import { AEAD_NONCE_BYTES, type Engine } from '../../protocol/engines/engine.ts'
import { KEPT_WHEN_SENT } from '../../protocol/evidence.ts'
import { KINDS } from '../../protocol/kinds.ts'
import { put, type Delivery, type Reader, type Write } from './node.ts'
import { outboxTable, seenTable, type StoredSend } from './runtime-tables.ts'
import { defineTable, keyOf } from './table.ts'

/** Key: the outbox key under which it was sent. */
export type SentRow = {
  readonly header: Uint8Array
  /** Of a confidential kind: nonce(12) ‖ ciphertext ‖ tag. */
  readonly body: Uint8Array
  readonly sealed: boolean
}
export const sentTable = defineTable<SentRow>({ name: '~sent', version: 1, fields: ['header', 'body', 'sealed'] })

export type SentStore = {
  /** The row to be written with a message that goes into the outbox; none for kinds that are not kept. */
  readonly keep: (key: Uint8Array, send: StoredSend) => readonly Write[]
}

export const createSentStore = (
  engine: Engine,
  localKey: Uint8Array,
  random: (length: number) => Uint8Array,
): SentStore => ({
  keep: (key, { kind, relay, header, body }) => {
    // Another's frame is kept with the journal.
    if (relay || !KEPT_WHEN_SENT.has(kind)) return []
    if (!KINDS[kind].confidential) return [put(sentTable, key, { header, body, sealed: false })]
    const nonce = random(AEAD_NONCE_BYTES)
    const sealed = concat(nonce, engine.sealing.encrypt(localKey, nonce, body, associated(key, header)))
    return [put(sentTable, key, { header, body: sealed, sealed: true })]
  },
})

const associated = (key: Uint8Array, header: Uint8Array): Uint8Array => concat(CONTEXTS.sentAtRest, key, header)

/** Header and body of a message of this host, or another's frame that it passed on, by how it was delivered. */
export type Sent =
  | { readonly relay: false; readonly header: Uint8Array; readonly body: Uint8Array }
  | { readonly relay: true; readonly frame: Uint8Array }

/** @returns undefined when nothing is kept of it, or not under this local key */
export const readSent = (read: Reader, delivery: Delivery, engine: Engine, localKey: Uint8Array): Sent | undefined => {
  if ('once' in delivery) return undefined
  if ('answers' in delivery) {
    const answer = read.get(seenTable, delivery.answers)?.answer
    return answer === undefined ? undefined : sentOf(outboxTable.decode(answer))
  }
  const key = keyOf(...delivery.until)
  const waiting = read.get(outboxTable, key)
  if (waiting !== undefined) return sentOf(waiting)
  const row = read.get(sentTable, key)
  if (row === undefined) return undefined
  const { header, body, sealed } = row
  if (!sealed) return { relay: false, header, body }
  const opened = engine.sealing.decrypt(
    localKey,
    body.subarray(0, AEAD_NONCE_BYTES),
    body.subarray(AEAD_NONCE_BYTES),
    associated(key, header),
  )
  return opened === undefined ? undefined : { relay: false, header, body: opened }
}

const sentOf = ({ relay, header, body }: StoredSend): Sent =>
  relay ? { relay: true, frame: body } : { relay: false, header, body }
