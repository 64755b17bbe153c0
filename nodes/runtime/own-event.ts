/** What a host tells itself, in one queue with what others send: nothing it decides on happens beside the order of events. */
import type { Batch } from './apply.ts'
import type { Answer, NewIdentity } from './host-types.ts'
import type { PolicyState } from './ledger-state.ts'
import type { Job } from './node.ts'

/** Told apart from frames of others. */
export type OwnEvent =
  | {
      readonly type: 'command'
      readonly name: string
      readonly args: Readonly<Record<string, unknown>>
      readonly answer: (answer: Answer) => void
    }
  | { readonly type: 'job'; readonly job: Job; readonly result: unknown }
  | { readonly type: 'policy'; readonly policy: PolicyState; readonly answer: (answer: Answer) => void }
  | { readonly type: 'identity'; readonly next: NewIdentity; readonly answer: (answer: Answer) => void }
  /** The runtime's own: what must happen in the order of events. */
  | { readonly type: 'act'; readonly act: (batch: Batch, nowMs: number) => void }
  | { readonly type: 'started' }
