/** `semops audit`: what a bundle of evidence proves, offline, to someone who has the root key and trusts nothing else. */
import { readFile, stat } from 'node:fs/promises'
import type { Command } from 'commander'
import { auditEvidence } from '../../protocol/audit.ts'
import { fromHex } from '../../protocol/bytes.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { contextOf } from '../cli/context.ts'
import { CliError } from '../cli/errors.ts'
import { addExamples } from '../cli/help.ts'
import { auditLines } from '../fleet/show-audit.ts'

export const register = (program: Command): void => {
  const command = program
    .command('audit')
    .description('prove a payment from its evidence, offline: what is proved, what is missing, what is wrong')
    .argument('<file>', 'as `semops evidence` wrote it')
    .requiredOption('--root <key>', "the network's root key: 64 hex digits, or a file that holds them")
    .action(async (file: string, { root }: { readonly root: string }, self: Command) => {
      const { output, exit } = contextOf(self)
      const rootKey = await readRootKey(root)
      const { size } = await stat(file)
      if (size > LIMITS.maxEvidenceBytes) throw new CliError('usage', `${file} is too large to be evidence`)
      const engine = loadEngine()
      if (!engine.ed25519.checkPublicKey(rootKey)) throw new CliError('usage', `--root ${root} is no sound Ed25519 key`)
      const audit = auditEvidence(engine, rootKey, new Uint8Array(await readFile(file)))
      output.fact(audit, () => auditLines(audit, output))
      if (!audit.ok) exit('checkFailed')
    })
  addExamples(command, [
    ['audit charge.evidence --root root.key', 'in words; the exit code is 0 only if all of it is proved'],
    [
      'audit charge.evidence --root root.key --json',
      '{"ok":true,"proved":[{"piece","text"},…],"missing":[],"problems":[],…}',
    ],
  ])
}

const KEY = /^[0-9a-f]{64}$/i

const readRootKey = async (text: string): Promise<Uint8Array> => {
  if (KEY.test(text)) return fromHex(text.toLowerCase())
  const held = await readFile(text, 'utf8').catch(() => {
    throw new CliError('usage', `--root ${text} is neither 64 hex digits nor a file`)
  })
  const key = held.trim()
  if (!KEY.test(key)) throw new CliError('usage', `${text} does not hold a root key: 64 hex digits`)
  return fromHex(key.toLowerCase())
}
