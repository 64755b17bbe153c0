/**
 * Starts a supervisor as a process of its own, and hears over IPC how far it is. Attached, it stops the fleet when the one who
 * started it is gone, however that came; detached, it lives on.
 */
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import { CliError } from '../cli/errors.ts'
import { projectRoot } from '../cli/paths.ts'
import { makeFleetDirectory, type FleetDirectory } from './directory.ts'
import { NetworkFileError, parseNetwork } from './network.ts'
import type { StartMessage } from './state.ts'

export const DEFAULT_NETWORK_FILE = fileURLToPath(new URL('./default-network.yaml', import.meta.url))

const readText = async (file: string): Promise<string | undefined> => {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

const checked = (text: string, file: string) => {
  try {
    return parseNetwork(text, file)
  } catch (error) {
    if (error instanceof NetworkFileError) throw new CliError('usage', error.message)
    throw error
  }
}

/**
 * Puts the network's file into the fleet's directory: the given one, else the one that is there, else the default network.
 * @throws CliError for a file that is missing or wrong, or that is of another network than the directory's
 */
export const prepareNetwork = async (directory: FleetDirectory, given: string | undefined): Promise<void> => {
  const there = await readText(directory.networkFile)
  if (given === undefined && there !== undefined) return void checked(there, directory.networkFile)
  const file = given ?? DEFAULT_NETWORK_FILE
  const text = await readText(file)
  if (text === undefined) throw new CliError('usage', `no file ${file}; give the path of a network file, or none`)
  const { network } = checked(text, file)
  const before = there === undefined ? network : checked(there, directory.networkFile).network
  if (before !== network)
    throw new CliError(
      'usage',
      `${directory.root} holds the network ${before}, not ${network}; give another folder with --dir`,
    )
  await makeFleetDirectory(directory)
  if (text !== there) await writeFile(directory.networkFile, text, { mode: 0o600 })
}

export type Launched = {
  readonly pid: number
  /** Resolves when the fleet is ready. @throws CliError with what went wrong, after everything was stopped */
  readonly ready: Promise<{ readonly nodes: number }>
  /** Resolves when the supervisor is gone. */
  readonly ended: Promise<void>
  /** Lets it live on when this process ends. Only for one launched detached. */
  readonly release: () => void
}

export const launch = (
  directory: FleetDirectory,
  { detach, onMessage }: { readonly detach: boolean; readonly onMessage: (message: StartMessage) => void },
): Launched => {
  const output = openSync(directory.supervisorLog, 'a', 0o600)
  // A session of its own: Ctrl-C in a terminal is for `up`, which asks the supervisor to end in order.
  const child = spawn(
    process.execPath,
    [
      join(projectRoot(), 'scripts/bin/semops.mjs'),
      'supervise',
      '--dir',
      directory.root,
      ...(detach ? ['--detach'] : []),
    ],
    { detached: true, stdio: ['ignore', output, output, 'ipc'] },
  )
  closeSync(output)
  let failure: CliError | undefined
  const exit = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
    child.once('error', (error) => resolve(error.message))
  })
  const ready = new Promise<{ readonly nodes: number }>((resolve, reject) => {
    child.on('message', (message: StartMessage) => {
      onMessage(message)
      if (message.type === 'ready') resolve({ nodes: message.nodes })
      if (message.type === 'failed') failure = new CliError(message.usage ? 'usage' : 'environment', message.message)
    })
    void exit.then((how) =>
      reject(failure ?? new CliError('environment', `the supervisor ended (${how}); see ${directory.supervisorLog}`)),
    )
  })
  // Whoever does not ask for readiness is not told of its failure.
  ready.catch(() => undefined)
  return {
    pid: child.pid ?? 0,
    ready,
    ended: exit.then(() => undefined),
    release: () => {
      child.disconnect()
      child.unref()
    },
  }
}
