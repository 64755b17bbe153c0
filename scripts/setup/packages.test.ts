import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { checkNode, packagesStale } from './packages.mjs'

type Entries = Record<string, { version?: string; integrity?: string; optional?: boolean }>

let root = ''
beforeEach(() => void (root = mkdtempSync(join(tmpdir(), 'semops-packages-'))))
afterEach(() => rmSync(root, { recursive: true, force: true }))

const lock = (packages: Entries): void => writeFileSync(join(root, 'package-lock.json'), JSON.stringify({ packages }))
const install = (packages: Entries): void => {
  mkdirSync(join(root, 'node_modules'), { recursive: true })
  writeFileSync(join(root, 'node_modules/.package-lock.json'), JSON.stringify({ packages }))
}
const one: Entries = { 'node_modules/one': { version: '1.0.0', integrity: 'sha512-a' } }

describe('the version of Node', () => {
  test.each(['20.19.0', '20.20.2', '21.0.0', '22.12.0', '100.0.0'])('%s will do', (version) => {
    expect(() => checkNode(version)).not.toThrow()
  })
  test.each(['20.18.3', '20.0.0', '18.20.8', '8.0.0'])('%s will not, in one line', (version) => {
    expect(() => checkNode(version)).toThrow(/^needs Node 20\.19 or newer, this is [\d.]+; .*$/)
  })
})

describe('packages are stale', () => {
  test('when nothing is installed', () => {
    lock(one)
    expect(packagesStale(root)).toBe(true)
  })

  test('when the lock file names another version, another content or one more', () => {
    install(one)
    lock({ 'node_modules/one': { version: '1.0.1', integrity: 'sha512-a' } })
    expect(packagesStale(root)).toBe(true)
    lock({ 'node_modules/one': { version: '1.0.0', integrity: 'sha512-b' } })
    expect(packagesStale(root)).toBe(true)
    lock({ ...one, 'node_modules/two': { version: '1.0.0' } })
    expect(packagesStale(root)).toBe(true)
  })

  test('not when all that is locked is there, but for other platforms', () => {
    install(one)
    lock({ '': {}, ...one, 'node_modules/elsewhere': { version: '1.0.0', optional: true } })
    expect(packagesStale(root)).toBe(false)
  })

  test('not when an entry without a hash was installed with one', () => {
    install(one)
    lock({ 'node_modules/one': { version: '1.0.0' } })
    expect(packagesStale(root)).toBe(false)
  })

  test('a missing lock file is said', () => {
    expect(() => packagesStale(root)).toThrow('package-lock.json is missing')
  })
})
