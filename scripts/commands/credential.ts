/** `semops credential`: who may join the network, and for how long. */
import { resolve } from 'node:path'
import { Option, type Command } from 'commander'
import { parseAmount } from '../../protocol/amount.ts'
import { contextOf } from '../cli/context.ts'
import { CliError } from '../cli/errors.ts'
import { addExamples } from '../cli/help.ts'
import { readPlan } from '../fleet/client.ts'
import { issueCredential, ISSUED_ROLES, type Issued } from '../fleet/credential-issue.ts'
import { listCredentials, type CredentialLine } from '../fleet/credential-list.ts'
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
