import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { projectRoot } from '../cli/paths.ts'
import { withLock } from './lock.mjs'

let folder = ''
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'semops-lock-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('gives back what the work gives, and the lock with it', () => {
  const file = join(folder, 'lock')
  expect(withLock(file, () => readFileSync(file, 'utf8'))).toBe(String(process.pid))
  expect(existsSync(file)).toBe(false)
})

test('is given back when the work fails', () => {
  const file = join(folder, 'lock')
  expect(() =>
    withLock(file, () => {
      throw new Error('no')
    }),
  ).toThrow('no')
  expect(existsSync(file)).toBe(false)
})

test('one process at a time', async () => {
  const script = `
    import { appendFileSync, openSync, closeSync, rmSync } from 'node:fs'
    import { withLock } from ${JSON.stringify(join(projectRoot(), 'scripts/setup/lock.mjs'))}
    for (let round = 0; round < 5; round++)
      withLock(${JSON.stringify(join(folder, 'lock'))}, () => {
        // 'wx' fails when another process is inside
        closeSync(openSync(${JSON.stringify(join(folder, 'inside'))}, 'wx'))
        appendFileSync(${JSON.stringify(join(folder, 'log'))}, '.')
        rmSync(${JSON.stringify(join(folder, 'inside'))})
      })`
  const run = promisify(execFile)
  await Promise.all(Array.from({ length: 4 }, () => run(process.execPath, ['--input-type=module', '-e', script])))
  expect(readFileSync(join(folder, 'log'), 'utf8')).toHaveLength(20)
})

test('the lock of a process that is gone is taken over', () => {
  const { pid } = spawnSync(process.execPath, ['-e', ''])
  const file = join(folder, 'lock')
  writeFileSync(file, String(pid))
  expect(withLock(file, () => readFileSync(file, 'utf8'))).toBe(String(process.pid))
})
