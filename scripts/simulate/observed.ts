/**
 * What a simulation shows to whoever judges it, and what it hears back: every change of every ledger, everything that the bus took, every
 * start and death, and what the people in it did and were told. Observers change nothing; they keep what they need as it passes, so
 * that judging an event costs what the event changed, not what the network holds.
 */

/** One row of one host's ledger. `before` is undefined for a new row, `after` for a removed one. Neither is ever changed. */
export type RowChange = {
  readonly table: string
  readonly key: Uint8Array
  readonly before: Uint8Array | undefined
  readonly after: Uint8Array | undefined
}

export type Wire = {
  /** Login that published: a host's id, or a guest's public key. */
  readonly from: string
  readonly subject: string
  readonly data: Uint8Array
  /** How it came there: by a node; or put there once more, or altered, by the faults. */
  readonly origin: 'node' | 'replay' | 'corrupted'
}

/** What somebody did, told when it was answered; minor units. `outcome` as the wallet or shop said it, `lost` when its host died. */
export type Told =
  | {
      readonly type: 'paid'
      readonly customer: string
      readonly payee: string
      readonly amountMinor: bigint
      readonly currency: string
      readonly outcome: string
      readonly code?: string | undefined
      readonly txId?: string | undefined
      readonly prId?: string | undefined
    }
  | {
      readonly type: 'refunded'
      readonly payee: string
      readonly txId: string
      readonly amountMinor: bigint
      readonly outcome: string
      readonly code?: string | undefined
    }
  /** Money from or to the world outside. */
  | {
      readonly type: 'deposited' | 'funded'
      readonly account: string
      readonly currency: string
      readonly amountMinor: bigint
    }
  | { readonly type: 'written-off'; readonly customer: string; readonly currency: string; readonly amountMinor: bigint }
  /** A person corrected an entry between a CPP and an MPP, and it stood. */
  | {
      readonly type: 'corrected'
      readonly cpp: string
      readonly mpp: string
      readonly currency: string
      readonly amountMinor: bigint
    }

export type Violation = {
  /** Which rule, in a few words that stay the same: `two final states`, `money made`, `sent before it was durable`. */
  readonly rule: string
  /** What was seen, and what was allowed. */
  readonly detail: string
  /** The event of the simulation, and its time, in milliseconds from the start. */
  readonly step: number
  readonly atMs: number
  /** The payment's id as hex, when it is one payment's: its trace is printed. */
  readonly payment?: string | undefined
}

export type Finding = Omit<Violation, 'step' | 'atMs'>

export type Observer = {
  /**
   * A batch of a host's ledger was committed, in one piece: nodes decide from it now. `batch` counts from 1 for each host and
   * never comes again, also after a crash.
   */
  readonly committed?: (host: string, batch: number, changes: readonly RowChange[]) => void
  /** Everything up to this batch is on disk. */
  readonly flushed?: (host: string, batch: number) => void
  /** A crash took these changes back: newest first, `before` and `after` as when they were committed. */
  readonly lost?: (host: string, changes: readonly RowChange[]) => void
  readonly published?: (message: Wire) => void
  readonly started?: (host: string) => void
  readonly crashed?: (host: string) => void
  readonly told?: (fact: Told) => void
  /** After each event of the simulation: what broke a rule since the last time. */
  readonly check: () => readonly Finding[]
  /** Once faults are over, everything is up and nothing is under way. */
  readonly atRest?: () => readonly Finding[]
}
