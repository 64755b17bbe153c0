// Finds nats-server, or installs it where the system's package manager can without asking anybody.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { lastLines, say, seconds, SetupError } from './project.mjs'

/** As bus/nats-server.ts has it: nothing can be imported from there before anything is installed. */
export const OLDEST_SERVER = [2, 9, 10]
const RELEASES = 'https://github.com/nats-io/nats-server/releases'
const NAME = process.platform === 'win32' ? 'nats-server.exe' : 'nats-server'

/** @param {string} file */
const isExecutable = (file) => {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}

/**
 * The machine as set-up sees it: its environment, whether packages may be installed, and where they put programs besides
 * PATH.
 * @typedef {{ env: NodeJS.ProcessEnv, root: boolean, beside: readonly string[] }} Machine
 * @type {Machine}
 */
const THIS_MACHINE = {
  env: process.env,
  root: process.getuid?.() === 0,
  beside: ['/usr/sbin', '/usr/local/sbin', '/usr/local/bin'],
}

/** @param {string} name @param {Machine} machine */
const findProgram = (name, { env, beside }) =>
  [...(env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== ''), ...beside]
    .map((folder) => join(folder, name))
    .find(isExecutable)

/**
 * $NATS_SERVER_BIN, else the first nats-server on PATH or in a folder where packages put it; undefined when there is none.
 * @param {Machine} [machine]
 * @throws SetupError when $NATS_SERVER_BIN names no program
 */
export const findNatsServer = (machine = THIS_MACHINE) => {
  const named = machine.env['NATS_SERVER_BIN']
  if (named === undefined || named === '') return findProgram(NAME, machine)
  if (!isExecutable(named))
    throw new SetupError(`NATS_SERVER_BIN names ${named}, which is no program; correct or unset it`)
  return named
}

/**
 * The package managers that carry nats-server, and who may run them.
 * @typedef {{ tool: string, commands: string[][], byRoot: boolean, afterwards?: string }} PackageManager
 * @type {readonly PackageManager[]}
 */
const PACKAGE_MANAGERS = [
  {
    tool: 'apt-get',
    byRoot: true,
    commands: [
      ['apt-get', 'update'],
      ['apt-get', 'install', '-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120', 'nats-server'],
    ],
    afterwards: 'the package may start a server of its own on port 4222; it is not used here, and you may stop it',
  },
  { tool: 'apk', byRoot: true, commands: [['apk', 'add', '--no-cache', 'nats-server']] },
  { tool: 'brew', byRoot: false, commands: [['brew', 'install', 'nats-server']] },
]

/** @param {PackageManager | undefined} manager @param {Machine} machine */
const advice = (manager, { root }) => {
  const command = manager?.commands
    .at(-1)
    ?.filter((word) => !word.startsWith('-') && !word.includes('::'))
    .join(' ')
  const run = `run \`${manager?.byRoot && !root ? 'sudo ' : ''}${command}\``
  const line = command === undefined ? `download it from ${RELEASES}` : run
  return `nats-server is missing on ${process.platform}-${process.arch}: ${line}, or set NATS_SERVER_BIN to it`
}

/** @param {PackageManager} manager @param {Machine} machine */
const install = (manager, machine) => {
  const startedAt = performance.now()
  say(`installing nats-server with ${manager.tool}, once …`)
  for (const [command = '', ...args] of manager.commands) {
    const { status, stdout, stderr, error } = spawnSync(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...machine.env, DEBIAN_FRONTEND: 'noninteractive', HOMEBREW_NO_AUTO_UPDATE: '1' },
    })
    // a package list that cannot be refreshed may still hold the package
    if (status !== 0 && args[0] !== 'update')
      throw new SetupError(advice(manager, machine), lastLines(stdout, stderr, error?.message))
  }
  say(`nats-server installed in ${seconds(startedAt)}`)
  if (manager.afterwards) say(manager.afterwards)
}

/** @param {readonly number[]} version @param {readonly number[]} than */
const isOlder = (version, than) => {
  const at = than.findIndex((number, index) => version[index] !== number)
  return at !== -1 && (version[at] ?? 0) < (than[at] ?? 0)
}

/** @param {string} binary */
const checkVersion = (binary) => {
  const { stdout } = spawnSync(binary, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  const match = /\bv?(\d+)\.(\d+)\.(\d+)/.exec(stdout ?? '')
  if (match === null || isOlder(match.slice(1).map(Number), OLDEST_SERVER))
    throw new SetupError(
      `${binary} is no nats-server ${OLDEST_SERVER.join('.')} or newer; install one from ${RELEASES}`,
    )
}

/**
 * Finds nats-server, installing it when it is missing and the package manager may be run.
 * @param {Machine} [machine]
 * @returns {string} its path
 * @throws SetupError that says what to install on this platform
 */
export const ensureNatsServer = (machine = THIS_MACHINE) => {
  let binary = findNatsServer(machine)
  if (binary === undefined) {
    const manager = PACKAGE_MANAGERS.find(({ tool }) => findProgram(tool, machine) !== undefined)
    if (manager === undefined || manager.byRoot !== machine.root) throw new SetupError(advice(manager, machine))
    install(manager, machine)
    binary = findNatsServer(machine)
    if (binary === undefined) throw new SetupError(advice(undefined, machine))
  }
  checkVersion(binary)
  return binary
}
