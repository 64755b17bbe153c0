/** The bank as a host runs it: its decisions, given what they may not import. */
import { parseCredential, readStatement } from '../../protocol/statements.ts'
import { verifyMandate } from '../../protocol/credentials.ts'
import type { NodeServices } from '../runtime/host.ts'
import type { NodeDefinition } from '../runtime/node.ts'
import { bankDefinition } from './definition.ts'
import type { BankPolicy } from './policy.ts'

/** @throws Error when the host has no chain of its own */
export const defineBank = ({ trust, chains }: NodeServices): NodeDefinition<'bank', BankPolicy> => {
  const chain = chains.at(-1)
  if (chain === undefined) throw new Error('a bank needs the chain of its own credential')
  return bankDefinition({
    chain,
    readMandate: (bytes) => {
      const credential = parseCredential(bytes)
      if (!credential.ok) return undefined
      const statement = readStatement(trust.engine, credential.value.payload, ['mandate'])
      return statement.ok ? statement.value : undefined
    },
    verifyMandate: (bytes, publicKey, atMs) => verifyMandate(trust, bytes, { algorithm: 'ed25519', publicKey }, atMs),
    isHolderKey: (key) => trust.engine.ed25519.checkPublicKey(key),
  })
}
