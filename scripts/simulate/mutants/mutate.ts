/** A mutant's edits on the sources, and a tree of emitted code that differs from the project's in them alone. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import type { Mutant } from './table.ts'

/**
 * The source files of a mutant as they read when it is broken, by path.
 * @throws Error when an edit's text does not stand exactly once in its file: the rule was changed, and its mutant with it
 */
export const mutated = (root: string, { name, edits }: Mutant): ReadonlyMap<string, string> => {
  const files = new Map<string, string>()
  for (const { file, find, replace } of edits) {
    const original = readFileSync(join(root, file), 'utf8')
    const count = original.split(find).length - 1
    if (count !== 1) throw new Error(`${name}: what it replaces stands ${count} times in ${file}, not once: ${find}`)
    const [before, after] = (files.get(file) ?? original).split(find)
    if (before === undefined || after === undefined) throw new Error(`${name}: its edits of ${file} overlap`)
    files.set(file, before + replace + after)
  }
  return files
}

/** Names a map that the mutant has none of. */
const SOURCE_MAP = /^\/\/# sourceMappingURL=.*$/m
const emitted = (file: string): string => file.replace(/\.ts$/, '.js')
const LAYERS = ['protocol', 'bus', 'nodes', 'scripts'] as const

/**
 * Writes the emitted code of the project with the mutant's edits below `folder`. Needs a build of the sources as they are.
 * @throws Error what {@link mutated} throws, or when the compiler does not take an edit
 */
export const plant = (root: string, mutant: Mutant, folder: string): void => {
  const files = mutated(root, mutant)
  const tree = join(folder, '.build')
  for (const layer of LAYERS)
    cpSync(join(root, '.build', layer), join(tree, layer), {
      recursive: true,
      filter: (path) => !path.endsWith('.map'),
    })
  cpSync(join(root, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  const sources = join(folder, 'sources')
  for (const [file, text] of files) {
    const path = join(sources, file)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'node_modules/typescript/bin/tsc'), ...COMPILE, '--rootDir', sources, '--outDir', tree].concat(
      [...files.keys()].map((file) => join(sources, file.split('/').join(sep))),
    ),
    { cwd: folder, encoding: 'utf8' },
  )
  // What the broken code imports is not beside it: only its syntax is judged.
  if (status !== 0 && /error TS1\d{3}:/.test(stdout))
    throw new Error(`${mutant.name} does not compile: ${stdout.slice(0, 400)}${stderr.slice(0, 400)}`)
  const code = (path: string): string => readFileSync(path, 'utf8').replace(SOURCE_MAP, '').trimEnd()
  for (const file of files.keys())
    if (code(join(tree, emitted(file))) === code(join(root, '.build', emitted(file))))
      throw new Error(`${mutant.name} changes nothing of the emitted ${file}`)
}

/** As the project's own settings emit, each file by itself. */
const COMPILE = [
  '--target',
  'es2023',
  '--module',
  'nodenext',
  '--moduleResolution',
  'nodenext',
  '--verbatimModuleSyntax',
  '--rewriteRelativeImportExtensions',
  '--noResolve',
  '--noCheck',
  '--ignoreConfig',
  '--pretty',
  'false',
]
