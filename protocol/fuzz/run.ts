/** A fuzz run over envelope and codec: so many frames from one seed, counted by mutation and by code. */
import type { Engine } from '../engines/engine.ts'
import type { KindName } from '../kinds.ts'
import { KIND_NAMES } from '../kinds.ts'
import { parseFrame } from '../seals.ts'
import type { OpenContext } from '../open.ts'
import { forge, sealedName, type Mutant } from './forge.ts'
import { countingEngine, judge, judgeBody } from './judge.ts'
import { createChance } from './random.ts'
import { createSamples, waysOf, type Receiver, type Samples } from './samples.ts'

/** Rows of a table: how often each mutation met each code. */
export type Tally = Map<string, Map<string, number>>
export const count = (tally: Tally, row: string, column: string, by = 1): void => {
  const columns = tally.get(row) ?? new Map<string, number>()
  columns.set(column, (columns.get(column) ?? 0) + by)
  tally.set(row, columns)
}

export type Problem = {
  readonly frame: number
  readonly mutation: string
  readonly code: string
  readonly problem: string
}
export type FrameRun = {
  readonly frames: number
  /** Frames left as they were, all of which opened. */
  readonly unchanged: number
  readonly opened: number
  readonly tally: Tally
  readonly kinds: ReadonlySet<KindName>
  readonly problems: readonly Problem[]
}

const KEPT = 512
const MAX_PROBLEMS = 20
/** One in so many frames is left as it is, and must open. */
const UNCHANGED_EVERY = 25

/**
 * @param options `from`: number of the first frame, to make one again alone; `onFrames` is told after each `every` frames
 */
export const fuzzFrames = (options: {
  readonly engine: Engine
  readonly seed: string
  readonly frames: number
  readonly from?: number
  readonly every?: number
  readonly onFrames?: (done: number) => void
}): FrameRun => {
  const { seed, frames, from = 0, every = 10_000, onFrames } = options
  const { engine, work } = countingEngine(options.engine)
  const samples = createSamples(engine)
  const ways = waysOf()
  const earlier: Mutant[] = []
  const known = { issued: samples.issued, sealed: nestedNames(samples), earlier }
  const tally: Tally = new Map()
  const kinds = new Set<KindName>()
  const problems: Problem[] = []
  let unchanged = 0
  let opened = 0
  for (let frame = from; frame < from + frames && problems.length < MAX_PROBLEMS; frame++) {
    const chance = createChance(seed, frame)
    const way = chance.pick(ways)
    const material = samples.anyMaterial(way, chance)
    const plain = frame % UNCHANGED_EVERY === 0
    const mutant = forge(material, samples.smith, chance, plain ? 0 : chance.percent(80) ? 1 : 2)
    const slot = chance.below(KEPT)
    keep(samples.smith.frames, mutant.bytes, slot)
    keep(samples.smith.bodies, mutant.body, slot)
    keep(earlier, mutant, slot)
    const verdict = judge(mutant, contextOf(samples, way.as, !plain && chance.percent(10)), known, work)
    const codec = judgeBody(chance.percent(90) ? way.kind : chance.pick(KIND_NAMES), mutant.body)
    kinds.add(way.kind)
    count(tally, mutant.mutation.includes(' + ') ? 'several' : mutant.mutation, verdict.code)
    if (verdict.code === 'opened') opened += 1
    if (mutant.mutation === 'unchanged') unchanged += 1
    const problem =
      verdict.problem ??
      codec ??
      (plain && verdict.code !== 'opened' ? `an unchanged ${way.kind} as ${way.as} does not open` : undefined)
    if (problem !== undefined) problems.push({ frame, mutation: mutant.mutation, code: verdict.code, problem })
    if (onFrames !== undefined && (frame - from + 1) % every === 0) onFrames(frame - from + 1)
  }
  return { frames, unchanged, opened, tally, kinds, problems }
}

const keep = <T>(list: T[], item: T, at: number): void => {
  if (list.length < KEPT) list.push(item)
  else list[at] = item
}

/** Now and then as somebody who has met nobody yet, so that keys and hops are unknown. */
const contextOf = ({ network }: Samples, as: Receiver, strange: boolean): OpenContext => {
  const context = network.contexts[as]
  return strange ? { ...context, lookupKey: () => undefined, roleOf: () => undefined } : context
}

const nestedNames = ({ nested }: Samples): ReadonlySet<string> =>
  new Set(
    nested.map((frame) => {
      const parsed = parseFrame(frame)
      if (!parsed.ok) throw new Error('a sample frame does not parse')
      return sealedName(parsed.value.seal.keyId, parsed.value.digest)
    }),
  )
