import { describe, expect, test } from 'vitest'
import { encodeBody } from '../../../protocol/codec.ts'
import { makeContent } from '../../../protocol/envelope.ts'
import { ENVELOPE_VERSION, type Header } from '../../../protocol/header.ts'
import { hash } from '../../../protocol/hash.ts'
import type { Body, KindName } from '../../../protocol/kinds.ts'
import { encodeFrame, parseFrame, type ParsedFrame } from '../../../protocol/seals.ts'
import { keyText } from '../../../nodes/runtime/sorted-map.ts'
import { testId } from '../../../nodes/runtime/testing.ts'
import { WHOLE_TOPOLOGY } from '../testing/watched-network.ts'
import { createComplaints } from './complaints.ts'
import { createOrderWords } from './orders.ts'
import { createPaymentWords } from './payments.ts'
import type { Utterance } from './words.ts'

const NOW_MS = 1_800_000_000_000
const EXPIRES_MS = NOW_MS + 10_000
const CPP = 'hu-cpp'
const MPP = 'hu-mpp'
const SHOP = 'hu-shop-1'
const PAYEE = 'hu-bakery'

const frameOf = (
  kind: KindName,
  from: string,
  body: Uint8Array,
  expiresAtMs?: number,
  sentAtMs = NOW_MS,
): ParsedFrame => {
  const header: Header = {
    version: ENVELOPE_VERSION,
    networkId: new Uint8Array(16),
    kind,
    bodyVersion: 1,
    messageId: testId(`${kind} ${from}`),
    from,
    to: PAYEE,
    sentAtMs,
    expiresAtMs,
    correlationId: undefined,
    bodyForm: 'plain',
  }
  const seal = { form: 1, keyId: new Uint8Array(16), signature: new Uint8Array(64) } as const
  const parsed = parseFrame(encodeFrame(makeContent(header, body), seal))
  if (!parsed.ok) throw new Error(parsed.failure.code)
  return parsed.value
}

/** The words of one payment of 500, in order; each may be left out or said otherwise. */
const invoice = (tx = 'tx'): Uint8Array =>
  frameOf(
    'transaction-details',
    SHOP,
    encodeBody('transaction-details', {
      txId: testId(tx),
      payee: PAYEE,
      amountMinor: 500n,
      currency: 'EUR',
      descriptionHash: hash(new Uint8Array(1)),
      nonce: testId('nonce'),
      chain: [new Uint8Array(8)],
    }),
    EXPIRES_MS,
  ).frame

const setUp = () => {
  const { complain, take } = createComplaints()
  const payments = createPaymentWords(WHOLE_TOPOLOGY, complain)
  const orders = createOrderWords(payments, complain)
  const rules = (): readonly string[] => take().map(({ rule }) => rule)
  const say = <K extends KindName>(
    kind: K,
    host: string,
    body: Body<K>,
    expiresAtMs?: number,
    sentAtMs?: number,
  ): readonly string[] => {
    const inner = frameOf(kind, host, encodeBody(kind, body), expiresAtMs, sentAtMs)
    const one: Utterance = { kind, originator: host, host, body, inner, digest: keyText(inner.digest) }
    payments.heard(one)
    orders.heard(one)
    return rules()
  }
  const noticed = new Map<string, Uint8Array>()
  const words = {
    notice: (pn = 'pn', tx = 'tx', more: Partial<Body<'payment-notice'>> = {}, expiresAtMs = EXPIRES_MS) => {
      const body: Body<'payment-notice'> = {
        pnId: testId(pn),
        payee: PAYEE,
        mode: 'micro',
        operatorId: CPP,
        trans: invoice(tx),
        ...more,
      }
      noticed.set(pn, frameOf('payment-notice', CPP, encodeBody('payment-notice', body), expiresAtMs).digest)
      return say('payment-notice', CPP, body, expiresAtMs)
    },
    approve: (pn = 'pn', tx = 'tx', noticeDigest = noticed.get(pn) ?? hash(new Uint8Array(1))) =>
      say('payment-decision', SHOP, {
        pnId: testId(pn),
        payee: PAYEE,
        txId: testId(tx),
        noticeDigest,
        decision: 'approve',
      }),
    countersign: (pn = 'pn', noticeDigest = noticed.get(pn) ?? hash(new Uint8Array(1))) =>
      say('countersigned-decision', MPP, { pnId: testId(pn), payee: PAYEE, noticeDigest, decision: 'approve' }),
    confirm: (more: Partial<Body<'delayed-transfer-confirmation'>> = {}) =>
      say('delayed-transfer-confirmation', CPP, {
        pnId: testId('pn'),
        payee: PAYEE,
        txId: testId('tx'),
        amountMinor: 500n,
        currency: 'EUR',
        confirmedAtMs: NOW_MS + 1,
        mpp: MPP,
        pairSeq: 1,
        ...more,
      }),
    end: (pn = 'pn', tx = 'tx') =>
      say('payment-outcome', CPP, {
        pnId: testId(pn),
        payee: PAYEE,
        txId: testId(tx),
        outcome: 'expired',
        code: 6015,
        decidedAtMs: NOW_MS,
      }),
    askRefund: (refund: string, amountMinor: bigint) => [
      ...say('refund-request', SHOP, {
        refundId: testId(refund),
        payee: PAYEE,
        txId: testId('tx'),
        pnId: testId('pn'),
        amountMinor,
        currency: 'EUR',
      }),
      ...say('countersigned-refund', MPP, {
        refundId: testId(refund),
        pnId: testId('pn'),
        payee: PAYEE,
        request: new Uint8Array(4),
      }),
    ],
    refund: (refund: string, amountMinor: bigint, pairSeq = 2) =>
      say('refund-confirmation', CPP, {
        refundId: testId(refund),
        pnId: testId('pn'),
        payee: PAYEE,
        txId: testId('tx'),
        amountMinor,
        currency: 'EUR',
        mpp: MPP,
        pairSeq,
        confirmedAtMs: NOW_MS,
      }),
    payIn: (refund: string, amountMinor: bigint, result: 'booked' | 'refused' = 'booked') => [
      ...say('transfer-order', MPP, {
        orderId: testId(`pay in ${refund}`),
        debitAccount: 'hu-bank:shop',
        creditAccount: 'hu-bank:mpp',
        amountMinor,
        currency: 'EUR',
        reference: { purpose: 'refund', id: testId(refund) },
      }),
      ...say('transfer-answer', 'hu-bank', {
        orderId: testId(`pay in ${refund}`),
        result,
        ...(result === 'booked' ? {} : { code: 6008 }),
      }),
    ],
    payOut: (payout: string, amountMinor: bigint) =>
      say('payout-advice', MPP, {
        payoutId: testId(payout),
        payee: PAYEE,
        amountMinor,
        currency: 'EUR',
        paidAtMs: NOW_MS,
      }),
    goods: () => say('goods-release', SHOP, { txId: testId('tx'), payee: PAYEE, goods: 'bread' }),
    batch: (more: Partial<Body<'settlement-batch'>> = {}) =>
      say('settlement-batch', CPP, {
        batchId: testId(`batch ${more.seq ?? 1}`),
        mpp: MPP,
        currency: 'EUR',
        seq: 1,
        prevHash: hash(new Uint8Array(1)),
        fromSeq: 1,
        toSeq: 1,
        root: hash(new Uint8Array(1)),
        totalMinor: 500n,
        ...more,
      }),
    hold: () => [
      ...say(
        'hold-order',
        CPP,
        {
          holdId: testId('hold'),
          account: 'hu-bank:alice',
          amountMinor: 500n,
          currency: 'EUR',
          holdExpiresAtMs: EXPIRES_MS,
        },
        EXPIRES_MS,
      ),
    ],
    held: (sentAtMs?: number) =>
      say('hold-answer', 'hu-bank', { holdId: testId('hold'), result: 'held' }, undefined, sentAtMs),
    post: (order: string, more: Partial<Body<'post-order'>> = {}) =>
      say('post-order', CPP, {
        orderId: testId(order),
        holdId: testId('hold'),
        creditAccount: 'hu-bank:shop',
        amountMinor: 500n,
        currency: 'EUR',
        reference: { purpose: 'payment', id: testId('tx') },
        ...more,
      }),
    quote: (accountAmountMinor: bigint) =>
      say('fx-quote', CPP, {
        quoteId: testId('quote'),
        currency: 'EUR',
        amountMinor: 501n,
        accountCurrency: 'HUF',
        accountAmountMinor,
        rateNumerator: 1_001n,
        rateDenominator: 10n,
        expiresAtMs: EXPIRES_MS,
      }),
    requestOnQuote: (pr: string) =>
      say(
        'payment-request',
        'hu-wallet-1',
        { prId: testId(pr), trans: invoice(), pinProof: hash(new Uint8Array(1)), quoteId: testId('quote') },
        EXPIRES_MS,
      ),
    charged: (pr: string, accountAmountMinor: bigint) =>
      say('customer-transfer-confirmation', CPP, {
        prId: testId(pr),
        payee: PAYEE,
        txId: testId('tx'),
        amountMinor: 501n,
        currency: 'EUR',
        confirmedAtMs: NOW_MS,
        accountAmountMinor,
        accountCurrency: 'HUF',
      }),
  }
  const atRest = (): readonly string[] => {
    orders.atRest()
    return rules()
  }
  const upTo = (last: 'noticed' | 'approved' | 'countersigned' | 'confirmed'): typeof words => {
    const steps = [words.notice, words.approve, words.countersign, words.confirm]
    const count = ['noticed', 'approved', 'countersigned', 'confirmed'].indexOf(last) + 1
    for (const step of steps.slice(0, count)) expect(step()).toEqual([])
    return words
  }
  return { say, words, upTo, atRest }
}

describe('what the words of a payment promise each other', () => {
  test('a bank that died before it could say that it holds says so when its order comes again, voided or not', () => {
    const { say, words } = setUp()
    words.hold()
    say('void-order', CPP, { orderId: testId('void'), holdId: testId('hold') })
    say(
      'void-answer',
      'hu-bank',
      { orderId: testId('void'), holdId: testId('hold'), result: 'voided' },
      undefined,
      NOW_MS + 5,
    )
    expect(words.held()).toEqual([])
  })

  test('a payment, its settlement and its refund break no promise', () => {
    const { upTo, atRest } = setUp()
    const words = upTo('confirmed')
    const all = [
      words.goods(),
      words.askRefund('refund', 200n),
      words.refund('refund', 200n),
      words.batch({ toSeq: 2, totalMinor: 300n }),
      atRest(),
    ]
    expect(all.flat()).toEqual([])
  })

  test('what a payee has paid in for a refund that is refused comes back', () => {
    const { upTo } = setUp()
    const words = upTo('confirmed')
    const all = [
      words.payOut('first', 500n),
      words.askRefund('refund', 200n),
      words.payIn('refund', 200n),
      words.payOut('second', 200n),
    ]
    expect(all.flat()).toEqual([])
  })

  const broken: readonly (readonly [string, (set: ReturnType<typeof setUp>) => readonly string[]])[] = [
    ['a notice without its invoice', ({ words }) => words.notice('pn', 'tx', { trans: new Uint8Array(4) })],
    ['a notice outlives its invoice', ({ words }) => words.notice('pn', 'tx', {}, EXPIRES_MS + 1)],
    ['approved what was not noticed', ({ words }) => words.approve()],
    ['approved what was not noticed', ({ upTo }) => upTo('noticed').approve('pn', 'tx', hash(new Uint8Array(2)))],
    [
      'one invoice approved twice',
      ({ upTo }) => {
        const words = upTo('approved')
        words.notice('other')
        return words.approve('other')
      },
    ],
    ['countersigned what was not approved', ({ upTo }) => upTo('noticed').countersign()],
    ['countersigned what was not approved', ({ upTo }) => upTo('approved').countersign('pn', hash(new Uint8Array(2)))],
    ['confirmed what was not noticed', ({ words }) => words.confirm()],
    ['confirmed without an approval', ({ upTo }) => upTo('approved').confirm()],
    ['confirmed another amount', ({ upTo }) => upTo('countersigned').confirm({ amountMinor: 501n })],
    ['confirmed after it expired', ({ upTo }) => upTo('countersigned').confirm({ confirmedAtMs: EXPIRES_MS })],
    ['an end of another payment', ({ upTo }) => upTo('noticed').end('pn', 'another')],
    ['two ends of one payment', ({ upTo }) => upTo('confirmed').end()],
    [
      'confirmed in another mode',
      ({ words }) => {
        words.notice('pn', 'tx', { mode: 'macro' })
        words.approve()
        words.countersign()
        return words.confirm()
      },
    ],
    [
      'one invoice paid twice',
      ({ upTo }) => {
        const words = upTo('confirmed')
        words.notice('other')
        words.approve('other')
        words.countersign('other')
        return words.confirm({ pnId: testId('other'), pairSeq: 2 })
      },
    ],
    ['goods released without a confirmation', ({ upTo }) => upTo('countersigned').goods()],
    ['refunded what was not asked for', ({ upTo }) => upTo('confirmed').refund('refund', 100n)],
    [
      'refunded more than was paid',
      ({ upTo }) => {
        const words = upTo('confirmed')
        words.askRefund('one', 300n)
        words.askRefund('two', 201n)
        words.refund('one', 300n, 2)
        return words.refund('two', 201n, 3)
      },
    ],
    ['a quote is not its rate rounded up', ({ words }) => words.quote(50_150n)],
    ['a quote is not its rate rounded up', ({ words }) => words.quote(50_152n)],
    [
      'charged another sum than quoted',
      ({ words }) => {
        expect(words.quote(50_151n)).toEqual([])
        words.requestOnQuote('pr')
        return words.charged('pr', 50_150n)
      },
    ],
    [
      'a quote was used twice',
      ({ words }) => {
        words.quote(50_151n)
        words.requestOnQuote('one')
        words.requestOnQuote('two')
        expect(words.charged('one', 50_151n)).toEqual([])
        return words.charged('two', 50_151n)
      },
    ],
    ['two entries of a pair under one number', ({ upTo }) => upTo('confirmed').refund('refund', 1n, 1)],
    ['a batch does not total its entries', ({ upTo }) => upTo('confirmed').batch({ totalMinor: 501n })],
    [
      'a gap or an overlap of settlements',
      ({ upTo }) => {
        const words = upTo('confirmed')
        words.batch()
        return words.batch({ seq: 2, fromSeq: 3, toSeq: 3 })
      },
    ],
    ['an empty settlement', ({ words }) => words.batch({ fromSeq: 2, toSeq: 1 })],
    [
      'a settlement of entries that were never said',
      ({ words, atRest }) => {
        words.batch()
        return atRest()
      },
    ],
    [
      'a gap in the entries of a pair',
      ({ upTo, atRest }) => {
        upTo('confirmed').refund('refund', 1n, 3)
        return atRest()
      },
    ],
    ['posted a hold that is none', ({ upTo }) => upTo('countersigned').post('order')],
    [
      'money moved without an approval',
      ({ upTo }) => {
        const words = upTo('approved')
        words.hold()
        return words.post('order')
      },
    ],
    [
      'posted more than was held',
      ({ upTo }) => {
        const words = upTo('countersigned')
        words.hold()
        return words.post('order', { amountMinor: 501n })
      },
    ],
    [
      'a hold was posted twice',
      ({ upTo }) => {
        const words = upTo('countersigned')
        words.hold()
        expect(words.post('one')).toEqual([])
        return words.post('two')
      },
    ],
    [
      'a hold was left behind',
      ({ words, atRest }) => {
        words.hold()
        words.held()
        return atRest()
      },
    ],
    [
      'held after it was voided',
      ({ say, words }) => {
        words.hold()
        say('void-order', CPP, { orderId: testId('void'), holdId: testId('hold') })
        say('void-answer', 'hu-bank', { orderId: testId('void'), holdId: testId('hold'), result: 'voided' })
        return words.held(NOW_MS + 1)
      },
    ],
    [
      'a hold was posted and voided',
      ({ say, words }) => {
        words.hold()
        say('void-order', CPP, { orderId: testId('void'), holdId: testId('hold') })
        say('void-answer', 'hu-bank', { orderId: testId('void'), holdId: testId('hold'), result: 'voided' })
        return say('post-answer', 'hu-bank', { orderId: testId('post'), holdId: testId('hold'), result: 'booked' })
      },
    ],
    [
      'a credit was booked and returned',
      ({ say }) => {
        say('interbank-credit', 'hu-bank', {
          creditId: testId('credit'),
          creditAccount: 'ro-bank:shop',
          amountMinor: 1n,
          currency: 'EUR',
          reference: { purpose: 'payment', id: testId('tx') },
        })
        say('interbank-booking', 'ro-bank', { creditId: testId('credit'), bookedAtMs: NOW_MS })
        return say('interbank-return', 'ro-bank', { creditId: testId('credit'), code: 7001 })
      },
    ],
    [
      'answered what nobody ordered',
      ({ say }) => say('transfer-answer', 'hu-bank', { orderId: testId('order'), result: 'booked' }),
    ],
    ['paid out more than was earned', ({ upTo }) => upTo('confirmed').payOut('payout', 501n)],
    [
      'paid out more than was earned',
      ({ upTo }) => {
        const words = upTo('confirmed')
        expect(words.payOut('first', 500n)).toEqual([])
        words.askRefund('refund', 200n)
        words.payIn('refund', 200n)
        words.refund('refund', 200n)
        return words.payOut('second', 200n)
      },
    ],
    [
      'paid out more than was earned',
      ({ upTo }) => {
        const words = upTo('confirmed')
        expect(words.payOut('first', 500n)).toEqual([])
        words.askRefund('refund', 200n)
        words.payIn('refund', 200n, 'refused')
        return words.payOut('second', 200n)
      },
    ],
  ]
  test.each(broken)('%s', (rule, breaks) => expect(breaks(setUp())).toContain(rule))
})
