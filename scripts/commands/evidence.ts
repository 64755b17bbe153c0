/** `semops evidence`: what a party holds of a payment, in one file that proves itself to whoever has the root key. */
import { writeFile } from 'node:fs/promises'
import { Option, type Command } from 'commander'
import { EVIDENCE_PARTIES, type EvidenceParty } from '../../protocol/evidence.ts'
import { contextOf } from '../cli/context.ts'
import { CliError } from '../cli/errors.ts'
import { addExamples } from '../cli/help.ts'
import { readPlan } from '../fleet/client.ts'
import { fleetDirectory } from '../fleet/directory.ts'
import { evidenceOf, rootKeyOf } from '../fleet/evidence.ts'
import { closeSources, openSources } from '../fleet/sources.ts'

type EvidenceOptions = { readonly as: EvidenceParty; readonly out: string }

export const register = (program: Command): void => {
  const command = program
    .command('evidence')
    .description('gather what a party holds of a payment, signed, for an audit elsewhere')
    .argument('<payment>', 'paymentId as `semops pay` prints it, or pnId, or txId')
    .addOption(new Option('--as <party>', 'whose evidence').choices([...EVIDENCE_PARTIES]).makeOptionMandatory())
    .requiredOption('--out <file>', 'where to write it; a bundle with a payment request lets its reader try PINs')
    .action(async (id: string, { as: party, out }: EvidenceOptions, self: Command) => {
      const { dir, output } = contextOf(self)
      if (!/^[0-9a-f]{32}$/i.test(id))
        throw new CliError('usage', `${id} is no id: 32 hex digits, as \`semops pay\` prints`)
      const directory = fleetDirectory(dir)
      const sources = await openSources(directory, await readPlan(directory))
      try {
        const { host, paymentId, bundle } = await evidenceOf(sources, id.toLowerCase(), party)
        const rootKey = await rootKeyOf(directory, host)
        await writeFile(out, bundle, { mode: 0o600 })
        output.fact({ host, party, paymentId, file: out, bytes: bundle.length, rootKey }, () => [
          `${host} gathered ${bundle.length} bytes of evidence into ${out}`,
          `audit it anywhere: semops audit ${out} --root ${rootKey}`,
        ])
      } finally {
        await closeSources(sources)
      }
    })
  addExamples(command, [
    ['evidence b976b4201990faa8f54af020d4bdf7ee --as customer --out charge.evidence', 'what the wallet holds'],
    ['evidence b976b4201990faa8f54af020d4bdf7ee --as mpp --out claim.evidence --json', '{"host","party","file",…}'],
  ])
}
