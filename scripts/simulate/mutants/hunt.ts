/**
 * Simulates seed after seed until a judge finds something: what a mutant is judged by. It runs in the tree it judges, as a process of
 * its own. Arguments: the first seed, the last, payments a seed. The last line on stdout is a {@link Catch} as JSON.
 */
import { simulate } from '../simulate.ts'

export type Catch = {
  /** How many seeds were simulated, the one that found it included. */
  readonly seeds: number
  readonly seed: string | undefined
  readonly rule: string | undefined
  readonly detail: string | undefined
}

const [first = '1', last = '1', payments = '30'] = process.argv.slice(2)
let found: Catch = { seeds: 0, seed: undefined, rule: undefined, detail: undefined }
for (let at = Number(first); at <= Number(last) && found.seed === undefined; at++) {
  const seed = String(at)
  const { violations } = await simulate({ seed, payments: Number(payments), engine: 'stand-in' })
  const [violation] = violations
  found =
    violation === undefined
      ? { ...found, seeds: found.seeds + 1 }
      : { seeds: found.seeds + 1, seed, rule: violation.rule, detail: violation.detail }
}
process.stdout.write(`${JSON.stringify(found)}\n`)
