/** The wallet host's definition from what the runtime gives it. */
import { derivePinKey } from '../../protocol/pin.ts'
import type { NodeServices } from '../runtime/host.ts'
import { chainBook, statementOf } from './credentials.ts'
import { evidence } from './evidence.ts'
import { walletNode } from './definition.ts'

type DerivePinKey = typeof derivePinKey

/** @param derive scrypt, for who derives the same PIN keys in several networks and remembers them */
export const defineWallet = (services: NodeServices, derive: DerivePinKey = derivePinKey) => {
  const { trust, guests, identity } = services
  const { engine } = trust
  return walletNode({
    chains: chainBook(trust, identity).newest,
    guests,
    publicKeyOf: (seed) => engine.ed25519.keyPairFromSeed(seed).publicKey,
    derivePinKey: derive,
    readEnrolment: (record) => statementOf(engine, record, 'enrolment'),
    evidence: evidence(services),
  })
}
