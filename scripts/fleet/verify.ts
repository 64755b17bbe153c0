/**
 * Holds every ledger of a network against the others (design §8). The rules are those of nodes/verify; this reads the figures in
 * the order that the rules need, and knows whether anything moved meanwhile: nothing did when no host had anything under way
 * before and after, and no journal grew.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { PaymentLine, Report } from '../../nodes/runtime/reports.ts'
import { checkNetwork, READING_ORDER, type Check } from '../../nodes/verify/check-network.ts'
import { mapBounded } from './concurrency.ts'
import { heardByHost } from './heard-files.ts'
import type { NodeSource } from './node-source.ts'
import { remedy } from './restore.ts'

export type Verification = { readonly ok: boolean; readonly quiet: boolean; readonly checks: readonly Check[] }

export type VerifyOptions = {
  /** Stops admissions first and waits for rest, at most this long; undefined: looks at the network as it is. */
  readonly quiesceMs: number | undefined
  /** While it waits: how much is still under way. */
  readonly onWait?: (inFlight: number) => void
  /** Ends the waiting; what was stopped is resumed. */
  readonly signal?: AbortSignal
}

const HOSTS_AT_ONCE = 8
const POLL_MS = 100
const LOOKS = 5

export const verifyNetwork = async (
  sources: readonly NodeSource[],
  { quiesceMs, onWait = () => undefined, signal }: VerifyOptions,
): Promise<Verification> => {
  if (quiesceMs === undefined) return lookQuietly(sources)
  const deadline = performance.now() + quiesceMs
  try {
    // From the edge inwards: what is under way is let end before those that it needs stop taking anything on.
    for (const role of READING_ORDER) {
      const ofRole = sources.filter((source) => source.role === role)
      signal?.throwIfAborted()
      await each(ofRole, (one) => one.drain())
      await untilIdle(ofRole, deadline, onWait, signal)
    }
    for (;;) {
      const { verification, inFlight } = await look(sources)
      if (verification.quiet) return verification
      if (performance.now() > deadline)
        return { ...verification, ok: false, checks: [notAtRest(inFlight), ...verification.checks] }
      onWait(inFlight)
      await delay(POLL_MS)
      await untilIdle(sources, deadline, onWait, signal)
    }
  } finally {
    await each(sources, (one) => one.resume())
  }
}

/**
 * Without stopping anything. Where nothing is under way, a journal that grew meanwhile is a timer's doing, such as a bank's
 * clearing window that found nothing: then another look may see the network at rest.
 */
const lookQuietly = async (sources: readonly NodeSource[]): Promise<Verification> => {
  for (let looks = 1; ; looks++) {
    const { verification, inFlight } = await look(sources)
    if (verification.quiet || inFlight > 0 || looks === LOOKS) return verification
  }
}

const notAtRest = (inFlight: number): Check => ({
  name: 'the network comes to rest once admissions stop',
  rule: '§8.10',
  ok: false,
  left: BigInt(inFlight),
  right: 0n,
  detail: 'still under way when the time was up; `semops logs` shows who waits for whom',
})

const each = async (sources: readonly NodeSource[], act: (source: NodeSource) => Promise<void> | undefined) =>
  void (await mapBounded(sources, HOSTS_AT_ONCE, async (source) => act(source)))

/** Journal ends of all hosts, and what is under way at them together. */
const standingOf = async (
  sources: readonly NodeSource[],
): Promise<{ readonly seqs: string; readonly inFlight: number }> => {
  const all = await mapBounded(sources, HOSTS_AT_ONCE, (source) => source.standing())
  return {
    seqs: all.map(({ seq }) => seq).join(' '),
    inFlight: all.reduce((sum, { inFlight }) => sum + inFlight, 0),
  }
}

const untilIdle = async (
  sources: readonly NodeSource[],
  deadline: number,
  onWait: (inFlight: number) => void,
  signal: AbortSignal | undefined,
) => {
  for (;;) {
    signal?.throwIfAborted()
    const { inFlight } = await standingOf(sources)
    if (inFlight === 0 || performance.now() > deadline) return
    onWait(inFlight)
    await delay(POLL_MS)
  }
}

const look = async (sources: readonly NodeSource[]) => {
  const before = await standingOf(sources)
  const reports: Report[] = []
  const payments = new Map<string, readonly PaymentLine[]>()
  for (const role of READING_ORDER)
    await each(
      sources.filter((source) => source.role === role),
      async (source) => {
        // The same order within a node: its lines are what its sums are made of.
        const lines = await source.payments()
        const report = await source.report()
        reports.push(report)
        if (role !== 'bank' && role !== 'dc') payments.set(source.id, lines)
      },
    )
  const ages = await checkAges(sources)
  const after = await standingOf(sources)
  const quiet = before.inFlight === 0 && after.inFlight === 0 && before.seqs === after.seqs
  const checks = [...checkNetwork(reports, payments, { quiet }), ...ages]
  return { verification: { ok: checks.every(({ ok }) => ok), quiet, checks }, inFlight: after.inFlight }
}

/**
 * Is every ledger the newest that its host has had? What others hold is read first, so that whoever said it knows it when asked,
 * also while things move.
 */
const checkAges = async (sources: readonly NodeSource[]): Promise<readonly Check[]> => {
  const heard = await heardByHost(sources)
  return mapBounded(sources, HOSTS_AT_ONCE, async (source): Promise<Check> => {
    const behind = await source.age(heard.get(source.id) ?? [])
    return {
      name: `nobody knows more of a host than its own ledger: ${source.id}`,
      rule: '§8.9',
      ok: behind === undefined,
      left: BigInt(behind?.forgotten.length ?? 0),
      right: 0n,
      ...(behind === undefined ? {} : { detail: `${behind.text}; ${remedy(source.id)}` }),
    }
  })
}
