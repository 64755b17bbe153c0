/** The count behind `N passed, N failed`: a suite that does not start must not count as nothing failed. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { projectRoot } from '../cli/paths.ts'

const SUITES = {
  'fine.test.ts': "import { test } from 'vitest'\ntest('a', () => {})\ntest('b', () => {})\ntest.skip('c', () => {})\n",
  'fails.test.ts': "import { test } from 'vitest'\ntest('a', () => { throw new Error('no') })\ntest('b', () => {})\n",
  'broken.test.ts': "import './absent.ts'\n",
  'hook.test.ts':
    "import { beforeAll, describe, test } from 'vitest'\ndescribe('d', () => { beforeAll(() => { throw new Error('no') })\ntest('a', () => {}) })\n",
  'late.test.ts': "import { test } from 'vitest'\ntest('a', () => { void Promise.reject(new Error('late')) })\n",
}

let folder = ''
beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'semops-count-')))
  for (const layer of ['protocol', '.vitest']) mkdirSync(join(folder, layer))
  symlinkSync(join(projectRoot(), 'node_modules'), join(folder, 'node_modules'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  for (const file of ['config.ts', 'count.ts', 'seed.ts'])
    writeFileSync(join(folder, '.vitest', file), readFileSync(join(projectRoot(), '.vitest', file)))
  for (const [file, text] of Object.entries(SUITES)) writeFileSync(join(folder, 'protocol', file), text)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test.each([
  [['fine'], { passed: 2, failed: 0, skipped: 1 }, 0],
  [['fails'], { passed: 1, failed: 1, skipped: 0 }, 1],
  [['broken'], { passed: 0, failed: 1, skipped: 0 }, 1],
  [['hook'], { passed: 0, failed: 1, skipped: 1 }, 1],
  [['late'], { passed: 1, failed: 1, skipped: 0 }, 1],
])('%s counts as %j', (names, count, status) => {
  const file = join(folder, 'count.json')
  const vitest = join(projectRoot(), 'node_modules/vitest/vitest.mjs')
  const run = spawnSync(process.execPath, [vitest, 'run', '--config', '.vitest/config.ts', ...names], {
    cwd: folder,
    env: { ...process.env, SEMOPS_TEST_COUNT: file },
    encoding: 'utf8',
  })
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(count)
  expect(run.status).toBe(status)
})
