/** `semops credential`: who may join the network, and for how long. */
import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Option, type Command } from 'commander'
import { parseAmount } from '../../protocol/amount.ts'
import { contextOf, type CliContext } from '../cli/context.ts'
import { CliError } from '../cli/errors.ts'
import { addExamples } from '../cli/help.ts'
import { readPlan } from '../fleet/client.ts'
import { issueCredential, ISSUED_ROLES, type Issued } from '../fleet/credential-issue.ts'
import { listCredentials, type CredentialLine } from '../fleet/credential-list.ts'
import { revokeCredential, REVOCATION_BOUND_MS, type Revoked, type RevokeTarget } from '../fleet/credential-revoke.ts'
import { DEFAULT_OVERLAP_MS, rotateCredential, rotationOrder, type Rotated } from '../fleet/credential-rotate.ts'
import { fleetDirectory } from '../fleet/directory.ts'
import { DEFAULT_DAYS } from '../fleet/issuer.ts'
import type { HostRole } from '../fleet/plan.ts'
import type { Column, Output } from '../cli/output.ts'

export const register = (program: Command): void => {
  const command = program
    .command('credential')
    .description('issue, list, rotate and revoke the credentials of the network')
    .action((_options: unknown, self: Command) => self.help({ error: true }))
  registerIssue(command)
  registerList(command)
  registerRotate(command)
  registerRevoke(command)
}

type IssueOptions = {
  readonly role: HostRole
  readonly id: string
  readonly out: string
  readonly operator?: string
  readonly certifiedBy: readonly string[]
  readonly certifierCreds: readonly string[]
  readonly bank?: string
  readonly balance?: string
  readonly days: string
  readonly again?: boolean
}

const registerIssue = (parent: Command): void => {
  const command = parent
    .command('issue')
    .description('make one file with everything that one more host needs; the network goes on as it is')
    .addOption(new Option('--role <role>', 'what it will be').choices(ISSUED_ROLES).makeOptionMandatory())
    .requiredOption('--id <id>', 'its id, such as hu-acme')
    .requiredOption('--out <file>', 'the file to make, readable by its owner only; never written over')
    .option('--operator <id>', 'who runs it, where that is another id; hosts of one operator share its account')
    .option('--certified-by <id...>', 'for a merchant or customer host: its MPP, its CPPs', [])
    .option('--certifier-creds <file...>', "the certifier's own file, where this network does not hold its keys", [])
    .option('--bank <id>', 'opens the operator account of a cpp or mpp at this running bank')
    .option('--balance <decimal>', 'what the new account holds', '0')
    .option('--days <n>', 'how long the credential is valid', String(DEFAULT_DAYS))
    .option('--again', 'new keys for an id that was issued before; the old ones stay valid until they are revoked')
    .action(async (options: IssueOptions, self: Command) => {
      const { dir, output, progress } = contextOf(self)
      const directory = fleetDirectory(dir)
      const plan = await readPlan(directory)
      const shown = progress(`issuing ${options.id}`)
      const issued = await issueCredential(
        directory,
        plan,
        {
          role: options.role,
          id: options.id,
          operatorId: options.operator,
          certifiedBy: options.certifiedBy,
          certifierFiles: options.certifierCreds.map((file) => resolve(file)),
          bank: options.bank,
          balanceMinor: balanceOf(options.balance ?? '0', plan.currency),
          days: daysOf(options.days),
          out: resolve(options.out),
          again: options.again === true,
        },
        (what) => shown.advance(0, what),
      ).catch((error: unknown) => {
        shown.fail('not issued')
        throw error
      })
      shown.done()
      output.fact(issued, () => toldOf(issued, options))
    })
  addExamples(command, [
    ['credential issue --role mpp --id hu-acme --bank hu-kh --out acme.creds', 'one more MPP, with its account'],
    [
      'credential issue --role merchant --id hu-acme-shop --certifier-creds acme.creds --out shop.creds',
      'a merchant host that this MPP certifies',
    ],
  ])
}

const balanceOf = (text: string, currency: Parameters<typeof parseAmount>[1]): bigint => {
  if (/^0+(\.0+)?$/.test(text)) return 0n
  const parsed = parseAmount(text, currency)
  if (!parsed.ok) throw new CliError('usage', `--balance ${text}: ${parsed.problem}; write it as 1000.00`)
  return parsed.amountMinor
}

const MAX_DAYS = 3_660
const daysOf = (text: string): number => {
  const days = Number(text)
  if (!/^\d{1,4}(\.\d+)?$/.test(text) || days <= 0 || days > MAX_DAYS)
    throw new CliError('usage', `--days ${text} is not a number of days up to ${MAX_DAYS}`)
  return days
}

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10)

const toldOf = (issued: Issued, { out }: IssueOptions): readonly string[] => [
  `${out}: ${issued.role} ${issued.id}, key ${issued.keyId}, serial ${issued.serial}, valid until ${day(issued.notAfterMs)}`,
  ...(issued.account === undefined
    ? []
    : [`account ${issued.account}${issued.told.length === 0 ? '' : `; told ${issued.told.join(', ')}`}`]),
  `it joins at ${issued.servers.join(', ')}; keep the file secret, and start it with \`semops node --creds ${out}\``,
  ...(NEXT[issued.role] ?? []),
]

/** What a role needs beside its file. */
const NEXT: Partial<Record<HostRole, readonly string[]>> = {
  bank: ['its policy says where it settles: --policy with { "settlementBank": "…" }'],
  dc: ['a replica that joins late knows only what registers from then on: start it before processors start again'],
}

const registerList = (parent: Command): void => {
  const command = parent
    .command('list')
    .description('every key that was issued: whose, until when, whether it is revoked')
    .option('--all', 'keys that are no longer in use, too')
    .action(async ({ all = false }: { readonly all?: boolean }, self: Command) => {
      const { dir, output } = contextOf(self)
      const directory = fleetDirectory(dir)
      await readPlan(directory)
      const lines = await listCredentials(directory, Date.now())
      output.table('credentials', COLUMNS(output), all ? lines : lines.filter(({ inUse }) => inUse))
    })
  addExamples(command, [
    ['credential list', 'one line a host'],
    ['credential list --all --json', 'every key ever issued, for programs'],
  ])
}

const COLUMNS = ({ style }: Output): readonly Column<CredentialLine>[] => [
  { title: 'id', cell: ({ id }) => id },
  { title: 'role', cell: ({ role }) => role },
  { title: 'serial', align: 'right', cell: ({ serial }) => String(serial) },
  { title: 'key', cell: ({ keyId }) => keyId },
  { title: 'from', cell: ({ notBeforeMs }) => day(notBeforeMs) },
  { title: 'until', cell: ({ notAfterMs }) => day(notAfterMs) },
  { title: 'days left', align: 'right', cell: ({ daysLeft }) => String(daysLeft) },
  {
    title: 'state',
    cell: ({ state }) => style(state === 'valid' ? 'green' : state === 'overlapping' ? 'yellow' : 'red', state),
  },
]

type RotateCommandOptions = {
  readonly all?: boolean
  readonly revokeOld?: boolean
  readonly overlap: string
  readonly days: string
}

const registerRotate = (parent: Command): void => {
  const command = parent
    .command('rotate')
    .description('new message key, sealing key and login for a host, while payments go on')
    .argument('[id]', 'whose; the hosts that a processor certifies are certified anew')
    .option('--all', 'every host of the network file')
    .option('--revoke-old', 'after the overlap, revoke the old keys and logins')
    .option(
      '--overlap <seconds>',
      'how long the old keys stay good: what was encrypted to them is still opened (0 for a compromised key)',
      String(DEFAULT_OVERLAP_MS / 1000),
    )
    .option('--days <n>', 'how long the new credential is valid', String(DEFAULT_DAYS))
    .action(async (id: string | undefined, options: RotateCommandOptions, self: Command) => {
      const { all = false, revokeOld = false } = options
      if ((id === undefined) !== all) throw new CliError('usage', 'name one id, or give --all')
      const { dir, output, progress } = contextOf(self)
      const directory = fleetDirectory(dir)
      const plan = await readPlan(directory)
      const order = { overlapMs: secondsOf(options.overlap) * 1000, days: daysOf(options.days) }
      const ids = id === undefined ? rotationOrder(plan) : [id]
      const shown = progress('rotating', ids.length)
      const rotated: Rotated[] = []
      for (const one of ids)
        try {
          rotated.push(await rotateCredential(directory, plan, one, order, (what) => shown.advance(0, what)))
          shown.advance(1, one)
        } catch (error) {
          shown.fail(`${one}: not rotated`)
          throw error
        }
      shown.done()
      output.table('rotated', ROTATED, rotated)
      for (const line of rotatedLines(rotated, revokeOld)) output.line(line)
      if (!revokeOld) return
      await overlap(order.overlapMs, progress)
      await revoke(self, { keyIds: rotated.map(({ oldKeyId }) => oldKeyId) })
    })
  addExamples(command, [
    ['credential rotate hu-otp', 'a CPP, and new credentials for its wallet hosts'],
    ['credential rotate hu-otp --overlap 0 --revoke-old', 'a key that somebody else may have'],
  ])
}

const secondsOf = (text: string): number => {
  const seconds = Number(text)
  if (!/^\d{1,7}$/.test(text)) throw new CliError('usage', `--overlap ${text} is not a number of seconds`)
  return seconds
}

const clock = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z')

const ROTATED: readonly Column<Rotated>[] = [
  { title: 'id', cell: ({ id }) => id },
  { title: 'serial', align: 'right', cell: ({ serial }) => String(serial) },
  { title: 'key', cell: ({ keyId }) => keyId },
  { title: 'old key', cell: ({ oldKeyId }) => oldKeyId },
  { title: 'needed until', cell: ({ overlapsUntilMs }) => clock(overlapsUntilMs) },
  { title: 'running', cell: ({ reloaded }) => (reloaded ? 'took it on' : 'at its next start') },
  { title: 'certified anew', cell: ({ certified }) => certified.join(', ') },
]

const rotatedLines = (rotated: readonly Rotated[], revokeOld: boolean): readonly string[] => {
  const without = [...new Set(rotated.flatMap(({ withoutFile }) => withoutFile))]
  return [
    ...(without.length === 0
      ? []
      : [`the files of ${without.join(', ')} are not here: issue them again with --again, and hand them over`]),
    ...(revokeOld
      ? []
      : [
          `after ${clock(Math.max(...rotated.map(({ overlapsUntilMs }) => overlapsUntilMs)))}: semops credential revoke --key ${rotated.map(({ oldKeyId }) => oldKeyId).join(' ')}`,
        ]),
  ]
}

/** Counts the time down in which both keys are good. */
const overlap = async (ms: number, progress: CliContext['progress']): Promise<void> => {
  if (ms === 0) return
  const shown = progress('both keys are good, seconds', Math.round(ms / 1000))
  for (const end = performance.now() + ms; performance.now() < end; shown.advance(1))
    await delay(Math.min(1000, Math.max(0, end - performance.now())))
  shown.done()
}

const registerRevoke = (parent: Command): void => {
  const command = parent
    .command('revoke')
    .description('refuse a key everywhere, and drop its logins; for a wallet host also every guest it minted')
    .argument('[id]', 'whose keys, all of them')
    .option('--key <key id...>', 'single keys, in hex; `credential list --all` shows them')
    .action(async (id: string | undefined, { key }: { readonly key?: readonly string[] }, self: Command) => {
      if ((id === undefined) === (key === undefined)) throw new CliError('usage', 'name one id, or keys with --key')
      await revoke(self, id === undefined ? { keyIds: key ?? [] } : { id })
    })
  addExamples(command, [
    ['credential revoke hu-acme', 'whoever runs it is out'],
    ['credential revoke --key 69d30cb5baa5257cf803de053773ae21', 'one key, after its rotation'],
  ])
}

const revoke = async (self: Command, target: RevokeTarget): Promise<void> => {
  const { dir, output, progress, exit } = contextOf(self)
  const directory = fleetDirectory(dir)
  const shown = progress('revoking')
  const revoked = await revokeCredential(directory, await readPlan(directory), target, (what) =>
    shown.advance(0, what),
  ).catch((error: unknown) => {
    shown.fail('not revoked')
    throw error
  })
  if (revoked.late.length > 0) shown.fail(`${revoked.late.length} hosts do not hold the list yet`)
  else shown.done()
  output.fact({ ...revoked, boundMs: REVOCATION_BOUND_MS }, () => revokedLines(revoked))
  if (revoked.late.length > 0) exit('checkFailed')
}

const revokedLines = (revoked: Revoked): readonly string[] => {
  const { version, keyIds, ids, logins, hosts, ms, late, brokerTold, walletsWithoutFile } = revoked
  return [
    `revocation list ${version}: ${keyIds.length} ${keyIds.length === 1 ? 'key' : 'keys'} of ${ids.join(', ')}, ${logins} logins`,
    brokerTold ? 'the broker has dropped them' : 'the broker does not run: it refuses them from its next start on',
    `${hosts} running hosts refuse it, ${(ms / 1000).toFixed(1)} s after it was signed (bound: ${REVOCATION_BOUND_MS / 1000} s)`,
    ...(late.length === 0 ? [] : [`not yet: ${late.join(', ')}; run the same command again`]),
    ...(walletsWithoutFile.length === 0
      ? []
      : [`${walletsWithoutFile.join(', ')} cannot mint guests any more: issue their files again with --again`]),
  ]
}
