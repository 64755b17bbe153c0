/** Errors as people meet them: one line that says what is wrong and what to do, and the exit code that fits. */
import { CommanderError } from 'commander'
import { exitCode, type ExitReason } from '../exit-codes.ts'

/** An error a person can mend. `message` is one line, without a final full stop, that says what to do. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly reason: ExitReason

  constructor(reason: ExitReason, message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}

/** What the shell prints for an error that ended a command. `stack` is for SEMOPS_DEBUG. */
export type ErrorReport = { readonly message: string; readonly exitCode: number; readonly stack: string }

const oneLine = (text: string): string => text.trim().replace(/\s*\n\s*/g, ' ')

/** Node's codes for what is missing in the environment rather than wrong in the program. */
const ENVIRONMENT = new Set(['EACCES', 'EADDRINUSE', 'ECONNREFUSED', 'EMFILE', 'ENOENT', 'ENOSPC', 'EPERM', 'EROFS'])

const codeOf = (error: Error): string => ('code' in error && typeof error.code === 'string' ? error.code : '')

const stackOf = (error: Error): string => {
  const stack = error.stack ?? String(error)
  return error.cause instanceof Error ? `${stack}\ncaused by: ${stackOf(error.cause)}` : stack
}

/** @returns the report of anything thrown; what is no CliError is a defect and says how to see more. */
export const reportError = (error: unknown): ErrorReport => {
  if (!(error instanceof Error))
    return { message: oneLine(String(error)), exitCode: exitCode('defect'), stack: String(error) }
  const stack = stackOf(error)
  if (error instanceof CliError) return { message: oneLine(error.message), exitCode: exitCode(error.reason), stack }
  if (error instanceof CommanderError)
    return { message: oneLine(error.message.replace(/^error: /, '')), exitCode: exitCode('usage'), stack }
  if (ENVIRONMENT.has(codeOf(error)))
    return { message: oneLine(error.message), exitCode: exitCode('environment'), stack }
  const message = `${oneLine(error.message)} (a defect; SEMOPS_DEBUG=1 shows where)`
  return { message, exitCode: exitCode('defect'), stack }
}
