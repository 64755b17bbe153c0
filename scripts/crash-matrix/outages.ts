/**
 * When hosts were down, and what may be expected of them in spite of it: a host that comes back does within a sweep what is due, and has
 * within a sweep what waited for it.
 */

export type Outages = {
  readonly down: (host: string, fromMs: number) => void
  readonly up: (host: string, untilMs: number) => void
  /** The first moment from `fromMs` on from which all of these hosts are up for that long; an outage without an end counts for ever. */
  readonly calmFrom: (hosts: readonly string[], fromMs: number, forMs: number) => number
  /** Together, in milliseconds. */
  readonly totalMs: () => number
  readonly count: () => number
}

export const createOutages = (): Outages => {
  const spans = new Map<string, { readonly fromMs: number; untilMs: number }[]>()
  const all = (): readonly { readonly fromMs: number; readonly untilMs: number }[] => [...spans.values()].flat()
  return {
    down: (host, fromMs) => {
      const before = spans.get(host) ?? []
      if (before.at(-1)?.untilMs === Number.POSITIVE_INFINITY) return
      spans.set(host, [...before, { fromMs, untilMs: Number.POSITIVE_INFINITY }])
    },
    up: (host, untilMs) => {
      const last = spans.get(host)?.at(-1)
      if (last?.untilMs === Number.POSITIVE_INFINITY) last.untilMs = untilMs
    },
    calmFrom: (hosts, fromMs, forMs) => {
      const theirs = hosts.flatMap((host) => spans.get(host) ?? []).toSorted((a, b) => a.fromMs - b.fromMs)
      let at = fromMs
      for (const span of theirs) if (span.untilMs > at && span.fromMs < at + forMs) at = span.untilMs
      return at
    },
    totalMs: () =>
      all().reduce((sum, { fromMs, untilMs }) => sum + (Number.isFinite(untilMs) ? untilMs - fromMs : 0), 0),
    count: () => all().length,
  }
}
