// Node 20 runs no TypeScript: the sources are emitted to .build/, in the same shape, with the files that the code reads
// beside it. `npm run build` builds when a source has changed; so does the `semops` command, hence the check must be quick.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { withLock } from './lock.mjs'
import { ensurePackages } from './packages.mjs'
import { firstLines, projectRoot, runStep, say, seconds, SetupError } from './project.mjs'

const SOURCES = ['protocol', 'bus', 'nodes', 'scripts']
const SETTINGS = ['package-lock.json', 'tsconfig.json', 'scripts/setup/tsconfig.build.json']
/** What the code reads beside itself; Markdown and vectors in TypeScript are not among it. */
const ASSET = /\.(json|ya?ml|html|css|svg|txt)$/
const NOT_BUILT = /^scripts[\\/](setup|bin)[\\/]|\.test\.ts$/

/** Every file below `folder`, as a path relative to `root`. @param {string} root @param {string} folder @returns {string[]} */
const filesBelow = (root, folder) =>
  !existsSync(join(root, folder))
    ? []
    : readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
        const path = join(folder, entry.name)
        return entry.isDirectory() ? filesBelow(root, path) : [path]
      })

/** The files that make up the build. @param {string} root */
const sourceFiles = (root) =>
  SOURCES.flatMap((folder) => filesBelow(root, folder)).filter(
    (path) => !NOT_BUILT.test(path) && (path.endsWith('.ts') || ASSET.test(path)),
  )

/** Changes with any source: name, size or time of change. @param {string} root @param {readonly string[]} files */
const fingerprint = (root, files) => {
  const hash = createHash('sha256')
  for (const path of [...SETTINGS, ...files].toSorted()) {
    const { size, mtimeMs } = statSync(join(root, path))
    hash.update(`${path}\0${size}\0${mtimeMs}\n`)
  }
  return hash.digest('hex')
}

/** @param {string} root */
const readStamp = (root) => {
  const stamp = join(root, '.build/stamp')
  return existsSync(stamp) ? readFileSync(stamp, 'utf8') : ''
}

/** Whether the emitted code is that of the sources as they are now. @param {string} [root] */
export const buildStale = (root = projectRoot) => readStamp(root) !== fingerprint(root, sourceFiles(root))

/** @param {string} root */
const compile = (root) => {
  const compiler = join(projectRoot, 'node_modules/typescript/bin/tsc')
  const project = join(root, 'scripts/setup/tsconfig.build.json')
  const { status, stdout, stderr } = spawnSync(process.execPath, [compiler, '-p', project, '--pretty', 'false'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  if (status !== 0)
    throw new SetupError('the sources do not compile; `npm run types` shows why', firstLines(stdout, stderr))
}

/** The compiler leaves what it once emitted from a file that is gone. @param {string} root @param {readonly string[]} files */
const removeOrphans = (root, files) => {
  const built = new Set(files.flatMap((path) => (path.endsWith('.ts') ? emittedFrom(path) : [path])))
  for (const folder of SOURCES)
    for (const path of filesBelow(join(root, '.build'), folder))
      if (!built.has(path)) rmSync(join(root, '.build', path))
}

/** @param {string} path */
const emittedFrom = (path) => [path.replace(/\.ts$/, '.js'), path.replace(/\.ts$/, '.js.map')]

/** @param {string} root @param {readonly string[]} files */
const copyAssets = (root, files) => {
  for (const path of files) {
    if (path.endsWith('.ts')) continue
    const target = join(root, '.build', path)
    mkdirSync(dirname(target), { recursive: true })
    copyFileSync(join(root, path), target)
  }
}

/**
 * Builds when a source has changed since the last build. Type errors stop it and leave the last build in place.
 * @param {string} [root]
 * @returns {'fresh' | 'built'}
 * @throws SetupError
 */
export const ensureBuild = (root = projectRoot) => {
  if (!buildStale(root)) return 'fresh'
  return withLock(join(root, '.build/build.lock'), () => {
    // another process may have built while this one waited
    const files = sourceFiles(root)
    const now = fingerprint(root, files)
    if (readStamp(root) === now) return 'fresh'
    const startedAt = performance.now()
    compile(root)
    copyAssets(root, files)
    removeOrphans(root, files)
    // taken before the compiler ran: what changed meanwhile is built next time
    writeFileSync(join(root, '.build/stamp'), now)
    say(`built in ${seconds(startedAt)}`)
    return 'built'
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  runStep(() => {
    ensurePackages()
    ensureBuild()
  })
