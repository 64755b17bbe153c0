/**
 * One host floods another with everything it may publish: frames that are refused, garbage, keys that nobody has, completions,
 * questions. What others send is decided within the next step all the same, and nothing grows.
 */
import { describe, expect, it } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { decodeBody, encodeBody } from '../../protocol/codec.ts'
import { makeContent, type Content } from '../../protocol/envelope.ts'
import { failureCode } from '../../protocol/failures.ts'
import { ENVELOPE_VERSION } from '../../protocol/header.ts'
import { networkIdOf, signingKeyFromSeed } from '../../protocol/keys.ts'
import { kindRow, type Body, type KindName } from '../../protocol/kinds.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { parseFrame, sealBatch, sealOne } from '../../protocol/seals.ts'
import { formatSubject, parseSubject } from '../../protocol/subjects.ts'
import { hash } from '../../protocol/hash.ts'
import { toHex, utf8 } from '../../protocol/bytes.ts'
import { bareDefinition } from './bare-definition.ts'
import { createLineLimit, type Log } from './log.ts'
import { decision, put, refuse, type Decision, type Incoming } from './node.ts'
import { journalTable, seenTable } from './runtime-tables.ts'
import { createSimNetwork, introduce, seededRandom, SIM_START_MS } from './sim-network.ts'
import { defineTable, keyOf } from './table.ts'

const GOOD = 'hu-otp'
const BAD = 'hu-mallory'
const BANK = 'hu-kh'
const decided = defineTable<{ readonly from: string }>({ name: 'decided', version: 1, fields: ['from'] })

type Options = {
  readonly maxAdmissions?: number
  readonly query?: (event: Incoming<'bank-order-query'>) => Decision
  readonly hold?: (event: Incoming<'hold-order'>) => Decision
}

/** A bank that two CPPs send to, each over a connection of its own that says what the test likes. */
const network = async (options: Options = {}) => {
  const lines: string[] = []
  const answers: {
    readonly to: string
    readonly kind: KindName
    readonly code: string | undefined
    readonly digest: string
  }[] = []
  const limited = createLineLimit(() => sim.now())
  const log: Log = {
    write: (_level, text) => void lines.push(text),
    of: (sender, _level, text) => {
      if (limited(sender) !== undefined) lines.push(`${sender}: ${text}`)
    },
  }
  const sim = createSimNetwork({
    log: (host) => (host === BANK ? log : { write: () => {}, of: () => {} }),
    onSend: ({ subject, data }) => {
      const { fromHost, toHost, kind } = parseSubject(subject) ?? { fromHost: '', toHost: '', kind: 'refusal' }
      if (fromHost === BANK)
        answers.push({ to: toHost, kind, code: kind === 'refusal' ? codeOf(data) : undefined, digest: digestOf(data) })
      return { delaysMs: [0] }
    },
  })
  await sim.add({ id: 'hu-dc-1', role: 'dc', define: () => bareDefinition('dc') })
  const accept = (event: Incoming<'hold-order'> | Incoming<'post-order'>): Decision => {
    const { sender, body } = event.message
    const id =
      'holdId' in body && event.message.kind === 'hold-order' ? body.holdId : (body as Body<'post-order'>).orderId
    return decision({ writes: [put(decided, keyOf(sender.id, id), { from: sender.id })] })
  }
  const bank = await sim.add({
    id: BANK,
    role: 'bank',
    ...(options.maxAdmissions === undefined ? {} : { maxAdmissions: options.maxAdmissions }),
    define: () =>
      bareDefinition('bank', {
        messages: {
          'hold-order': (_read, event) => options.hold?.(event) ?? accept(event),
          'post-order': (_read, event) => accept(event),
          'bank-order-query': (_read, event) => options.query?.(event) ?? refuse('NOT_FOUND', 'no such order'),
        },
      }),
  })
  const cpps = [GOOD, BAD].map((id) => ({ id, role: 'cpp' as const, define: () => bareDefinition('cpp') }))
  await introduce(bank, [await sim.add(cpps[0]!), await sim.add(cpps[1]!)])
  await sim.run()
  const random = seededRandom('flood')
  const [good, bad] = (await Promise.all([GOOD, BAD].map((id) => sim.network.broker('cpp', id).openHost()))) as [
    Bus,
    Bus,
  ]
  const content = <K extends KindName>(kind: K, from: string, body: Body<K>): Content =>
    makeContent(
      {
        version: ENVELOPE_VERSION,
        networkId: networkIdOf(sim.root.publicKey),
        kind,
        bodyVersion: 1,
        messageId: random.bytes(16),
        from,
        to: BANK,
        sentAtMs: sim.now(),
        expiresAtMs: kindRow(kind).expires ? sim.now() + 60_000 : undefined,
        correlationId: undefined,
        bodyForm: 'plain',
      },
      encodeBody(kind, body as never),
    )
  const bodies = {
    'hold-order': () => ({
      holdId: random.bytes(16),
      account: 'hu-kh:alice',
      amountMinor: 100n,
      currency: 'EUR' as const,
      holdExpiresAtMs: SIM_START_MS + 60_000,
    }),
    'post-order': () => ({
      orderId: random.bytes(16),
      holdId: random.bytes(16),
      creditAccount: 'hu-kh:otp',
      currency: 'EUR' as const,
      amountMinor: 100n,
      reference: { purpose: 'payment' as const, id: random.bytes(16) },
    }),
    'bank-order-query': () => ({ orderId: random.bytes(16) }),
  }
  type Kind = keyof typeof bodies
  /** `count` different messages of one CPP, all well sealed. */
  const frames = (kind: Kind, from: string, count: number): readonly Uint8Array[] =>
    sealBatch(
      Array.from({ length: count }, () => content(kind, from, bodies[kind]() as never)),
      sim.host(from).identity.signing,
      random.bytes,
    )
  const publish = (from: string, kind: KindName, all: readonly Uint8Array[]): void => {
    const bus = from === GOOD ? good : bad
    const subject = formatSubject({ toRole: 'bank', toHost: BANK, kind, fromHost: from })
    for (const frame of all) bus.publish(subject, frame)
    sim.network.pump()
  }
  const step = async (): Promise<void> => {
    bank.host().step()
    await bank.host().settled()
  }
  return {
    sim,
    bank,
    lines,
    answers,
    random,
    content,
    frames,
    publish,
    step,
    send: (from: string, kind: Kind, count = 1): void => publish(from, kind, frames(kind, from, count)),
    decidedOf: (from: string): number => [...bank.host().read.scan(decided, [from])].length,
    refusalsTo: (to: string): readonly (string | undefined)[] =>
      answers.filter((one) => one.to === to && one.kind === 'refusal').map(({ code }) => code),
    offender: (name = BAD) =>
      bank
        .host()
        .offenders()
        .find(({ sender }) => sender === name),
  }
}
const digestOf = (frame: Uint8Array): string => {
  const parsed = parseFrame(frame)
  return parsed.ok ? toHex(parsed.value.digest) : ''
}
const codeOf = (frame: Uint8Array): string | undefined => {
  const parsed = parseFrame(frame)
  const body = parsed.ok ? decodeBody('refusal', 1, parsed.value.bodyBytes) : undefined
  return body?.ok === true ? failureCode(body.value.code) : undefined
}

describe('while one host floods', { timeout: 30_000 }, () => {
  it('with completions, another’s admission and completion are decided in the next step', async () => {
    const { bank, send, step, decidedOf } = await network()
    send(BAD, 'post-order', 800)
    send(GOOD, 'hold-order')
    send(GOOD, 'post-order')
    expect(bank.host().depths()['completions']).toBe(801)
    await step()
    expect(decidedOf(GOOD)).toBe(2)
    // And the flood is served with what is left of the step.
    expect(decidedOf(BAD)).toBe(LIMITS.maxStepEvents - 2)
  })

  it('with admissions, it is told BUSY, another is not, and completions are never refused for them', async () => {
    const { bank, send, step, decidedOf, refusalsTo, offender } = await network({ maxAdmissions: 64 })
    send(BAD, 'hold-order', 500)
    // It fills what one may; a newcomer still finds room.
    expect(bank.host().depths()).toMatchObject({ admissions: 57, overflow: LIMITS.maxBusyPerSender })
    send(GOOD, 'hold-order', 3)
    send(GOOD, 'post-order', 20)
    send(BAD, 'post-order', 20)
    await step()
    expect(decidedOf(GOOD)).toBe(23)
    expect(refusalsTo(GOOD)).toEqual([])
    expect(new Set(refusalsTo(BAD))).toEqual(new Set(['BUSY']))
    expect(refusalsTo(BAD)).toHaveLength(LIMITS.maxBusyPerSender)
    expect(decidedOf(BAD)).toBe(57 + 20)
    expect(offender()).toMatchObject({ failed: 0, busy: 443, dropped: 443 - LIMITS.maxBusyPerSender })
    expect(offender(GOOD)).toBeUndefined()
  })

  it('with garbage, it is shed: its frames wait until nothing else does, and it comes back when it stops', async () => {
    const { sim, bank, send, publish, step, decidedOf, random, offender, lines } = await network()
    const garbage = (): Uint8Array => random.bytes(200)
    for (let round = 0; round < 4; round++) {
      publish(BAD, 'post-order', Array.from({ length: LIMITS.maxStepEvents }, garbage))
      await step()
    }
    publish(BAD, 'post-order', Array.from({ length: 600 }, garbage))
    expect(bank.host().depths()).toMatchObject({ completions: 0, shed: LIMITS.maxShedPerSender })
    const failedBefore = offender()?.failed ?? 0
    expect(failedBefore).toBeGreaterThanOrEqual(LIMITS.failedFramesBurst)
    send(GOOD, 'post-order', LIMITS.maxStepEvents - LIMITS.minAdmissionsPerStep)
    send(GOOD, 'hold-order', LIMITS.minAdmissionsPerStep)
    await step()
    expect(decidedOf(GOOD)).toBe(LIMITS.maxStepEvents)
    expect(offender()?.failed).toBe(failedBefore)
    await step()
    expect(offender()?.failed).toBe(failedBefore + LIMITS.maxShedPerSender)
    expect(offender()?.codes).toEqual({ MALFORMED_FRAME: failedBefore + LIMITS.maxShedPerSender })
    expect(lines.filter((line) => line.startsWith(BAD))).toHaveLength(1)
    // An honest frame of a shed host waits its turn, and is not lost.
    send(BAD, 'hold-order')
    await step()
    expect(decidedOf(BAD)).toBe(1)
    sim.setTime(sim.now() + 1_000)
    send(BAD, 'hold-order')
    expect(bank.host().depths()).toMatchObject({ admissions: 0, shed: 1 })
    sim.setTime(sim.now() + 1_000 * (LIMITS.failedFramesBurst / LIMITS.maxFailedFramesPerSecond))
    send(BAD, 'hold-order')
    expect(bank.host().depths()).toMatchObject({ admissions: 1, shed: 1 })
  })

  it('with keys that nobody has, few are asked for, and what waits for another is not pushed out', async () => {
    const { sim, bank, publish, step, content, random, offender } = await network()
    const stranger = signingKeyFromSeed(sim.engine, hash(utf8('stranger')))
    const strange = (from: string, count: number): readonly Uint8Array[] =>
      Array.from({ length: count }, (_, n) =>
        sealOne(
          content('post-order', `${from}-${n}`, postBody(random)),
          signingKeyFromSeed(sim.engine, random.bytes(32)),
        ),
      )
    publish(GOOD, 'post-order', [sealOne(content('post-order', 'hu-stranger', postBody(random)), stranger)])
    await step()
    expect(bank.host().depths()['parked']).toBe(1)
    for (let round = 0; round < 4; round++) {
      publish(BAD, 'post-order', strange('hu-nobody', 120))
      await step()
    }
    expect(bank.host().depths()['parked']).toBe(1 + LIMITS.maxParkedPerSender)
    expect(bank.host().metrics.value('credentialQueries')).toBeLessThanOrEqual(
      1 + LIMITS.maxCredentialQueriesPerSenderPerSecond,
    )
    expect(offender()?.codes).toEqual({ UNKNOWN_KEY: 480 - LIMITS.maxParkedPerSender })
  })

  it('with questions, each is answered and none leaves a trace', async () => {
    const { bank, frames, publish, step, refusalsTo } = await network()
    const before = [bank.host().lastSeq(), [...bank.store().rows()].length]
    const questions = frames('bank-order-query', BAD, 50)
    for (let round = 0; round < 2; round++) {
      publish(BAD, 'bank-order-query', questions)
      await step()
    }
    expect(refusalsTo(BAD)).toEqual(Array.from({ length: 100 }, () => 'NOT_FOUND'))
    expect([bank.host().lastSeq(), [...bank.store().rows()].length]).toEqual(before)
    expect([...bank.host().read.scan(seenTable, [])]).toEqual([])
  })

  it('with one question again and again, it gets the answer it got, which is on no disk', async () => {
    const { bank, frames, publish, step, answers, random } = await network({
      query: ({ message, ref }) =>
        decision({
          sends: [
            {
              kind: 'void-answer',
              to: message.sender.id,
              body: { orderId: message.body.orderId, holdId: random.bytes(16), result: 'voided' },
              delivery: { answers: ref },
            },
          ],
        }),
    })
    const rows = [...bank.store().rows()].length
    const [question, other] = frames('bank-order-query', BAD, 2) as [Uint8Array, Uint8Array]
    for (let round = 0; round < 3; round++) {
      publish(BAD, 'bank-order-query', [question, other])
      await step()
    }
    const given = answers.filter(({ to }) => to === BAD)
    expect(given).toHaveLength(6)
    expect(new Set(given.map(({ digest }) => digest)).size).toBe(2)
    expect([...bank.store().rows()]).toHaveLength(rows)
  })

  it('with messages that are refused for good, the ledger keeps so many and the rest are told BUSY', async () => {
    const { sim, bank, send, step, refusalsTo, decidedOf } = await network({
      hold: ({ message }) =>
        message.sender.id === BAD
          ? refuse('ENROLMENT_REFUSED', 'never')
          : decision({ writes: [put(decided, keyOf(message.sender.id, message.body.holdId), { from: GOOD })] }),
    })
    const rows = (): number => [...bank.host().read.scan(journalTable, [])].length
    const before = rows()
    for (let round = 0; round < 3; round++) {
      send(BAD, 'hold-order', 200)
      await step()
    }
    // What had been queued when the last token went is decided still; of the third 200, nothing is.
    const kept = rows() - before
    expect(kept).toBeGreaterThanOrEqual(LIMITS.storedRefusalsBurst)
    expect(kept).toBeLessThanOrEqual(2 * 200)
    expect(refusalsTo(BAD)).toContain('BUSY')
    send(GOOD, 'hold-order')
    await step()
    expect(decidedOf(GOOD)).toBe(1)
    // Before it is admitted again it has paid back what ran ahead.
    const debt = kept - LIMITS.storedRefusalsBurst
    const refused = rows()
    sim.setTime(sim.now() + (debt / LIMITS.maxStoredRefusalsPerSecond) * 1_000)
    send(BAD, 'hold-order')
    await step()
    expect(rows()).toBe(refused)
    sim.setTime(sim.now() + 1_000 / LIMITS.maxStoredRefusalsPerSecond)
    send(BAD, 'hold-order')
    await step()
    expect(rows()).toBe(refused + 1)
  })
})

const postBody = (random: { readonly bytes: (length: number) => Uint8Array }): Body<'post-order'> => ({
  orderId: random.bytes(16),
  holdId: random.bytes(16),
  creditAccount: 'hu-kh:otp',
  currency: 'EUR',
  amountMinor: 100n,
  reference: { purpose: 'payment', id: random.bytes(16) },
})
