/**
 * MPP and data centers as they are, on a simulated bus with real envelopes and credentials, between a CPP, a bank and a merchant
 * host that do just enough. What a table of decisions cannot show: that the messages can be sealed, routed, opened and
 * answered, over two realms, with loss and a crash.
 */
import { describe, expect, test } from 'vitest'
import { LOST } from '../../bus/simulated-bus.ts'
import { modeOf } from '../../protocol/amount.ts'
import { encodeBody } from '../../protocol/codec.ts'
import { makeContent } from '../../protocol/envelope.ts'
import { ENVELOPE_VERSION } from '../../protocol/header.ts'
import { networkIdOf } from '../../protocol/keys.ts'
import {
  EMPTY_RANGE,
  appendLeaf,
  NO_PREVIOUS_BATCH,
  pairEntryLeaf,
  rangeRoot,
  type PairEntry,
} from '../../protocol/mountain-range.ts'
import { sealOne } from '../../protocol/seals.ts'
import { issueMandate } from '../../protocol/statements.ts'
import { parseSubject } from '../../protocol/subjects.ts'
import { dataCenter } from '../data-center/definition.ts'
import { bareDefinition } from '../runtime/bare-definition.ts'
import { decision, put, type Message, type NodeDefinition } from '../runtime/node.ts'
import type { MppReport } from '../runtime/reports.ts'
import { createSimNetwork, SIM_START_MS } from '../runtime/sim-network.ts'
import { defineTable, keyOf } from '../runtime/table.ts'
import { testBytes, testId } from '../runtime/testing.ts'
import { mpp } from './definition.ts'
import { PAYEES } from './state.ts'

type SeenRow = { readonly kind: string; readonly body: string }
const seen = defineTable<SeenRow>({ name: 'seen', version: 1, fields: ['kind', 'body'] })
type CounterRow = { readonly next: number }
const counter = defineTable<CounterRow>({ name: 'counter', version: 1, fields: ['next'] })

/** Writes down what came, and answers. */
const noted = (kind: string, id: Uint8Array, what = '') => put(seen, keyOf(kind, id), { kind, body: what })

const bank = (): NodeDefinition<'bank'> =>
  bareDefinition('bank', {
    messages: {
      'mandate-registration': (_, { message, ref }) =>
        decision({
          sends: [
            {
              kind: 'mandate-answer',
              to: message.sender.host,
              body: { registrationId: message.body.registrationId, result: 'accepted' },
              delivery: { answers: ref },
            },
          ],
        }),
      'transfer-order': (_, { message, ref }) =>
        decision({
          writes: [
            noted(
              'transfer-order',
              message.body.orderId,
              `${message.body.reference.purpose} ${message.body.amountMinor} to ${message.body.creditAccount}`,
            ),
          ],
          sends: [
            {
              kind: 'transfer-answer',
              to: message.sender.host,
              body: { orderId: message.body.orderId, result: 'booked' },
              delivery: { answers: ref },
            },
          ],
        }),
    },
    controls: {
      send: (_, { args }) => decision({ sends: [args['message'] as Message] }),
      credit: (_, { args }) =>
        decision({
          sends: [
            {
              kind: 'account-notice',
              to: 'hu-cosmo',
              body: {
                noticeId: testId('credit'),
                account: 'hu-agora:hu-cosmo',
                amountMinor: args['amountMinor'] as bigint,
                currency: 'EUR',
                reference: { purpose: 'settlement', id: args['batchId'] as Uint8Array },
                originatingBank: 'ro-carpat',
                bookedAtMs: SIM_START_MS,
              },
              delivery: { until: ['credit'] },
            },
          ],
        }),
    },
  })

/** Sends what it is told to; answers an approval with the next DT of the pair, in order of commitment. */
const cpp = (): NodeDefinition<'cpp'> =>
  bareDefinition('cpp', {
    started: () => decision(),
    messages: {
      'countersigned-decision': (read, { message, ref }) => {
        const { pnId, payee, decision: verdict } = message.body
        const nested = message.nested.merchantDecision
        const pairSeq = read.get(counter, 'pair')?.next ?? 1
        if (verdict !== 'approve' || nested === undefined || !nested.ok)
          return decision({ forget: [['pn', pnId]], writes: [noted('declined', pnId)] })
        const { txId } = nested.value.body
        return decision({
          forget: [['pn', pnId]],
          writes: [put(counter, keyOf('pair'), { next: pairSeq + 1 }), noted('approved', pnId)],
          sends: [
            {
              kind: 'delayed-transfer-confirmation',
              to: 'hu-shops',
              body: {
                pnId,
                payee,
                txId,
                amountMinor: 120n,
                currency: 'EUR',
                confirmedAtMs: SIM_START_MS,
                mpp: 'hu-cosmo',
                pairSeq,
              },
              delivery: { answers: ref },
            },
          ],
        })
      },
      'settlement-acceptance': (_, { message }) =>
        decision({ writes: [noted('accepted', message.body.batchId)], forget: [['batch']] }),
      'settlement-dispute': (_, { message }) =>
        decision({ writes: [noted('disputed', message.body.batchId)], forget: [['batch']] }),
      'request-to-pay': (_, { message, ref }) =>
        decision({
          writes: [noted('request', message.body.requestId)],
          sends: [{ kind: 'receipt', to: 'hu-cosmo', body: { digest: message.digest }, delivery: { answers: ref } }],
        }),
    },
    controls: { send: (_, { args }) => decision({ sends: [args['message'] as Message] }) },
  })

const merchant = (): NodeDefinition<'merchant'> =>
  bareDefinition('merchant', {
    messages: {
      'payee-enrolment-record': (_, { message }) =>
        decision({ writes: [noted('record', message.body.enrolmentId)], forget: [['enrolment']] }),
      'payment-notice': (_, { message }) => {
        const { trans } = message.nested
        if (!trans.ok) throw new Error(trans.failure.code)
        const { pnId, payee } = message.body
        return decision({
          writes: [noted('notice', pnId)],
          sends: [
            {
              kind: 'payment-decision',
              to: 'hu-cosmo',
              body: { pnId, payee, txId: trans.value.body.txId, noticeDigest: message.digest, decision: 'approve' },
              delivery: { until: ['decision', pnId] },
            },
          ],
        })
      },
      'delayed-transfer-confirmation': (_, { message }) =>
        decision({
          writes: [noted('confirmed', message.body.pnId, String(message.body.pairSeq))],
          forget: [['decision', message.body.pnId]],
        }),
      'payout-advice': (_, { message, ref }) =>
        decision({
          writes: [noted('advice', message.body.payoutId, String(message.body.amountMinor))],
          sends: [{ kind: 'receipt', to: 'hu-cosmo', body: { digest: message.digest }, delivery: { answers: ref } }],
        }),
    },
    controls: { send: (_, { args }) => decision({ sends: [args['message'] as Message] }) },
  })

const network = async () => {
  const sim = createSimNetwork()
  await sim.add({ id: 'hu-dc-1', role: 'dc', define: dataCenter, policy: { peerRealms: ['ro'] } })
  await sim.add({ id: 'ro-dc-1', role: 'dc', define: dataCenter, policy: { peerRealms: ['hu'] } })
  await sim.add({ id: 'hu-agora', role: 'bank', define: bank })
  const policy = {
    operatorAccounts: { EUR: 'hu-agora:hu-cosmo' },
    payout: { thresholdMinor: { EUR: '300' }, maxAgeMs: 60_000, retryMs: 1_000 },
  }
  await sim.add({ id: 'hu-cosmo', role: 'mpp', define: mpp, policy })
  await sim.add({ id: 'hu-shops', role: 'merchant', certifiedBy: ['hu-cosmo'], define: merchant })
  await sim.add({ id: 'ro-libra', role: 'cpp', define: cpp })
  const networkId = networkIdOf(sim.root.publicKey)
  const identity = (id: string) => sim.host(id).identity
  const send = (from: string, message: Message) => sim.command(from, 'send', { message })

  // CPP, bank and merchant host show themselves, as their own nodes would.
  for (const [id, dc] of [
    ['ro-libra', 'ro-dc-1'],
    ['hu-agora', 'hu-dc-1'],
  ] as const)
    await send(id, {
      kind: 'processor-registration',
      to: dc,
      body: { registrationId: testId(id), version: 1, chain: [...(identity(id).chains[0] ?? [])], accepts: [] },
      delivery: { until: ['self'] },
    })
  await send('hu-shops', {
    kind: 'host-registration',
    to: 'hu-cosmo',
    body: { registrationId: testId('host'), chain: [...(identity('hu-shops').chains[0] ?? [])] },
    delivery: { until: ['host'] },
  })
  const mandate = issueMandate(
    sim.engine,
    {
      networkId,
      account: 'hu-agora:bakery',
      operatorId: 'hu-cosmo',
      limitMinor: 1_000n,
      currency: 'EUR',
      notBeforeMs: 0,
      notAfterMs: SIM_START_MS * 2,
      serial: 1,
    },
    sim.root,
  )
  await send('hu-shops', {
    kind: 'payee-enrolment',
    to: 'hu-cosmo',
    body: {
      enrolmentId: testId('enrolment'),
      payee: 'hu-bakery',
      payeeKind: 'shop',
      displayName: 'Bakery',
      account: 'hu-agora:bakery',
      currency: 'EUR',
      mandate,
    },
    delivery: { until: ['enrolment'] },
  })
  await sim.advance(5_000)

  const directory = () => sim.host('hu-dc-1').host().ask('directory', {})
  const chain = () => {
    const [mppAndHost] = identity('hu-shops').chains
    const payee = sim.host('hu-cosmo').host().read.get(PAYEES, 'hu-bakery')
    return [...(mppAndHost ?? []), payee?.credential as Uint8Array]
  }
  const trans = (name: string, amountMinor = 120n): Uint8Array => {
    const body = {
      txId: testId(name),
      payee: 'hu-bakery',
      amountMinor,
      currency: 'EUR' as const,
      descriptionHash: testBytes('d'),
      nonce: testId('nonce'),
      chain: chain(),
    }
    const content = makeContent(
      {
        version: ENVELOPE_VERSION,
        networkId,
        kind: 'transaction-details',
        bodyVersion: 1,
        messageId: testId(`trans ${name}`),
        from: 'hu-shops',
        to: `U${'A'.repeat(55)}`,
        sentAtMs: sim.now(),
        expiresAtMs: sim.now() + 600_000,
        correlationId: undefined,
        bodyForm: 'plain',
      },
      encodeBody('transaction-details', body),
    )
    return sealOne(content, identity('hu-shops').signing)
  }
  const pay = (name: string, amountMinor = 120n) =>
    send('ro-libra', {
      kind: 'payment-notice',
      to: 'hu-shops',
      expiresAtMs: sim.now() + 600_000,
      body: {
        pnId: testId(name),
        payee: 'hu-bakery',
        mode: modeOf(amountMinor, 'EUR'),
        operatorId: 'ro-libra',
        trans: trans(name, amountMinor),
      },
      delivery: { until: ['pn', testId(name)] },
    })
  const saw = (id: string, kind: string, name: string) => sim.host(id).host().read.get(seen, kind, testId(name))
  const report = () => {
    const answer = sim.host('hu-cosmo').host().ask('report', {})
    if (!answer.ok) throw new Error(answer.error.code)
    return answer.value as MppReport
  }
  /** Lets time pass until it is so. @throws Error after ten minutes of the network's time */
  const until = async (isSo: () => boolean) => {
    for (let waited = 0; !isSo(); waited += 1_000) {
      if (waited > 600_000) throw new Error(`it never came to be: ${String(isSo)}`)
      await sim.advance(1_000)
    }
  }
  return { sim, send, pay, saw, report, trans, directory, until }
}

const entry = (name: string, pairSeq: number): PairEntry => ({
  pairSeq,
  type: 'dt',
  pnId: testId(name),
  payee: 'hu-bakery',
  amountMinor: 120n,
  currency: 'EUR',
})

describe('an MPP between two realms', () => {
  test('is ready once its data center has receipted, and its payee once it is listed there', async () => {
    const { sim, saw, directory } = await network()
    expect(sim.host('hu-cosmo').host().ready()).toBe(true)
    expect(saw('hu-shops', 'record', 'enrolment')).toBeDefined()
    expect(directory()).toMatchObject({
      ok: true,
      value: { rows: [{ name: 'hu-bakery', at: 'hu-cosmo', host: 'hu-shops', state: 'active' }] },
    })
    for (const { fatal } of sim.hosts()) expect(fatal()).toBeUndefined()
  })

  test('carries payments from the notice to the payout, though a third of all messages is lost and it is killed on the way', async () => {
    const { sim, send, pay, saw, report, until } = await network()
    let count = 0
    sim.setOnSend((message) => {
      count++
      // Scattered, or resends that keep step with each other would be lost each time.
      const isLost = (Math.imul(count, 2_654_435_761) >>> 8) % 3 === 0
      return parseSubject(message.subject) !== undefined && isLost ? LOST : { delaysMs: [0] }
    })
    const names = ['a', 'b', 'c', 'd']
    for (const name of names) await pay(name)
    await sim.host('hu-cosmo').crash()
    await sim.advance(1_000)
    await sim.host('hu-cosmo').restart()
    await until(() => names.every((name) => saw('hu-shops', 'confirmed', name) !== undefined))
    await until(() => report().undecided['countersigned'] === undefined)
    expect(report()).toMatchObject({
      undecided: {},
      pairs: [{ cpp: 'ro-libra', contiguousSeq: 4, receivableMinor: 480n }],
      payees: [{ accruedMinor: 480n, confirmedMicroMinor: 480n }],
    })

    // In the order in which the CPP committed them.
    const order = names.toSorted(
      (a, b) => Number(saw('hu-shops', 'confirmed', a)?.body) - Number(saw('hu-shops', 'confirmed', b)?.body),
    )
    const root = rangeRoot(order.map((name, i) => pairEntryLeaf(entry(name, i + 1))).reduce(appendLeaf, EMPTY_RANGE))
    const batch = {
      mpp: 'hu-cosmo',
      currency: 'EUR' as const,
      seq: 1,
      prevHash: NO_PREVIOUS_BATCH,
      fromSeq: 1,
      toSeq: 4,
      root,
      totalMinor: 480n,
    }
    await send('ro-libra', {
      kind: 'settlement-batch',
      to: 'hu-cosmo',
      body: { batchId: testId('batch'), ...batch },
      delivery: { until: ['batch'] },
    })
    await until(() => saw('ro-libra', 'accepted', 'batch') !== undefined)

    await sim.command('hu-agora', 'credit', { amountMinor: 480n, batchId: testId('batch') })
    const advised = () => [...sim.host('hu-shops').host().read.scan(seen, ['advice'])].map(([, row]) => row.body)
    await until(() => advised().length > 0 && sim.host('hu-cosmo').host().inFlight() === 0)
    expect(report()).toMatchObject({
      pairs: [{ receivableMinor: 0n, settledMinor: 480n, openBatches: 0 }],
      payees: [{ accruedMinor: 0n, payableMinor: 0n, payingMinor: 0n, paidMinor: 480n }],
    })
    const [order_] = [...sim.host('hu-agora').host().read.scan(seen, ['transfer-order'])].map(([, row]) => row.body)
    expect(order_).toBe('payout 480 to hu-agora:bakery')
    expect(advised()).toEqual(['480'])
    for (const { fatal } of sim.hosts()) expect(fatal()).toBeUndefined()
  })

  test('forwards a request to pay to a customer of the other realm, by the alias alone', async () => {
    const { sim, send, saw, trans } = await network()
    await send('ro-libra', {
      kind: 'alias-registration',
      to: 'ro-dc-1',
      body: { registrationId: testId('alias'), alias: 'ro-mihai-pays', version: 1, state: 'active' },
      delivery: { until: ['alias'] },
    })
    await send('hu-shops', {
      kind: 'request-to-pay',
      to: 'ro-mihai-pays',
      nextHop: { role: 'mpp', host: 'hu-cosmo' },
      body: {
        requestId: testId('request'),
        alias: 'ro-mihai-pays',
        trans: trans('asked'),
        description: 'bread',
        salt: testId('salt'),
      },
      delivery: { until: ['request'] },
    })
    await sim.advance(10_000)
    expect(saw('ro-libra', 'request', 'request')).toBeDefined()
    expect(sim.host('hu-cosmo').host().inFlight()).toBe(0)
    expect(sim.host('hu-shops').host().inFlight()).toBe(0)
  })
})
