/** Where things are: the project, and the run directory that holds a fleet's ledgers, sockets, keys and logs. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const RUN_DIRECTORY = '.semops'

const isProject = (folder: string): boolean => {
  const file = join(folder, 'package.json')
  return existsSync(file) && readFileSync(file, 'utf8').includes('"name": "semops"')
}

/**
 * The folder of the project's package.json, from the sources and from the emitted code alike.
 * @throws Error when this file was moved out of the project
 */
export const projectRoot = (): string => {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    if (isProject(folder)) return folder
    if (folder === dirname(folder)) throw new Error('no package.json of semops above this file')
  }
}

type Environment = Readonly<Record<string, string | undefined>>

/** The run directory as an absolute path: `--dir`, else $SEMOPS_DIR, else `.semops` in the working directory. */
export const runDirectory = (dir: string | undefined, env: Environment, cwd: string): string =>
  resolve(cwd, dir ?? (env['SEMOPS_DIR'] || RUN_DIRECTORY))
