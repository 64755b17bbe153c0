/** What must hold whenever the network has come to rest: each check says what it found in one line. */
import { LIMITS } from '../../protocol/limits.ts'
import { isFinalState } from '../../nodes/runtime/reports.ts'
import type { FaultFleet } from '../e2e/fault-fleet.ts'
import type { PaymentJudge } from '../e2e/payment-judge.ts'
import type { Ordered } from '../e2e/payment-stream.ts'
import type { Outages } from './outages.ts'

export type RoundJudgement = {
  readonly violations: readonly string[]
  /** The latest decisions: of payments that waited for their expiry or their CPP, and of those that their banks had to decide. */
  readonly latestMs: { readonly expiry: number; readonly bank: number }
}

export type RoundDeps = {
  readonly net: FaultFleet
  readonly judge: PaymentJudge
  readonly outages: Outages
  readonly made: ReadonlyMap<string, Ordered>
  /** Every end seen so far, by host and payment: it stays. */
  readonly finals: Map<string, string>
  readonly stallMs: number
  readonly restMs: number
}

export const judgeRound = async ({
  net,
  judge,
  outages,
  made,
  finals,
  stallMs,
  restMs,
}: RoundDeps): Promise<RoundJudgement> => {
  await judge.untilDecidedEverywhere(restMs)
  const violations: string[] = []
  const latestMs = { expiry: 0, bank: 0 }
  const told = await judge.toldWrongly(made)
  violations.push(...told.map((text) => `told otherwise than held: ${text}`))

  const banks = judge.hostsOf('bank')
  // A host that dies before a late sweep has come is not to be blamed for it.
  const sweepMs = LIMITS.sweepEveryMs + stallMs
  const late = await judge.decidedLate(made, (cpp, { expiresAtMs, postingAtMs, decidedAtMs = 0 }) => {
    const hosts = postingAtMs === undefined ? [cpp] : [cpp, ...banks]
    const calm = outages.calmFrom(hosts, postingAtMs ?? expiresAtMs, sweepMs)
    const of = postingAtMs === undefined ? 'expiry' : 'bank'
    latestMs[of] = Math.max(latestMs[of], decidedAtMs - calm - LIMITS.sweepEveryMs)
    return calm + sweepMs
  })
  violations.push(...late.map((text) => `decided late: ${text}`))

  for (const role of ['customer', 'cpp', 'mpp', 'merchant'] as const)
    for (const { prId, pnId, state, payee, txId } of await judge.linesOf(role)) {
      if (!isFinalState(state)) continue
      const key = `${role} ${prId ?? pnId ?? `${payee} ${txId}`}`
      const before = finals.get(key)
      if (before !== undefined && before !== state) violations.push(`two ends: ${key} was ${before}, is ${state}`)
      finals.set(key, state)
    }

  const { quiet, checks } = await net.verify()
  if (!quiet) violations.push('the network does not come to rest')
  for (const { name, left, right, detail = '' } of checks.filter(({ ok }) => !ok))
    violations.push(`verify: ${name}: ${String(left)}, ${String(right)} ${detail}`)
  return { violations, latestMs }
}
