/** Bodies that speak about other messages (design §4). `digest` is the content digest of the message spoken about. */
import { Code, Digest, Fields, Text, type Static } from '../fields.ts'

/** Signed proof that a message is durable at the receiver: the sender's outbox may forget it. */
export const Receipt = Fields({ digest: Digest })
export const Refusal = Fields({ digest: Digest, code: Code, detail: Text(240) })
/** A data center's hint that it has no route; never an end of a payment. */
export const Undeliverable = Fields({ digest: Digest, code: Code, detail: Text(240) })

export type Receipt = Static<typeof Receipt>
export type Refusal = Static<typeof Refusal>
export type Undeliverable = Static<typeof Undeliverable>
