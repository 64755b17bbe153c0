/**
 * Mutated frames at the intake of a running host, through its own subscription, while honest payments go through it. What must
 * hold after each batch: no host has stopped, every queue is drained, what waits is bounded, each refusal that was sent has a
 * code that may be answered; outsiders changed nothing; and at the end every honest payment is confirmed and the books of the
 * honest are right, whatever the liars have signed.
 */
import { failureCode, FAILURES } from '../../../protocol/failures.ts'
import { createSmith, fieldOf, forge, type Material, type Smith } from '../../../protocol/fuzz/forge.ts'
import { BYTE_MUTATORS } from '../../../protocol/fuzz/mutate-bytes.ts'
import { packBytes, replaced, VALUE_MUTATORS } from '../../../protocol/fuzz/mutate-values.ts'
import { createChance, type Chance } from '../../../protocol/fuzz/random.ts'
import { count, type Problem, type Tally } from '../../../protocol/fuzz/run.ts'
import { concat, equalBytes, toHex } from '../../../protocol/bytes.ts'
import { decodeBody, encodeBeside } from '../../../protocol/codec.ts'
import { kindRow, type KindName } from '../../../protocol/kinds.ts'
import { LIMITS } from '../../../protocol/limits.ts'
import { parseFrame } from '../../../protocol/seals.ts'
import { formatSubject, parseSubject } from '../../../protocol/subjects.ts'
import { toJson } from '../../runtime/json.ts'
import { credentialIdTable } from '../../runtime/runtime-tables.ts'
import { ATTACKER } from '../testing/forge.ts'
import { HOSTS, type LogLine, type Sent } from '../testing/world.ts'
import { ANSWERED, differences, HARMLESS, honestChecks, isForestalled, reportsOf, rowsOf } from './books.ts'
import { fuzzNetwork, hostOf, isLiar, LIARS, type FuzzNetwork, type Target, type Template } from './network.ts'

export { TARGETS, type Target } from './network.ts'

export type NodeRun = {
  readonly frames: number
  /** Frames that the host took for somebody's message. */
  readonly obeyed: number
  readonly tally: Tally
  readonly problems: readonly Problem[]
  readonly figures: Readonly<Record<string, number>>
}

const BATCH = 200
/** One batch in so many comes from outsiders alone, at rest, and may change nothing at all. */
const STRICT_EVERY = 5
const TEMPLATES_KEPT = 24
/** Frames between which the network goes on. */
const STRIDE = 40
const MAX_PROBLEMS = 10

export const fuzzNode = async (options: {
  readonly target: Target
  readonly seed: string
  readonly frames: number
  readonly every?: number
  /** Frames after which everything is looked at. */
  readonly batch?: number
  /** One that another run has left behind. Default: a new one. */
  readonly network?: FuzzNetwork
  readonly onFrames?: (done: number) => void
  /** Looks at the network as the run has left it. */
  readonly onEnd?: (network: FuzzNetwork) => void
}): Promise<NodeRun> => {
  const { target, seed, frames, every = frames, batch: batchSize = BATCH, onFrames, onEnd } = options
  const network = options.network ?? (await fuzzNetwork())
  const { sim } = network
  const run = createRun(network, target, `${seed} ${target}`)
  const { problems } = run
  await run.warmUp()
  let told = 0
  for (let done = 0, batch = 0; done < frames && problems.length < MAX_PROBLEMS; batch++) {
    const size = Math.min(batchSize, frames - done)
    try {
      await (batch % STRICT_EVERY === STRICT_EVERY - 1 ? run.outsiders(done, size) : run.insiders(done, size))
    } catch (error) {
      run.problem(done, 'batch', String((error as Error).stack ?? error))
      break
    }
    done += size
    if (onFrames !== undefined && done - told >= every) onFrames((told = done))
  }
  if (problems.length === 0)
    await run.finish().catch((error: unknown) => run.problem(frames, 'end', String((error as Error).stack ?? error)))
  const { metrics } = sim.host(hostOf(target)).host()
  onEnd?.(network)
  return {
    frames,
    obeyed: run.obeyed(),
    tally: run.tally,
    problems,
    figures: {
      payments: run.payments(),
      forestalled: run.taken(),
      journalled: metrics.value('journalled'),
      refusalsSent: metrics.value('refusalsSent'),
      duplicates: metrics.value('duplicates'),
      credentialQueries: metrics.value('credentialQueries'),
      mostParked: run.most.parked,
      mostInOutbox: run.most.outbox,
      rows: [...sim.host(hostOf(target)).store().rows()].length,
      // Of all hosts: what is held and is no leak.
      storedBytes: sim
        .hosts()
        .flatMap(({ store }) => [...store().rows()])
        .reduce((sum, { key, value }) => sum + key.length + value.length, 0),
    },
  }
}

const createRun = (network: FuzzNetwork, target: Target, seed: string) => {
  const { world, sim } = network
  const id = hostOf(target)
  const tally: Tally = new Map()
  const problems: Problem[] = []
  const templates = new Map<string, Template[]>()
  const genuine: Sent[] = []
  const outcomes: Promise<unknown>[] = []
  const most = { parked: 0, outbox: 0 }
  let obeyed = 0
  let taken = 0
  const smith = createSmith(sim.engine, network.insiders, network.ids, sim.now, (length) => random.bytes(length))
  const random = createChance(`${seed} sealer`)
  const host = () => sim.host(id).host()
  const problem = (frame: number, mutation: string, text: string, code = ''): void => {
    problems.push({ frame, mutation, code, problem: text })
  }

  const aimed = ({ subject }: Sent): boolean => {
    const to = parseSubject(subject)
    if (to === undefined) return false
    if (target === 'guest') return to.toRole === 'guest'
    return to.toRole === HOSTS_ROLE[target] && (to.toHost === id || (target === 'dc' && to.toHost === 'hu-dc'))
  }
  /** Keeps what was sent as templates, then lets go of it: a long run sends millions. */
  const digest = (): void => {
    for (const one of world.sent) {
      if (one.from === ATTACKER) continue
      if (target === 'guest') guestTemplates(one).forEach(keep)
      if (!aimed(one)) continue
      if (target === 'guest') genuine.splice(0, genuine.length - 15)
      if (genuine.length < 256) genuine.push(one)
      else genuine[random.below(256)] = one
      const template = target === 'guest' ? undefined : network.templateOf(one)
      if (template !== undefined) keep(template)
    }
    ;(world.sent as Sent[]).length = 0
    ;(world.lines as LogLine[]).length = 0
  }
  const keep = (template: Template): void => {
    const kept = templates.get(template.kind) ?? []
    templates.set(template.kind, kept)
    // A guest's login lives for a while only: the newest are kept. Elsewhere any, so that the first are not lost.
    if (target === 'guest') kept.splice(0, kept.length - 3)
    if (kept.length < TEMPLATES_KEPT) kept.push(template)
    else kept[random.below(TEMPLATES_KEPT)] = template
  }
  /** A guest that has just asked for an offer is answered by a liar, who knows what every merchant is told. */
  const guestTemplates = ({ subject, data }: Sent): readonly Template[] => {
    const to = parseSubject(subject)
    if (to?.kind !== 'offer-request' || to.toHost !== HOSTS.merchant) return []
    const parsed = parseFrame(data)
    const offer = parsed.ok ? decodeBody('offer-request', 1, parsed.value.bodyBytes) : undefined
    if (!parsed.ok || offer?.ok !== true) return []
    const answers: Template[] = []
    for (const liar of LIARS.merchant) {
      const key = network.keyOfHost(liar)
      const base = {
        key,
        toRole: 'guest',
        toHost: to.fromHost,
        fromHost: liar,
        chain: undefined,
        secretId: false,
      } as const
      const header = { ...parsed.value.header, from: liar, to: to.fromHost, correlationId: undefined }
      const invoice = invoices.get(liar)
      if (invoice === undefined) continue
      const { purchaseToken, sealingKey } = offer.value
      const beside = encodeBeside('transaction-details', {
        purchaseToken,
        description: 'two loaves',
        salt: random.bytes(16),
      })
      const carried = (kind: KindName, body: Uint8Array, withBeside: Uint8Array | null): Template => ({
        ...base,
        kind,
        body,
        header: { ...header, kind, expiresAtMs: undefined },
        carrier: { from: liar, recipient: sealingKey, beside: withBeside },
      })
      answers.push(carried('transaction-details', invoice, beside))
      answers.push(carried('goods-release', goodsBody(invoice), null))
      answers.push({
        ...base,
        kind: 'refusal',
        header: { ...header, kind: 'refusal', expiresAtMs: undefined },
        body: refusalBody(parsed.value.digest),
      })
    }
    return answers
  }
  const invoices = new Map<string, Uint8Array>()
  const learnInvoices = async (): Promise<void> => {
    for (const [liar, payee] of [
      ['hu-shop-2', 'hu-kiosk'],
      ['at-shop-1', 'at-pub'],
    ] as const) {
      const since = world.sent.length
      await world.must(liar, 'request-payment', { payee, alias: 'hu-alice-pays', amountMinor: '120' })
      for (const one of world.sent.slice(since)) {
        const frame = parseSubject(one.subject)?.kind === 'request-to-pay' ? parseFrame(one.data) : undefined
        const request = frame?.ok === true ? decodeBody('request-to-pay', 1, frame.value.bodyBytes) : undefined
        const trans = request?.ok === true ? parseFrame(request.value.trans) : undefined
        if (trans?.ok === true) invoices.set(liar, trans.value.bodyBytes.slice())
      }
    }
  }

  const materialOf = (template: Template, chance: Chance): Material => {
    const { kind, carrier, fromHost, toRole } = template
    const row = kindRow(kind)
    const times = {
      sentAtMs: sim.now(),
      expiresAtMs: row.expires ? sim.now() + chance.pick([60_000, 60_000, 120_000, 1]) : undefined,
    }
    const messageId = chance.bytes(16)
    const header = { ...template.header, ...times, bodyForm: 'plain' as const, messageId }
    let { body } = template
    const business = row.id === null ? undefined : fieldOf(body, row.id)
    if (business !== undefined && (template.secretId || chance.percent(60)))
      body = replaced(body, business, packBytes(chance.bytes(16)))
    const shown = template.chain === undefined ? undefined : fieldOf(body, 'chain')
    if (shown !== undefined && template.chain !== undefined)
      body = replaced(
        body,
        shown,
        concat(Uint8Array.of(0xdc, 0, template.chain.length), ...template.chain.map(packBytes)),
      )
    const arrival = { toRole, kind, fromHost }
    const plain: Material = { kind, header, body, key: template.key, arrival }
    if (carrier === undefined) return plain
    const outer = {
      ...header,
      from: carrier.from,
      to: template.toHost,
      messageId: chance.bytes(16),
      bodyForm: 'encrypted' as const,
    }
    return {
      ...plain,
      carrier: {
        header: outer,
        key: network.keyOfHost(carrier.from),
        recipient: carrier.recipient,
        beside: carrier.beside,
      },
    }
  }

  /** One frame in, and decided, before the next. → what it met. */
  const throwAt = async (subject: string, bytes: Uint8Array): Promise<string> => {
    const lines = world.lines.length
    const { metrics } = host()
    const before = ['duplicates', 'idReused', 'relayed', 'journalled'] as const
    const values = before.map((name) => metrics.value(name))
    const received = metrics.value('received')
    sim.network.inject(ATTACKER, subject, bytes)
    sim.network.pump()
    for (let turns = 0; queued() > 0; turns++) {
      if (turns > 10_000) throw new Error(`${id} does not take ${subject}`)
      if (!host().step()) await new Promise((resolve) => void setImmediate(resolve))
      if (sim.host(id).fatal() !== undefined) throw sim.host(id).fatal()
    }
    if (metrics.value('received') === received) return 'not delivered'
    const line = world.lines.slice(lines).find((one) => one.host === id)
    if (line !== undefined) return line.code
    obeyed += 1
    return before.find((name, at) => metrics.value(name) > (values[at] as number)) ?? 'taken'
  }
  const queued = (): number => {
    const { completions = 0, admissions = 0, overflow = 0 } = host().depths()
    return completions + admissions + overflow
  }

  const afterBatch = async (frame: number): Promise<void> => {
    await sim.run()
    for (const one of sim.hosts()) {
      const depths = one.host().depths()
      const left = ['completions', 'admissions', 'overflow', 'commits', 'jobs'].filter(
        (name) => (depths[name] ?? 0) > 0,
      )
      if (left.length > 0) problem(frame, 'batch', `${one.id} has ${left.join(', ')} left`)
    }
    const { parked = 0, outbox = 0 } = host().depths()
    most.parked = Math.max(most.parked, parked)
    most.outbox = Math.max(most.outbox, outbox)
    if (parked > LIMITS.maxParkedForCredential) problem(frame, 'batch', `${parked} frames parked`)
    for (const one of world.sent) if (one.from === id) checkSent(one, frame)
    digest()
  }
  const checkSent = ({ subject, data }: Sent, frame: number): void => {
    const parsed = parseFrame(data)
    if (!parsed.ok) return problem(frame, 'batch', `${id} sent what does not parse: ${parsed.failure.code}`)
    // What it only passes on, others have said.
    if (parseSubject(subject)?.kind !== 'refusal' || parsed.value.header.from !== id) return
    const body = decodeBody('refusal', 1, parsed.value.bodyBytes)
    if (!body.ok) return problem(frame, 'batch', `${id} sent a refusal that can not be read: ${body.failure.code}`)
    const code = failureCode(body.value.code)
    if (code === undefined) return problem(frame, 'batch', `${id} refused with ${body.value.code}, which is no code`)
    if (FAILURES[code].answer === 'silent') problem(frame, 'batch', `${id} answered ${code}, which is never answered`)
  }

  const pay = (customer: string, payee: string, amountMinor: string): void => {
    const args = { customer, payee, amountMinor, currency: 'EUR' }
    outcomes.push(sim.host(HOSTS.customer).host().command('pay', args))
  }
  const paid = async (): Promise<readonly unknown[]> => {
    const all = Promise.all(outcomes)
    let ended = false
    void all.then(() => (ended = true))
    for (let waited = 0; !ended && waited < 120_000; waited += 500) await sim.advance(500)
    return ended ? all : [{ ok: false, undecided: true }]
  }
  /** Liars pay and are paid as well, so that there are messages to lie about. */
  const liarsPay = async (): Promise<void> => {
    for (const [wallet, customer, payee, amountMinor] of [
      ['hu-wallet-2', 'hu-erin', 'hu-kiosk', '130'],
      ['hu-wallet-2', 'hu-dave', 'hu-kiosk', '140'],
      ['hu-wallet-2', 'hu-erin', 'hu-bakery', '2400'],
      ['hu-wallet-1', 'hu-carol', 'at-pub', '2600'],
      ['hu-wallet-1', 'hu-alice', 'at-pub', '90'],
    ] as const)
      void sim.host(wallet).host().command('pay', { customer, payee, amountMinor, currency: 'EUR' })
    await sim.advance(3_000)
  }

  return {
    tally,
    problems,
    problem,
    most,
    obeyed: () => obeyed,
    payments: () => outcomes.length,
    taken: () => taken,
    warmUp: async (): Promise<void> => {
      await learnInvoices()
      await liarsPay()
      await liarsPay()
      digest()
      for (let round = 0; round < 3; round++) pay('hu-alice', 'hu-bakery', '120')
      await sim.advance(6_000)
      for (const one of sim.hosts()) if (one.fatal() !== undefined) throw one.fatal()
      digest()
      await paid()
    },

    /** Frames of liars, with their own good seals, while payments are under way. */
    insiders: async (first: number, size: number): Promise<void> => {
      const chance = createChance(seed, first)
      if (first % (20 * BATCH) === 0) await liarsPay()
      // Late enough to be under way all the time, whatever else comes.
      world.setFate(({ from }) => ({ delaysMs: [from === ATTACKER ? 0 : chance.below(120)] }))
      pay('hu-alice', 'hu-bakery', String(100 + chance.below(60)))
      if (chance.percent(20)) pay('hu-bob', 'hu-bakery', '2500')
      await sim.advance(160, 80)
      digest()
      const kinds = [...templates.keys()]
      for (let at = 0; at < size; at++) {
        const own = createChance(seed, first + at)
        const template = own.pick(templates.get(own.pick(kinds)) ?? [])
        const mutant = forge(materialOf(template, own), smith, own, own.pick([0, 1, 1, 1, 2]))
        keepBytes(smith, mutant.bytes, mutant.body, own)
        const { toRole, kind, fromHost } = mutant.arrival
        const met = await throwAt(formatSubject({ toRole, toHost: template.toHost, kind, fromHost }), mutant.bytes)
        count(tally, mutant.mutation.includes(' + ') ? 'several' : mutant.mutation, met)
        if (at % STRIDE === STRIDE - 1) await sim.advance(40, 40)
      }
      world.setFate(undefined)
      await afterBatch(first)
    },

    /** Frames of honest hosts, spoilt or sent again, and frames under keys that nobody knows: nothing may come of them. */
    outsiders: async (first: number, size: number): Promise<void> => {
      await paid()
      await sim.run()
      digest()
      const before = rowsOf(network, id)
      const books = reportsOf(network)
      for (let at = 0; at < size; at++) {
        const chance = createChance(seed, first + at)
        const { subject, data } = chance.pick(genuine)
        const mutator = chance.pick([...BYTE_MUTATORS, ...VALUE_MUTATORS])
        const bytes = chance.percent(5) ? data : (mutator.apply(data, chance, smith.frames) ?? data)
        const met = await throwAt(subject, bytes)
        count(tally, `outsider: ${bytes === data ? 'replayed' : mutator.name}`, met)
      }
      await sim.run()
      const changes = differences(before, rowsOf(network, id), target === 'dc' ? ANSWERED : HARMLESS)
      if (changes.length > 0) problem(first, 'outsiders', `changed ${id}: ${changes.slice(0, 5).join('; ')}`)
      for (const [name, report] of reportsOf(network))
        if (report !== books.get(name)) problem(first, 'outsiders', `changed the books of ${name}`)
      await afterBatch(first)
    },

    /** Honest payments are all confirmed, and what honest hosts say of one another adds up. */
    finish: async (): Promise<void> => {
      const answers = await paid()
      answers.forEach((answer, at) => {
        const { ok, value } = answer as { ok: boolean; value?: { outcome?: string; paymentId?: string } }
        if (ok && value?.outcome === 'confirmed') return
        // The broker lets nobody overhear, but this forger reads every wire: where its message came in under an id of this payment
        // before the honest one, that one is refused. Not paid then, and not charged, which the books have to show below.
        if (ok && value?.outcome !== undefined && isForestalled(network, value.paymentId ?? '')) taken += 1
        else problem(at, 'end', `payment ${at} of ${answers.length}: ${toJson(answer)}`)
      })
      if (taken > 3 + answers.length / 20)
        problem(0, 'end', `${taken} of ${answers.length} payments were kept from being paid`)
      for (const cpp of [HOSTS.cpp]) await world.must(cpp, 'settle-now')
      await sim.advance(60_000, 500)
      for (const check of honestChecks(network)) problem(0, 'end', check)
      for (const one of sim.hosts())
        for (const [key, row] of one.host().read.scan(credentialIdTable, [])) {
          const name = String.fromCharCode(...key.filter((byte) => byte >= 0x20 && byte < 0x7f))
          const whose = sim.hosts().find((known) => known.id === name)
          if (whose !== undefined && !isLiar(name) && !equalBytes(whose.identity.signing.keyId, row.keyId))
            problem(0, 'end', `${one.id} believes another key of ${name}: ${toHex(row.keyId)}`)
        }
      await afterBatch(0)
    },
  }
}

const HOSTS_ROLE = {
  dc: 'dc',
  bank: 'bank',
  cpp: 'cpp',
  mpp: 'mpp',
  merchant: 'merchant',
  customer: 'customer',
} as const

const keepBytes = (smith: Smith, frame: Uint8Array, body: Uint8Array, chance: Chance): void => {
  for (const [list, bytes] of [
    [smith.frames, frame],
    [smith.bodies, body],
  ] as const)
    if (list.length < 256) list.push(bytes)
    else list[chance.below(256)] = bytes
}

const goodsBody = (invoice: Uint8Array): Uint8Array => {
  const trans = decodeBody('transaction-details', 1, invoice)
  if (!trans.ok) throw new Error('an invoice that was accepted does not decode')
  const field = (name: string, value: Uint8Array): Uint8Array =>
    concat(Uint8Array.of(0xa0 | name.length), ascii(name), value)
  const text = (value: string): Uint8Array => concat(Uint8Array.of(0xd9, value.length), ascii(value))
  return concat(
    Uint8Array.of(0x83),
    field('txId', packBytes(trans.value.txId)),
    field('payee', text(trans.value.payee)),
    field('goods', text('a loaf')),
  )
}
const refusalBody = (digest: Uint8Array): Uint8Array =>
  concat(
    Uint8Array.of(0x83, 0xa6),
    ascii('digest'),
    packBytes(digest),
    Uint8Array.of(0xa4),
    ascii('code'),
    Uint8Array.of(0xcd, 0x13, 0x8c),
    Uint8Array.of(0xa6),
    ascii('detail'),
    Uint8Array.of(0xa0),
  )
const ascii = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0))
