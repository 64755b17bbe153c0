import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { followLogs, lastLogLines, parseLogLine, type LogFile } from './merged-logs.ts'

let dir: string
let files: readonly LogFile[]
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'semops-logs-'))
  files = ['a', 'b'].map((host) => ({ host, path: join(dir, `${host}.log`) }))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const line = (host: string, time: number, msg: string): string =>
  `${JSON.stringify({ level: 30, time, host, role: 'cpp', msg, n: 1 })}\n`
const write = (name: string, ...lines: readonly string[]) => writeFile(join(dir, `${name}.log`), lines.join(''))

describe('a log line', () => {
  test('is what pino wrote, less what says where it comes from', () => {
    expect(parseLogLine(line('a', 5, 'paid'), 'a')).toEqual({
      timeMs: 5,
      level: 30,
      host: 'a',
      message: 'paid',
      fields: { n: 1 },
    })
  })
  test('that names another host keeps it, and is still of the file that it stands in', () => {
    expect(parseLogLine(line('other', 5, 'paid'), 'a')).toMatchObject({ host: 'a', fields: { host: 'other' } })
  })
  test('that is no JSON is an error to be seen', () => {
    expect(parseLogLine('Segmentation fault', 'a')).toEqual({
      timeMs: 0,
      level: 50,
      host: 'a',
      message: 'Segmentation fault',
      fields: {},
    })
  })
  test('that only says readiness, or nothing, is none', () => {
    expect(parseLogLine('{"type":"ready","host":"a"}', 'a')).toBeUndefined()
    expect(parseLogLine('', 'a')).toBeUndefined()
  })
})

describe('logs together', () => {
  test('come by time, the last ones of all', async () => {
    await write('a', line('a', 1, 'a1'), 'crash\n', line('a', 5, 'a5'))
    await write('b', line('b', 2, 'b2'), line('b', 4, 'b4'))
    expect((await lastLogLines(files, 10)).map(({ message }) => message)).toEqual(['a1', 'crash', 'b2', 'b4', 'a5'])
    expect((await lastLogLines(files, 2)).map(({ message }) => message)).toEqual(['b4', 'a5'])
  })

  test('of a host that never wrote are none', async () => {
    await write('a', line('a', 1, 'a1'))
    expect(await lastLogLines(files, 10)).toHaveLength(1)
  })

  test('are followed from their ends on, a line that is written in parts as one', async () => {
    await write('a', line('a', 1, 'old'))
    const stop = new AbortController()
    const seen: string[] = []
    const text = line('b', 3, 'b3')
    const following = (async () => {
      for await (const { message } of followLogs(files, stop.signal)) {
        seen.push(message)
        if (message === 'a2' && seen.length === 1) {
          await appendFile(join(dir, 'b.log'), text.slice(0, 9))
          await appendFile(join(dir, 'b.log'), text.slice(9))
        }
        if (message === 'b3') stop.abort()
      }
    })()
    // What was written before the first look at a file's size is old, too: write until something is seen.
    while (seen.length === 0) {
      await appendFile(join(dir, 'a.log'), line('a', 2, 'a2'))
      await delay(10)
    }
    await following
    expect(seen.filter((message) => message !== 'a2')).toEqual(['b3'])
  })
})
