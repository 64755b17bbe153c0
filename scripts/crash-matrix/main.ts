/** `npm run crash-matrix`: every durable step of every node kind, killed before and after each stage of its commit. */
import { Command, InvalidArgumentError } from 'commander'
import { DEATHS, isDeath, type Death } from '../../nodes/runtime/faults.ts'
import { toJson } from '../cli/output.ts'
import { exitCode } from '../exit-codes.ts'
import type { HostRole } from '../fleet/plan.ts'
import type { NotTaken } from './cells.ts'
import { runMatrix, type MatrixResult } from './matrix.ts'

const ROLES: readonly HostRole[] = ['dc', 'bank', 'cpp', 'mpp', 'merchant', 'customer']
const number = (text: string): number => {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('a whole number from 1, please')
  return Number(text)
}
const words =
  <T extends string>(allowed: (word: string) => word is T, of: readonly string[]) =>
  (text: string): readonly T[] =>
    text.split(',').map((word) => {
      if (!allowed(word)) throw new InvalidArgumentError(`of ${of.join(', ')}`)
      return word
    })
const isRole = (word: string): word is HostRole => (ROLES as readonly string[]).includes(word)

type Options = {
  readonly roles?: readonly HostRole[]
  readonly points?: readonly Death[]
  readonly only?: readonly string[]
  readonly minutes: number
  readonly deaths: number
  readonly stall: number
  readonly json?: boolean
}

/** What nobody came to, by reason; what has none should have been come to. */
const unreached = (role: HostRole, notTaken: readonly NotTaken[]): readonly string[] =>
  [...new Set(notTaken.map(({ why }) => why))].map(
    (why) =>
      `${role}: never came to ${notTaken
        .filter((one) => one.why === why)
        .map(({ step }) => step)
        .join(', ')} (${why ?? 'nobody knows why'})`,
  )

const table = ({ coverage, acts, violations, latestMs, ...sums }: MatrixResult): string =>
  [
    'role      steps  taken  cells  hit',
    ...coverage.map(({ role, steps, taken, cells, hit }) =>
      [role.padEnd(9), ...[steps, taken, cells, hit].map((figure) => String(figure).padStart(5))].join(' '),
    ),
    ...coverage.flatMap(({ missed }) => missed.map((cell) => `missed: ${cell}`)),
    ...coverage.flatMap(({ role, notTaken }) => unreached(role, notTaken)),
    ...acts.map(
      ({ name, done, failed, lastError }) =>
        `${name}: ${done} to the end, ${failed} not${failed > 0 ? ` (${lastError})` : ''}`,
    ),
    `${sums.deaths} deaths in ${sums.seconds} s, ${sums.downSeconds} s down; ${sums.payments} payments, ${sums.confirmed} confirmed, ` +
      `${sums.rounds} rests; latest after what was due: ${latestMs.expiry} ms (expiry), ${latestMs.bank} ms (bank), ` +
      `${latestMs.order} ms (any of ${sums.orders} orders to a bank); ${sums.entries} journal entries chained`,
    ...violations.map((text) => `VIOLATION ${text}`),
    violations.length === 0 ? 'no rule was broken' : `${violations.length} violations`,
  ].join('\n')

await new Command('crash-matrix')
  .description('kills every kind of node at every durable step, on real processes, and judges what became of it')
  .option('--roles <list>', `of ${ROLES.join(', ')} (default: all)`, words(isRole, ROLES))
  .option('--points <list>', `of ${DEATHS.join(', ')} (default: all)`, words(isDeath, DEATHS))
  .option(
    '--only <list>',
    'parts of cells as `role/step/point`, such as those that a former run missed',
    (text: string) => text.split(','),
  )
  .option('--minutes <n>', 'ends after that long', number, 60)
  .option('--deaths <n>', 'after which the network comes to rest and is judged', number, 40)
  .option('--stall <ms>', 'how late a sweep may come on a busy machine', number, 5_000)
  .option('--json', 'the result as one JSON value on stdout')
  .action(
    async ({ roles = [], points = [], only = [], minutes, deaths, stall, json = false }: Options): Promise<void> => {
      const result = await runMatrix({
        roles,
        points,
        only,
        maxMs: minutes * 60_000,
        deathsPerRound: deaths,
        idleMs: 45_000,
        stallMs: stall,
        acts: true,
        onProgress: (line) => void process.stderr.write(`${line}\n`),
      })
      process.stdout.write(json ? `${toJson(result)}\n` : `${table(result)}\n`)
      process.exitCode = exitCode(result.ok ? 'ok' : 'checkFailed')
    },
  )
  .parseAsync()
