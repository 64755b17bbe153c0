/** What a ledger says of itself when it is opened: whose it is, where its journal ends, and the policy in force. */
import { equalBytes } from '../../protocol/bytes.ts'
import { hash } from '../../protocol/hash.ts'
import { fromJson, toJson } from './json.ts'
import { LedgerError } from './ledger-error.ts'
import { NO_HASH, type Chain } from './journal.ts'
import { put, type AnyNodeDefinition, type Reader, type Write } from './node.ts'
import { keyOf } from './table.ts'
import { headTable, journalTable, policyTable, type HeadRow } from './runtime-tables.ts'

/** The ledger is another host's or another network's, or its end does not fit its journal. */
export class LedgerMismatch extends LedgerError {
  constructor(what: string) {
    super('LEDGER_MISMATCH', what)
    this.name = 'LedgerMismatch'
  }
}

/** @throws LedgerMismatch; RowVersionError for a ledger of a newer build */
export const openHead = (read: Reader, host: string, networkId: Uint8Array): HeadRow => {
  const head = read.get(headTable, 'head')
  if (head === undefined) return { host, networkId, seq: 0, hash: NO_HASH, highestNowMs: 0 }
  if (head.host !== host) throw new LedgerMismatch(`this ledger is of ${head.host}, not of ${host}`)
  if (!equalBytes(head.networkId, networkId)) throw new LedgerMismatch('this ledger is of another network')
  if (head.seq === 0) return head
  const last = read.get(journalTable, head.seq)
  if (last === undefined || !equalBytes(hash(journalTable.encode(last)), head.hash))
    throw new LedgerMismatch(
      `the journal does not end as the ledger says (entry ${head.seq}): restore the ledger from a copy`,
    )
  // A clock that is not believed leaves no trace in the head; the journal's times go on from where they were all the same.
  return { ...head, highestNowMs: Math.max(head.highestNowMs, last.atMs) }
}

/** The head as it stands after `chain`. */
export const headWrite = (
  host: string,
  networkId: Uint8Array,
  { seq, hash: last }: Chain,
  highestNowMs: number,
): Write => put(headTable, keyOf('head'), { host, networkId, seq, hash: last, highestNowMs })

export type PolicyState = {
  readonly value: unknown
  /** JSON text of the policy, and of the configuration it was first read from. */
  readonly json: string
  readonly configured: string
  /** Not in the ledger yet. */
  readonly changed: boolean
  /** @throws TypeError that names the field which does not fit */
  readonly replacedBy: (json: unknown) => PolicyState
}

/**
 * The policy in force: what an operator set last, unless the configuration has changed since, which is an operator's act too.
 * @throws TypeError when it does not fit the node's schema
 */
export const readPolicy = (read: Reader, definition: AnyNodeDefinition, configured: unknown): PolicyState => {
  const text = toJson(configured ?? {})
  const parse = (json: unknown): unknown => {
    const whole = { ...definition.policyDefaults, ...(json as object) }
    if (definition.policySchema === undefined) return whole
    // Defaults are values already; through JSON and back they are what an operator would have written.
    const parsed = fromJson(definition.policySchema, JSON.parse(toJson(whole)))
    if (!parsed.ok) throw new TypeError(`policy ${parsed.problem}`)
    return parsed.value
  }
  const state = (json: unknown, changed: boolean): PolicyState => ({
    value: parse(json),
    json: toJson(json),
    configured: text,
    changed,
    replacedBy: (next) => state(next, true),
  })
  const row = read.get(policyTable, 'current')
  if (row !== undefined && row.configured === text) return state(JSON.parse(row.policy), false)
  return state(configured ?? {}, true)
}
