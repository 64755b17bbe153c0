// Where the project is, and how set-up speaks: one plain line on stderr, so that `--json` output stays clean.
import { fileURLToPath } from 'node:url'

export const projectRoot = fileURLToPath(new URL('../..', import.meta.url))

/** What a person has to do before this can go on; its message is one line that says so. */
export class SetupError extends Error {
  /**
   * @param {string} message what is missing and what to do, in one line
   * @param {string} [detail] the last lines of a failed tool, printed after the message
   */
  constructor(message, detail) {
    super(message)
    this.detail = detail
  }
}

/** @param {string} line */
export const say = (line) => void process.stderr.write(`semops: ${line}\n`)

/** @typedef {string | Buffer | null | undefined} Output what a tool said */

/** @param {Output[]} outputs */
const linesOf = (outputs) =>
  outputs.flatMap((output) => String(output ?? '').split('\n')).filter((line) => line.trim() !== '')

/** The reason comes first in what npm and the compiler say. @param {...Output} outputs */
export const firstLines = (...outputs) => linesOf(outputs).slice(0, 15).join('\n')

/** The reason comes last in what the other tools say. @param {...Output} outputs */
export const lastLines = (...outputs) => linesOf(outputs).slice(-15).join('\n')

/** @param {number} startedAt of `performance.now()` */
export const seconds = (startedAt) => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`

/**
 * Runs one set-up step as a program: a SetupError becomes its line and the exit code 3 (environment missing).
 * @param {() => void} step
 */
export const runStep = (step) => {
  try {
    step()
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    say(error.message)
    if (error.detail) process.stderr.write(`${error.detail}\n`)
    process.exit(3)
  }
}
