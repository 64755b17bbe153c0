import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { createOutput } from '../cli/output.ts'
import { parseNetwork } from './network.ts'
import { HostRefusal } from './host-client.ts'
import { planNetwork } from './plan.ts'
import {
  momentOf,
  questionsOf,
  readStatements,
  statementCsv,
  statementLines,
  type NamedStatement,
  type Subject,
} from './statement.ts'

const file = (name: string) => readFileSync(new URL(name, import.meta.url), 'utf8')
const plan = planNetwork(parseNetwork(file('./default-network.yaml'), 'default-network.yaml'))

describe('who is asked', () => {
  test.each<readonly [string, Subject, readonly object[]]>([
    [
      'every processor of a customer',
      { of: 'customer', customer: 'hu-bela' },
      ['hu-otp', 'ro-libra'].map((host) => ({ host, read: 'statement', args: { customer: 'hu-bela' } })),
    ],
    [
      'one of them',
      { of: 'customer', customer: 'hu-bela', cpp: 'ro-libra' },
      [{ host: 'ro-libra', title: 'hu-bela owes ro-libra' }],
    ],
    [
      'the MPP of a payee, by address or token',
      { of: 'merchant', payee: 'cafe@ro' },
      [{ host: 'ro-danube', title: 'ro-danube owes cafe@ro', args: { payee: 'ro-cafe' } }],
    ],
    [
      'the CPP of a pair',
      { of: 'pair', cpp: 'hu-otp', mpp: 'ro-danube', at: 'cpp', currency: 'EUR' },
      [{ host: 'hu-otp', args: { mpp: 'ro-danube', currency: 'EUR' } }],
    ],
    [
      'or its MPP',
      { of: 'pair', cpp: 'hu-otp', mpp: 'ro-danube', at: 'mpp', currency: 'EUR' },
      [{ host: 'ro-danube', args: { cpp: 'hu-otp', currency: 'EUR' } }],
    ],
    [
      'the bank of an account',
      { of: 'account', account: 'hu-kh:hu-otp' },
      [{ host: 'hu-kh', read: 'account-statement', args: { account: 'hu-kh:hu-otp' } }],
    ],
  ])('%s', (_, subject, questions) => {
    expect(questionsOf(plan, subject)).toMatchObject(questions)
  })

  test.each<Subject>([
    { of: 'customer', customer: 'hu-nobody' },
    { of: 'customer', customer: 'hu-anna', cpp: 'hu-nobody' },
    { of: 'merchant', payee: 'nobody@hu' },
    { of: 'pair', cpp: 'hu-cosmo', mpp: 'ro-danube', at: 'cpp', currency: 'EUR' },
    { of: 'pair', cpp: 'hu-otp', mpp: 'hu-otp', at: 'cpp', currency: 'EUR' },
    { of: 'account', account: 'hu-nobody:x' },
  ])('nobody for %j', (subject) => {
    expect(() => questionsOf(plan, subject)).toThrow(/is not of this network/)
  })
})

test('the network of one intermediary has one operator, one account, and no settlement at a bank', () => {
  const one = planNetwork(parseNetwork(file('./one-intermediary.yaml'), 'one-intermediary.yaml'))
  const processors = one.hosts.filter(({ role }) => role === 'cpp' || role === 'mpp')
  expect(processors.map(({ operatorId, account }) => [operatorId, account])).toEqual([
    ['hu-one', 'hu-kh:hu-one'],
    ['hu-one', 'hu-kh:hu-one'],
  ])
  expect(one.accounts.filter(({ account }) => account === 'hu-kh:hu-one')).toHaveLength(1)
})

describe('a moment', () => {
  test.each([
    ['2026-11-22', '2026-11-22T00:00:00.000Z'],
    ['2026-11-22T18:30Z', '2026-11-22T18:30:00.000Z'],
    ['2026-11-22T18:30:05.5+02:00', '2026-11-22T16:30:05.500Z'],
  ])('%s', (text, iso) => {
    expect(new Date(momentOf(text)).toISOString()).toBe(iso)
  })
  test.each(['', 'yesterday', '2026-11', '2026-02-31', '2026-13-01', '2026-11-22T18:30', '2026-11-22T25:00Z', '0'])(
    '%j is none',
    (text) => {
      expect(() => momentOf(text)).toThrow(/is no moment/)
    },
  )
})

const page = (parts: object): unknown => ({ ok: true, currency: 'EUR', beforeMinor: '0', lines: [], ...parts })
const line = (atMs: number, amountMinor: string, more: object = {}) => ({
  atMs,
  what: 'payment',
  id: 'ab',
  amountMinor,
  ...more,
})
const question = { host: 'hu-otp', title: 'hu-anna owes hu-otp', read: 'statement', args: { customer: 'hu-anna' } }

describe('what is read', () => {
  test('is all pages, with money as text, as one statement', async () => {
    const asked: unknown[] = []
    const pages = [
      page({ beforeMinor: '100', lines: [line(2_000, '20')], next: '7' }),
      page({ lines: [line(1_000, '-5')] }),
    ]
    const [statement] = await readStatements(
      async (host, read, args) => {
        asked.push([host, read, args])
        return pages[asked.length - 1]
      },
      [question],
      { fromMs: 500, toMs: undefined },
    )
    expect(asked).toEqual([
      ['hu-otp', 'statement', { customer: 'hu-anna', fromMs: 500 }],
      ['hu-otp', 'statement', { customer: 'hu-anna', fromMs: 500, after: '7' }],
    ])
    expect(statement).toMatchObject({ openingMinor: 100n, closingMinor: 115n })
    expect(statement?.lines.map(({ balanceMinor }) => balanceMinor)).toEqual([95n, 115n])
  })

  test.each([
    ['that runs', async () => Promise.reject(new HostRefusal('hu-otp', 'statement', 'CUSTOMER_UNKNOWN', 'hu-anna'))],
    ['that does not', async () => ({ ok: false, code: 'CUSTOMER_UNKNOWN', detail: 'hu-anna' })],
  ])('a refusal of a host %s is one line', async (_, ask) => {
    await expect(readStatements(ask, [question], {})).rejects.toThrow('CUSTOMER_UNKNOWN')
  })
})

describe('what is printed', () => {
  const statement: NamedStatement = {
    host: 'hu-otp',
    title: 'hu-anna owes "hu-otp", all of it',
    currency: 'EUR',
    openingMinor: 100n,
    closingMinor: 70n,
    lines: [{ ...line(0, '0', { with: 'hu-bakery' }), amountMinor: -30n, balanceMinor: 70n }],
  }
  test('as CSV: every line with its account, and fields that need it in quotes', () => {
    const account = '"hu-anna owes ""hu-otp"", all of it",EUR'
    expect(statementCsv([statement])).toEqual([
      'account,currency,time,what,with,id,amount,balance',
      `${account},,opening,,,,1.00`,
      `${account},1970-01-01T00:00:00.000Z,payment,hu-bakery,ab,-0.30,0.70`,
      `${account},,closing,,,,0.70`,
    ])
  })
  test('as a table: a title, the opening balance, the lines, the closing balance', () => {
    const output = createOutput({ json: false, colour: false, write: () => undefined })
    const lines = statementLines([statement, statement], output)
    expect(lines).toHaveLength(2 * 5 + 1)
    expect(lines[2]).toMatch(/opening +1\.00$/)
    expect(lines[3]).toMatch(/payment +hu-bakery +ab +-0\.30 +0\.70$/)
  })
})
