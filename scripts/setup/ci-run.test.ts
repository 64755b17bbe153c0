/** `.ci/run` must tell the truth with its last line and its exit code, whatever becomes of `npm test`. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { projectRoot } from '../cli/paths.ts'

let folder = ''
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'semops-ci-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Runs `.ci/run` with an npm that does `script`. */
const ciRun = (script: string) => {
  const npm = join(folder, 'npm')
  writeFileSync(npm, `#!/bin/sh\n${script}\n`)
  chmodSync(npm, 0o755)
  const env = { ...process.env, PATH: `${folder}${delimiter}${process.env['PATH'] ?? ''}` }
  const { status, stdout } = spawnSync(join(projectRoot(), '.ci/run'), { env, encoding: 'utf8', input: 'typed' })
  const lines = stdout.trimEnd().split('\n')
  return { status, last: lines.at(-1), lines }
}

describe('.ci/run', () => {
  test.each([
    ['all is well', "echo '12 passed, 0 failed'", 0, '12 passed, 0 failed'],
    ['tests fail', "echo '11 passed, 1 failed'; exit 1", 1, '11 passed, 1 failed'],
    ['something is said after the line', "echo '3 passed, 0 failed'; echo bye", 0, '3 passed, 0 failed'],
    ['tests cannot start', "echo 'npm: broken' >&2; exit 7", 7, '0 passed, 1 failed'],
    ['tests are cut off without an error', 'true', 1, '0 passed, 1 failed'],
    ['a failure exits with 0', "echo '3 passed, 1 failed'", 1, '3 passed, 1 failed'],
    [
      'a test prints a line of its own before',
      "echo '9 passed, 9 failed'; echo '1 passed, 0 failed'",
      0,
      '1 passed, 0 failed',
    ],
  ])('when %s', (_case, script, status, last) => {
    expect(ciRun(script)).toMatchObject({ status, last })
  })

  test('runs the test command of the README, with CI set and nothing on stdin', () => {
    const { lines } = ciRun('echo "$1-$#-$CI-[$(cat)]"; echo "1 passed, 0 failed"')
    expect(lines[0]).toBe('test-1-true-[]')
    const { scripts } = JSON.parse(readFileSync(join(projectRoot(), 'package.json'), 'utf8')) as {
      scripts: { test: string }
    }
    expect(scripts.test).toBe('node scripts/setup/test.mjs')
  })

  test('errors are part of the output', () => {
    expect(ciRun("echo 'why' >&2; exit 1").lines).toContain('why')
  })
})
