/** What outsiders, and whoever holds a control socket, could make grow: each with its bound. */
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { encodeBody } from '../../protocol/codec.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { makeContent } from '../../protocol/envelope.ts'
import { ENVELOPE_VERSION } from '../../protocol/header.ts'
import { signingKeyFromSeed } from '../../protocol/keys.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { originatorOf, sealOne } from '../../protocol/seals.ts'
import type { Subject } from '../../protocol/subjects.ts'
import type { Passing } from './apply.ts'
import { lineSplitter, serveControl, type ControlServer } from './control.ts'
import { createCredentialQueries } from './credential-store.ts'
import { createIncoming } from './incoming.ts'
import { createLineLimit } from './log.ts'
import { createMetrics } from './metrics.ts'
import { createParking } from './parking.ts'
import { memoryInUse } from './memory-use.ts'
import { createPassingLog } from './passing.ts'
import { createSenders } from './senders.ts'
import { testId } from './testing.ts'

const NOW = 1_800_000_000_000
const DC = 'hu-dc-1'

describe('what waits to be decided', () => {
  const key = signingKeyFromSeed(loadEngine(), new Uint8Array(32).fill(7))
  const frameOf = (from: string): Uint8Array =>
    sealOne(
      makeContent(
        {
          version: ENVELOPE_VERSION,
          networkId: testId('network'),
          kind: 'receipt',
          bodyVersion: 1,
          messageId: testId('message'),
          from,
          to: 'hu-cosmo',
          sentAtMs: NOW,
          expiresAtMs: undefined,
          correlationId: undefined,
          bodyForm: 'plain',
        },
        encodeBody('receipt', { digest: new Uint8Array(32) }),
      ),
      key,
    )
  const incoming = () => {
    const metrics = createMetrics()
    const senders = createSenders()
    const queue = createIncoming<{ readonly type: 'own' }>({
      role: 'mpp',
      roleOf: (host) => (host === DC ? 'dc' : undefined),
      senders,
      metrics,
      maxAdmissions: LIMITS.maxAdmissionQueue,
    })
    const arrive = (kind: Subject['kind'], fromHost: string, bytes: Uint8Array): void =>
      queue.receive({ toRole: 'mpp', toHost: 'hu-cosmo', kind, fromHost }, bytes, NOW)
    const taken = (count: number) => {
      const next = queue.step()
      return Array.from({ length: count }, () => next()).map((event) =>
        event?.type === 'frame' ? (event.frame.from.member ?? event.frame.from.sender) : event?.type,
      )
    }
    return { queue, senders, metrics, arrive, taken }
  }

  it('goes by originator behind a data center, and many of them in its turn', () => {
    const { arrive, taken } = incoming()
    expect(originatorOf(frameOf('hu-mallory'))).toBe('hu-mallory')
    const flood = frameOf('hu-mallory')
    for (let n = 0; n < 500; n++) arrive('receipt', DC, flood)
    for (let n = 0; n < 3; n++) arrive('receipt', 'hu-shop-1', frameOf('hu-shop-1'))
    arrive('receipt', DC, frameOf('hu-otp'))
    const order = taken(LIMITS.relayTurns + 1)
    expect(order.indexOf('hu-otp')).toBe(1)
    expect(order.indexOf('hu-shop-1')).toBe(LIMITS.relayTurns)
  })

  it('counts guests of all tokens as one sender, with turns inside', () => {
    const { arrive, taken, senders } = incoming()
    const token = (n: number): string => `U${'A'.repeat(54)}${'ABCDEFGH'[n] as string}`
    for (let n = 0; n < 300; n++) arrive('receipt', token(n % 3), new Uint8Array(9))
    arrive('receipt', token(5), new Uint8Array(9))
    arrive('receipt', 'hu-shop-1', new Uint8Array(9))
    const order = taken(5)
    expect(order.slice(0, 4)).toEqual([0, 1, 2, 5].map(token))
    expect(order[4]).toBe('hu-shop-1')
    // One bad guest costs the others nothing but a count.
    for (let n = 0; n < 2 * LIMITS.failedFramesBurst; n++)
      senders.failed({ sender: 'guest', member: token(0) }, 'BAD_SIGNATURE', NOW)
    expect(senders.isShed({ sender: 'guest', member: token(0) }, NOW)).toBe(true)
    expect(senders.isShed({ sender: 'guest', member: token(1) }, NOW)).toBe(false)
    expect(senders.worst()).toEqual([
      {
        sender: 'guest',
        failed: 2 * LIMITS.failedFramesBurst,
        codes: { BAD_SIGNATURE: 2 * LIMITS.failedFramesBurst },
        busy: 0,
        dropped: 0,
      },
    ])
  })

  it('is never behind outsiders when it is the host’s own', () => {
    const { queue, arrive, taken } = incoming()
    for (let n = 0; n < 300; n++) arrive('receipt', 'hu-shop-1', new Uint8Array(9))
    queue.own({ type: 'own' })
    expect(taken(2)).toEqual(['own', 'hu-shop-1'])
    // Commands that start something take turns with others' admissions.
    for (let n = 0; n < 3; n++) expect(queue.start({ type: 'own' })).toBe(true)
    for (let n = 0; n < 300; n++) arrive('payee-enrolment', 'hu-shop-1', new Uint8Array(9))
    const step = taken(LIMITS.maxStepEvents)
    expect(step.filter((one) => one === 'own')).toHaveLength(3)
    expect(step.slice(-5)).toContain('hu-shop-1')
  })

  it('is admitted at a bounded rate from each sender, and told BUSY past it', () => {
    const { queue, arrive, senders } = incoming()
    const many = LIMITS.maxAdmissionsPerSenderPerSecond
    for (let n = 0; n < many; n++) expect(senders.mayAdmit({ sender: 'hu-shop-1' }, NOW)).toBe(true)
    arrive('payee-enrolment', 'hu-shop-1', new Uint8Array(9))
    arrive('payee-enrolment', 'hu-shop-2', new Uint8Array(9))
    expect(queue.sizes()).toMatchObject({ admissions: 1, overflow: 1 })
    expect(senders.mayAdmit({ sender: 'hu-shop-1' }, NOW + 1)).toBe(true)
  })

  it('is bounded in number and bytes, whoever sends it', () => {
    const { queue, arrive } = incoming()
    const large = new Uint8Array(LIMITS.maxFrameBytes)
    for (let n = 0; n < 3_000; n++) {
      arrive('receipt', `hu-shop-${n % 20}`, large)
      arrive('payee-enrolment', `hu-shop-${n % 20}`, large)
    }
    const { completions, admissions } = queue.sizes()
    expect(completions * large.length).toBeLessThanOrEqual(LIMITS.maxQueuedBytes)
    expect(admissions * large.length).toBeLessThanOrEqual(LIMITS.maxQueuedBytes)
    expect(queue.sizes().overflow).toBeLessThanOrEqual(LIMITS.maxBusyQueue)
  })
})

describe('parking', () => {
  it('takes from who has the most, not from who came first', () => {
    const parking = createParking<string>(6, 4)
    for (const [key, by] of ['b', 'a', 'a', 'a', 'a', 'c'].entries())
      expect(parking.park(`k${key}`, `${by}${key}`, by)).toBe(true)
    expect(parking.park('k6', 'c6', 'c')).toBe(false)
    expect([0, 1, 2, 3, 4, 5, 6].flatMap((key) => parking.take(`k${key}`))).toEqual([
      'b0',
      'a2',
      'a3',
      'a4',
      'c5',
      'c6',
    ])
  })

  it('holds so many of each sender, and nobody pushes out another who has no more', () => {
    const park = fc.record({
      park: fc.constantFrom('k1', 'k2', 'k3'),
      by: fc.constantFrom('a', 'b', 'c'),
    })
    const take = fc.record({ take: fc.constantFrom('k1', 'k2', 'k3') })
    fc.assert(
      fc.property(fc.array(fc.oneof({ weight: 5, arbitrary: park }, take), { maxLength: 120 }), (steps) => {
        const parking = createParking<{ readonly by: string; readonly key: string; readonly n: number }>(8, 4)
        let held: { readonly by: string; readonly key: string; readonly n: number }[] = []
        const of = (by: string): number => held.filter((one) => one.by === by).length
        for (const [n, step] of steps.entries()) {
          if ('take' in step) {
            expect(parking.take(step.take)).toEqual(held.filter(({ key }) => key === step.take))
            held = held.filter(({ key }) => key !== step.take)
            continue
          }
          const { by, park: key } = step
          const [full, before] = [held.length === 8 || of(by) === 4, held.length]
          expect(parking.park(key, { by, key, n }, by)).toBe(!full)
          if (of(by) === 4)
            held.splice(
              held.findIndex((one) => one.by === by),
              1,
            )
          else if (before === 8) {
            // Of one who has the most: read off what is left, and checked against everybody's number.
            const most = Math.max(...['a', 'b', 'c'].map(of))
            const greedy = ['a', 'b', 'c'].filter((one) => of(one) === most)
            const gone = held.filter(
              (one) => greedy.includes(one.by) && held.find((other) => other.by === one.by) === one,
            )
            const kept = createParkingView(parking, [...held, { by, key, n }])
            const lost = gone.find((one) => !kept.includes(one))
            expect(lost).toBeDefined()
            held.splice(held.indexOf(lost as (typeof held)[number]), 1)
          }
          held.push({ by, key, n })
          expect(parking.size).toBe(held.length)
        }
      }),
    )
  })
})
/** What is parked, by taking all of it out and putting it back. */
const createParkingView = <T extends { readonly by: string; readonly key: string; readonly n: number }>(
  parking: ReturnType<typeof createParking<T>>,
  possible: readonly T[],
): readonly T[] => {
  const all = [...new Set(possible.map(({ key }) => key))].flatMap((key) => parking.take(key))
  for (const one of all.toSorted((a, b) => a.n - b.n)) parking.park(one.key, one, one.by)
  return all
}

describe('credentials asked for because of frames', () => {
  it('are so many a second of each sender and in all; those a host needs itself are not counted', () => {
    const queries = createCredentialQueries()
    const asked = (because: string | undefined, count: number, nowMs: number): number =>
      Array.from({ length: count }, (_, n) =>
        queries.shouldAsk(
          { id: `hu-${because ?? 'own'}-${n}-${nowMs}`, ...(because === undefined ? {} : { because }) },
          nowMs,
        ),
      ).filter(Boolean).length
    expect(asked('hu-a', 500, NOW)).toBe(LIMITS.maxCredentialQueriesPerSenderPerSecond)
    expect(asked('hu-b', 1, NOW)).toBe(1)
    expect(asked('hu-a', 500, NOW + 1_000)).toBe(LIMITS.maxCredentialQueriesPerSenderPerSecond)
    let all = 0
    for (let n = 0; n < 40; n++) all += asked(`hu-x${n}`, 20, NOW + 2_000)
    expect(all).toBe(LIMITS.maxCredentialQueriesPerSecond)
    expect(asked(undefined, 20, NOW + 2_000)).toBe(20)
  })
})

describe('log lines that others cause', () => {
  it('are one of each sender and minute, and so many in all; the next one says how many were left out', () => {
    let now = NOW
    const limit = createLineLimit(() => now)
    const written = Array.from({ length: 1_000 }, (_, n) => limit(`hu-${n % 100}`)).filter((one) => one !== undefined)
    expect(written).toEqual(Array.from({ length: LIMITS.maxSenderLogsPerMinute }, () => 0))
    now += 60_000
    expect([limit('hu-0'), limit('hu-99'), limit('hu-0')]).toEqual([9, 10, undefined])
  })
})

describe('events kept for the trace of a stateless host', () => {
  it('are bounded in number and in bytes, the oldest go first', () => {
    const entry = (atMs: number, fields = ''): Passing => ({
      atMs,
      trigger: 'message',
      name: 'receipt',
      ids: [],
      sends: [],
      postings: [],
      fields,
    })
    const few = createPassingLog(3, 1_000_000)
    for (let n = 0; n < 10; n++) few.add(entry(n))
    expect(few.all().map(({ atMs }) => atMs)).toEqual([7, 8, 9])
    const small = createPassingLog(1_000, 10_000)
    for (let n = 0; n < 100; n++) small.add(entry(n, 'x'.repeat(1_000)))
    expect(small.all().length).toBeLessThan(10)
    expect(small.bytes).toBeLessThanOrEqual(10_000)
    expect(small.all().at(-1)?.atMs).toBe(99)
  })

  it('are told as they were, and keep none of the frames alive that their ids stand in', async () => {
    const FRAME_BYTES = 64 * 1_024
    const log = createPassingLog()
    const entry = (n: number): Passing => {
      const frame = new Uint8Array(FRAME_BYTES).fill(n)
      return {
        atMs: n,
        trigger: 'message',
        name: 'payment-notice',
        event: 'relayed',
        from: 'hu-otp',
        digest: frame.subarray(0, 32),
        ids: [frame.subarray(32, 48), frame.subarray(48, 64)],
        sends: [['payment-notice', 'hu-cosmo', frame.subarray(0, 32)]],
        postings: [['a', 'EUR', 5n]],
        refused: 'NO_ROUTE',
        fields: '{"n":1}',
      }
    }
    // What one collection frees is counted until the next.
    const external = async (): Promise<number> => {
      memoryInUse()
      await turn()
      return memoryInUse().externalBytes
    }
    const before = await external()
    for (let n = 0; n < 500; n++) log.add(entry(n))
    expect((await external()) - before).toBeLessThan(250 * FRAME_BYTES)
    expect(log.all()).toHaveLength(500)
    expect(log.all()[7]).toEqual(entry(7))
    log.add({ atMs: 500, trigger: 'message', name: 'receipt', ids: [], sends: [], postings: [] })
    expect(log.all().at(-1)).toEqual({
      atMs: 500,
      trigger: 'message',
      name: 'receipt',
      ids: [],
      sends: [],
      postings: [],
    })
  })
})

describe('a control socket', () => {
  const opened: (Socket | ControlServer)[] = []
  let dir: string | undefined
  afterEach(async () => {
    for (const one of opened.splice(0)) {
      if ('destroy' in one) one.destroy()
      else await one.close()
    }
    if (dir !== undefined) await rm(dir, { recursive: true, force: true })
  })
  const serve = async (): Promise<string> => {
    dir = await mkdtemp(join(tmpdir(), 'semops-'))
    const server = await serveControl(join(dir, 'x.sock'), () => ({ ok: true, value: 'x'.repeat(100) }))
    opened.push(server)
    return server.path
  }
  const open = async (path: string): Promise<Socket> => {
    const socket = connect(path)
    opened.push(socket)
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return socket
  }
  const textOf = (socket: Socket): Promise<string> =>
    new Promise((resolve) => {
      let text = ''
      socket.on('data', (chunk) => {
        text += String(chunk)
      })
      socket.once('close', () => resolve(text))
    })

  it('splits what comes into lines, whole or in pieces', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 12 })), fc.array(fc.nat(9)), (lines, cuts) => {
        const clean = lines.map((line) => line.replaceAll(/[\r\n]/g, ''))
        const bytes = Buffer.from(clean.map((line) => `${line}\n`).join(''))
        const got: string[] = []
        const split = lineSplitter(64)
        let at = 0
        for (const cut of [...cuts, bytes.length]) {
          split(bytes.subarray(at, at + cut), (line) => got.push(line))
          at += cut
        }
        expect(got).toEqual(clean)
      }),
    )
    const split = lineSplitter(4)
    const got: string[] = []
    expect(split(Buffer.from('1234\n12345\n1\n'), (line) => got.push(line))).toBe(false)
    expect(split(Buffer.from('1\n'), (line) => got.push(line))).toBe(false)
    expect(got).toEqual(['1234'])
  })

  it('gives up a connection whose request does not end', async () => {
    const path = await serve()
    const socket = await open(path)
    const text = textOf(socket)
    socket.on('error', () => undefined)
    socket.write('x'.repeat(LIMITS.maxControlRequestBytes + 1))
    expect(await text).toContain('the request is too long')
  })

  it('takes so many connections', async () => {
    const path = await serve()
    for (let n = 0; n < LIMITS.maxControlConnections; n++) await open(path)
    const one = connect(path)
    opened.push(one)
    expect(await textOf(one)).toContain('too many connections')
  })
})
