/** `semops snapshot`: a copy of every ledger of a network, while it runs. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { contextOf } from '../cli/context.ts'
import { addExamples } from '../cli/help.ts'
import { takeSnapshot } from '../fleet/snapshot.ts'

export const register = (program: Command): void => {
  const command = program
    .command('snapshot')
    .description('copy every ledger of a running or stopped network into a folder, all of one moment, with checksums')
    .argument('<folder>', 'where to: an empty folder, or a new one')
    .action(async (folder: string, _options: unknown, self: Command) => {
      const { dir, output, progress } = contextOf(self)
      const shown = progress('copying ledgers')
      const snapshot = await takeSnapshot(dir, resolve(folder), { onCopied: (id) => shown.advance(1, id) }).catch(
        (error: unknown) => {
          shown.fail('no snapshot')
          throw error
        },
      )
      const bytes = snapshot.ledgers.reduce((sum, ledger) => sum + ledger.bytes, 0)
      shown.done(`${snapshot.ledgers.length}`)
      output.fact({ ...snapshot, bytes }, () => [
        `${snapshot.ledgers.length} ledgers, ${(bytes / 1_048_576).toFixed(1)} MiB, in ${snapshot.folder}; hosts stood still for ${(snapshot.heldMs / 1000).toFixed(1)} s`,
        ...(snapshot.without.length === 0 ? [] : [`without ${snapshot.without.join(', ')}: never ran`]),
      ])
    })
  addExamples(command, [
    ['snapshot backups/monday', 'ledgers only: keys and credentials are in the run directory and are kept elsewhere'],
    ['snapshot backups/monday --json', '{"ledgers":[{"id","seq","hash","bytes","blake2b512"},…],"heldMs":…}'],
  ])
}
