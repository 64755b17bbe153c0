/** The bank as a host runs it: its decisions, given what they may not import. */
import { parseCredential, readStatement } from '../../protocol/statements.ts'
import { verifyMandate } from '../../protocol/credentials.ts'
import type { NodeServices } from '../runtime/host.ts'
import type { NodeDefinition } from '../runtime/node.ts'
import { bankDefinition } from './definition.ts'
import { ownChain } from '../runtime/identity.ts'
import type { BankPolicy } from './policy.ts'

export const defineBank = ({ trust, identity }: NodeServices): NodeDefinition<'bank', BankPolicy> => {
  return bankDefinition({
    chain: () => ownChain(identity()),
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
