/** Invoices with an amount that no invoice may state: the rows of the invalid vectors about money. */
import { Packr } from 'msgpackr'
import { DOMAINS } from '../domains.ts'
import { contentBytes, encodeHeader } from '../envelope.ts'
import type { FailureCode } from '../failures.ts'
import { encodeFrame } from '../seals.ts'
import type { InvalidFrame } from './invalid-frame.ts'
import { createSampleMessages } from './sample-messages.ts'
import type { SampleNetwork } from './sample-network.ts'

const packr = new Packr({ useRecords: false, variableMapSize: true, int64AsType: 'bigint' })
const pack = (value: unknown): Uint8Array => new Uint8Array(packr.pack(value))

/** Amounts that no invoice may state: each sealed by the right host with the right chain. */
export const createInvalidInvoices = (network: SampleNetwork): readonly InvalidFrame[] => {
  const { merchant, guest, header, carry } = network
  const { transBody } = createSampleMessages(network)
  const wire = {
    ...transBody,
    txId: Buffer.from(transBody.txId),
    descriptionHash: Buffer.from(transBody.descriptionHash),
    nonce: Buffer.from(transBody.nonce),
    chain: transBody.chain.map((credential) => Buffer.from(credential)),
  }
  const invoice = (change: Readonly<Record<string, unknown>>): Uint8Array => {
    const headerBytes = encodeHeader(header('transaction-details', merchant.id, guest.token, 'amount'))
    const bodyBytes = pack({ ...wire, amountMinor: 120, ...change })
    const frame = encodeFrame(
      { headerBytes, bodyBytes },
      {
        form: 1,
        keyId: merchant.signing.keyId,
        signature: merchant.signing.sign(contentBytes(DOMAINS.seal1, headerBytes, bodyBytes)),
      },
    )
    return carry('transaction-details', merchant, guest.token, frame, guest.sealing.publicKey)
  }
  const row = (name: string, code: FailureCode, change: Readonly<Record<string, unknown>>): InvalidFrame => ({
    name,
    code,
    as: 'guest',
    arrival: { toRole: 'guest', kind: 'transaction-details', fromHost: merchant.id },
    frame: invoice(change),
  })
  return [
    row('an invoice over zero', 'SCHEMA_VIOLATION', { amountMinor: 0 }),
    row('an invoice over a negative amount', 'SCHEMA_VIOLATION', { amountMinor: -120 }),
    row('an invoice over a fraction', 'FLOAT_FORBIDDEN', { amountMinor: 1.2 }),
    row('an invoice over the limit', 'SCHEMA_VIOLATION', { amountMinor: 100_000_000_001n }),
    row('an invoice over an amount as text', 'SCHEMA_VIOLATION', { amountMinor: '120' }),
    row('an invoice in a currency nobody knows', 'SCHEMA_VIOLATION', { currency: 'XXX' }),
  ]
}
