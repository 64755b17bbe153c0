/** Evidence bundles of the sample network and what an audit finds in them: whole ones, and the same spoilt in each way. */
import { auditEvidence } from '../audit.ts'
import { encodeBundle, readBundle, type Bundle } from '../evidence.ts'
import { createSampleEvidence, sealSample, type SampleEvidence } from './sample-evidence.ts'
import type { SampleNetwork } from './sample-network.ts'

const opened = (bundle: Uint8Array): Bundle => {
  const read = readBundle(bundle)
  if (!read.ok) throw new Error(read.failure.code)
  return read.value
}

/** Name → bundle. */
const bundlesOf = (network: SampleNetwork): readonly (readonly [string, Uint8Array])[] => {
  const micro = createSampleEvidence(network, 'one')
  const macro = createSampleEvidence(network, 'two', { amountMinor: 5_000n })
  const other = createSampleEvidence(network, 'three', { pairSeq: 3 })
  const whole = sealSample(micro.customer)
  const parts = opened(whole)
  const endAt = micro.customer.pieces.findIndex(({ kind }) => kind === 'customer-delayed-transfer-confirmation')
  const foreign = other.customer.pieces[endAt]?.bytes as Uint8Array
  const spoilt = (parts.pieces[endAt] as Uint8Array).slice()
  spoilt[spoilt.length - 1] = (spoilt.at(-1) as number) ^ 1
  const withEnd = (bytes: Uint8Array): Bundle => ({
    ...parts,
    pieces: parts.pieces.map((piece, at) => (at === endAt ? bytes : piece)),
  })
  const resealed: SampleEvidence = {
    ...micro.customer,
    pieces: micro.customer.pieces.map((piece, at) => (at === endAt ? { ...piece, bytes: foreign } : piece)),
  }
  return [
    ['a micropayment, by its customer', whole],
    ['a micropayment, settled and collected, by its CPP', sealSample(micro.cpp)],
    ['a macro payment, by its merchant', sealSample(macro.merchant)],
    ['the confirmation taken out', encodeBundle({ ...parts, pieces: parts.pieces.filter((_, at) => at !== endAt) })],
    ['one bit of the confirmation flipped', encodeBundle(withEnd(spoilt))],
    ["another payment's confirmation in its place", encodeBundle(withEnd(foreign))],
    ["another payment's confirmation, put there by the gatherer itself", sealSample(resealed)],
  ]
}

/** `missing` and `problems` name the pieces; words are an implementation's own. */
export const evidenceVectors = (network: SampleNetwork) => ({
  about: 'Evidence bundles, and the pieces that an audit with the root key of network.json must name.',
  bundles: bundlesOf(network).map(([name, bundle]) => {
    const { ok, proved, missing, problems } = auditEvidence(network.engine, network.root.publicKey, bundle)
    const pieces = (findings: readonly { readonly piece: string }[]): readonly string[] => [
      ...new Set(findings.map(({ piece }) => piece)),
    ]
    return { name, bundle, ok, proved: pieces(proved), missing: pieces(missing), problems: pieces(problems) }
  }),
})
