/** One payment's messages on the sample network, from the offer to the delayed confirmation. */
import { utf8 } from '../bytes.ts'
import { hash } from '../hash.ts'
import type { Body } from '../kinds.ts'
import { pinProof } from '../pin.ts'
import { sealOne } from '../seals.ts'
import { NOW, sampleId, seedOf, type SampleNetwork } from './sample-network.ts'

export const SAMPLE_PIN = '4711'
/** scrypt('4711', 'hu-alice' ‖ 0x00 ‖ 'hu-otp'), fixed here so that a sample does not cost a scrypt. */
export const samplePinKey = (): Uint8Array => seedOf('pin key')

export const createSampleMessages = (network: SampleNetwork) => {
  const { content, carry, cpp, mpp, merchant, wallet, device, guest, merchantChain } = network
  const amount = { amountMinor: 120n, currency: 'EUR' } as const
  const salt = sampleId('salt')
  const description = 'two croissants'
  const toPayee = { pnId: sampleId('pnId'), payee: 'hu-bakery', txId: sampleId('txId') }

  const offerRequest = sealOne(
    content('offer-request', guest.signing.publicKey, merchant.id, {
      purchaseToken: sampleId('purchase'),
      sealingKey: guest.sealing.publicKey,
      payee: 'hu-bakery',
      ...amount,
    }),
    guest.signing,
  )
  const transBody: Body<'transaction-details'> = {
    txId: toPayee.txId,
    payee: 'hu-bakery',
    ...amount,
    descriptionHash: hash(salt, utf8(description)),
    nonce: sampleId('nonce'),
    chain: [...merchantChain],
  }
  const transContent = content('transaction-details', merchant.id, guest.token, transBody)
  const trans = sealOne(transContent, merchant.signing)
  const transCarrier = carry('transaction-details', merchant, guest.token, trans, guest.sealing.publicKey, {
    purchaseToken: sampleId('purchase'),
    description,
    salt,
  })
  const prId = sampleId('prId')
  const requestBody: Body<'payment-request'> = {
    prId,
    trans,
    pinProof: pinProof(samplePinKey(), transContent.digest, prId),
  }
  const paymentRequest = sealOne(content('payment-request', 'hu-alice', cpp.id, requestBody), device)
  const paymentRequestCarrier = carry('payment-request', wallet, cpp.id, paymentRequest, cpp.sealing.publicKey)
  const noticeContent = content('payment-notice', cpp.id, merchant.id, {
    pnId: toPayee.pnId,
    payee: 'hu-bakery',
    mode: 'micro',
    operatorId: cpp.id,
    trans,
  })
  const paymentNotice = sealOne(noticeContent, cpp.signing)
  const decision = sealOne(
    content('payment-decision', merchant.id, mpp.id, {
      ...toPayee,
      noticeDigest: noticeContent.digest,
      decision: 'approve',
    }),
    merchant.signing,
  )
  const countersigned = sealOne(
    content('countersigned-decision', mpp.id, cpp.id, {
      pnId: toPayee.pnId,
      payee: 'hu-bakery',
      noticeDigest: noticeContent.digest,
      decision: 'approve',
      merchantDecision: decision,
    }),
    mpp.signing,
  )
  const delayedContent = content('delayed-transfer-confirmation', cpp.id, merchant.id, {
    ...toPayee,
    ...amount,
    confirmedAtMs: NOW,
    mpp: mpp.id,
    pairSeq: 1,
  })
  const delayedConfirmation = sealOne(delayedContent, cpp.signing)
  const hostRegistration = sealOne(
    content('host-registration', wallet.id, cpp.id, {
      registrationId: sampleId('registration'),
      chain: [...wallet.chain],
    }),
    wallet.signing,
  )
  return {
    offerRequest,
    transBody,
    transContent,
    trans,
    transCarrier,
    requestBody,
    paymentRequest,
    paymentRequestCarrier,
    noticeContent,
    paymentNotice,
    decision,
    countersigned,
    delayedContent,
    delayedConfirmation,
    hostRegistration,
  } as const
}
