/**
 * PIN keys of unlocked wallets. They live in this process's memory alone: a restart locks every wallet. Loads read them, the
 * scrypt job puts them; no decision, row, event or log ever holds a PIN.
 */
export type Vault = {
  readonly put: (customer: string, cpp: string, pinKey: Uint8Array) => void
  readonly get: (customer: string, cpp: string) => Uint8Array | undefined
}

const nameOf = (customer: string, cpp: string): string => `${customer} ${cpp}`

export const createVault = (): Vault => {
  const keys = new Map<string, Uint8Array>()
  return {
    put: (customer, cpp, pinKey) => void keys.set(nameOf(customer, cpp), pinKey),
    get: (customer, cpp) => keys.get(nameOf(customer, cpp)),
  }
}
