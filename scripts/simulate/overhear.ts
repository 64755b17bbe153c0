/**
 * An engine that remembers what it encrypts, so that a judge reads what confidential messages say without holding anybody's key.
 * Only for simulations: all hosts share the engine, and what goes through it comes out as from the engine below.
 */
import { AEAD_NONCE_BYTES, type Engine } from '../../protocol/engines/engine.ts'
import { KEY_ID_BYTES } from '../../protocol/keys.ts'
import { createLru } from '../../protocol/lru.ts'
import { keyText } from '../../nodes/runtime/sorted-map.ts'

/** A carrier is published in the step that made it: what is asked for later than this was never said. */
const REMEMBERED = 4_096
const NONCE_AT = KEY_ID_BYTES + 32
const CIPHERTEXT_AT = NONCE_AT + AEAD_NONCE_BYTES

export type Overheard = {
  /** The plaintext of a carrier's body; undefined when this engine did not encrypt it, or one bit of it is another. */
  readonly plaintextOf: (body: Uint8Array) => Uint8Array | undefined
}

export const overhear = (engine: Engine): { readonly engine: Engine; readonly overheard: Overheard } => {
  const known = createLru<{ readonly ciphertext: string; readonly plaintext: Uint8Array }>(REMEMBERED)
  const { sealing } = engine
  return {
    engine: {
      ...engine,
      sealing: {
        ...sealing,
        encrypt: (key, nonce, plaintext, associated) => {
          const ciphertext = sealing.encrypt(key, nonce, plaintext, associated)
          known.set(keyText(nonce), { ciphertext: keyText(ciphertext), plaintext })
          return ciphertext
        },
      },
    },
    overheard: {
      plaintextOf: (body) => {
        if (body.length < CIPHERTEXT_AT) return undefined
        const found = known.get(keyText(body.subarray(NONCE_AT, CIPHERTEXT_AT)))
        return found?.ciphertext === keyText(body.subarray(CIPHERTEXT_AT)) ? found.plaintext : undefined
      },
    },
  }
}
