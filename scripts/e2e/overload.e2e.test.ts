/**
 * A bank that is offered far more than it takes. A CPP's login floods it with good orders to hold money, each again and again,
 * while another CPP's customers pay: who floods is told BUSY, others are served, memory does not grow with what is offered, and
 * whatever was accepted once is kept, answered alike for ever, and can be taken back.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { natsBroker } from '../../bus/nats-bus.ts'
import { hostSubscriptions } from '../../bus/permissions.ts'
import { identityOf, readHostCredentials, type HostCredentials } from '../../nodes/runtime/bundle.ts'
import { reportFromJson } from '../../nodes/verify/from-json.ts'
import type { BankReport } from '../../nodes/runtime/reports.ts'
import { equalBytes, fromHex, toHex } from '../../protocol/bytes.ts'
import { decodeBody, encodeBody } from '../../protocol/codec.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { makeContent, type Content } from '../../protocol/envelope.ts'
import { failureNumber } from '../../protocol/failures.ts'
import { ENVELOPE_VERSION } from '../../protocol/header.ts'
import { networkIdOf } from '../../protocol/keys.ts'
import { kindRow, type Body, type KindName } from '../../protocol/kinds.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { parseFrame, sealBatch } from '../../protocol/seals.ts'
import { formatSubject, parseSubject } from '../../protocol/subjects.ts'
import { hostOf, openFleet } from '../fleet/client.ts'
import { pay } from '../fleet/pay.ts'
import { eventually, startFaultFleet, type FaultFleet } from './fault-fleet.ts'
import { startStream } from './payment-stream.ts'

const NETWORK = `network: overload
currency: EUR
policies:
  cpp: { noticeLifetimeMs: 60000, settlement: { thresholdMinor: { EUR: '300' }, maxAgeMs: 1000, retryMs: 500 } }
banks:
  - { id: hu-kh }
realms:
  hu:
    cpps: [{ id: hu-otp, bank: hu-kh }, { id: hu-second, bank: hu-kh }]
    mpps: [{ id: hu-cosmo, bank: hu-kh }]
    merchants: [{ payee: bakery@hu, bank: hu-kh }]
    customers:
      - { id: hu-alice, cpps: [hu-otp], bank: hu-kh, balance: '9000.00' }
      - { id: hu-robert, cpps: [hu-second], bank: hu-kh, balance: '9000.00' }
`
const BANK = 'hu-kh'
const FLOODER = 'hu-otp'
/** Orders made at a time: more than may wait for one sender. */
const WAVE = 2 * LIMITS.maxAdmissionsPerSender
/** A slow machine says BUSY at the first; a fast one, whose sender may start so many a second, after a few. */
const MAX_WAVES = 4
const RECOVERY_MS = 60_000
const MIB = 1_048_576
/** Offered until everything that grows for good has grown: the ledger, which is mapped, and the heap of a busy process. */
const WARM_BYTES = 64 * MIB
/** Offered after that. */
const OFFERED_BYTES = 128 * MIB
/** What memory may grow by meanwhile: what a connection may buffer, in and out, and not what is offered. */
const GROWTH_BYTES = LIMITS.maxPendingBytes + LIMITS.maxUnconfirmedBytes

let net: FaultFleet
beforeAll(async () => {
  net = await startFaultFleet(NETWORK)
}, 180_000)
afterAll(() => net[Symbol.asyncDispose](), 60_000)

/** Speaks as the CPP whose credentials these are, over a connection of its own. */
const openSpeaker = async (credentials: HostCredentials) => {
  const { host, role } = credentials
  const { signing } = identityOf(loadEngine(), credentials)
  const bus = await natsBroker(credentials.login).openHost()
  const content = <K extends KindName>(kind: K, body: Body<K>): Content =>
    makeContent(
      {
        version: ENVELOPE_VERSION,
        networkId: networkIdOf(fromHex(credentials.rootKey)),
        kind,
        bodyVersion: 1,
        messageId: randomBytes(16),
        from: host,
        to: BANK,
        sentAtMs: Date.now(),
        expiresAtMs: kindRow(kind).expires ? Date.now() + 10 * 60_000 : undefined,
        correlationId: undefined,
        bodyForm: 'plain',
      },
      encodeBody(kind, body as never),
    )
  let busy = 0
  /** Order id → the answers to it, as they came. */
  const answers = new Map<string, Uint8Array>()
  const changed: string[] = []
  for (const { subject } of hostSubscriptions(role, host))
    await bus.subscribe(subject, {}, ({ subject: text, data }) => {
      const kind = parseSubject(text)?.kind
      const parsed = parseFrame(data)
      if (!parsed.ok || kind === undefined) return
      const { bodyBytes } = parsed.value
      if (kind === 'refusal') {
        const body = decodeBody(kind, 1, bodyBytes)
        if (body.ok && body.value.code === failureNumber('BUSY')) busy += 1
      } else if (kind === 'hold-answer' || kind === 'void-answer') {
        const body = decodeBody(kind, 1, bodyBytes)
        if (!body.ok) return
        const id = `${kind} ${toHex(body.value.holdId)} ${body.value.result}`
        const before = answers.get(id)
        if (before === undefined) answers.set(id, bodyBytes)
        else if (!equalBytes(before, bodyBytes)) changed.push(id)
      }
    })
  return {
    bus,
    answers,
    changed,
    busy: () => busy,
    seal: (contents: readonly Content[]) => sealBatch(contents, signing, (bytes) => randomBytes(bytes)),
    content,
    say: (kind: KindName, frame: Uint8Array): boolean =>
      bus.publish(formatSubject({ toRole: 'bank', toHost: BANK, kind, fromHost: host }), frame),
  }
}
type BankMetrics = { readonly memoryBytes: number; readonly depths: Readonly<Record<string, number>> }
const bankNow = () => net.withHost(BANK, (host) => host.builtin<BankMetrics>('metrics'))
const heldOn = async (account: string): Promise<bigint> => {
  const report = reportFromJson(await net.withHost(BANK, (host) => host.builtin('report'))) as BankReport
  return report.accounts.find((one) => one.account === account)?.heldMinor ?? -1n
}

describe('a flooded bank', () => {
  test(
    'says BUSY, serves the others, does not grow, keeps what it accepted, and is as before afterwards',
    { timeout: 300_000 },
    async () => {
      // Its login and keys are in other hands.
      await net.kill(FLOODER)
      await net.untilDead(FLOODER)
      const flooder = await openSpeaker(await readHostCredentials(net.directory.credentials(FLOODER)))
      const account = net.plan.customers.find(({ customer }) => customer === 'hu-alice')?.account ?? ''
      const holdExpiresAtMs = Date.now() + 30 * 60_000
      const holdIds: Uint8Array[] = []
      const frames: Uint8Array[] = []
      const makeWave = (): void => {
        const ids = Array.from({ length: WAVE }, () => new Uint8Array(randomBytes(16)))
        const order = { account, amountMinor: 1n, currency: 'EUR', holdExpiresAtMs } as const
        holdIds.push(...ids)
        frames.push(...flooder.seal(ids.map((holdId) => flooder.content('hold-order', { holdId, ...order }))))
      }

      // Macro: each is a hold at the same bank.
      const honest = startStream(net, 2, () => ({
        customer: 'hu-robert',
        payee: 'bakery@hu',
        amountMinor: 1_100n,
        currency: 'EUR',
      }))
      await eventually('honest payments', RECOVERY_MS, () => honest.ended() >= 2)
      const seen = { memoryBytes: 0, warmBytes: 0, admissions: 0, overflow: 0 }
      let flooding = true
      const watch = (async () => {
        while (flooding) {
          const { memoryBytes, depths } = await bankNow()
          seen.memoryBytes = Math.max(seen.memoryBytes, memoryBytes)
          seen.admissions = Math.max(seen.admissions, depths['admissions'] ?? 0)
          seen.overflow = Math.max(seen.overflow, depths['overflow'] ?? 0)
          await delay(20)
        }
      })()
      const honestBefore = honest.ended()
      // Each order again and again, and new ones until the bank has had enough.
      watch.catch(() => undefined)
      let offered = 0
      while (offered < WARM_BYTES + OFFERED_BYTES) {
        if (flooder.busy() === 0 && holdIds.length < MAX_WAVES * WAVE) makeWave()
        for (const [i, frame] of frames.entries()) {
          if (flooder.say('hold-order', frame)) offered += frame.length
          // How fast it may go the broker says; a round trip that is late is what a flood does to whoever sends it.
          if (i % LIMITS.maxAdmissionsPerSender === 0) await flooder.bus.flush().catch(() => undefined)
        }
        if (offered < WARM_BYTES) seen.warmBytes = seen.memoryBytes
      }
      flooding = false
      await watch
      await eventually('honest payments during the flood', RECOVERY_MS, () => honest.ended() > honestBefore)
      const made = await honest.stop()
      expect(new Set([...made.values()].map(({ result }) => result.outcome))).toEqual(new Set(['confirmed']))
      expect(flooder.busy()).toBeGreaterThan(0)
      // The flooder's, and the honest ones' few.
      expect(seen.admissions).toBeLessThanOrEqual(LIMITS.maxAdmissionsPerSender + 100)
      expect(seen.overflow).toBeLessThanOrEqual(LIMITS.maxBusyQueue)
      expect(seen.memoryBytes - seen.warmBytes).toBeLessThan(GROWTH_BYTES)

      // The flood ends. Who resends as an outbox does gets every order held, once.
      const answered = (what: string) => (holdId: Uint8Array) =>
        flooder.answers.has(`${what} ${toHex(holdId)} ${word(what)}`)
      const word = (what: string): string => (what === 'hold-answer' ? 'held' : 'voided')
      const untilAll = async (kind: KindName, what: string, all: readonly Uint8Array[]): Promise<void> => {
        await eventually(`every ${what}`, 2 * RECOVERY_MS, async () => {
          const left = all.filter((_, i) => !answered(what)(holdIds[i] as Uint8Array))
          for (const frame of left.slice(0, 1_000)) flooder.say(kind, frame)
          await flooder.bus.flush().catch(() => undefined)
          if (left.length > 0) await delay(250)
          return left.length === 0
        })
      }
      await untilAll('hold-order', 'hold-answer', frames)
      expect(flooder.changed).toEqual([])
      expect(await heldOn(account)).toBe(BigInt(holdIds.length))
      const voids = flooder.seal(
        holdIds.map((holdId) => flooder.content('void-order', { orderId: randomBytes(16), holdId })),
      )
      await untilAll('void-order', 'void-answer', voids)
      expect(await heldOn(account)).toBe(0n)
      await flooder.bus.close()

      const order = { customer: 'hu-robert', payee: 'bakery@hu', amountMinor: 1_200n, currency: 'EUR' } as const
      const paid = await net.withHost(hostOf(net.plan, 'hu-robert'), (wallet) => pay(wallet, order, RECOVERY_MS))
      expect(paid).toMatchObject({ outcome: 'confirmed', confirmation: 'T' })

      // Whoever the key was taken from learns of it before doing anything under it: its operator decides.
      await net.start(FLOODER)
      const { state, problem } = await net.statusOf(FLOODER)
      expect([state, problem]).toEqual(['held', expect.stringContaining(`${BANK} holds its`)])
      expect(problem).toContain("somebody else speaks under this host's key")
      const fleet = await openFleet(net.directory.root)
      await fleet.supervisor('accept-ledger', { id: FLOODER }).finally(fleet.close)
      expect((await net.statusOf(FLOODER)).state).toBe('ready')
    },
  )
})
