/** The merchant host's definition from what the runtime gives it. */
import { encodeBody } from '../../protocol/codec.ts'
import { makeContent } from '../../protocol/envelope.ts'
import { ENVELOPE_VERSION } from '../../protocol/header.ts'
import { derivePinKey } from '../../protocol/pin.ts'
import { sealOne } from '../../protocol/seals.ts'
import { chainBook, statementOf } from '../customer/credentials.ts'
import type { NodeServices } from '../runtime/host.ts'
import { evidence } from './evidence.ts'
import { merchantNode } from './definition.ts'

/** @param derive scrypt, for who derives the same PIN keys in several networks and remembers them */
export const defineMerchant = (services: NodeServices, derive: typeof derivePinKey = derivePinKey) => {
  const { self, trust, identity } = services
  return merchantNode({
    chains: chainBook(trust, identity),
    sealInvoice: ({ alias, trans, messageId, sentAtMs, expiresAtMs }) =>
      sealOne(
        makeContent(
          {
            version: ENVELOPE_VERSION,
            networkId: trust.networkId,
            kind: 'transaction-details',
            bodyVersion: 1,
            messageId,
            from: self.id,
            to: alias,
            sentAtMs,
            expiresAtMs,
            correlationId: undefined,
            bodyForm: 'plain',
          },
          encodeBody('transaction-details', trans),
        ),
        identity().signing,
      ),
    // No CPP has this name: it has no realm.
    deriveRefundPin: (pin) => derive(pin, self.id, 'refunds'),
    readPayeeCredential: (credential) => statementOf(trust.engine, credential, 'payee'),
    evidence: evidence(services),
  })
}
