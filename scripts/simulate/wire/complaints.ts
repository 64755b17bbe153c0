/** Findings as they gather between two looks: each rule says a few, so that one fault does not fill the memory. */
import type { Finding } from '../observed.ts'

/** `payment`: the payment's id as hex, when it is one payment's. */
export type Complain = (rule: string, detail: string, payment?: string) => void
export type Complaints = { readonly complain: Complain; readonly take: () => readonly Finding[] }

const MAX_PER_RULE = 20
const NONE: readonly Finding[] = []

export const createComplaints = (): Complaints => {
  const counts = new Map<string, number>()
  let found: Finding[] = []
  return {
    complain: (rule, detail, payment) => {
      const count = (counts.get(rule) ?? 0) + 1
      counts.set(rule, count)
      if (count <= MAX_PER_RULE) found.push({ rule, detail, payment })
    },
    take: () => {
      if (found.length === 0) return NONE
      const taken = found
      found = []
      return taken
    },
  }
}
