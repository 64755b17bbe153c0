/**
 * What every decision must satisfy before it is committed. A decision that does not is a defect of the node, not bad input:
 * it throws, and the node stops before the batch is committed (design §8 check 1).
 */
import { isTransient } from '../../protocol/failures.ts'
import { KINDS } from '../../protocol/kinds.ts'
import type { Decision, Posting } from './node.ts'

export class InvariantBroken extends Error {
  constructor(what: string) {
    super(what)
    this.name = 'InvariantBroken'
  }
}

const assertBalanced = (postings: readonly Posting[]): void => {
  const sums = new Map<string, bigint>()
  for (const { currency, amountMinor } of postings) sums.set(currency, (sums.get(currency) ?? 0n) + amountMinor)
  for (const [currency, sum] of sums)
    if (sum !== 0n) throw new InvariantBroken(`postings in ${currency} add up to ${sum}, not zero`)
}

/** @throws InvariantBroken */
export const assertDecision = (decision: Decision): void => {
  if (decision.postings.length > 0) assertBalanced(decision.postings)
  for (const send of decision.sends) {
    if ('relay' in send) continue
    const { expires } = KINDS[send.kind]
    if (expires !== (send.expiresAtMs !== undefined))
      throw new InvariantBroken(`${send.kind} ${expires ? 'must' : 'must not'} carry expiresAtMs`)
  }
  const { refuse, quiet } = decision
  if (
    quiet === true &&
    (refuse !== undefined || decision.sends.length + decision.postings.length + decision.jobs.length > 0)
  )
    throw new InvariantBroken('a quiet decision does more than keep house')
  if (refuse === undefined || !isTransient(refuse.code)) return
  const { writes, sends, forget, set, clear, postings, jobs } = decision
  if ([writes, sends, forget, set, clear, postings, jobs].some((part) => part.length > 0))
    throw new InvariantBroken(`a transient refusal (${refuse.code}) must change nothing`)
}
