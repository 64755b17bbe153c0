/** Whole payments on the sample network, message by message, as evidence: for tests of the audit and for the golden vectors. */
import { utf8 } from '../bytes.ts'
import {
  CREDENTIAL_PIECE,
  REVOCATIONS_PIECE,
  sealEvidence,
  type EvidenceStatement,
  type Gathered,
} from '../evidence.ts'
import { hash } from '../hash.ts'
import type { Body, KindName } from '../kinds.ts'
import type { SigningKey } from '../keys.ts'
import {
  batchHash,
  NO_PREVIOUS_BATCH,
  pairEntryLeaf,
  proveLeaf,
  rangeOf,
  rangeRoot,
  type PairEntry,
} from '../mountain-range.ts'
import { pinProof } from '../pin.ts'
import { sealOne } from '../seals.ts'
import { issueRevocationList } from '../statements.ts'
import { samplePinKey } from './sample-messages.ts'
import { NOW, sampleId, seedOf, type SampleNetwork } from './sample-network.ts'

export type SampleEvidence = {
  readonly about: Omit<EvidenceStatement, 'version' | 'pieces'>
  readonly pieces: readonly Gathered[]
  readonly key: SigningKey
}

/** Seals a sample into a bundle, or what a test has made of it. */
export const sealSample = ({ about, pieces, key }: SampleEvidence): Uint8Array => sealEvidence(about, pieces, key)

type Frames = Readonly<Record<string, Uint8Array>>

/**
 * @param name of the payment: another name, another payment with ids and entry of its own
 * @param options of a micropayment `pairSeq` 1 to 3 says which entry of the sample batch it is
 */
export const createSampleEvidence = (
  network: SampleNetwork,
  name: string,
  { amountMinor = 120n, pairSeq = 2 }: { readonly amountMinor?: bigint; readonly pairSeq?: number } = {},
) => {
  const { content, cpp, mpp, bank, merchant, device, guest, merchantChain, networkId, engine, root } = network
  const isMacro = amountMinor >= 1_000n
  const currency = 'EUR' as const
  const idOf = (what: string): Uint8Array => sampleId(`${what} ${name}`)
  const [prId, pnId, txId] = [idOf('prId'), idOf('pnId'), idOf('txId')]
  const payee = 'hu-bakery'
  const seal = <K extends KindName>(kind: K, from: string, to: string, body: Body<K>, key: SigningKey): Uint8Array =>
    sealOne(content(kind, from, to, body, { messageId: idOf(`message ${kind}`) }), key)

  const transContent = content(
    'transaction-details',
    merchant.id,
    guest.token,
    {
      txId,
      payee,
      amountMinor,
      currency,
      descriptionHash: hash(utf8(name)),
      nonce: idOf('nonce'),
      chain: [...merchantChain],
    },
    { messageId: idOf('trans') },
  )
  const trans = sealOne(transContent, merchant.signing)
  const request = seal(
    'payment-request',
    'hu-alice',
    cpp.id,
    { prId, trans, pinProof: pinProof(samplePinKey(), transContent.digest, prId) },
    device,
  )
  const noticeContent = content(
    'payment-notice',
    cpp.id,
    merchant.id,
    { pnId, payee, mode: isMacro ? 'macro' : 'micro', operatorId: cpp.id, trans },
    { messageId: idOf('notice') },
  )
  const noticeDigest = noticeContent.digest
  const decision = seal(
    'payment-decision',
    merchant.id,
    mpp.id,
    { pnId, payee, txId, noticeDigest, decision: 'approve' },
    merchant.signing,
  )
  const toPayee = { pnId, payee, txId, amountMinor, currency, confirmedAtMs: NOW }
  const toCustomer = { prId, payee, txId, amountMinor, currency, confirmedAtMs: NOW }
  const common: Frames = {
    'transaction-details': trans,
    'payment-request': request,
    'payment-notice': sealOne(noticeContent, cpp.signing),
    'payment-decision': decision,
    'countersigned-decision': seal(
      'countersigned-decision',
      mpp.id,
      cpp.id,
      { pnId, payee, noticeDigest, decision: 'approve', merchantDecision: decision },
      mpp.signing,
    ),
  }
  const entryOf = (seq: number): PairEntry => ({
    pairSeq: seq,
    type: 'dt',
    pnId: seq === pairSeq ? pnId : sampleId(`pnId of entry ${seq}`),
    payee,
    amountMinor: seq === pairSeq ? amountMinor : 100n,
    currency,
  })
  const entries = [1, 2, 3].map(entryOf)
  const leaves = entries.map(pairEntryLeaf)
  const totalMinor = entries.reduce((sum, entry) => sum + entry.amountMinor, 0n)
  const batch = {
    batchId: idOf('batch'),
    mpp: mpp.id,
    currency,
    seq: 1,
    prevHash: NO_PREVIOUS_BATCH,
    fromSeq: 1,
    toSeq: 3,
    root: rangeRoot(rangeOf(leaves)),
    totalMinor,
  }
  const operatorAccount = 'hu-kh:otp'
  const money = { currency, orderId: idOf('order'), holdId: idOf('hold') }
  const settlementOrder = idOf('settlement order')
  const collectionOrder = idOf('collection order')

  const order = (orderId: Uint8Array, body: Omit<Body<'transfer-order'>, 'orderId' | 'currency'>): Frames => ({
    'transfer-order': seal('transfer-order', cpp.id, bank.id, { orderId, currency, ...body }, cpp.signing),
    'transfer-answer': seal('transfer-answer', bank.id, cpp.id, { orderId, result: 'booked' }, bank.signing),
  })
  const micro = {
    ends: {
      'delayed-transfer-confirmation': seal(
        'delayed-transfer-confirmation',
        cpp.id,
        merchant.id,
        { ...toPayee, mpp: mpp.id, pairSeq },
        cpp.signing,
      ),
      'customer-delayed-transfer-confirmation': seal(
        'customer-delayed-transfer-confirmation',
        cpp.id,
        'hu-alice',
        { ...toCustomer, outstandingMinor: amountMinor },
        cpp.signing,
      ),
    } as Frames,
    settlement: {
      'settlement-batch': seal('settlement-batch', cpp.id, mpp.id, batch, cpp.signing),
      'settlement-acceptance': seal(
        'settlement-acceptance',
        mpp.id,
        cpp.id,
        { batchId: batch.batchId, seq: 1, batchHash: batchHash(batch.prevHash, { ...batch, cpp: cpp.id }) },
        mpp.signing,
      ),
    } as Frames,
    payment: order(settlementOrder, {
      debitAccount: operatorAccount,
      creditAccount: 'hu-kh:cosmo',
      amountMinor: totalMinor,
      reference: { purpose: 'settlement', id: batch.batchId },
    }),
    collection: order(collectionOrder, {
      debitAccount: 'hu-kh:alice',
      creditAccount: operatorAccount,
      amountMinor: 900n,
      reference: { purpose: 'collection', id: collectionOrder },
    }),
    notice: {
      'account-notice': seal(
        'account-notice',
        bank.id,
        mpp.id,
        {
          noticeId: idOf('account notice'),
          account: 'hu-kh:cosmo',
          amountMinor: totalMinor,
          currency,
          reference: { purpose: 'settlement', id: batch.batchId },
          originatingBank: bank.id,
          bookedAtMs: NOW,
        },
        bank.signing,
      ),
    } as Frames,
  }
  const macro = {
    ends: {
      'transfer-confirmation': seal('transfer-confirmation', cpp.id, merchant.id, toPayee, cpp.signing),
      'customer-transfer-confirmation': seal(
        'customer-transfer-confirmation',
        cpp.id,
        'hu-alice',
        toCustomer,
        cpp.signing,
      ),
    } as Frames,
    booking: {
      'hold-order': sealOne(
        content('hold-order', cpp.id, bank.id, {
          holdId: money.holdId,
          account: 'hu-kh:alice',
          amountMinor,
          currency,
          holdExpiresAtMs: NOW + 500_000,
        }),
        cpp.signing,
      ),
      'hold-answer': seal('hold-answer', bank.id, cpp.id, { holdId: money.holdId, result: 'held' }, bank.signing),
      'post-order': seal(
        'post-order',
        cpp.id,
        bank.id,
        {
          orderId: money.orderId,
          holdId: money.holdId,
          creditAccount: 'hu-kh:bakery',
          amountMinor,
          currency,
          reference: { purpose: 'payment', id: txId },
        },
        cpp.signing,
      ),
      'post-answer': seal(
        'post-answer',
        bank.id,
        cpp.id,
        { orderId: money.orderId, holdId: money.holdId, result: 'booked' },
        bank.signing,
      ),
    } as Frames,
    notice: {
      'account-notice': seal(
        'account-notice',
        bank.id,
        merchant.id,
        {
          noticeId: idOf('account notice'),
          account: 'hu-kh:bakery',
          amountMinor,
          currency,
          reference: { purpose: 'payment', id: txId },
          originatingBank: bank.id,
          bookedAtMs: NOW,
        },
        bank.signing,
      ),
    } as Frames,
  }

  const positioned = (frames: readonly (readonly [string, Uint8Array])[]): readonly Gathered[] =>
    frames.map(([kind, bytes], at) => ({
      kind,
      bytes,
      position: { seq: at + 1, atMs: NOW + at, entryHash: seedOf(`entry ${at}`) },
    }))
  const pick = (frames: Frames, ...kinds: readonly string[]) =>
    kinds.map((kind) => [kind, frames[kind] as Uint8Array] as const)
  const credential = (of: string, bytes: Uint8Array | undefined): Gathered => ({
    kind: CREDENTIAL_PIECE,
    of,
    bytes: bytes as Uint8Array,
  })
  const list = issueRevocationList(engine, { networkId, version: 1, revoked: [], issuedAtMs: NOW + 1_000_000 }, root)
  const processors = {
    cpp: credential(cpp.id, cpp.chain[0]),
    mpp: credential(mpp.id, mpp.chain[0]),
    bank: credential(bank.id, bank.chain[0]),
    merchant: credential(merchant.id, merchant.chain[1]),
    wallet: credential(network.wallet.id, network.wallet.chain[1]),
    enrolment: credential('hu-alice', network.enrolment),
  } as const
  const revocations: Gathered = { kind: REVOCATIONS_PIECE, bytes: list }
  const statement = (
    host: string,
  ): Pick<
    EvidenceStatement,
    'networkId' | 'gatheredAtMs' | 'payee' | 'txId' | 'revocationVersion' | 'journal' | 'host'
  > => ({
    networkId,
    host,
    gatheredAtMs: NOW + 60_000,
    payee,
    txId,
    revocationVersion: 1,
    journal: { seq: 99, hash: seedOf('journal') },
  })
  const proof = proveLeaf(leaves, pairSeq - 1)
  const inclusion = { ...proof, siblings: [...proof.siblings], peaks: [...proof.peaks] }
  const ends = isMacro ? macro.ends : micro.ends
  const [toPayeeKind, toCustomerKind] = Object.keys(ends) as [string, string]

  const customer: SampleEvidence = {
    about: { ...statement(network.wallet.id), party: 'customer', prId },
    pieces: [
      ...positioned([...pick(common, 'transaction-details', 'payment-request'), ...pick(ends, toCustomerKind)]),
      processors.cpp,
      processors.wallet,
      processors.enrolment,
      revocations,
    ],
    key: network.wallet.signing,
  }
  const merchantSample: SampleEvidence = {
    about: { ...statement(merchant.id), party: 'merchant', pnId },
    pieces: [
      ...positioned([
        ...pick(common, 'payment-notice', 'payment-decision'),
        ...pick(ends, toPayeeKind),
        ...(isMacro ? pick(macro.notice, 'account-notice') : []),
      ]),
      processors.cpp,
      processors.mpp,
      ...(isMacro ? [processors.bank] : []),
      processors.merchant,
      revocations,
    ],
    key: merchant.signing,
  }
  const mppSample: SampleEvidence = {
    about: {
      ...statement(mpp.id),
      party: 'mpp',
      pnId,
      ...(isMacro ? {} : { settlement: 'settled', inclusion }),
    },
    pieces: [
      ...positioned([
        ...pick(common, 'payment-notice', 'countersigned-decision'),
        ...pick(ends, toPayeeKind),
        ...(isMacro ? [] : [...Object.entries(micro.settlement), ...pick(micro.notice, 'account-notice')]),
      ]),
      processors.cpp,
      processors.mpp,
      ...(isMacro ? [] : [processors.bank]),
      revocations,
    ],
    key: mpp.signing,
  }
  const cppSample: SampleEvidence = {
    about: {
      ...statement(cpp.id),
      party: 'cpp',
      prId,
      pnId,
      ...(isMacro ? {} : { settlement: 'settled', collection: 'booked', inclusion }),
    },
    pieces: [
      ...positioned([
        ...pick(common, 'payment-request', 'payment-notice', 'countersigned-decision'),
        ...Object.entries(ends),
        ...(isMacro
          ? Object.entries(macro.booking)
          : [
              ...Object.entries(micro.settlement),
              ...Object.entries(micro.payment),
              ...Object.entries(micro.collection),
            ]),
      ]),
      processors.cpp,
      processors.mpp,
      processors.bank,
      processors.enrolment,
      revocations,
    ],
    key: cpp.signing,
  }
  return { customer, merchant: merchantSample, mpp: mppSample, cpp: cppSample, seal } as const
}
