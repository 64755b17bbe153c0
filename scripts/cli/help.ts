/** The parts of a help text that commander does not write itself. */
import type { Command } from 'commander'
import { EXIT_CODES } from '../exit-codes.ts'

const aligned = (rows: readonly (readonly [string, string])[]): string => {
  const widest = rows.reduce((width, [left]) => Math.max(width, left.length), 0)
  return rows.map(([left, right]) => `  ${left.padEnd(widest)}  ${right}`.trimEnd()).join('\n')
}

/** Adds an examples section: each row a command line, without the leading `semops`, and what it does. */
export const addExamples = (command: Command, examples: readonly (readonly [string, string])[]): Command =>
  command.addHelpText(
    'after',
    `\nExamples:\n${examples.map(([line, what]) => `  # ${what}\n  $ semops ${line}`).join('\n\n')}`,
  )

/** The sections at the end of `semops --help`. */
export const addRootHelp = (program: Command): Command =>
  program.addHelpText(
    'after',
    `
Environment:
${aligned([
  ['SEMOPS_DIR', 'the run directory, when --dir is not given'],
  ['NATS_SERVER_BIN', 'the nats-server to start, when it is not on PATH'],
  ['SEMOPS_DEBUG', 'when set, errors come with their stack'],
  ['NO_COLOR', 'when set, no colours'],
])}

Exit codes:
${aligned(Object.values(EXIT_CODES).map(({ number, meaning }) => [String(number), meaning]))}`,
  )
