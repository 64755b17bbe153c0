/** `semops node`: one host in the foreground, from the file that `semops credential issue` made. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { contextOf } from '../cli/context.ts'
import { addExamples } from '../cli/help.ts'
import { exitCode } from '../exit-codes.ts'
import { startAttached } from '../fleet/attached-node.ts'

type NodeOptions = {
  readonly creds: string
  readonly policy?: string
  readonly ledger?: string
  readonly socketDir?: string
}

const absolute = (path: string | undefined): string | undefined => (path === undefined ? undefined : resolve(path))

export const register = (program: Command): void => {
  const command = program
    .command('node')
    .description('run one host in the foreground from its credentials file, until Ctrl-C')
    .requiredOption('--creds <file>', 'the file that `semops credential issue` made')
    .option('--policy <file>', 'JSON over the policy that the credentials imply')
    .option('--ledger <folder>', 'where it keeps its ledger and log (default: <id>.node beside the credentials)')
    .option('--socket-dir <folder>', 'where it puts its control socket (default: the ledger folder)')
    .action(async (options: NodeOptions, self: Command) => {
      const { output, progress } = contextOf(self)
      const startedAt = performance.now()
      const ends = interrupt()
      const shown = progress('joining the network')
      const order = {
        creds: resolve(options.creds),
        policy: absolute(options.policy),
        ledger: absolute(options.ledger),
        socketDir: absolute(options.socketDir),
      }
      const starting = startAttached(order, (what) => shown.advance(0, what)).catch((error: unknown) => {
        shown.fail('not started')
        throw error
      })
      const node = await Promise.race([starting, ends])
      if (node === undefined) {
        shown.fail('stopped before it joined')
        // A dial under way goes on for ever, and has nothing yet that would have to be closed.
        process.exit(exitCode('environment'))
      }
      const { credentials, running, logFile } = node
      const { host, role } = credentials
      const stopped = ends.then(() => running.stop())
      shown.advance(0, `${host} is connected, and registers`)
      if (await node.untilServing()) {
        shown.done()
        const readyMs = Math.round(performance.now() - startedAt)
        output.fact(
          { state: 'ready', host, role, pid: process.pid, socket: running.socket, log: logFile, readyMs },
          () => [`${role} ${host} serves; control socket ${running.socket}, log ${logFile}`, 'Ctrl-C ends it'],
        )
      } else shown.fail('stopped before it served')
      await running.ended
      await stopped
      output.fact({ state: 'stopped', host }, () => `${host} has stopped; its ledger is in ${node.ledgerDir}`)
    })
  addExamples(command, [
    ['node --creds acme.creds', 'the MPP that `credential issue --role mpp --id hu-acme` made a file for'],
    ['node --creds acme.creds --policy acme.json --ledger /var/lib/acme', 'with terms and a place of its own'],
  ])
}

/** Resolves when a person or the system asks this process to end. */
const interrupt = (): Promise<undefined> =>
  new Promise((done) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => done(undefined))
  })
