// Node and the npm packages: is what runs here what the lock file says? Compared by content, not by file times, which a
// clone or a copy makes up.
import { spawnSync } from 'node:child_process'
import { existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { withLock } from './lock.mjs'
import { firstLines, lastLines, projectRoot, say, seconds, SetupError } from './project.mjs'

const OLDEST_NODE = [20, 19]

/** @param {string} [version] as in `process.versions.node` */
export const checkNode = (version = process.versions.node) => {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_NODE
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor))
    throw new SetupError(
      `needs Node ${OLDEST_NODE.join('.')} or newer, this is ${version}; install one from https://nodejs.org`,
    )
}

/**
 * @typedef {{ version?: string, integrity?: string, optional?: boolean, link?: boolean }} LockedPackage
 * @param {string} file
 * @returns {Record<string, LockedPackage> | undefined}
 */
const lockedPackages = (file) => {
  if (!existsSync(file)) return undefined
  const lock = /** @type {{ packages: Record<string, LockedPackage> }} */ (JSON.parse(readFileSync(file, 'utf8')))
  return lock.packages
}

/**
 * True when `node_modules` is missing or holds another version of anything the lock file names. Optional packages of other
 * platforms may be absent.
 * @param {string} [root]
 */
export const packagesStale = (root = projectRoot) => {
  const wanted = lockedPackages(join(root, 'package-lock.json'))
  const installed = lockedPackages(join(root, 'node_modules/.package-lock.json'))
  if (wanted === undefined) throw new SetupError('package-lock.json is missing; check out the whole project')
  if (installed === undefined) return true
  return Object.entries(wanted).some(([path, { version, integrity, optional }]) => {
    if (path === '') return false
    const found = installed[path]
    if (found === undefined) return optional !== true
    // the entries that complete-lock.mjs adds carry no hash
    return found.version !== version || (integrity !== undefined && found.integrity !== integrity)
  })
}

/** npm as a command line: the npm that runs this script where there is one. */
const npm = () => {
  const path = process.env['npm_execpath']
  if (path !== undefined && /npm-cli\.c?js$/.test(path)) return [process.execPath, path]
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm']
}

const npmCi = () => {
  if (existsSync(join(projectRoot, 'node_modules')) && lstatSync(join(projectRoot, 'node_modules')).isSymbolicLink())
    throw new SetupError('node_modules is a link and does not fit package-lock.json; run `npm ci` where it points to')
  const startedAt = performance.now()
  say('installing the npm packages (npm ci), once …')
  const [command = 'npm', ...first] = npm()
  // the build needs the development packages too, whatever NODE_ENV says
  const args = [...first, 'ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: projectRoot,
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: process.platform === 'win32',
  })
  if (status !== 0)
    throw new SetupError(
      '`npm ci` failed; check the network and run it by hand',
      firstLines(stdout, stderr, error?.message),
    )
  say(`npm packages installed in ${seconds(startedAt)}`)
}

/**
 * The packages with native code, loaded in a process of their own because a broken binary may end the process. npm may hold
 * back install scripts, so what counts is the prebuilt binary that each carries.
 */
const NATIVE = [
  { name: 'lmdb', needed: true },
  { name: 'sodium-native', needed: false },
]

const checkNative = () => {
  for (const { name, needed } of NATIVE) {
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', `await import('${name}')`], {
      cwd: projectRoot,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    if (status === 0) continue
    const here = `${process.platform}-${process.arch}`
    if (needed)
      throw new SetupError(
        `${name} has no binary that loads on ${here}; run \`npm rebuild ${name}\``,
        lastLines(stderr),
      )
    say(`${name} has no binary that loads on ${here}: signatures will be slow; \`npm rebuild ${name}\` may help`)
  }
}

/** npm links the commands of dependencies only; with this `npx semops` finds the project's own. */
const linkOwnCommand = () => {
  if (process.platform === 'win32') return
  const link = join(projectRoot, 'node_modules/.bin/semops')
  if (existsSync(link)) return
  mkdirSync(join(projectRoot, 'node_modules/.bin'), { recursive: true })
  symlinkSync('../../scripts/bin/semops.mjs', link)
}

/** Installs the packages when they are not those of the lock file. @throws SetupError */
export const ensurePackages = () => {
  checkNode()
  if (!packagesStale()) return
  withLock(join(projectRoot, '.build/install.lock'), () => {
    // another process may have installed while this one waited
    if (!packagesStale()) return
    npmCi()
    checkNative()
    linkOwnCommand()
  })
}
