/**
 * Counts what ran. A file that could not be loaded and an error outside any test are failures too: otherwise a suite that
 * does not start would count as nothing failed.
 */
import { writeFileSync } from 'node:fs'
import type { Reporter, SerializedError, TestModule } from 'vitest/node'

/** Writes `{ passed, failed, skipped }` to the file named by SEMOPS_TEST_COUNT, when it is set. */
export class TestCount implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const count = { passed: 0, failed: unhandled.length, skipped: 0 }
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') count.passed += 1
        else if (state === 'skipped') count.skipped += 1
        else count.failed += 1
      }
      count.failed += module.errors().length
      for (const suite of module.children.allSuites()) count.failed += suite.errors().length
    }
    const file = process.env['SEMOPS_TEST_COUNT']
    if (file !== undefined) writeFileSync(file, JSON.stringify(count))
  }
}
