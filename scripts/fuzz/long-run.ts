/**
 * The long run of the fuzz suite: mutated frames through envelope and codec, then through the intake of a host of every role. It
 * ends in figures: what was thrown, what it met, how fast, and how much memory was held before and after.
 */
import { loadEngine } from '../../protocol/engines/load.ts'
import { fuzzFrames, type Problem, type Tally } from '../../protocol/fuzz/run.ts'
import { fuzzNode, TARGETS, type Target } from '../../nodes/hostile/fuzz/run.ts'

export type LongRunOptions = {
  readonly seed: string
  readonly frames: number
  /** Number of the first frame: one frame alone is made again by its number. */
  readonly from: number
  readonly perNode: number
  readonly targets: readonly Target[]
  /** One line for people. */
  readonly say: (line: string) => void
}

export type Part = {
  readonly name: string
  readonly frames: number
  readonly seconds: number
  /** Frames a second. */
  readonly rate: number
  /** Bytes held after a collection: at the first look (everything loaded, caches warm), at the last, and the most. */
  readonly heldFirst: number
  readonly heldLast: number
  readonly heldMost: number
  readonly opened: number
  readonly byMutation: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly byCode: Readonly<Record<string, number>>
  readonly problems: readonly (Problem & { readonly replay: string })[]
  /** Other figures of this part. */
  readonly figures: Readonly<Record<string, number>>
}
export type LongRun = { readonly seed: string; readonly ok: boolean; readonly parts: readonly Part[] }

const LOOKS = 20
/** What caches that are bounded by entries may still take between the first look and the last. */
const MAX_GROWTH_BYTES = 96 * 1024 * 1024

const held = (): number => {
  ;(globalThis as { gc?: () => void }).gc?.()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
const plain = (tally: Tally): Part['byMutation'] =>
  Object.fromEntries([...tally].map(([row, columns]) => [row, Object.fromEntries(columns)]))
const codesOf = (tally: Tally): Readonly<Record<string, number>> => {
  const codes: Record<string, number> = {}
  for (const columns of tally.values()) for (const [code, n] of columns) codes[code] = (codes[code] ?? 0) + n
  return codes
}
const inMegabytes = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MB`

type Watch = {
  readonly look: (done: number) => void
  readonly end: () => Omit<Part, 'opened' | 'byMutation' | 'byCode' | 'problems' | 'figures'>
}
const watch = (name: string, frames: number, say: (line: string) => void): Watch => {
  const beganAt = performance.now()
  const looks: number[] = []
  const seconds = (): number => (performance.now() - beganAt) / 1_000
  return {
    look: (done) => {
      looks.push(held())
      say(
        `${name}: ${done} of ${frames} frames, ${Math.round(done / seconds())} a second, ${inMegabytes(looks.at(-1) ?? 0)} held`,
      )
    },
    end: () => {
      looks.push(held())
      return {
        name,
        frames,
        seconds: seconds(),
        rate: frames / seconds(),
        heldFirst: looks[0] ?? 0,
        heldLast: looks.at(-1) ?? 0,
        heldMost: Math.max(...looks),
      }
    },
  }
}

const everyOf = (frames: number): number => Math.max(1, Math.ceil(frames / LOOKS))

/** Runs it all. Never throws for what the fuzz finds: that is in `problems`. */
export const longRun = async (options: LongRunOptions): Promise<LongRun> => {
  const { seed, frames, from, perNode, targets, say } = options
  const parts: Part[] = []
  if (frames > 0) {
    const seen = watch('envelope and codec', frames, say)
    const run = fuzzFrames({ engine: loadEngine(), seed, frames, from, every: everyOf(frames), onFrames: seen.look })
    const measured = seen.end()
    const grown = measured.heldLast - measured.heldFirst
    parts.push({
      ...measured,
      opened: run.opened,
      byMutation: plain(run.tally),
      byCode: codesOf(run.tally),
      problems: [
        ...run.problems.map((one) => ({ ...one, replay: replayOf(seed, one.frame) })),
        ...(grown <= MAX_GROWTH_BYTES
          ? []
          : [{ frame: from, mutation: 'all', code: 'memory', problem: `${inMegabytes(grown)} more held`, replay: '' }]),
      ],
      figures: { unchanged: run.unchanged, kinds: run.kinds.size, mutations: run.tally.size },
    })
  }
  for (const target of perNode > 0 ? targets : []) {
    const seen = watch(`intake of ${target}`, perNode, say)
    const run = await fuzzNode({ target, seed, frames: perNode, every: everyOf(perNode), onFrames: seen.look })
    parts.push({
      ...seen.end(),
      opened: run.obeyed,
      byMutation: plain(run.tally),
      byCode: codesOf(run.tally),
      problems: run.problems.map((one) => ({
        ...one,
        replay: `npm run fuzz -- --frames 0 --per-node ${perNode} --target ${target} --seed ${seed}`,
      })),
      figures: run.figures,
    })
  }
  return { seed, ok: parts.every(({ problems }) => problems.length === 0), parts }
}

const replayOf = (seed: string, frame: number): string =>
  `npm run fuzz -- --frames 1 --from ${frame} --per-node 0 --seed ${seed}`

export { TARGETS }
