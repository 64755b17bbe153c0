/** Parts of a decision, as the rules of a CPP make them, and how they become one. */
import type { Decision, Record_ } from '../runtime/node.ts'
import type { TotalRow } from './state.ts'

export type Part = Partial<Decision>
/** The next total of a customer, and what goes with it. */
export type Step = { readonly total: TotalRow; readonly parts: readonly Part[] }

const LISTS = ['writes', 'sends', 'forget', 'set', 'clear', 'postings', 'jobs', 'announce'] as const
type Lists = { readonly [K in (typeof LISTS)[number]]: unknown[] }

/**
 * Parts of several rules put together, as `combine` of node.ts does, in one pass (a confirmation has a dozen parts), and keeping
 * what every part records: a trace finds each payment that a decision touched.
 */
export const combineParts = (parts: readonly Part[]): Decision => {
  const lists: Lists = { writes: [], sends: [], forget: [], set: [], clear: [], postings: [], jobs: [], announce: [] }
  const records: Record_[] = []
  let { refuse, reply, replyOn }: Part = {}
  for (const part of parts) {
    for (const name of LISTS) {
      const given = part[name]
      if (given !== undefined && given.length > 0) lists[name].push(...given)
    }
    if (part.record !== undefined) records.push(part.record)
    refuse = part.refuse ?? refuse
    reply = part.reply ?? reply
    replyOn = part.replyOn ?? replyOn
  }
  return { ...(lists as unknown as Pick<Decision, keyof Lists>), refuse, reply, replyOn, record: oneRecord(records) }
}

const oneRecord = (records: readonly Record_[]): Record_ | undefined => {
  const [first, ...others] = records
  if (first === undefined || others.length === 0) return first
  return {
    ...first,
    ids: records.flatMap((record) => record.ids),
    fields: { ...first.fields, also: others.map(({ event, ids, fields }) => ({ event, ids, ...fields })) },
  }
}
