import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { projectRoot } from '../cli/paths.ts'
import { buildStale, ensureBuild } from './build.mjs'

let root = ''
const write = (path: string, text: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), text)
}
const built = (path: string): string => readFileSync(join(root, '.build', path), 'utf8')

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'semops-build-')))
  for (const file of ['package.json', 'package-lock.json', 'tsconfig.json', 'scripts/setup/tsconfig.build.json'])
    cpSync(join(projectRoot(), file), join(root, file))
  symlinkSync(join(projectRoot(), 'node_modules'), join(root, 'node_modules'))
  write('protocol/one.ts', 'export const one: number = 1\n')
  write('nodes/two.ts', "import { one } from '../protocol/one.ts'\n\nexport const two: number = one + 1\n")
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

describe('the build', () => {
  test('emits the sources in their own shape, with imports that Node resolves, and is then fresh', () => {
    expect(ensureBuild(root)).toBe('built')
    expect(built('nodes/two.js')).toContain("from '../protocol/one.js'")
    expect(built('protocol/one.js')).not.toContain(': number')
    expect(ensureBuild(root)).toBe('fresh')
  })

  test('copies what the code reads beside itself, and neither tests nor set-up', () => {
    write('nodes/table.yaml', 'a: 1\n')
    write('nodes/two.test.ts', 'export {}\n')
    write('scripts/setup/extra.json', '{}\n')
    ensureBuild(root)
    expect(built('nodes/table.yaml')).toBe('a: 1\n')
    expect(existsSync(join(root, '.build/nodes/two.test.js'))).toBe(false)
    expect(existsSync(join(root, '.build/scripts/setup'))).toBe(false)
  })

  test('is stale after a change, an older file put in place, a new file and a deletion', () => {
    ensureBuild(root)
    write('protocol/one.ts', 'export const one: number = 10\n')
    expect(buildStale(root)).toBe(true)
    ensureBuild(root)
    expect(built('protocol/one.js')).toContain('one = 10')

    utimesSync(join(root, 'protocol/one.ts'), new Date(0), new Date(0))
    expect(buildStale(root)).toBe(true)
    ensureBuild(root)

    write('protocol/three.ts', 'export const three = 3\n')
    expect(ensureBuild(root)).toBe('built')
    rmSync(join(root, 'protocol/three.ts'))
    expect(ensureBuild(root)).toBe('built')
    expect(existsSync(join(root, '.build/protocol/three.js'))).toBe(false)
  })

  test('a type error stops it, names the line, and leaves the last build in place', () => {
    ensureBuild(root)
    write('protocol/one.ts', "export const one: number = 'one'\n")
    expect(() => ensureBuild(root)).toThrow(
      expect.objectContaining({ detail: expect.stringContaining('protocol/one.ts(1,14): error TS2322') }),
    )
    expect(built('protocol/one.js')).toContain('one = 1')
    expect(buildStale(root)).toBe(true)
    write('protocol/one.ts', 'export const one: number = 2\n')
    ensureBuild(root)
    expect(built('protocol/one.js')).toContain('one = 2')
  })
})
