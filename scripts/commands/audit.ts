/**
 * `semops audit`: what a bundle of evidence proves, offline, to someone who has the root key and trusts nothing else; or whether a
 * stopped node's ledger is as the node wrote it.
 */
import { existsSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import type { Command } from 'commander'
import { auditEvidence } from '../../protocol/audit.ts'
import { fromHex } from '../../protocol/bytes.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { isNodeId } from '../../protocol/ids.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { contextOf } from '../cli/context.ts'
import { CliError } from '../cli/errors.ts'
import { addExamples } from '../cli/help.ts'
import { auditLedger, ledgerAuditLines } from '../fleet/audit-ledger.ts'
import { fleetDirectory } from '../fleet/directory.ts'
import { auditLines } from '../fleet/show-audit.ts'

type AuditOptions = { readonly root?: string; readonly ledger?: string }

export const register = (program: Command): void => {
  const command = program
    .command('audit')
    .description("prove a payment from its evidence, offline; or a stopped node's ledger from its journal")
    .argument('[file]', 'as `semops evidence` wrote it')
    .option('--root <key>', "the network's root key: 64 hex digits, or a file that holds them")
    .option('--ledger <node>', 'a stopped node of the fleet, or the directory of a ledger')
    .action(async (file: string | undefined, { root, ledger }: AuditOptions, self: Command) => {
      if ((file === undefined) === (ledger === undefined))
        throw new CliError('usage', 'give either a file of evidence with --root KEY, or --ledger NODE')
      await (file === undefined ? ofLedger(ledger ?? '', self) : ofEvidence(file, root, self))
    })
  addExamples(command, [
    ['audit charge.evidence --root root.key', 'in words; the exit code is 0 only if all of it is proved'],
    [
      'audit charge.evidence --root root.key --json',
      '{"ok":true,"proved":[{"piece","text"},…],"missing":[],"problems":[],…}',
    ],
    ['audit --ledger hu-otp', "every entry of a stopped node's journal: what was edited, removed, put in or moved"],
  ])
}

const ofEvidence = async (file: string, root: string | undefined, self: Command): Promise<void> => {
  const { output, exit } = contextOf(self)
  if (root === undefined) throw new CliError('usage', "evidence is judged by the network's root key: give --root KEY")
  const rootKey = await readRootKey(root)
  const found = await stat(file).catch(() => {
    throw new CliError('usage', `${file} can not be read`)
  })
  if (found.size > LIMITS.maxEvidenceBytes) throw new CliError('usage', `${file} is too large to be evidence`)
  const engine = loadEngine()
  if (!engine.ed25519.checkPublicKey(rootKey)) throw new CliError('usage', `--root ${root} is no sound Ed25519 key`)
  const audit = auditEvidence(engine, rootKey, new Uint8Array(await readFile(file)))
  output.fact(audit, () => auditLines(audit, output))
  if (!audit.ok) exit('checkFailed')
}

const ofLedger = async (node: string, self: Command): Promise<void> => {
  const { dir, output, exit } = contextOf(self)
  const audit = await auditLedger(isNodeId(node) && !existsSync(node) ? fleetDirectory(dir).ledger(node) : node)
  output.fact(audit, () => ledgerAuditLines(audit, output))
  if (!audit.ok) exit('checkFailed')
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
