/** `semops restore`: ledgers of a snapshot in the place of those of a network; and what to do about a ledger that is old. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { contextOf, type CliContext } from '../cli/context.ts'
import { CliError } from '../cli/errors.ts'
import { addExamples } from '../cli/help.ts'
import { hostOf, withFleet } from '../fleet/client.ts'
import { restoreSnapshot } from '../fleet/restore.ts'

type RestoreOptions = { readonly only?: string; readonly force?: boolean; readonly accept?: string }

export const register = (program: Command): void => {
  const command = program
    .command('restore')
    .description('put the ledgers of a snapshot back into a network that does not run, or into hosts of it that do not')
    .argument('[folder]', 'the snapshot')
    .option('--only <ids>', 'hosts, with commas between them (default: all of the snapshot)')
    .option('--force', 'also where there are ledgers; they are put aside, in their folders')
    .option('--accept <id>', 'let a host go on although its ledger is older than what it has said')
    .action(async (folder: string | undefined, options: RestoreOptions, self: Command) => {
      const { only, force = false, accept } = options
      if ((folder === undefined) === (accept === undefined))
        throw new CliError('usage', 'give the folder of a snapshot, or --accept and a host that is held')
      const context = contextOf(self)
      if (accept !== undefined) return acceptLedger(context, accept)
      await restore(context, resolve(folder ?? ''), only?.split(','), force)
    })
  addExamples(command, [
    ['restore backups/monday --force', 'all ledgers of a network that is down, as they were at one moment'],
    [
      'restore backups/monday --only hu-otp --force',
      'one; its peers know more, so it does nothing until an operator accepts that',
    ],
    ['restore --accept hu-otp', 'what it has forgotten is lost: `semops verify` lists what then differs'],
  ])
}

const restore = async (
  { dir, output, progress }: CliContext,
  folder: string,
  only: readonly string[] | undefined,
  force: boolean,
): Promise<void> => {
  const shown = progress('restoring ledgers')
  const restored = await restoreSnapshot(dir, folder, { only, force, onRestored: (id) => shown.advance(1, id) }).catch(
    (error: unknown) => {
      shown.fail('nothing was restored')
      throw error
    },
  )
  shown.done(`${restored.restored.length}`)
  const aside = Object.values(restored.keptIn)
  output.fact(restored, () => [
    `${restored.restored.length} ledgers of ${new Date(restored.takenAtMs).toISOString()}`,
    ...(aside.length === 0
      ? []
      : [`what was there is in ${aside[0]}${aside.length > 1 ? ` and ${aside.length - 1} like it` : ''}`]),
    restored.whole
      ? 'all are of one moment; `semops up` goes on from there'
      : 'others of the network may know more than these ledgers: a host that finds out is held until an operator accepts its ledger',
  ])
}

const acceptLedger = async ({ dir, output, progress }: CliContext, id: string): Promise<void> => {
  await withFleet(dir, async (fleet) => {
    const host = hostOf(fleet.plan, id)
    const shown = progress(`${host} goes on`)
    const status = await fleet.supervisor('accept-ledger', { id: host }).catch((error: unknown) => {
      shown.fail('failed')
      throw error
    })
    shown.done()
    const state = status.hosts.find((one) => one.id === host)?.state ?? 'stopped'
    output.fact({ id: host, state }, () => `${host} is ${state}`)
  })
}
