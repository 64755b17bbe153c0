// Finds nats-server, or installs it where the system's package manager can without asking anybody.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { lastLines, say, seconds, SetupError } from './project.mjs'

const OLDEST = [2, 9]
const RELEASES = 'https://github.com/nats-io/nats-server/releases'
const BESIDE_PATH = ['/usr/sbin', '/usr/local/sbin', '/usr/local/bin', '/opt/homebrew/bin']
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

/** @param {string} name @param {NodeJS.ProcessEnv} env */
const onPath = (name, env) =>
  [...(env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== ''), ...BESIDE_PATH]
    .map((folder) => join(folder, name))
    .find(isExecutable)

/**
 * $NATS_SERVER_BIN, else the first nats-server on PATH or in a folder where packages put it; undefined when there is none.
 * @param {NodeJS.ProcessEnv} [env]
 * @throws SetupError when $NATS_SERVER_BIN names no program
 */
export const findNatsServer = (env = process.env) => {
  const named = env['NATS_SERVER_BIN']
  if (named === undefined || named === '') return onPath(NAME, env)
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

const isRoot = () => process.getuid?.() === 0

/** @param {PackageManager | undefined} manager */
const advice = (manager) => {
  const command = manager?.commands
    .at(-1)
    ?.filter((word) => !word.startsWith('-') && !word.includes('::'))
    .join(' ')
  const line =
    command === undefined ? `download it from ${RELEASES}` : `run \`${manager?.byRoot ? 'sudo ' : ''}${command}\``
  return `nats-server is missing on ${process.platform}-${process.arch}: ${line}, or set NATS_SERVER_BIN to it`
}

/** @param {PackageManager} manager */
const install = (manager) => {
  const startedAt = performance.now()
  say(`installing nats-server with ${manager.tool}, once …`)
  for (const [command = '', ...args] of manager.commands) {
    const { status, stdout, stderr, error } = spawnSync(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', HOMEBREW_NO_AUTO_UPDATE: '1' },
    })
    // a package list that cannot be refreshed may still hold the package
    if (status !== 0 && args[0] !== 'update')
      throw new SetupError(advice(manager), lastLines(stdout, stderr, error?.message))
  }
  say(`nats-server installed in ${seconds(startedAt)}`)
  if (manager.afterwards) say(manager.afterwards)
}

/** @param {string} binary */
const checkVersion = (binary) => {
  const { stdout } = spawnSync(binary, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  const [, major = 0, minor = 0] = (/v(\d+)\.(\d+)/.exec(stdout ?? '') ?? []).map(Number)
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor))
    throw new SetupError(`${binary} is not nats-server ${OLDEST.join('.')} or newer; install one from ${RELEASES}`)
}

/**
 * Finds nats-server, installing it when it is missing and the package manager may be run.
 * @returns {string} its path
 * @throws SetupError that says what to install on this platform
 */
export const ensureNatsServer = () => {
  let binary = findNatsServer()
  if (binary === undefined) {
    const manager = PACKAGE_MANAGERS.find(({ tool }) => onPath(tool, process.env) !== undefined)
    if (manager === undefined || manager.byRoot !== isRoot()) throw new SetupError(advice(manager))
    install(manager)
    binary = findNatsServer()
    if (binary === undefined) throw new SetupError(advice(undefined))
  }
  checkVersion(binary)
  return binary
}
