/** Every frame that the vectors call invalid, thrown at a running host of each role. */
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import { fromHex } from '../../protocol/bytes.ts'
import { FAILURES, type FailureCode } from '../../protocol/failures.ts'
import type { Role } from '../../protocol/ids.ts'
import type { KindName } from '../../protocol/kinds.ts'
import { formatSubject, parseSubject } from '../../protocol/subjects.ts'
import { codesAt, CREDENTIALS, nothingChanged, STORED_ANSWER, type Caused } from './testing/nothing-changed.ts'
import { HOSTS, hostileWorld, type World } from './testing/world.ts'

type InvalidFrame = {
  readonly name: string
  readonly code: FailureCode
  readonly as: string
  readonly arrival: { readonly toRole: Role; readonly kind: KindName; readonly fromHost: string }
  readonly frame?: string
  readonly zeros?: number
}
type HostRole = keyof typeof HOSTS
const { frames } = JSON.parse(
  readFileSync(new URL('../../protocol/vectors/invalid.json', import.meta.url), 'utf8'),
) as { readonly frames: readonly InvalidFrame[] }

/** Where this network differs from the vectors': its customers have device keys of their own, and no key is revoked. */
const HERE: Readonly<Record<string, FailureCode | 'accepted'>> = {
  'a payment request in the carrier of another wallet host': 'UNKNOWN_KEY',
  'a payment request in the clear': 'UNKNOWN_KEY',
  'a carrier to this CPP around a request to another': 'UNKNOWN_KEY',
  'a key on the revocation list': 'accepted',
}
/** Brought by a data center to a data center or to the MPP, this notice is in order: it is wrong elsewhere alone. */
const ROUTABLE = 'a notice that comes to the merchant past its MPP'
/** A host that asks its data center for the key, and what the data center remembers of that. */
const ASKED = [...CREDENTIALS, ...STORED_ANSWER]

const isHostRole = (role: Role): role is HostRole => Object.hasOwn(HOSTS, role)

let world: World
beforeAll(async () => {
  world = await hostileWorld()
}, 60_000)

const throwAt = (role: HostRole, { arrival, frame, zeros }: InvalidFrame): void => {
  const { kind, fromHost } = arrival
  world.sim.network.inject(
    'attacker',
    formatSubject({ toRole: role, toHost: HOSTS[role], kind, fromHost }),
    frame === undefined ? new Uint8Array(zeros ?? 0) : fromHex(frame),
  )
}
const answersOf = ({ sent }: Caused, host: string): readonly string[] =>
  sent.flatMap(({ from, subject }) => (from === host ? (parseSubject(subject)?.kind ?? []) : []))

describe('every invalid vector', () => {
  // A host subscribes to its own role's subjects: it never meets one of another role.
  const aimed = frames.filter(
    ({ as, arrival }) => isHostRole(arrival.toRole) && (as === arrival.toRole || as === 'wallet'),
  )
  test.each(aimed.map((vector) => [vector.name, vector.code, vector] as const))(
    'is refused by the host it is meant for: %s, %s',
    async (name, code, vector) => {
      const role = vector.arrival.toRole as HostRole
      const host = HOSTS[role]
      const expected = HERE[name] ?? code
      const caused = await nothingChanged(world, () => throwAt(role, vector), ASKED)
      // A first contact waits until the data center has shown the key.
      const [verdict, ...waits] = codesAt(caused, host).toReversed()
      expect(verdict).toBe(expected === 'accepted' ? undefined : expected)
      expect(waits.filter((one) => one !== 'UNKNOWN_KEY')).toEqual([])
      const answers = answersOf(caused, host).filter((kind) => kind !== 'credential-query')
      if (expected === 'accepted' || FAILURES[expected].answer === 'silent') expect(answers).toEqual([])
      else expect(answers.filter((kind) => kind !== 'refusal')).toEqual([])
    },
  )

  test.each(Object.keys(HOSTS) as HostRole[])('stops no %s host, changes nothing, and is not obeyed', async (role) => {
    const thrown = frames.filter(({ name }) => (role !== 'dc' && role !== 'mpp') || name !== ROUTABLE)
    expect(thrown.length).toBeGreaterThan(90)
    const caused = await nothingChanged(world, () => thrown.forEach((vector) => throwAt(role, vector)), ASKED)
    // Whom a data center forwards to may ask it for a credential then, and is answered.
    const routed = ['receipt', 'undeliverable', 'credential-record']
    const harmless = ['refusal', 'credential-query', ...(role === 'dc' ? routed : [])]
    expect(answersOf(caused, HOSTS[role]).filter((kind) => !harmless.includes(kind))).toEqual([])
  })
})
