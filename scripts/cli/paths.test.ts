import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { projectRoot, runDirectory } from './paths.ts'

test.each([
  ['/net', { SEMOPS_DIR: '/env' }, '/net'],
  ['net', { SEMOPS_DIR: '/env' }, '/home/ann/net'],
  [undefined, { SEMOPS_DIR: '/env' }, '/env'],
  [undefined, { SEMOPS_DIR: 'env' }, '/home/ann/env'],
  [undefined, { SEMOPS_DIR: '' }, '/home/ann/.semops'],
  [undefined, {}, '/home/ann/.semops'],
])('--dir %s with %j is %s', (dir, env, expected) => {
  expect(runDirectory(dir, env, '/home/ann')).toBe(expected)
})

test('the project is where its bin is', () => {
  expect(existsSync(join(projectRoot(), 'scripts/bin/semops.mjs'))).toBe(true)
})
