/**
 * Statements as a person asks for them: a customer, a merchant, a pair of intermediaries or a bank account, over a period. Which
 * ledger keeps it is the plan's to say; it is read page by page, whether its host runs or not.
 */
import { formatAmount, type Currency } from '../../protocol/amount.ts'
import { bankOf, payeeAddress, payeeToken } from '../../protocol/ids.ts'
import {
  addUpStatement,
  type Statement,
  type StatementLine,
  type StatementPage,
} from '../../nodes/runtime/statement.ts'
import { CliError } from '../cli/errors.ts'
import type { Column, Output } from '../cli/output.ts'
import { HostRefusal } from './host-client.ts'
import type { HostRole, Plan } from './plan.ts'

export type Subject =
  | { readonly of: 'customer'; readonly customer: string; readonly cpp?: string | undefined }
  | { readonly of: 'merchant'; readonly payee: string }
  | {
      readonly of: 'pair'
      readonly cpp: string
      readonly mpp: string
      readonly at: 'cpp' | 'mpp'
      readonly currency: Currency
    }
  | { readonly of: 'account'; readonly account: string }

/** What is asked of one host. */
export type Question = {
  readonly host: string
  /** `hu-anna owes hu-otp`. */
  readonly title: string
  readonly read: string
  readonly args: Readonly<Record<string, unknown>>
}
/** Milliseconds; `fromMs` inclusive, `toMs` exclusive. */
export type Period = { readonly fromMs?: number | undefined; readonly toMs?: number | undefined }

const unknown = (what: string): CliError =>
  new CliError('usage', `${what} is not of this network; \`semops status\` shows who is`)

/** Which hosts keep what is asked for; a customer of several CPPs has an account at each. @throws CliError */
export const questionsOf = (plan: Plan, subject: Subject): readonly Question[] => {
  const has = (role: HostRole, id: string): boolean => plan.hosts.some((host) => host.role === role && host.id === id)
  switch (subject.of) {
    case 'customer': {
      const { customer, cpp } = subject
      const known = plan.customers.find((one) => one.customer === customer)
      const cpps = cpp === undefined ? known?.cpps : has('cpp', cpp) ? [cpp] : undefined
      if (cpps === undefined) throw unknown(cpp ?? customer)
      return cpps.map((host) => ({
        host,
        title: `${customer} owes ${host}`,
        read: 'statement',
        args: { customer },
      }))
    }
    case 'merchant': {
      const token = payeeToken(subject.payee) ?? subject.payee
      const known = plan.payees.find(({ payee }) => payee === token)
      if (known === undefined) throw unknown(subject.payee)
      return [
        {
          host: known.mpp,
          title: `${known.mpp} owes ${payeeAddress(token)}`,
          read: 'statement',
          args: { payee: token },
        },
      ]
    }
    case 'pair': {
      const { cpp, mpp, at, currency } = subject
      if (!has('cpp', cpp)) throw unknown(cpp)
      if (!has('mpp', mpp)) throw unknown(mpp)
      const other = at === 'cpp' ? { mpp } : { cpp }
      return [{ host: subject[at], title: `${cpp} owes ${mpp}`, read: 'statement', args: { ...other, currency } }]
    }
    case 'account': {
      const host = bankOf(subject.account)
      if (!has('bank', host)) throw unknown(host)
      return [{ host, title: subject.account, read: 'account-statement', args: { account: subject.account } }]
    }
  }
}

export type NamedStatement = Statement & { readonly host: string; readonly title: string }

/** A question to a host, running or not; its answer as that host gives it. */
export type Ask = (host: string, read: string, args: Readonly<Record<string, unknown>>) => Promise<unknown>

/** All pages of each. @throws CliError when a ledger does not know the account */
export const readStatements = async (
  ask: Ask,
  questions: readonly Question[],
  { fromMs, toMs }: Period,
): Promise<readonly NamedStatement[]> => {
  const statements: NamedStatement[] = []
  const period = { ...(fromMs === undefined ? {} : { fromMs }), ...(toMs === undefined ? {} : { toMs }) }
  for (const { host, title, read, args } of questions) {
    const pages: StatementPage[] = []
    let after: string | undefined
    do {
      const answer = await ask(host, read, { ...args, ...period, ...(after === undefined ? {} : { after }) }).catch(
        (error: unknown) => {
          if (error instanceof HostRefusal) throw refused(host, title, error.code, error.detail)
          throw error
        },
      )
      const page = pageOf(answer, host, title)
      pages.push(page)
      after = page.next
    } while (after !== undefined)
    statements.push({ host, title, ...addUpStatement(pages) })
  }
  return statements
}

const refused = (host: string, title: string, code: string, detail: string): CliError =>
  new CliError('usage', `${host} keeps no statement "${title}": ${code}${detail === '' ? '' : ` (${detail})`}`)

/** A page as it comes: money is text from a running host. */
type Money = bigint | string
type GivenLine = Omit<StatementLine, 'amountMinor'> & { readonly amountMinor: Money }
type GivenPage = Omit<StatementPage, 'beforeMinor' | 'lines'> & {
  readonly beforeMinor: Money
  readonly lines: readonly GivenLine[]
}
const pageOf = (answer: unknown, host: string, title: string): StatementPage => {
  const page = answer as GivenPage | { readonly ok: false; readonly code: string; readonly detail?: string }
  if (!page.ok) throw refused(host, title, page.code, page.detail ?? '')
  return {
    ...page,
    beforeMinor: BigInt(page.beforeMinor),
    lines: page.lines.map((line) => ({ ...line, amountMinor: BigInt(line.amountMinor) })),
  }
}

/** `2026-11-22` (its first moment, UTC) or a time with its zone → milliseconds. @throws CliError */
export const momentOf = (text: string): number => {
  const isDay = /^\d{4}-\d{2}-\d{2}$/.test(text)
  const isTime = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})$/.test(text)
  const atMs = isDay ? Date.parse(`${text}T00:00:00Z`) : isTime ? Date.parse(text) : Number.NaN
  // `Date.parse` takes the 31st of February for a day of March.
  const isReal = !isDay || (Number.isFinite(atMs) && new Date(atMs).toISOString().startsWith(text))
  if (!Number.isFinite(atMs) || !isReal)
    throw new CliError(
      'usage',
      `${text} is no moment: a day such as 2026-11-22, or a time such as 2026-11-22T18:30:00Z`,
    )
  return atMs
}

type Shown = {
  readonly time: string
  readonly what: string
  readonly id: string
  readonly with: string
  readonly amount: string
  readonly balance: string
}
const timeOf = (atMs: number): string => new Date(atMs).toISOString()
const shownLines = ({ currency, openingMinor, lines, closingMinor }: Statement): readonly Shown[] => {
  const money = (minor: bigint) => formatAmount(minor, currency)
  const edge = (what: string, balanceMinor: bigint): Shown => ({
    time: '',
    what,
    id: '',
    with: '',
    amount: '',
    balance: money(balanceMinor),
  })
  return [
    edge('opening', openingMinor),
    ...lines.map(({ atMs, what, id, with: other = '', amountMinor, balanceMinor }) => ({
      time: timeOf(atMs),
      what,
      id,
      with: other,
      amount: money(amountMinor),
      balance: money(balanceMinor),
    })),
    edge('closing', closingMinor),
  ]
}

const COLUMNS: readonly Column<Shown>[] = [
  { title: 'TIME', cell: ({ time }) => time },
  { title: 'WHAT', cell: ({ what }) => what },
  { title: 'WITH', cell: (line) => line.with },
  { title: 'ID', cell: ({ id }) => id },
  { title: 'AMOUNT', align: 'right', cell: ({ amount }) => amount },
  { title: 'BALANCE', align: 'right', cell: ({ balance }) => balance },
]

/** For people: a table for each account. */
export const statementLines = (statements: readonly NamedStatement[], output: Output): readonly string[] =>
  statements.flatMap((statement, at) => [
    ...(at === 0 ? [] : ['']),
    output.style('bold', `${statement.title}, ${statement.currency}, by the ledger of ${statement.host}`),
    ...output.rows(COLUMNS, shownLines(statement)),
  ])

/** RFC 4180 in all but the line end: a field with a comma, a quote or a line end stands in quotes. */
const csvField = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)

/** For spreadsheets: one header, and each line with the account that it is of. */
export const statementCsv = (statements: readonly NamedStatement[]): readonly string[] => [
  'account,currency,time,what,with,id,amount,balance',
  ...statements.flatMap((statement) =>
    shownLines(statement).map((line) =>
      [statement.title, statement.currency, line.time, line.what, line.with, line.id, line.amount, line.balance]
        .map(csvField)
        .join(','),
    ),
  ),
]
