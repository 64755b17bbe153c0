import { describe, expect, test } from 'vitest'
import { startProgress } from './progress.ts'

const CLEAR = '\r\u001b[2K'

const start = (terminal: boolean, label: string, total?: number, columns = 80) => {
  let text = ''
  let nowMs = 0
  const options = { write: (part: string) => void (text += part), terminal, columns, now: () => nowMs }
  const progress = startProgress(options, label, total)
  return { progress, text: () => text, pass: (ms: number) => void (nowMs += ms) }
}

describe('progress in a log', () => {
  test('is a line at the start, at each quarter and at the end', () => {
    const { progress, text, pass } = start(false, 'payments', 200)
    for (let at = 0; at < 200; at++) progress.advance()
    pass(1500)
    progress.done()
    expect(text()).toBe(
      'payments …\npayments 50/200\npayments 100/200\npayments 150/200\npayments: 200 done in 1.5 s\n',
    )
  })

  test('says why it stopped, once', () => {
    const { progress, text } = start(false, 'nodes', 4)
    progress.fail('hu-dc did not start')
    progress.done()
    progress.advance()
    expect(text()).toBe('nodes …\nnodes: hu-dc did not start\n')
  })

  test('without a total it has a start and an end', () => {
    const { progress, text } = start(false, 'reading')
    progress.advance(5)
    progress.done('5 ledgers')
    expect(text()).toBe('reading …\nreading: 5 ledgers in 0.0 s\n')
  })
})

describe('progress on a terminal', () => {
  test('is one line, redrawn at most ten times a second', () => {
    const { progress, text, pass } = start(true, 'payments', 4)
    progress.advance()
    pass(100)
    progress.advance(1, 'micro')
    progress.done()
    expect(text()).toBe(
      `${CLEAR}payments ${'░'.repeat(24)} 0/4` +
        `${CLEAR}payments ${'█'.repeat(12)}${'░'.repeat(12)} 2/4 · micro` +
        `${CLEAR}payments: 2 done in 0.1 s\n`,
    )
  })

  test('never wraps', () => {
    const { text } = start(true, 'a very long label of what is being done', 4, 20)
    expect(text()).toBe(`${CLEAR}a very long label o`)
  })

  test('a count past its total fills the bar and no more', () => {
    const { progress, text, pass } = start(true, 'x', 2)
    pass(100)
    progress.advance(3)
    expect(text()).toContain(`x ${'█'.repeat(24)} 3/2`)
  })
})
