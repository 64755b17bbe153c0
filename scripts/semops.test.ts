import type { Command } from 'commander'
import { describe, expect, test } from 'vitest'
import { contextOf } from './cli/context.ts'
import { CliError } from './cli/errors.ts'
import { addExamples } from './cli/help.ts'
import { type ExitReason, EXIT_CODES } from './exit-codes.ts'
import { run, type Commands } from './semops.ts'

/** A command that does `act`, and what was loaded on the way. */
const commandsWith = (act: (command: Command) => void | Promise<void>) => {
  const loaded: string[] = []
  const module = (name: string, configure: (command: Command) => void) => async () => {
    loaded.push(name)
    return { register: (program: Command) => configure(program.command(name)) }
  }
  const commands: Commands = new Map([
    [
      'pay',
      module('pay', (command) => {
        command
          .description('make one payment')
          .requiredOption('--to <payee>', 'who is paid')
          .action(async (_options: unknown, self: Command) => act(self))
        addExamples(command, [['pay --to bakery@hu', 'pay the bakery']])
      }),
    ],
    ['status', module('status', (command) => command.description('show every node').action(() => undefined))],
    ['extra', module('extra', (command) => command.description('what no group lists').action(() => undefined))],
  ])
  return { commands, loaded }
}

const runWith = async (line: string, act: (command: Command) => void | Promise<void> = () => undefined) => {
  const { commands, loaded } = commandsWith(act)
  let out = ''
  let error = ''
  const streams = { out: (text: string) => void (out += text), error: (text: string) => void (error += text) }
  const words = line.split(' ').filter((word) => word !== '')
  return { code: await run(words, commands, streams), out, error, loaded }
}

const fails = (error: unknown) => () => {
  throw error
}

describe('the shell', () => {
  test('loads the command that was asked for and no other', async () => {
    expect(await runWith('status')).toEqual({ code: 0, out: '', error: '', loaded: ['status'] })
    expect((await runWith('--dir /x --json pay --to a')).loaded).toEqual(['pay'])
  })

  test('gives the command what was said before and after its name', async () => {
    const seen: unknown[] = []
    const see = (command: Command): void => {
      const { json, dir } = contextOf(command)
      seen.push({ json, dir })
    }
    await runWith('--json --dir /net pay --to a', see)
    await runWith('pay --to a --json --dir /net', see)
    expect(seen).toEqual([
      { json: true, dir: '/net' },
      { json: true, dir: '/net' },
    ])
  })

  test('prints facts on stdout as text or as JSON', async () => {
    const act = (command: Command): void =>
      contextOf(command).output.fact({ amountMinor: 120n, outcome: 'confirmed' }, () => 'confirmed')
    expect((await runWith('pay --to a', act)).out).toBe('confirmed\n')
    expect((await runWith('pay --to a --json', act)).out).toBe('{"amountMinor":"120","outcome":"confirmed"}\n')
  })

  test.each(Object.keys(EXIT_CODES) as ExitReason[])('a command can end with `%s`', async (reason) => {
    const ended = await runWith('pay --to a', (command) => contextOf(command).exit(reason))
    expect(ended.code).toBe(EXIT_CODES[reason].number)
    expect(ended.error).toBe('')
  })

  test('exit codes differ', () => {
    const numbers = Object.values(EXIT_CODES).map(({ number }) => number)
    expect(new Set(numbers).size).toBe(numbers.length)
  })

  test('one run does not inherit the end of another', async () => {
    await runWith('pay --to a', (command) => contextOf(command).exit('failed'))
    expect((await runWith('pay --to a')).code).toBe(0)
  })
})

describe('help', () => {
  test('of the shell lists every command by group, the environment and the exit codes', async () => {
    const { code, out, loaded } = await runWith('--help')
    expect(code).toBe(0)
    expect(loaded).toEqual(['status', 'pay', 'extra'])
    expect(out).toMatch(/Run a network:\n {2}status.*\n\nPay and prove:\n {2}pay.*\n\nOther:\n {2}extra/)
    for (const part of ['Environment:', 'NATS_SERVER_BIN', 'Exit codes:', '--json', '--dir'])
      expect(out).toContain(part)
    for (const { number, meaning } of Object.values(EXIT_CODES))
      expect(out).toContain(`${number}`.padEnd(2) + `  ${meaning}`)
  })

  test('shows no title of a group without commands', async () => {
    expect((await runWith('--help')).out).not.toContain('Load and faults:')
  })

  test('of a command shows its examples and the global options', async () => {
    const { code, out, loaded } = await runWith('pay --help')
    expect(code).toBe(0)
    expect(loaded).toEqual(['pay'])
    for (const part of ['make one payment', '--to <payee>', 'Global Options:', '--json', '$ semops pay --to bakery@hu'])
      expect(out).toContain(part)
  })

  test('is what a bare `semops` gets, as a wrong use', async () => {
    const { code, error } = await runWith('')
    expect(code).toBe(2)
    expect(error).toContain('Usage: semops <command>')
  })

  test('a version is printed alone', async () => {
    expect(await runWith('--version')).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) })
  })
})

describe('errors', () => {
  test.each([
    ['pay', 2, "semops: required option '--to <payee>' not specified; see `semops pay --help`\n"],
    ['pay --to a --nope', 2, "semops: unknown option '--nope'; see `semops pay --help`\n"],
    ['pay --to', 2, "semops: option '--to <payee>' argument missing; see `semops pay --help`\n"],
    ['pya', 2, "semops: unknown command 'pya' (Did you mean pay?); see `semops --help`\n"],
    ['--nope', 2, "semops: unknown option '--nope'; see `semops --help`\n"],
  ])('%j is a wrong use', async (line, code, error) => {
    expect(await runWith(line)).toMatchObject({ code, error, out: '' })
  })

  test('what a person can mend is one line with the code that fits', async () => {
    const error = new CliError('environment', 'no network runs in .semops;\n start one with `semops up`')
    expect(await runWith('pay --to a', fails(error))).toMatchObject({
      code: 3,
      error: 'semops: no network runs in .semops; start one with `semops up`\n',
      out: '',
    })
  })

  test('with --json the line is JSON', async () => {
    expect(await runWith('pay --to a --json', fails(new CliError('usage', 'the amount is no number')))).toMatchObject({
      code: 2,
      error: '{"error":"the amount is no number","exitCode":2}\n',
      out: '',
    })
  })

  test('a defect says so, without its stack', async () => {
    const { code, error } = await runWith('pay --to a', fails(new TypeError('x is undefined')))
    expect(code).toBe(70)
    expect(error).toBe('semops: x is undefined (a defect; SEMOPS_DEBUG=1 shows where)\n')
  })

  test('what the system lacks is the environment', async () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    expect(await runWith('pay --to a', fails(refused))).toMatchObject({
      code: 3,
      error: 'semops: connect ECONNREFUSED\n',
    })
  })

  test('anything else that is thrown is reported too', async () => {
    expect(await runWith('pay --to a', fails('just text'))).toMatchObject({ code: 70, error: 'semops: just text\n' })
  })
})
