/** `semops logs`: what the hosts of a network wrote, as one log by time. */
import type { Command } from 'commander'
import { contextOf } from '../cli/context.ts'
import { CliError } from '../cli/errors.ts'
import { addExamples } from '../cli/help.ts'
import { toJson, type Output } from '../cli/output.ts'
import { hostOf, readPlan } from '../fleet/client.ts'
import { fleetDirectory } from '../fleet/directory.ts'
import { followLogs, lastLogLines, type LogLine } from '../fleet/merged-logs.ts'

type LogsOptions = { readonly follow?: boolean; readonly lines: string }

export const register = (program: Command): void => {
  const command = program
    .command('logs')
    .description('show the logs of all hosts, or of some, merged by time')
    .argument('[id...]', 'hosts, or customers and merchants whose hosts are meant')
    .option('-f, --follow', 'go on with what is written from now on, until Ctrl-C')
    .option('-n, --lines <count>', 'how many of the last lines', '100')
    .action(async (ids: readonly string[], { follow = false, lines }: LogsOptions, self: Command) => {
      const { dir, output } = contextOf(self)
      if (!/^\d{1,6}$/.test(lines)) throw new CliError('usage', `--lines ${lines} is not a number of lines`)
      const directory = fleetDirectory(dir)
      const plan = await readPlan(directory)
      const hosts = ids.length === 0 ? plan.hosts.map(({ id }) => id) : ids.map((id) => hostOf(plan, id))
      const files = [...new Set(hosts)].map((host) => ({ host, path: directory.log(host) }))
      for (const line of await lastLogLines(files, Number(lines))) show(output, line)
      if (!follow) return
      const stop = new AbortController()
      process.once('SIGINT', () => stop.abort())
      process.once('SIGTERM', () => stop.abort())
      for await (const line of followLogs(files, stop.signal)) show(output, line)
    })
  addExamples(command, [
    ['logs -f hu-otp hu-cosmo', 'what CPP and MPP do, as they do it'],
    ['logs --json | grep payment-refused', 'one JSON object a line'],
  ])
}

const LEVELS = [
  [50, 'error', 'red'],
  [40, 'warn ', 'yellow'],
  [30, 'info ', 'green'],
  [0, 'debug', 'dim'],
] as const

const show = (output: Output, line: LogLine): void =>
  output.fact(line, () => {
    const [, name, colour] = LEVELS.find(([from]) => line.level >= from) ?? LEVELS[3]
    const time = line.timeMs === 0 ? '' : new Date(line.timeMs).toISOString().slice(11, 23)
    const fields = Object.keys(line.fields).length === 0 ? '' : ` ${output.style('dim', toJson(line.fields))}`
    return `${time} ${output.style(colour, name)} ${line.host}  ${line.message}${fields}`
  })
