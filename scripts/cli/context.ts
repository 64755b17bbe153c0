/** What a command gets from the shell: where to print, where the fleet is, and how to show progress. */
import type { Command } from 'commander'
import type { ExitReason } from '../exit-codes.ts'
import { createOutput, type Output } from './output.ts'
import { runDirectory } from './paths.ts'
import { startProgress, type Progress } from './progress.ts'

/** The exit code that a command chose, by the root of the command tree it belongs to. */
const chosen = new WeakMap<Command, ExitReason>()

const rootOf = (command: Command): Command => (command.parent === null ? command : rootOf(command.parent))

/** How the command of this program ended; `ok` unless it said otherwise. */
export const exitReasonOf = (program: Command): ExitReason => chosen.get(program) ?? 'ok'

export type CliContext = {
  readonly json: boolean
  /** The run directory, absolute. */
  readonly dir: string
  readonly output: Output
  readonly progress: (label: string, total?: number) => Progress
  /** Ends with this code once the action returns, for ends that are results rather than errors. */
  readonly exit: (reason: ExitReason) => void
}

type GlobalOptions = { readonly json?: boolean; readonly dir?: string }

/** The context of `command`, the one that its action gets as its last argument. */
export const contextOf = (command: Command): CliContext => {
  const { json = false, dir } = command.optsWithGlobals<GlobalOptions>()
  const streams = command.configureOutput()
  const progressOptions = {
    write: (text: string) => streams.writeErr?.(text),
    terminal: process.stderr.isTTY && process.env['TERM'] !== 'dumb',
    columns: process.stderr.columns ?? 80,
    now: () => performance.now(),
  }
  return {
    json,
    dir: runDirectory(dir, process.env, process.cwd()),
    output: createOutput({
      json,
      colour: streams.getOutHasColors?.() ?? false,
      write: (text) => streams.writeOut?.(text),
    }),
    exit: (reason) => void chosen.set(rootOf(command), reason),
    progress: (label, total) => startProgress(progressOptions, label, total),
  }
}
