/** A row of the invalid vectors: a frame that is wrong in one way, who opens it, and the failure code it must get. */
import type { FailureCode } from '../failures.ts'
import type { Arrival } from '../open.ts'
import type { SampleNetwork } from './sample-network.ts'

export type InvalidFrame = {
  readonly name: string
  readonly code: FailureCode
  /** Which of the sample network's receivers opens it. */
  readonly as: keyof SampleNetwork['contexts']
  readonly arrival: Arrival
  readonly frame: Uint8Array
  /** Key ids that the receiver knows to be revoked. */
  readonly revoked?: readonly Uint8Array[]
}
