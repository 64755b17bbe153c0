/**
 * PIN keys of unlocked wallets, and those of PIN changes under way. They live in this process's memory alone: a restart locks
 * every wallet. Loads read them, jobs put and remove them; no decision, row, event or log ever holds a PIN.
 */
export type Vault = {
  readonly put: (customer: string, cpp: string, pinKey: Uint8Array) => void
  readonly get: (customer: string, cpp: string) => Uint8Array | undefined
  /** Locks the wallet at every CPP. */
  readonly forget: (customer: string) => void
  /** The keys of a change, by its id in hex. */
  readonly hold: (changeId: string, keys: ChangeKeys) => void
  readonly held: (changeId: string) => ChangeKeys | undefined
  /** The change has ended. Its new key opens the wallet if `adopted`; after a restart there is none, and the wallet stays locked. */
  readonly release: (
    changeId: string,
    wallet: { readonly customer: string; readonly cpp: string },
    adopted: boolean,
  ) => void
}
export type ChangeKeys = { readonly current: Uint8Array; readonly next: Uint8Array }

const nameOf = (customer: string, cpp: string): string => `${customer} ${cpp}`

export const createVault = (): Vault => {
  const keys = new Map<string, Uint8Array>()
  const changes = new Map<string, ChangeKeys>()
  return {
    put: (customer, cpp, pinKey) => void keys.set(nameOf(customer, cpp), pinKey),
    get: (customer, cpp) => keys.get(nameOf(customer, cpp)),
    forget: (customer) => {
      for (const name of keys.keys()) if (name.startsWith(nameOf(customer, ''))) keys.delete(name)
    },
    hold: (changeId, held) => void changes.set(changeId, held),
    held: (changeId) => changes.get(changeId),
    release: (changeId, { customer, cpp }, adopted) => {
      const next = changes.get(changeId)?.next
      changes.delete(changeId)
      if (adopted && next !== undefined) keys.set(nameOf(customer, cpp), next)
    },
  }
}
