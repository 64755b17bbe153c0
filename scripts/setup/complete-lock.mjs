// Completes package-lock.json after `npm install`: where a registry does not hold the binary package of some platform, npm
// leaves its entry out of the lock, and then `npm ci` refuses that lock everywhere. The entries added here carry no hash,
// because none is known; npm skips them on every platform but their own. Run by `npm run lock`.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { projectRoot, say } from './project.mjs'

const OS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32']
const CPU = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64']

/**
 * @typedef {{ version?: string, dev?: boolean, optional?: boolean, os?: string[], cpu?: string[], libc?: string[],
 *   optionalDependencies?: Record<string, string> }} LockEntry
 * @typedef {{ packages: Record<string, LockEntry> }} Lock
 */

/** The platform that a package's name tells, as npm writes it. @param {string} name @returns {LockEntry} */
const platformOf = (name) => {
  const words = (name.split('/').at(-1) ?? '').split('-')
  const os = OS.filter((one) => words.includes(one))
  const cpu = CPU.filter((one) => words.includes(one))
  const libc = ['glibc', 'musl'].filter((one) => words.some((word) => word.startsWith(one === 'glibc' ? 'gnu' : one)))
  return {
    ...(cpu.length > 0 && { cpu }),
    ...(os.length > 0 && { os }),
    ...(os.includes('linux') && libc.length > 0 && { libc }),
  }
}

/**
 * The optional packages that the lock names but does not hold, as the entries it lacks.
 * @param {Lock} lock
 * @returns {Record<string, LockEntry>}
 */
export const missingEntries = ({ packages }) => {
  /** @type {Record<string, LockEntry>} */
  const missing = {}
  for (const [path, { dev, optionalDependencies = {} }] of Object.entries(packages))
    for (const [name, version] of Object.entries(optionalDependencies)) {
      const held = packages[`${path}/node_modules/${name}`] ?? packages[`node_modules/${name}`]
      const platform = platformOf(name)
      if (held !== undefined || platform.os === undefined || !/^\d+\.\d+\.\d+$/.test(version)) continue
      missing[`node_modules/${name}`] = { version, ...(dev && { dev }), optional: true, ...platform }
    }
  return missing
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = join(projectRoot, 'package-lock.json')
  const lock = /** @type {Lock} */ (JSON.parse(readFileSync(file, 'utf8')))
  const missing = missingEntries(lock)
  const entries = Object.entries({ ...lock.packages, ...missing })
  lock.packages = Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)))
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
  say(`package-lock.json: ${Object.keys(missing).length} entries added`)
}
