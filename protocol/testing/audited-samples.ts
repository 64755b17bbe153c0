/** Samples of evidence as tests of the audit take them apart, and what the audit then names. */
import { auditEvidence } from '../audit.ts'
import type { Audit } from '../audit-findings.ts'
import { loadEngine } from '../engines/load.ts'
import { createSampleEvidence, sealSample, type SampleEvidence } from './sample-evidence.ts'
import { createSampleNetwork } from './sample-network.ts'

export const engine = loadEngine()
export const network = createSampleNetwork(engine)
export const micro = createSampleEvidence(network, 'one')
export const macro = createSampleEvidence(network, 'two', { amountMinor: 5_000n })
/** Other payments of the same parties. */
export const another = {
  micro: createSampleEvidence(network, 'three', { pairSeq: 3 }),
  macro: createSampleEvidence(network, 'four', { amountMinor: 7_000n }),
}

export const audit = (bundle: Uint8Array): Audit => auditEvidence(engine, network.root.publicKey, bundle)
export const sealed = (sample: SampleEvidence): Audit => audit(sealSample(sample))
/** Every piece that is missing or wrong. */
export const named = ({ missing, problems }: Audit): readonly string[] =>
  [...missing, ...problems].map(({ piece }) => piece)
export const withAt = <T>(items: readonly T[], at: number, item: T): T[] =>
  items.map((one, i) => (i === at ? item : one))
