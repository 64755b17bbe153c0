/** Parts of a decision, as the rules of a CPP make them, and how they become one. */
import { decision, type Decision, type Record_ } from '../runtime/node.ts'
import type { TotalRow } from './state.ts'

export type Part = Partial<Decision>
/** The next total of a customer, and what goes with it. */
export type Step = { readonly total: TotalRow; readonly parts: readonly Part[] }

/** Most lists come from one part and are taken as they are. */
const joined = <T>(have: readonly T[], given: readonly T[] | undefined): readonly T[] => {
  if (given === undefined || given.length === 0) return have
  return have.length === 0 ? given : have.concat(given)
}

/**
 * Parts of several rules put together, as `combine` of node.ts does, in one pass (a confirmation has a dozen parts), and keeping
 * what every part records: a trace finds each payment that a decision touched. Each list is asked for by its own name: by a
 * computed one this was the largest item in the profile of a confirmation.
 */
export const combineParts = (parts: readonly Part[]): Decision => {
  let { writes, sends, forget, set, clear, postings, jobs, announce, refuse, reply, replyOn } = decision()
  const records: Record_[] = []
  for (const part of parts) {
    writes = joined(writes, part.writes)
    sends = joined(sends, part.sends)
    forget = joined(forget, part.forget)
    set = joined(set, part.set)
    clear = joined(clear, part.clear)
    postings = joined(postings, part.postings)
    jobs = joined(jobs, part.jobs)
    announce = joined(announce, part.announce)
    if (part.record !== undefined) records.push(part.record)
    refuse = part.refuse ?? refuse
    reply = part.reply ?? reply
    replyOn = part.replyOn ?? replyOn
  }
  const record = oneRecord(records)
  return { writes, sends, forget, set, clear, postings, jobs, announce, refuse, reply, replyOn, record }
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
