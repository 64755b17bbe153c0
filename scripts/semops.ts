/**
 * The `semops` command: a shell that finds the subcommand, loads it and turns what it throws into one line and an exit
 * code. A subcommand is a file of commands/ named as it is typed, exporting `register(program)`; only the one that was asked
 * for is loaded, so that no command pays for the imports of another.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, CommanderError } from 'commander'
import { exitReasonOf } from './cli/context.ts'
import { reportError } from './cli/errors.ts'
import { addRootHelp } from './cli/help.ts'
import { toJson, type Write } from './cli/output.ts'
import { projectRoot, RUN_DIRECTORY } from './cli/paths.ts'
import { exitCode } from './exit-codes.ts'

export type CommandModule = { readonly register: (program: Command) => void }

/** Every subcommand by name, with the way to load it. */
export type Commands = ReadonlyMap<string, () => Promise<CommandModule>>

export type Streams = { readonly out: Write; readonly error: Write }

/** The order of the help text. A command that is not listed comes last. */
const GROUPS = [
  { title: 'Run a network:', names: ['demo', 'up', 'status', 'ls', 'logs', 'top', 'down'] },
  {
    title: 'Change a running network:',
    names: ['add', 'scale', 'restart', 'kill', 'pause', 'resume', 'customer', 'policy'],
  },
  { title: 'Pay and prove:', names: ['pay', 'refund', 'trace', 'statement', 'verify', 'evidence', 'audit'] },
  { title: 'Keep:', names: ['snapshot', 'restore'] },
  { title: 'Load and faults:', names: ['flood', 'simulate', 'chaos', 'bench'] },
  { title: 'Attach processors:', names: ['credential', 'node', 'conform', 'doctor'] },
] as const

const COMMAND_FILE = /^([a-z][a-z0-9-]*)\.(?:js|ts)$/

/** The subcommands whose files stand in commands/, beside this file. */
const findCommands = (): Commands => {
  const folder = new URL('./commands/', import.meta.url)
  const commands = new Map<string, () => Promise<CommandModule>>()
  for (const file of existsSync(folder) ? readdirSync(folder) : []) {
    const name = COMMAND_FILE.exec(file)?.[1]
    if (name !== undefined) commands.set(name, () => import(new URL(file, folder).href) as Promise<CommandModule>)
  }
  return commands
}

const version = (): string => {
  const { version: number } = JSON.parse(readFileSync(join(projectRoot(), 'package.json'), 'utf8')) as {
    version: string
  }
  return number
}

const createProgram = ({ out, error }: Streams): Command =>
  addRootHelp(
    new Command('semops')
      .description('A peer-to-peer payment network on a message bus: run it, pay over it, prove it right.')
      .usage('<command> [options]')
      .version(version(), '-V, --version', 'print the version')
      .option('--json', 'print facts as JSON, one value a line; amounts are strings of minor units')
      .option('--dir <folder>', `the run directory of the network (default: $SEMOPS_DIR or ${RUN_DIRECTORY})`)
      .helpOption('-h, --help', 'show help for a command')
      .helpCommand(false)
      .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
      // errors are printed by `run`, in one form for all
      .configureOutput({ writeOut: out, writeErr: error, outputError: () => undefined })
      .showSuggestionAfterError()
      .exitOverride(),
  )

/** The word that names the subcommand: the first that is neither an option nor the value of a global one. */
const requested = (words: readonly string[]): string | undefined => {
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? ''
    if (word === '--dir') at += 1
    else if (!word.startsWith('-')) return word
  }
  return undefined
}

const registerAll = async (program: Command, commands: Commands): Promise<void> => {
  const left = new Set(commands.keys())
  const groups = GROUPS.map(({ title, names }) => ({ title, names: names.filter((name) => left.delete(name)) }))
  for (const { title, names } of [...groups, { title: 'Other:', names: [...left].toSorted() }]) {
    program.commandsGroup(title)
    for (const name of names) (await commands.get(name)?.())?.register(program)
  }
}

/**
 * Runs one command line.
 * @param words the command line without the interpreter and the script
 * @returns the exit code; nothing is thrown
 */
export const run = async (words: readonly string[], commands: Commands, streams: Streams): Promise<number> => {
  const program = createProgram(streams)
  const name = requested(words)
  const load = name === undefined ? undefined : commands.get(name)
  try {
    if (load === undefined) await registerAll(program, commands)
    else (await load()).register(program)
    if (words.length === 0) {
      program.outputHelp({ error: true })
      return exitCode('usage')
    }
    await program.parseAsync([...words], { from: 'user' })
    return exitCode(exitReasonOf(program))
  } catch (error) {
    // help and version end the same way as errors do
    if (error instanceof CommanderError && error.exitCode === 0) return exitCode('ok')
    const report = reportError(error)
    const hint = error instanceof CommanderError ? `; see \`semops ${load === undefined ? '' : `${name} `}--help\`` : ''
    if (words.includes('--json')) streams.error(`${toJson({ error: report.message, exitCode: report.exitCode })}\n`)
    else streams.error(`semops: ${report.message}${hint}\n`)
    if (process.env['SEMOPS_DEBUG']) streams.error(`${report.stack}\n`)
    return report.exitCode
  }
}

/** The entry of the launcher. @param argv as in `process.argv` */
export const main = async (argv: readonly string[]): Promise<void> => {
  // a reader that has seen enough (`semops logs | head`) is no error
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(exitCode('ok'))
  })
  const streams = {
    out: (text: string) => void process.stdout.write(text),
    error: (text: string) => void process.stderr.write(text),
  }
  process.exitCode = await run(argv.slice(2), findCommands(), streams)
}
