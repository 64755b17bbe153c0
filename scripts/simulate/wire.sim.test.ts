import { beforeAll, describe, expect, test } from 'vitest'
import { encodeBody } from '../../protocol/codec.ts'
import { makeContent } from '../../protocol/envelope.ts'
import { ENVELOPE_VERSION } from '../../protocol/header.ts'
import { hash } from '../../protocol/hash.ts'
import type { Body, KindName } from '../../protocol/kinds.ts'
import { encodeFrame, parseFrame, type ParsedFrame, type Seal } from '../../protocol/seals.ts'
import { formatSubject, parseSubject, type Subject } from '../../protocol/subjects.ts'
import {
  headTable,
  journalTable,
  outboxTable,
  revocationTable,
  seenTable,
  type JournalRow,
} from '../../nodes/runtime/runtime-tables.ts'
import { keyOf } from '../../nodes/runtime/table.ts'
import type { RowChange } from './observed.ts'
import { record, retell, type History, type Told } from './testing/recorded.ts'
import { WHOLE_TOPOLOGY } from './testing/watched-network.ts'
import { createWire } from './wire.ts'

let history: History

beforeAll(async () => {
  history = await record('wire', async ({ sim, ok, pay, crash, restart }) => {
    for (const realm of ['hu', 'ro'])
      await ok(`${realm}-wallet-1`, 'unlock', { customer: `${realm}-alice`, pin: '123456' })
    for (const [realm, payee, amount] of [
      ['hu', 'hu-bakery', '100'],
      ['hu', 'ro-bakery', '1500'],
      ['ro', 'hu-bakery', '250000'],
    ] as const)
      await pay(realm, payee, amount)
    const paying = pay('hu', 'ro-bakery', '700')
    await crash('hu-cpp')
    await sim.advance(500)
    await restart('hu-cpp')
    await paying
    await sim.advance(20_000)
  })
})

/** What the judge finds in the history as `change` leaves it. */
const judged = (change: (told: readonly Told[]) => readonly Told[] = (told) => told): readonly string[] => {
  const wire = createWire(WHOLE_TOPOLOGY, history.overheard)
  retell(wire, change(history.told))
  return [...new Set([...wire.check(), ...(wire.atRest?.() ?? [])].map(({ rule }) => rule))]
}

type Published = Extract<Told, { readonly type: 'published' }>
type Committed = Extract<Told, { readonly type: 'committed' }>
const subjectOf = ({ message }: Published): Subject => parseSubject(message.subject) as Subject
const frameOf = ({ message }: Published): ParsedFrame => {
  const parsed = parseFrame(message.data)
  if (!parsed.ok) throw new Error(parsed.failure.code)
  return parsed.value
}
const lastPublished = (fits: (one: Published) => boolean): Published => {
  const found = history.told.findLast((one): one is Published => one.type === 'published' && fits(one))
  if (found === undefined) throw new Error('nothing like it was published')
  return found
}
/** The last batch of this host that changed such a row, and the change. */
const lastChange = (host: string, table: string, fits: (change: RowChange) => boolean = () => true) => {
  for (const one of history.told.toReversed()) {
    if (one.type !== 'committed' || one.host !== host) continue
    const change = one.changes.find((each) => each.table === table && each.after !== undefined && fits(each))
    if (change?.after !== undefined) return { batch: one.batch, change: { ...change, after: change.after } }
  }
  throw new Error(`${host} has written no such row of ${table}`)
}
const lastBatch = (host: string): number =>
  history.told.findLast((one): one is Committed => one.type === 'committed' && one.host === host)?.batch ?? 0
/** One more batch of this host, committed and flushed. */
const also = (host: string, ...changes: readonly RowChange[]): readonly Told[] => [
  ...history.told,
  { type: 'committed', host, batch: lastBatch(host) + 1, changes },
  { type: 'flushed', host, batch: lastBatch(host) + 1 },
]
const journalled = (fits: (row: JournalRow) => boolean) => {
  const { change } = lastChange('hu-cpp', journalTable.name, ({ after }) =>
    fits(journalTable.decode(after as Uint8Array)),
  )
  return journalTable.decode(change.after)
}
/** The entry that follows the last one of hu-cpp. */
const nextEntry = (row: Partial<JournalRow>): RowChange => {
  const last = lastChange('hu-cpp', journalTable.name).change.after
  const before = journalTable.decode(last)
  const next = { ...before, ...row, seq: row.seq ?? before.seq + 1, prevHash: row.prevHash ?? hash(last) }
  return { table: journalTable.name, key: keyOf(next.seq), before: undefined, after: journalTable.encode(next) }
}

/** A message in clear that nobody of the network would make. */
const published = <K extends KindName>(
  kind: K,
  { from, to, toRole, body, seal }: { from: string; to: string; toRole: Subject['toRole']; body: Body<K>; seal?: Seal },
  headerTo = to,
): Published => {
  const { header } = frameOf(lastPublished(() => true))
  const content = makeContent(
    {
      version: ENVELOPE_VERSION,
      networkId: header.networkId,
      kind,
      bodyVersion: 1,
      messageId: hash(encodeBody(kind, body)).slice(0, 16),
      from,
      to: headerTo,
      sentAtMs: header.sentAtMs,
      expiresAtMs: undefined,
      correlationId: undefined,
      bodyForm: 'plain',
    },
    encodeBody(kind, body),
  )
  const single: Seal = { form: 1, keyId: new Uint8Array(16), signature: new Uint8Array(64) }
  const subject = formatSubject({ toRole, toHost: to, kind, fromHost: from })
  return { type: 'published', message: { from, subject, data: encodeFrame(content, seal ?? single), origin: 'node' } }
}

describe('the judge of what is said', () => {
  test('finds nothing wrong with the real nodes, also when one dies', () => {
    expect(judged()).toEqual([])
    expect(history.told.filter(({ type }) => type === 'published').length).toBeGreaterThan(200)
  })

  test('what is said before it is flushed, or stands in no row', () => {
    expect(judged((told) => told.filter((one) => one.type !== 'flushed' || one.host !== 'hu-mpp'))).toContain(
      'sent before it was durable',
    )
    const without = (told: readonly Told[]): readonly Told[] =>
      told.map((one) =>
        one.type === 'committed' && one.host === 'hu-bank'
          ? { ...one, changes: one.changes.filter(({ table }) => !table.startsWith('~')) }
          : one,
      )
    expect(judged(without)).toEqual(['sent before it was durable'])
  })

  test('what a dead host says, and what is said in another name', () => {
    expect(judged((told) => [...told.slice(0, 400), { type: 'crashed', host: 'hu-mpp' }, ...told.slice(400)])).toEqual([
      'said by a host that is down',
    ])
    const asAnother = (told: readonly Told[]): readonly Told[] =>
      told.map((one) =>
        one.type === 'published' && one.message.from === 'hu-bank'
          ? { ...one, message: { ...one.message, from: 'ro-bank' } }
          : one,
      )
    expect(judged(asAnother)).toContain('said in another name')
  })

  test('what is altered on its way', () => {
    const relayed = lastPublished((one) => one.message.from === 'hu-dc-1' && subjectOf(one).kind === 'payment-notice')
    const data = relayed.message.data.slice()
    data[data.length - 1] = (data.at(-1) as number) ^ 1
    expect(judged((told) => [...told, { ...relayed, message: { ...relayed.message, data } }])).toEqual([
      'altered on its way',
    ])
  })

  test('one id with two contents', () => {
    const order = lastPublished((one) => subjectOf(one).kind === 'transfer-order')
    const { header, bodyBytes, seal } = frameOf(order)
    const content = makeContent({ ...header, kind: 'transfer-order', sentAtMs: header.sentAtMs + 1 }, bodyBytes)
    const data = encodeFrame(content, seal)
    expect(judged((told) => [...told, { ...order, message: { ...order.message, data } }])).toContain(
      'one id with two contents',
    )
  })

  test('a batch seal that mixes audiences', () => {
    const { seal } = frameOf(lastPublished((one) => frameOf(one).seal.form === 2))
    const body = { digest: hash(new Uint8Array(3)) }
    const said = [
      published('receipt', { from: 'hu-cpp', to: 'hu-wallet-1', toRole: 'customer', body, seal }),
      published('receipt', { from: 'hu-cpp', to: 'hu-bank', toRole: 'bank', body, seal }),
    ]
    expect(judged((told) => [...told, ...said])).toContain('a batch seal mixes audiences')
  })

  test('a customer, their account and their requests in clear', () => {
    const body = { digest: hash(new Uint8Array(3)) }
    const toCustomer = published('receipt', { from: 'hu-cpp', to: 'hu-wallet-1', toRole: 'customer', body }, 'hu-alice')
    expect(judged((told) => [...told, toCustomer])).toContain('a customer is named in clear')
    const request = lastChange('hu-wallet-1', outboxTable.name, ({ after }) => {
      return outboxTable.decode(after as Uint8Array).kind === 'payment-request'
    }).change.after
    const { digest } = outboxTable.decode(request)
    const told = published('receipt', { from: 'hu-cpp', to: 'hu-mpp', toRole: 'mpp', body: { digest } })
    expect(judged((before) => [...before, told])).toContain('a secret of a customer in clear')
  })

  test('a journal that was rewritten, whose chain or end does not hold, or in which time goes back', () => {
    const { change } = lastChange('hu-cpp', journalTable.name)
    expect(judged(() => also('hu-cpp', { ...change, before: change.after }))).toEqual(['the journal was rewritten'])
    expect(judged(() => also('hu-cpp', nextEntry({ trigger: 'started', prevHash: new Uint8Array(32) })))).toContain(
      'the journal chain is broken',
    )
    expect(judged(() => also('hu-cpp', nextEntry({ trigger: 'started', atMs: 1 })))).toContain('time went back')
    const head = lastChange('hu-cpp', headTable.name).change
    const row = headTable.decode(head.after)
    expect(judged(() => also('hu-cpp', { ...head, after: headTable.encode({ ...row, seq: row.seq + 1 }) }))).toEqual([
      'the ledger does not end as its head says',
    ])
  })

  test('a message that is acted on twice, or that nobody said', () => {
    const acted = journalled(({ trigger, name }) => trigger === 'message' && name === 'countersigned-decision')
    expect(judged(() => also('hu-cpp', nextEntry({ ...acted, seq: lastSeq() + 1, prevHash: lastHash() })))).toContain(
      'acted twice on one message',
    )
    const unheard = { ...acted, digest: hash(new Uint8Array(7)), seq: lastSeq() + 1, prevHash: lastHash() }
    expect(judged(() => also('hu-cpp', nextEntry(unheard)))).toContain('acted on what nobody said')
  })
  const lastSeq = (): number => journalTable.decode(lastChange('hu-cpp', journalTable.name).change.after).seq
  const lastHash = (): Uint8Array => hash(lastChange('hu-cpp', journalTable.name).change.after)

  test('an answer that changes or is forgotten, a request that is, a refusal for now that is kept', () => {
    const { change } = lastChange('hu-bank', seenTable.name, ({ after }) => {
      return seenTable.decode(after as Uint8Array).answer !== undefined
    })
    const row = seenTable.decode(change.after)
    const answer = outboxTable.decode(row.answer as Uint8Array)
    const next = (after: Uint8Array | undefined): RowChange => ({ ...change, before: change.after, after })
    const other = outboxTable.encode({ ...answer, digest: hash(new Uint8Array(9)) })
    const { answer: _, ...unanswered } = row
    expect(judged(() => also('hu-bank', next(seenTable.encode({ ...row, answer: other }))))).toEqual([
      'another answer to one request',
    ])
    expect(judged(() => also('hu-bank', next(seenTable.encode({ ...row, digest: answer.digest }))))).toEqual([
      'another request under one id',
    ])
    expect(judged(() => also('hu-bank', next(seenTable.encode(unanswered))))).toEqual(['an answer was forgotten'])
    expect(judged(() => also('hu-bank', next(undefined)))).toEqual(['a request was forgotten'])
    const busy = encodeBody('refusal', { digest: row.digest, code: 5001, detail: '' })
    const kept = seenTable.encode({ ...row, answer: outboxTable.encode({ ...answer, kind: 'refusal', body: busy }) })
    expect(judged(() => also('hu-bank', next(kept)))).toEqual(['a transient refusal was kept'])
  })

  test('a message in the outbox and a deadline that nothing ends, a list that is none', () => {
    const { change } = lastChange('hu-cpp', outboxTable.name)
    expect(judged(() => also('hu-cpp', { ...change, before: undefined, key: keyOf('new', 1) }))).toEqual([
      'said without an answer',
    ])
    const deadline: RowChange = {
      table: '~deadlines',
      key: keyOf(1_000, 'hold-expiry'),
      before: undefined,
      after: lastChange('hu-bank', '~deadlines').change.after,
    }
    expect(judged(() => also('hu-bank', deadline))).toEqual(['a deadline did not fire'])
    const list = revocationTable.encode({ version: 1, list: new Uint8Array(4), receivedAtMs: 0 })
    const bad: RowChange = { table: revocationTable.name, key: keyOf('current'), before: undefined, after: list }
    expect(judged(() => also('hu-bank', bad))).toEqual(['a revocation list that is none'])
  })
})
