/** A policy comes into force: kept, journalled, and told to the node, in one event. */
import type { Applier, Batch } from './apply.ts'
import type { PolicyState } from './ledger-state.ts'
import { put, type AnyNodeDefinition, type Context } from './node.ts'
import { policyTable } from './runtime-tables.ts'
import type { Staged } from './staged.ts'
import { keyOf } from './table.ts'

type Deps = { readonly staged: Staged; readonly applier: Applier; readonly definition: AnyNodeDefinition }

/** @param context with the new policy */
export const adoptPolicy = (
  { staged, applier, definition }: Deps,
  batch: Batch,
  { json, configured }: PolicyState,
  context: Context,
): void => {
  const { nowMs } = context
  staged.write(put(policyTable, keyOf('current'), { policy: json, configured }))
  applier.journal({
    atMs: nowMs,
    trigger: 'policy',
    name: 'set-policy',
    ids: [],
    sends: [],
    postings: [],
    fields: json,
  })
  const told = definition.policyChanged?.(staged, {}, context)
  if (told !== undefined) applier.apply(batch, told, { trigger: 'policy', name: 'policy-changed', ids: [] }, nowMs)
}
