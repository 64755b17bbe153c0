import { describe, expect, it } from 'vitest'
import { LOST } from '../../bus/simulated-bus.ts'
import { decodeBody } from '../../protocol/codec.ts'
import { failureCode } from '../../protocol/failures.ts'
import { parseFrame } from '../../protocol/seals.ts'
import { parseSubject } from '../../protocol/subjects.ts'
import { bareDefinition } from './bare-definition.ts'
import { checkChain } from './journal.ts'
import { decision, put, refuse, type Decision, type Incoming } from './node.ts'
import { headTable, outboxTable, seenTable } from './runtime-tables.ts'
import { createSimNetwork, introduce, SIM_START_MS } from './sim-network.ts'
import { defineTable, keyOf } from './table.ts'
import { testId } from './testing.ts'

type HoldRow = { readonly amountMinor: bigint }
const holds = defineTable<HoldRow>({ name: 'holds', version: 1, fields: ['amountMinor'] })
type NoteRow = { readonly text: string }
const notes = defineTable<NoteRow>({ name: 'notes', version: 1, fields: ['text'] })
const note = (key: string, text: string) => put(notes, keyOf(key), { text })

const hold = (id: string, amountMinor = 100n, expiresAtMs = SIM_START_MS + 60_000) =>
  ({
    kind: 'hold-order',
    to: 'hu-kh',
    body: { holdId: testId(id), account: 'hu-kh:alice', amountMinor, currency: 'EUR', holdExpiresAtMs: expiresAtMs },
    delivery: { until: ['hold', testId(id)] },
    expiresAtMs,
  }) as const

/** A CPP that orders holds when told to, and a bank that grants them and counts how often it decided. */
const twoHosts = async (options: { readonly bank?: (event: Incoming<'hold-order'>) => Decision | undefined } = {}) => {
  const sim = createSimNetwork()
  let decided = 0
  const sent: { readonly kind: string; readonly from: string; readonly data: Uint8Array }[] = []
  const record = (message: { readonly subject: string; readonly data: Uint8Array }) => {
    const subject = parseSubject(message.subject)
    if (subject !== undefined)
      sent.push({ kind: subject.kind, from: subject.fromHost, data: new Uint8Array(message.data) })
  }
  let drop: (kind: string, from: string) => boolean = () => false
  sim.setOnSend((message) => {
    record(message)
    const last = sent.at(-1)
    return last !== undefined && drop(last.kind, last.from) ? LOST : { delaysMs: [0] }
  })
  await sim.add({ id: 'hu-dc-1', role: 'dc', define: () => bareDefinition('dc') })
  const dcKnows = sim.host('hu-dc-1')
  const bank = await sim.add({
    id: 'hu-kh',
    role: 'bank',
    maxAdmissions: MAX_ADMISSIONS,
    define: () =>
      bareDefinition('bank', {
        controls: { decided: () => decision({ reply: decided }) },
        messages: {
          'hold-order': (_read, event) => {
            decided += 1
            const special = options.bank?.(event)
            if (special !== undefined) return special
            const { holdId, amountMinor } = event.message.body
            return decision({
              writes: [put(holds, keyOf(holdId), { amountMinor })],
              sends: [
                {
                  kind: 'hold-answer',
                  to: event.message.sender.host,
                  body: { holdId, result: 'held' },
                  delivery: { answers: event.ref },
                },
              ],
              record: { event: 'held', ids: [holdId] },
            })
          },
        },
      }),
  })
  const cpp = await sim.add({
    id: 'hu-otp',
    role: 'cpp',
    define: () =>
      bareDefinition('cpp', {
        messages: {
          'hold-answer': (_read, { message }) =>
            decision({
              writes: [note(`answer ${Buffer.from(message.body.holdId).toString('hex')}`, message.body.result)],
              forget: [['hold', message.body.holdId]],
              announce: [{ topic: 'held', value: message.body.result }],
            }),
        },
        controls: {
          hold: (_read, { args }) =>
            decision({ sends: [hold(args['id'] as string, BigInt((args['amount'] as string | undefined) ?? '100'))] }),
          'hold-and-wait': (_read, { args }) => decision({ sends: [hold(args['id'] as string)], replyOn: 'held' }),
        },
        refused: (_read, event) =>
          decision({ writes: [note('refused', `${event.kind} ${event.code} by ${event.by}`)] }),
      }),
  })
  // Each knows the other's credential, as a registration at the data center would have told.
  for (const host of [bank, cpp, dcKnows]) await introduce(host, [bank, cpp])
  return {
    sim,
    bank,
    cpp,
    sent,
    decided: () => decided,
    setDrop: (next: typeof drop) => {
      drop = next
    },
    sentBy: (from: string, kind: string) => sent.filter((one) => one.from === from && one.kind === kind),
    noteOf: (key: string) => cpp.host().read.get(notes, key)?.text,
  }
}

const MAX_ADMISSIONS = 8

const contentOf = (frame: Uint8Array) => {
  const parsed = parseFrame(frame)
  if (!parsed.ok) throw new Error(parsed.failure.code)
  return { digest: parsed.value.digest, header: parsed.value.header, bodyBytes: parsed.value.bodyBytes }
}
const refusalCode = (frame: Uint8Array): string | undefined => {
  const body = decodeBody('refusal', 1, contentOf(frame).bodyBytes)
  return body.ok ? failureCode(body.value.code) : undefined
}

describe('a host', () => {
  it('carries an order to its answer, and the outbox is empty at rest', async () => {
    const { sim, cpp, bank, noteOf, decided } = await twoHosts()
    const answer = await sim.command('hu-otp', 'hold-and-wait', { id: 'a' })
    expect(answer).toEqual({ ok: true, value: 'held' })
    expect(noteOf(`answer ${Buffer.from(testId('a')).toString('hex')}`)).toBe('held')
    expect(decided()).toBe(1)
    expect([cpp.host().inFlight(), bank.host().inFlight()]).toEqual([0, 0])
    for (const { host } of sim.hosts()) {
      const head = host().read.get(headTable, 'head')
      if (head !== undefined) expect(checkChain(host().read, head)).toMatchObject({ brokenAtSeq: undefined })
    }
  })

  it('gives a duplicate the same answer, and decides it once', async () => {
    const { sim, setDrop, sentBy, decided } = await twoHosts()
    let lost = 0
    setDrop((kind) => kind === 'hold-answer' && lost++ < 2)
    await sim.command('hu-otp', 'hold', { id: 'a' })
    await sim.advance(10_000)
    const answers = sentBy('hu-kh', 'hold-answer')
    expect(answers.length).toBeGreaterThanOrEqual(3)
    expect(new Set(answers.map(({ data }) => Buffer.from(contentOf(data).digest).toString('hex'))).size).toBe(1)
    expect(decided()).toBe(1)
    expect(sim.host('hu-otp').host().inFlight()).toBe(0)
  })

  it('refuses the same id with other content, and keeps the first', async () => {
    const { sim, bank, noteOf, decided } = await twoHosts()
    await sim.command('hu-otp', 'hold', { id: 'a' })
    await sim.command('hu-otp', 'hold', { id: 'a', amount: '200' })
    expect(noteOf('refused')).toBe('hold-order ID_REUSED by hu-kh')
    expect(decided()).toBe(1)
    expect(bank.host().read.get(holds, testId('a'))?.amountMinor).toBe(100n)
  })

  it('stores a permanent refusal as the answer; a transient one ends nothing', async () => {
    let busy = 3
    const { sim, noteOf, decided, cpp } = await twoHosts({
      bank: () => (busy-- > 0 ? refuse('BUSY', 'later') : undefined),
    })
    await sim.command('hu-otp', 'hold', { id: 'a' })
    expect(cpp.host().inFlight()).toBe(1)
    await sim.advance(20_000)
    expect(noteOf('refused')).toBeUndefined()
    expect(decided()).toBe(4)
    expect(cpp.host().inFlight()).toBe(0)

    const other = await twoHosts({ bank: () => refuse('NOT_FOUND', 'never') })
    let lost = 0
    other.setDrop((kind) => kind === 'refusal' && lost++ < 1)
    await other.sim.command('hu-otp', 'hold', { id: 'a' })
    await other.sim.advance(5_000)
    expect(other.noteOf('refused')).toBe('hold-order NOT_FOUND by hu-kh')
    expect(other.decided()).toBe(1)
    expect(
      new Set(other.sentBy('hu-kh', 'refusal').map(({ data }) => Buffer.from(contentOf(data).digest).toString('hex')))
        .size,
    ).toBe(1)
  })

  it('refuses what has expired only when it is unseen', async () => {
    const { sim, sentBy, setDrop, noteOf } = await twoHosts()
    setDrop((kind) => kind === 'hold-order')
    await sim.command('hu-otp', 'hold', { id: 'late' })
    const [order] = sentBy('hu-otp', 'hold-order')
    setDrop(() => false)
    await sim.command('hu-otp', 'hold', { id: 'seen' })
    const seen = sentBy('hu-otp', 'hold-order').at(-1)
    sim.setTime(SIM_START_MS + 120_000)
    const raw = await sim.network.broker('cpp', 'hu-otp').openHost()
    const subject = 'semops.v1.bank.hu-kh.hold-order.hu-otp'
    raw.publish(subject, (order as { data: Uint8Array }).data)
    await sim.run()
    expect(sentBy('hu-kh', 'refusal').map(({ data }) => refusalCode(data))).toEqual(['MESSAGE_EXPIRED'])
    const before = sentBy('hu-kh', 'hold-answer').length
    raw.publish(subject, (seen as { data: Uint8Array }).data)
    await sim.run()
    expect(sentBy('hu-kh', 'hold-answer')).toHaveLength(before + 1)
    expect(sentBy('hu-kh', 'refusal')).toHaveLength(1)
    expect(noteOf('refused')).toBeUndefined()
    await raw.close()
  })

  it('refuses admissions with BUSY when they are too many', async () => {
    const { sim, cpp, bank, sentBy } = await twoHosts()
    for (let n = 0; n < 3; n++) await sim.command('hu-otp', 'hold', { id: `first ${n}` })
    const order = sentBy('hu-otp', 'hold-order')[0] as { data: Uint8Array }
    const raw = await sim.network.broker('cpp', 'hu-otp').openHost()
    // Frames only pile up while nobody steps the bank.
    for (let n = 0; n < MAX_ADMISSIONS; n++) raw.publish('semops.v1.bank.hu-kh.hold-order.hu-otp', order.data)
    sim.network.pump()
    expect(bank.host().depths()['admissions']).toBe(MAX_ADMISSIONS)
    void cpp.host().command('hold', { id: 'too many' })
    cpp.host().step()
    await cpp.host().settled()
    sim.network.pump()
    expect(bank.host().depths()['overflow']).toBe(1)
    await sim.run()
    expect(sentBy('hu-kh', 'refusal').map(({ data }) => refusalCode(data))).toContain('BUSY')
    await sim.advance(5_000)
    expect(cpp.host().inFlight()).toBe(0)
    await raw.close()
  })

  it('sends again after a restart what a crash kept from being published', async () => {
    const { sim, cpp, decided, setDrop, sentBy } = await twoHosts()
    setDrop((kind, from) => kind === 'hold-order' && from === 'hu-otp')
    await sim.command('hu-otp', 'hold', { id: 'a' })
    expect(decided()).toBe(0)
    await cpp.crash()
    setDrop(() => false)
    const sentBefore = sentBy('hu-otp', 'hold-order').length
    await cpp.restart()
    await sim.advance(3_000)
    expect(sentBy('hu-otp', 'hold-order').length).toBeGreaterThan(sentBefore)
    expect(decided()).toBe(1)
    expect(cpp.host().inFlight()).toBe(0)
  })

  it('publishes nothing that a crash before the flush could contradict', async () => {
    const { sim, bank, cpp, sentBy, setDrop } = await twoHosts()
    await sim.command('hu-otp', 'hold', { id: 'warm' })
    // The order reaches the bank, which decides and commits; the power fails before the flush.
    void cpp.host().command('hold', { id: 'a' })
    cpp.host().step()
    await cpp.host().settled()
    sim.network.pump()
    const before = sentBy('hu-kh', 'hold-answer').length
    bank.host().step()
    await bank.crash()
    expect(sentBy('hu-kh', 'hold-answer')).toHaveLength(before)
    setDrop(() => false)
    await bank.restart()
    expect(bank.host().read.get(holds, testId('a'))).toBeUndefined()
    expect(bank.host().read.get(holds, testId('warm'))).toBeDefined()
    await sim.advance(5_000)
    expect(bank.host().read.get(holds, testId('a'))).toBeDefined()
    expect(sentBy('hu-kh', 'hold-answer').length).toBeGreaterThan(before)
    expect(cpp.host().inFlight()).toBe(0)
  })

  it('stops when a commit fails, and says nothing of it', async () => {
    const { sim, bank, sentBy } = await twoHosts()
    bank.store().failNextCommit()
    const before = sentBy('hu-kh', 'hold-answer').length
    await expect(sim.command('hu-otp', 'hold', { id: 'a' })).rejects.toThrow('commit failed')
    expect(bank.host().stopped()).toBe(true)
    expect(sentBy('hu-kh', 'hold-answer')).toHaveLength(before)
    await expect(bank.host().command('anything', {})).resolves.toMatchObject({ ok: false })
  })

  it('stops on a broken invariant, and commits nothing of the batch', async () => {
    const { sim, bank } = await twoHosts({
      bank: ({ message }) =>
        decision({
          writes: [put(holds, keyOf(message.body.holdId), { amountMinor: 1n })],
          postings: [{ account: 'x', currency: 'EUR', amountMinor: 1n }],
        }),
    })
    await expect(sim.command('hu-otp', 'hold', { id: 'a' })).rejects.toThrow('add up to 1')
    expect(bank.host().read.get(holds, testId('a'))).toBeUndefined()
    expect([...bank.host().read.scan(seenTable, [])]).toEqual([])
  })

  it('refuses what starts something while paused, and takes it up afterwards', async () => {
    const { sim, bank, cpp, decided, sentBy } = await twoHosts()
    bank.host().setGate('paused')
    await sim.command('hu-otp', 'hold', { id: 'a' })
    expect(sentBy('hu-kh', 'refusal').map(({ data }) => refusalCode(data))).toEqual(['PAUSED'])
    expect(decided()).toBe(0)
    bank.host().setGate('open')
    await sim.advance(10_000)
    expect(decided()).toBe(1)
    expect(cpp.host().inFlight()).toBe(0)
  })

  it('sends nothing while disconnected, and everything soon after', async () => {
    const { sim, cpp, decided, sentBy } = await twoHosts()
    sim.network.disconnect('hu-otp')
    await sim.command('hu-otp', 'hold', { id: 'a' })
    await sim.advance(5_000)
    expect(sentBy('hu-otp', 'hold-order')).toEqual([])
    expect([...cpp.host().read.scan(outboxTable, [])]).toHaveLength(1)
    sim.network.reconnect('hu-otp')
    await sim.advance(500)
    expect(decided()).toBe(1)
  })

  it('takes completions before admissions', async () => {
    const { sim, bank, decided, sentBy, setDrop } = await twoHosts()
    setDrop((kind) => kind === 'hold-order')
    await sim.command('hu-otp', 'hold', { id: 'a' })
    const { data } = sentBy('hu-otp', 'hold-order')[0] as { data: Uint8Array }
    setDrop(() => false)
    const raw = await sim.network.broker('cpp', 'hu-otp').openHost()
    raw.publish('semops.v1.bank.hu-kh.hold-order.hu-otp', data)
    sim.network.pump()
    const command = bank.host().command('decided', {})
    expect(bank.host().depths()).toMatchObject({ completions: 1, admissions: 1 })
    bank.host().step()
    await bank.host().settled()
    // It came after the order and was decided before it.
    expect(await command).toEqual({ ok: true, value: 0 })
    expect(decided()).toBe(1)
    await raw.close()
  })

  it('does not follow a jump of the clock, and admits nothing until an operator accepts it', async () => {
    const { sim, bank, decided, sentBy } = await twoHosts()
    await sim.command('hu-otp', 'hold', { id: 'before' })
    expect(bank.host().gate()).toBe('open')
    bank.jumpClock(3_600_000)
    const before = bank.host().nowMs()
    await sim.command('hu-otp', 'hold', { id: 'after' })
    expect(bank.host().gate()).toBe('paused')
    expect(bank.host().nowMs()).toBe(before)
    expect(decided()).toBe(1)
    expect(sentBy('hu-kh', 'refusal').map(({ data }) => refusalCode(data))).toEqual(['PAUSED'])
    bank.jumpClock(-3_600_000)
    bank.host().acceptClock()
    await sim.advance(10_000)
    expect(decided()).toBe(2)
  })
})
