import { describe, expect, test } from 'vitest'
import { projectRoot } from '../../cli/paths.ts'
import { mutated } from './mutate.ts'
import { MUTANTS } from './table.ts'

describe('the mutants', () => {
  const root = projectRoot()

  test.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))(
    '%s: each of its edits is of text that stands once in its file',
    (_name, mutant) => {
      for (const [file, text] of mutated(root, mutant)) expect([file, text.length > 0]).toEqual([file, true])
    },
  )

  test('are many, of different names, each found within a stated number of seeds', () => {
    expect(MUTANTS.length).toBeGreaterThanOrEqual(24)
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length)
    expect(MUTANTS.filter(({ foundWithin, why }) => !(foundWithin >= 1 && foundWithin <= 1_000) || why === '')).toEqual(
      [],
    )
  })

  test('an edit of text that is not there, or there twice, is refused', () => {
    const mutant = (find: string) => ({
      name: 'gone',
      why: 'a rule was changed',
      foundWithin: 1,
      edits: [{ file: 'nodes/cpp/aggregation.ts', find, replace: '' }],
    })
    expect(() => mutated(root, mutant('no such rule'))).toThrow('stands 0 times')
    expect(() => mutated(root, mutant('outstandingMinor'))).toThrow(/stands \d+ times/)
  })
})
