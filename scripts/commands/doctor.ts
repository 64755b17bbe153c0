/** `semops doctor`: what would let somebody in or stop the network, and what to do about it. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import type { Command } from 'commander'
import { contextOf } from '../cli/context.ts'
import { addExamples } from '../cli/help.ts'
import type { Output } from '../cli/output.ts'
import { readPlan } from '../fleet/client.ts'
import { fleetDirectory } from '../fleet/directory.ts'
import { CHECKS, diagnose, thisMachine, type Diagnosis } from '../fleet/doctor.ts'

export const register = (program: Command): void => {
  const command = program
    .command('doctor')
    .description('look for loose files, an unsafe listen, an old server, clocks that are off, credentials that end')
    .action(async (_options: unknown, self: Command) => {
      const { dir, output, progress, exit } = contextOf(self)
      const directory = fleetDirectory(dir)
      const plan = existsSync(directory.networkFile) ? await readPlan(directory) : undefined
      const shown = progress('looking', CHECKS.length)
      const diagnosis = await diagnose(directory, plan, thisMachine(versionOf), (check) => shown.advance(1, check))
      const { findings } = diagnosis
      const errors = findings.filter(({ level }) => level === 'error').length
      shown.done()
      output.fact({ ok: errors === 0, errors, warnings: findings.length - errors, ...diagnosis }, () =>
        linesOf(diagnosis, plan === undefined ? undefined : dir, output),
      )
      if (errors > 0) exit('checkFailed')
    })
  addExamples(command, [
    ['doctor', 'on a running or a stopped network; exit code 1 when something is wrong'],
    ['doctor --json', '{"ok":…,"errors":…,"warnings":…,"findings":[{"check","level","what","todo"},…]}'],
  ])
}

const versionOf = async (bin: string): Promise<string> => (await promisify(execFile)(bin, ['--version'])).stdout

const counted = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`

const linesOf = (
  { findings, running, hosts }: Diagnosis,
  dir: string | undefined,
  { style }: Output,
): readonly string[] => {
  const errors = findings.filter(({ level }) => level === 'error').length
  const where = dir === undefined ? 'no network here' : `${running} of ${hosts} hosts run`
  return [
    ...findings.map(({ level, check, what, todo }) => {
      const shown = style(level === 'error' ? 'red' : 'yellow', level.padEnd(7))
      return `${shown}  ${check}: ${what}; ${todo}`
    }),
    `${counted(errors, 'error')}, ${counted(findings.length - errors, 'warning')}; ${where}`,
  ]
}
