/**
 * Guest logins of a wallet host: a connection under a one-time login key, a one-time signing key and a one-time sealing key. All of
 * it lives in memory and is gone with the process (design §7 "Customer's anonymity").
 */
import type { Broker, Bus, BusEvent, BusMessage } from '../../bus/bus.ts'
import type { Engine, KeyPair } from '../../protocol/engines/engine.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { inboxSubject } from '../../protocol/subjects.ts'
import { keyIdOf, signingKeyFromSeed, type SigningKey } from '../../protocol/keys.ts'
import { keyOfBytes } from '../../protocol/lru.ts'

/** What a wallet's jobs use. */
export type GuestLogins = {
  /**
   * Logs in with the login key of `seed`, 32 bytes, and subscribes to its token, with message keys fresh for this login.
   * @throws BusError when the broker refuses; Error for a token that is open already, or too many, or that is not the seed's
   */
  readonly open: (token: string, seed: Uint8Array) => Promise<{ readonly sealingKey: Uint8Array }>
  /** Logs out and forgets the keys. An unknown token is nothing. */
  readonly close: (token: string) => Promise<void>
}

export type Guest = {
  readonly token: string
  readonly bus: Bus
  readonly signing: SigningKey
  readonly sealing: KeyPair
}

export type GuestDesk = GuestLogins & {
  readonly get: (token: string) => Guest | undefined
  /**
   * Each guest without a connection enters anew, through the broker of now: the servers that it knows may be gone for good. Resolves
   * when all have tried.
   */
  readonly renewStranded: () => Promise<void>
  readonly secretOf: (keyId: Uint8Array) => KeyPair | undefined
  readonly closeAll: () => Promise<void>
}

/** @param onMessage what comes for any of the tokens */
export const createGuestDesk = (
  broker: Broker,
  engine: Engine,
  random: (length: number) => Uint8Array,
  onMessage: (message: BusMessage) => void,
): GuestDesk => {
  const guests = new Map<string, Guest & { readonly seed: Uint8Array }>()
  const opening = new Set<string>()
  const secrets = new Map<string, KeyPair>()
  const close = async (token: string): Promise<void> => {
    const guest = guests.get(token)
    if (guest === undefined) return
    guests.delete(token)
    secrets.delete(keyOfBytes(keyIdOf('x25519', guest.sealing.publicKey)))
    await guest.bus.close()
  }
  /** Each refusal of a guest that is in use asks once more, since its host may have been given another key to mint with. */
  const watch = (token: string, seed: Uint8Array, bus: Bus): void =>
    void bus.onEvent(({ type }) => {
      if (type === 'login-refused' && guests.get(token)?.bus === bus && !opening.has(token))
        void renew(token, seed, bus)
    })
  /** The same token in under a login signed anew: whoever waits for an answer to it goes on waiting. */
  const renew = async (token: string, seed: Uint8Array, refused: Bus): Promise<void> => {
    opening.add(token)
    const giveUp = new AbortController()
    const onEvent = ({ type }: BusEvent): void => {
      if (type === 'login-refused') giveUp.abort()
    }
    try {
      const bus = await broker.openGuest(seed, { signal: giveUp.signal, onEvent })
      const guest = guests.get(token)
      if (guest === undefined) return await bus.close()
      await bus.subscribe(inboxSubject('guest', token), {}, onMessage)
      guests.set(token, { ...guest, bus })
      watch(token, seed, bus)
      await refused.close()
    } catch {
      // Refused once more: the next refusal of the connection that is left asks again.
    } finally {
      opening.delete(token)
    }
  }
  return {
    open: async (token, seed) => {
      if (guests.has(token) || opening.has(token)) throw new Error('this guest login is open already')
      if (guests.size + opening.size >= LIMITS.maxOpenGuests) throw new Error('too many guest logins are open')
      opening.add(token)
      try {
        const signing = signingKeyFromSeed(engine, random(32))
        const secretKey = random(32)
        const sealing = { secretKey, publicKey: engine.sealing.publicKeyOf(secretKey) }
        const bus = await broker.openGuest(seed)
        if (bus.name !== token) {
          await bus.close()
          throw new Error("the token of a guest login is not its key's")
        }
        await bus.subscribe(inboxSubject('guest', token), {}, onMessage).catch(async (error: unknown) => {
          await bus.close()
          throw error
        })
        guests.set(token, { token, seed, bus, signing, sealing })
        watch(token, seed, bus)
        secrets.set(keyOfBytes(keyIdOf('x25519', sealing.publicKey)), sealing)
        return { sealingKey: sealing.publicKey }
      } finally {
        opening.delete(token)
      }
    },
    close,
    get: (token) => guests.get(token),
    renewStranded: async () => {
      const stranded = [...guests.values()].filter(({ token, bus }) => !bus.connected && !opening.has(token))
      await Promise.all(stranded.map(({ token, seed, bus }) => renew(token, seed, bus)))
    },
    secretOf: (keyId) => secrets.get(keyOfBytes(keyId)),
    closeAll: async () => {
      await Promise.all([...guests.keys()].map(close))
    },
  }
}
