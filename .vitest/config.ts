/**
 * How the tests run: two groups, one after the other, so that end-to-end tests (real processes, a real nats-server) have
 * the machine to themselves and never share it with the unit tests' workers.
 */
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { TestCount } from './count.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const layers = ['protocol', 'bus', 'nodes', 'scripts']
const endToEnd = layers.map((layer) => `${layer}/**/*.e2e.test.ts`)

export default defineConfig({
  root,
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: 'forks',
    setupFiles: [fileURLToPath(new URL('seed.ts', import.meta.url))],
    reporters: ['default', new TestCount()],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: layers.map((layer) => `${layer}/**/*.test.ts`),
          exclude: endToEnd,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: endToEnd,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 1,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
