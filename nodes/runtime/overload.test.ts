/**
 * Each role offered far more than it takes: what starts something waits in bounded numbers and is told BUSY past them, what
 * completes something is never refused for it, others keep their turns, and when the flood ends nothing is left of it.
 */
import { describe, expect, it } from 'vitest'
import { ROLES, type Role } from '../../protocol/ids.ts'
import { ALL_LEGS, type KindName } from '../../protocol/kinds.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { isAdmission } from './admission.ts'
import { createIncoming, type FrameEvent } from './incoming.ts'
import { createMetrics } from './metrics.ts'
import { createSenders } from './senders.ts'

type Own = { readonly type: 'own' }
const NOW = 1_800_000_000_000
const FLOODER = 'hu-flooder'
/** More than any queue holds, and than its sender may say in this second. */
const FLOOD = 3 * LIMITS.maxAdmissionsPerSenderPerSecond
const FRAME = new Uint8Array(400)

const kindsTo = (role: Role, admission: boolean): readonly KindName[] => [
  ...new Set(
    ALL_LEGS.filter((leg) => leg.to === role && isAdmission(leg.kind, role) === admission).map(({ kind }) => kind),
  ),
]
const flooded = (role: Role) => {
  const metrics = createMetrics()
  const senders = createSenders()
  const queue = createIncoming<Own>({
    role,
    roleOf: () => undefined,
    senders,
    metrics,
    maxAdmissions: LIMITS.maxAdmissionQueue,
  })
  const arrive = (kind: KindName, fromHost: string, nowMs = NOW): void =>
    queue.receive({ toRole: role, toHost: 'hu-here', kind, fromHost }, FRAME, nowMs)
  /** What one step takes. */
  const step = (): readonly FrameEvent[] => {
    const next = queue.step()
    const taken: FrameEvent[] = []
    for (let i = 0; i < LIMITS.maxStepEvents; i++) {
      const event = next()
      if (event?.type === 'frame') taken.push(event)
    }
    return taken
  }
  const fromOf = ({ frame }: FrameEvent): string => frame.from.sender
  return { queue, senders, metrics, arrive, step, fromOf }
}

describe.each(ROLES.filter((role) => role !== 'guest' && kindsTo(role, true).length > 0))('a flooded %s', (role) => {
  it.each(kindsTo(role, true))('by %s from one sender', (kind) => {
    const { queue, senders, metrics, arrive, step, fromOf } = flooded(role)
    const [completion] = kindsTo(role, false)
    for (let n = 0; n < FLOOD; n++) arrive(kind, FLOODER)

    // Bounded, and each is counted: it waits, it waits to be told BUSY, or its resend is the answer.
    const { admissions, overflow } = queue.sizes()
    expect(admissions).toBe(LIMITS.maxAdmissionsPerSender)
    expect(overflow).toBe(LIMITS.maxBusyPerSender)
    expect(metrics.snapshot()).toMatchObject({ overflowDropped: FLOOD - admissions - overflow })

    // Another one's start, and every completion, are taken in the next step.
    arrive(kind, 'hu-honest')
    if (completion !== undefined) for (let n = 0; n < 20; n++) arrive(completion, n % 2 === 0 ? FLOODER : 'hu-honest')
    const first = step()
    expect(first.filter((event) => fromOf(event) === 'hu-honest' && !event.busy)).toHaveLength(
      completion === undefined ? 1 : 11,
    )
    if (completion !== undefined)
      expect(first.filter(({ frame }) => frame.subject.kind === completion)).toHaveLength(20)
    // What was accepted is decided, in full; what was not is told so.
    const rest = [...first]
    while (queue.size() > 0) rest.push(...step())
    const ofFlood = rest.filter((event) => event.frame.subject.kind === kind && fromOf(event) === FLOODER)
    expect(ofFlood.filter(({ busy }) => !busy)).toHaveLength(admissions)
    expect(ofFlood.filter(({ busy }) => busy)).toHaveLength(overflow)
    expect(senders.worst()[0]).toMatchObject({ sender: FLOODER, busy: FLOOD - admissions })

    // A second later its sender starts as anybody does.
    arrive(kind, FLOODER, NOW + 1_000)
    expect(step().map(({ busy }) => busy)).toEqual([false])
  })

  it('by everybody at once keeps room for a newcomer', () => {
    const { queue, arrive, step, fromOf } = flooded(role)
    const [kind] = kindsTo(role, true) as [KindName]
    for (let n = 0; n < FLOOD; n++) arrive(kind, `hu-flooder-${n % 40}`)
    expect(queue.sizes().admissions).toBeLessThanOrEqual(LIMITS.maxAdmissionQueue)
    arrive(kind, 'hu-newcomer')
    expect(step().filter((event) => fromOf(event) === 'hu-newcomer' && !event.busy)).toHaveLength(1)
  })
})
