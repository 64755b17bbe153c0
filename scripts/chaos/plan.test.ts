import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FAULTS, planChaos, readActions, type ChaosOptions, type Fault } from './plan.ts'

const HOSTS = [
  { id: 'hu-kh', role: 'bank' },
  { id: 'hu-otp', role: 'cpp' },
  { id: 'hu-dc-1', role: 'dc' },
] as const
const ALL = Object.keys(FAULTS) as Fault[]
const options = (changes: Partial<ChaosOptions> = {}): ChaosOptions => ({
  seed: 'a',
  durationMs: 60_000,
  everyMs: 2_000,
  faults: ALL,
  hosts: HOSTS,
  ...changes,
})

describe('random faults', () => {
  test('are the same for the same seed, and others for another', () => {
    expect(planChaos(options())).toEqual(planChaos(options()))
    expect(planChaos(options())).not.toEqual(planChaos(options({ seed: 'b' })))
    expect(planChaos(options()).length).toBeGreaterThan(10)
  })

  test('hit each target once at a time, in order, within the duration, and only what was chosen', () => {
    const subset = fc.subarray(ALL, { minLength: 1 })
    fc.assert(
      fc.property(
        fc.string(),
        subset,
        fc.subarray([...HOSTS]),
        fc.integer({ min: 1, max: 9_000 }),
        fc.subarray(['hu', 'ro']),
        (seed, faults, hosts, everyMs, realms) => {
          const actions = planChaos(options({ seed, faults, hosts, everyMs, realms }))
          const mendedAtMs = new Map<string, number>()
          let lastMs = 0
          for (const { atMs, fault, target, lastsMs, kind, count } of actions) {
            expect(atMs).toBeGreaterThanOrEqual(lastMs)
            expect(atMs).toBeLessThan(60_000)
            const ids = hosts.map(({ id }) => id)
            const hits = realms.includes(target) ? ids : [target]
            for (const id of hits) expect(atMs).toBeGreaterThanOrEqual(mendedAtMs.get(id) ?? 0)
            expect(faults).toContain(fault)
            expect(fault === 'server-restart' ? ['nats'] : fault === 'partition' ? [...ids, ...realms] : ids).toContain(
              target,
            )
            expect((kind !== undefined && (count ?? 0) > 0) === (fault === 'drop')).toBe(true)
            for (const id of hits) mendedAtMs.set(id, atMs + lastsMs)
            lastMs = atMs
          }
        },
      ),
      { numRuns: 60 },
    )
  })
})

test('a network of several realms is cut in two now and then, when nothing else is done to it', () => {
  const actions = planChaos(options({ durationMs: 3_600_000, everyMs: 4_000, realms: ['hu', 'ro'] }))
  const cut = actions.filter(({ target }) => target === 'hu' || target === 'ro')
  expect(cut.length).toBeGreaterThan(3)
  for (const { fault, atMs, lastsMs } of cut) {
    expect(fault).toBe('partition')
    const during = actions.filter((other) => other.atMs > atMs && other.atMs < atMs + lastsMs)
    expect(during.filter(({ target }) => target !== 'nats')).toEqual([])
  }
})

describe('a list of faults', () => {
  const read = (rows: unknown) =>
    readActions(rows, { hosts: HOSTS, realms: ['hu', 'ro'], hostOf: (id) => (id === 'bakery@hu' ? 'hu-shops-1' : id) })

  test('is taken in order of time, with hosts for those they carry', () => {
    expect(
      read([
        { at: 9, fault: 'server-restart', for: 1.5 },
        { at: 2, fault: 'drop', target: 'hu-kh', kind: 'hold-answer', count: 3, for: 4 },
        { at: 5, fault: 'kill', target: 'bakery@hu' },
        { at: 7, fault: 'partition', target: 'ro', for: 1 },
        { at: 8, fault: 'partition', target: 'hu-otp' },
      ]),
    ).toEqual([
      { atMs: 2_000, fault: 'drop', target: 'hu-kh', lastsMs: 4_000, kind: 'hold-answer', count: 3 },
      { atMs: 5_000, fault: 'kill', target: 'hu-shops-1', lastsMs: 0 },
      { atMs: 7_000, fault: 'partition', target: 'ro', lastsMs: 1_000 },
      { atMs: 8_000, fault: 'partition', target: 'hu-otp', lastsMs: 0 },
      { atMs: 9_000, fault: 'server-restart', target: 'nats', lastsMs: 1_500 },
    ])
  })

  test.each([
    ['nothing', [], /./],
    ['an unknown fault', [{ at: 1, fault: 'burn', target: 'a' }], /./],
    ['a field too many', [{ at: 1, fault: 'kill', target: 'a', hard: true }], /./],
    ['no target', [{ at: 1, fault: 'kill' }], 'row 1: kill needs a target'],
    [
      'a kind that is none',
      [{ at: 1, fault: 'drop', target: 'a', kind: 'letter' }],
      'row 1: drop needs the kind of a message, not letter',
    ],
    [
      'a kind of what drops nothing',
      [{ at: 1, fault: 'kill', target: 'a', kind: 'receipt' }],
      'row 1: only drop takes a kind',
    ],
    [
      'two at a time',
      [
        { at: 3, fault: 'pause', target: 'a' },
        { at: 1, fault: 'kill', target: 'a', for: 3 },
      ],
      'row 1: a is not mended by then',
    ],
    [
      'a host that is cut off with its realm',
      [
        { at: 1, fault: 'partition', target: 'hu', for: 3 },
        { at: 3, fault: 'kill', target: 'hu-kh' },
      ],
      'row 2: hu-kh is not mended by then',
    ],
  ])('is refused with %s', (_, rows, says) => {
    expect(() => read(rows)).toThrow(says)
  })
})
