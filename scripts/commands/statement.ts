/** `semops statement`: an account over a period, from the ledger that keeps it. */
import { Option, type Command } from 'commander'
import { CURRENCY_CODES, type Currency } from '../../protocol/amount.ts'
import { contextOf } from '../cli/context.ts'
import { CliError } from '../cli/errors.ts'
import { addExamples } from '../cli/help.ts'
import { toJson } from '../cli/output.ts'
import { readPlan } from '../fleet/client.ts'
import { fleetDirectory } from '../fleet/directory.ts'
import type { Plan } from '../fleet/plan.ts'
import { closeSources, openSourcesOf } from '../fleet/sources.ts'
import {
  momentOf,
  questionsOf,
  readStatements,
  statementCsv,
  statementLines,
  type NamedStatement,
  type Period,
  type Subject,
} from '../fleet/statement.ts'

const FORMATS = ['table', 'csv', 'json'] as const
type Options = {
  readonly from?: string
  readonly to?: string
  readonly format: (typeof FORMATS)[number]
  readonly cpp?: string
  readonly as: 'cpp' | 'mpp'
  readonly currency?: Currency
}

export const register = (program: Command): void => {
  const command = program
    .command('statement')
    .description('an account over a period: opening balance, every movement, closing balance')
    .action((_options: unknown, self: Command) => self.help({ error: true }))

  withPeriod(command.command('customer <customer>'))
    .description('what a customer owes: micropayments, collections, refunds; of large payments see the bank account')
    .option('--cpp <id>', 'at this processor only (default: every one of theirs)')
    .action((customer: string, options: Options, self: Command) =>
      tell(self, options, () => ({ of: 'customer', customer, cpp: options.cpp })),
    )
  withPeriod(command.command('merchant <payee>'))
    .description('what a payee is owed by its processor: micropayments, payouts, refunds')
    .action((payee: string, options: Options, self: Command) => tell(self, options, () => ({ of: 'merchant', payee })))
  withPeriod(command.command('pair <cpp> <mpp>'))
    .description('what one intermediary owes the other: payments, refunds, adjustments, settlements')
    .addOption(new Option('--as <side>', 'whose ledger').choices(['cpp', 'mpp']).default('cpp'))
    .addOption(
      new Option('--currency <code>', "in which currency (default: the network's)").choices([...CURRENCY_CODES]),
    )
    .action((cpp: string, mpp: string, options: Options, self: Command) =>
      tell(self, options, (plan) => ({
        of: 'pair',
        cpp,
        mpp,
        at: options.as,
        currency: options.currency ?? plan.currency,
      })),
    )
  withPeriod(command.command('account <account>'))
    .description('a bank account, as <bank>:<name>')
    .action((account: string, options: Options, self: Command) =>
      tell(self, options, () => ({ of: 'account', account })),
    )

  addExamples(command, [
    ['statement customer hu-anna', 'everything since the enrolment, for people'],
    ['statement merchant bakery@hu --from 2026-11-01 --to 2026-12-01 --format csv', 'a month, for a spreadsheet'],
    ['statement pair hu-otp hu-cosmo --as mpp', "by the merchant processor's ledger"],
    ['statement account hu-kh:cust-hu-anna --json', '{"statements":[{"openingMinor","lines":[…],"closingMinor"}]}'],
  ])
}

const withPeriod = (command: Command): Command =>
  command
    .option('--from <moment>', 'a day or a time, inclusive: 2026-11-01, 2026-11-01T08:00:00Z (default: the beginning)')
    .option('--to <moment>', 'the same, exclusive (default: now)')
    .addOption(new Option('--format <format>', 'how to print it').choices([...FORMATS]).default('table'))

const periodOf = ({ from, to }: Options): Period => {
  const [fromMs, toMs] = [from, to].map((text) => (text === undefined ? undefined : momentOf(text)))
  if (fromMs !== undefined && toMs !== undefined && fromMs >= toMs)
    throw new CliError('usage', `--from ${from} is not before --to ${to}`)
  return { fromMs, toMs }
}

const tell = async (self: Command, options: Options, subjectOf: (plan: Plan) => Subject): Promise<void> => {
  const { dir, json, output } = contextOf(self)
  const period = periodOf(options)
  const statements = await read(dir, subjectOf, period)
  if (json || options.format === 'json') return jsonOf(self, statements)
  if (options.format === 'csv') for (const line of statementCsv(statements)) output.line(line)
  else for (const line of statementLines(statements, output)) output.line(line)
}

const read = async (
  dir: string,
  subjectOf: (plan: Plan) => Subject,
  period: Period,
): Promise<readonly NamedStatement[]> => {
  const directory = fleetDirectory(dir)
  const plan = await readPlan(directory)
  const questions = questionsOf(plan, subjectOf(plan))
  const sources = await openSourcesOf(directory, plan, new Set(questions.map(({ host }) => host)))
  try {
    return await readStatements(
      async (host, name, args) => sources.find(({ id }) => id === host)?.ask(name, args),
      questions,
      period,
    )
  } finally {
    await closeSources(sources)
  }
}

/** The same whichever way JSON was asked for. */
const jsonOf = (self: Command, statements: readonly NamedStatement[]): void =>
  self.configureOutput().writeOut?.(`${toJson({ statements })}\n`)
