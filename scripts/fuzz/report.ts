/** A long run as lines for people: a table by mutation and code, the codes, and the figures. */
import type { LongRun, Part } from './long-run.ts'

const CODES_SHOWN = 4

const megabytes = (bytes: number): string => (bytes / 1_048_576).toFixed(1)
const byCount = (counts: Readonly<Record<string, number>>): readonly (readonly [string, number])[] =>
  Object.entries(counts).toSorted(([, a], [, b]) => b - a)
const total = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0)

const codesLine = (codes: Readonly<Record<string, number>>): string => {
  const sorted = byCount(codes)
  const rest = sorted.slice(CODES_SHOWN)
  const shown = sorted.slice(0, CODES_SHOWN).map(([code, n]) => `${code} ${n}`)
  return [...shown, ...(rest.length === 0 ? [] : [`${rest.length} more codes`])].join(', ')
}

const partLines = (part: Part): readonly string[] => {
  const rows = Object.entries(part.byMutation).toSorted(([a], [b]) => (a < b ? -1 : 1))
  const width = Math.max(8, ...rows.map(([name]) => name.length))
  return [
    '',
    `${part.name}: ${part.frames} frames in ${part.seconds.toFixed(0)} s, ${Math.round(part.rate)} a second`,
    ...rows.map(([name, codes]) => `  ${name.padEnd(width)} ${String(total(codes)).padStart(8)}  ${codesLine(codes)}`),
    `  by code: ${byCount(part.byCode)
      .map(([code, n]) => `${code} ${n}`)
      .join(', ')}`,
    `  opened or obeyed ${part.opened}; ${Object.entries(part.figures)
      .map(([name, n]) => `${name} ${n}`)
      .join(', ')}`,
    `  held after a collection: ${megabytes(part.heldFirst)} MB at first, ${megabytes(part.heldMost)} MB at most, ${megabytes(part.heldLast)} MB at the end`,
  ]
}

export const linesOf = ({ seed, ok, parts }: LongRun): readonly string[] => {
  const problems = parts.flatMap((part) => part.problems.map((problem) => ({ part, problem })))
  const frames = parts.reduce((sum, part) => sum + part.frames, 0)
  return [
    ...parts.flatMap(partLines),
    '',
    ...problems.map(
      ({ part, problem }) =>
        `FOUND in ${part.name}, frame ${problem.frame} (${problem.mutation}, ${problem.code}): ${problem.problem}\n  again: ${problem.replay}`,
    ),
    ok
      ? `nothing found in ${frames} frames, seed ${seed}`
      : `${problems.length} found in ${frames} frames, seed ${seed}`,
  ]
}
