/**
 * Is the memory of a process flat? Judged by what it holds on to after a full collection (the builtin `memory`), since a heap that
 * is not full grows for minutes without anything being kept, and the pages of a ledger's file that the system keeps mapped say
 * nothing; and only after a warm-up, in which code is compiled and bounded caches fill. Pure.
 */

export type Sample = { readonly id: string; readonly pid: number; readonly atMs: number; readonly bytes: number }

/** The rule, as the report states it. */
export const FLAT = {
  /** Of each process, not looked at. */
  warmUpMs: 120_000,
  /** A process is judged when it was watched for at least this long after its warm-up. */
  leastMs: 120_000,
  /** It grows by no more, by the median of the slopes between all pairs of its samples. */
  mostBytesPerMinute: 1_048_576,
} as const
export const FLAT_RULE = `what a process holds after a full collection, after its first ${FLAT.warmUpMs / 60_000} minutes, grows by at most ${FLAT.mostBytesPerMinute / 1_048_576} MiB a minute (median of the slopes between all pairs of samples)`

export type HostMemory = {
  readonly id: string
  /** Processes that the host has been, and those that lived long enough to be judged. */
  readonly processes: number
  readonly judged: number
  /** Of the process that was watched longest: at the end of its warm-up, and at its last sample; 0 where none was judged. */
  readonly firstBytes: number
  readonly lastBytes: number
  /** Of any of its processes. */
  readonly mostBytes: number
  /** The steepest of the judged processes; 0 where none was judged. */
  readonly bytesPerMinute: number
  readonly flat: boolean
}

/** One line for each host, in the order in which they were first seen. */
export const judgeMemory = (samples: readonly Sample[]): readonly HostMemory[] => {
  const hosts = new Map<string, Map<number, Sample[]>>()
  for (const sample of samples) {
    const processes = hosts.get(sample.id) ?? new Map<number, Sample[]>()
    hosts.set(sample.id, processes)
    processes.set(sample.pid, [...(processes.get(sample.pid) ?? []), sample])
  }
  return [...hosts].map(([id, processes]) => {
    const judged = [...processes.values()]
      .map((all) => all.filter(({ atMs }) => atMs - (all[0]?.atMs ?? 0) >= FLAT.warmUpMs))
      .filter((warm) => spanOf(warm) >= FLAT.leastMs)
      .toSorted((a, b) => spanOf(b) - spanOf(a))
    const bytesPerMinute = judged.reduce((most, warm) => Math.max(most, slopeOf(warm)), Number.NEGATIVE_INFINITY)
    const [longest = []] = judged
    return {
      id,
      processes: processes.size,
      judged: judged.length,
      firstBytes: longest[0]?.bytes ?? 0,
      lastBytes: longest.at(-1)?.bytes ?? 0,
      mostBytes: Math.max(...[...processes.values()].flat().map(({ bytes }) => bytes)),
      bytesPerMinute: judged.length === 0 ? 0 : Math.round(bytesPerMinute),
      flat: judged.length === 0 || bytesPerMinute <= FLAT.mostBytesPerMinute,
    }
  })
}

const spanOf = (samples: readonly Sample[]): number => (samples.at(-1)?.atMs ?? 0) - (samples[0]?.atMs ?? 0)

/** Theil–Sen: one garbage collection more or less does not move it. Bytes a minute. */
const slopeOf = (samples: readonly Sample[]): number => {
  const slopes: number[] = []
  samples.forEach((a, at) => {
    for (const b of samples.slice(at + 1))
      if (b.atMs > a.atMs) slopes.push(((b.bytes - a.bytes) / (b.atMs - a.atMs)) * 60_000)
  })
  slopes.sort((a, b) => a - b)
  const middle = slopes.length >> 1
  if (slopes.length === 0) return 0
  return slopes.length % 2 === 1 ? (slopes[middle] ?? 0) : ((slopes[middle - 1] ?? 0) + (slopes[middle] ?? 0)) / 2
}
