/**
 * What a hostile participant may try on a running network: to send again whatever it has seen, and to have one invoice paid
 * twice. Nothing changes, and every second payment gets its failure code.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { readAuthority } from '../../bus/authority.ts'
import { accountUserJwt } from '../../bus/jwt.ts'
import { natsBroker } from '../../bus/nats-bus.ts'
import { newSeed } from '../../bus/nkeys.ts'
import { hostSubscriptions } from '../../bus/permissions.ts'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { isGuestToken } from '../../protocol/ids.ts'
import { inboxSubject, parseSubject } from '../../protocol/subjects.ts'
import { defineWallet } from '../../nodes/customer/define.ts'
import { requests } from '../../nodes/customer/state.ts'
import { readHostConfig, readHostCredentials } from '../../nodes/runtime/bundle.ts'
import type { NodeServices } from '../../nodes/runtime/host-types.ts'
import { silentLog } from '../../nodes/runtime/log.ts'
import { decision, on, put, type AnyNodeDefinition, type ControlEvent, type Reader } from '../../nodes/runtime/node.ts'
import { startHost, type RunningHost } from '../../nodes/runtime/run.ts'
import { keyOf } from '../../nodes/runtime/table.ts'
import { useTestFleet } from '../testing/test-fleet.ts'
import { closeSources, openSources } from './sources.ts'
import { mapBounded } from './concurrency.ts'
import type { HostClient } from './host-client.ts'
import { pay, payRequest, type PayResult } from './pay.ts'
import { unlock } from './unlock.ts'

const NETWORK = `network: hostile
currency: EUR
policies:
  cpp: { noticeLifetimeMs: 8000, settlement: { thresholdMinor: { EUR: '300' }, maxAgeMs: 1000, retryMs: 500 } }
  mpp: { payout: { thresholdMinor: { EUR: '300' }, maxAgeMs: 1000, retryMs: 500 } }
banks:
  - { id: hu-kh }
realms:
  hu:
    cpps: [{ id: hu-otp, bank: hu-kh }, { id: hu-second, bank: hu-kh }]
    mpps: [{ id: hu-cosmo, bank: hu-kh }]
    merchants:
      - { payee: bakery@hu, bank: hu-kh }
      - { payee: sulky@hu, bank: hu-kh, approval: { rule: reject-all } }
    customers:
      - { id: hu-alice, cpps: [hu-otp, hu-second], bank: hu-kh, alias: hu-alice-pays }
      - { id: hu-bob, bank: hu-kh }
`
const WALLETS = 'hu-wallets-1'

const net = useTestFleet(NETWORK)

type Captured = { readonly subject: string; readonly from: string; readonly data: Uint8Array }

/**
 * Second logins of every host, which hear what each hears and may send what each may; and one for all guests, which only the
 * broker's own authority can make: a guest's subjects belong to a key that never leaves its host.
 */
const openWiretap = async () => {
  const heard: Captured[] = []
  const buses = new Map<string, Bus>()
  const hear = async (bus: Bus, subject: string): Promise<void> => {
    await bus.subscribe(subject, {}, (message) => {
      const from = parseSubject(message.subject)?.fromHost ?? ''
      heard.push({ subject: message.subject, from, data: message.data })
    })
  }
  const { directory, plan } = net().fleet
  const { login } = await readHostCredentials(directory.credentials(WALLETS))
  const { accountSeed } = await readAuthority(directory.authorityFile)
  const seed = newSeed('U')
  const inboxes = inboxSubject('guest', '*')
  const jwt = await accountUserJwt('tap', seed, accountSeed, ['semops.v1.>'], [inboxes], Date.now() + 3_600_000)
  const guests = await natsBroker({ ...login, seed, jwt }).openHost()
  await hear(guests, inboxes)
  for (const { id, role } of plan.hosts) {
    const bus = await natsBroker((await readHostCredentials(directory.credentials(id))).login).openHost()
    buses.set(id, bus)
    for (const { subject } of hostSubscriptions(role, id)) await hear(bus, subject)
  }
  const all = [...buses.values(), guests]
  return {
    heard,
    replay: async (frames: readonly Captured[]): Promise<void> => {
      for (const { subject, from, data } of frames)
        (isGuestToken(from) ? guests : (buses.get(from) as Bus)).publish(subject, data)
      for (const bus of all) await bus.flush()
    },
    close: async (): Promise<void> => {
      for (const bus of all) await bus.close()
    },
  }
}

/** Every node's figures and payments, once nothing is under way. */
const picture = async () => {
  const { checks, quiet } = await net().verifyAtRest()
  expect(quiet).toBe(true)
  const sources = await openSources(net().fleet.directory, net().fleet.plan)
  try {
    const nodes = await mapBounded(sources, 4, async (source) => ({
      report: await source.report(),
      payments: await source.payments(),
    }))
    return { broken: checks.filter(({ ok }) => !ok), nodes }
  } finally {
    await closeSources(sources)
  }
}

describe('captured messages', () => {
  test('sent again, in any order, to everybody, change nothing', async () => {
    const tap = await openWiretap()
    try {
      const wallet = await net().fleet.host(WALLETS)
      const orders = [
        { customer: 'hu-alice', payee: 'bakery@hu', amountMinor: 120n, cpp: 'hu-otp' },
        { customer: 'hu-alice', payee: 'bakery@hu', amountMinor: 1_200n, cpp: 'hu-second' },
        { customer: 'hu-bob', payee: 'bakery@hu', amountMinor: 900n },
        { customer: 'hu-bob', payee: 'bakery@hu', amountMinor: 450n },
        { customer: 'hu-bob', payee: 'sulky@hu', amountMinor: 2_000n },
        { customer: 'hu-bob', payee: 'sulky@hu', amountMinor: 20n },
      ]
      const outcomes: string[] = []
      for (const order of orders) outcomes.push((await pay(wallet, { currency: 'EUR', ...order }, 30_000)).outcome)
      expect(outcomes).toEqual(['confirmed', 'confirmed', 'confirmed', 'confirmed', 'rejected', 'rejected'])
      const before = await picture()
      expect(before.broken).toEqual([])

      const frames = [...tap.heard]
      const kinds = new Set(frames.map(({ subject }) => parseSubject(subject)?.kind))
      for (const kind of [
        'offer-request',
        'transaction-details',
        'payment-request',
        'payment-notice',
        'payment-decision',
        'countersigned-decision',
        'delayed-transfer-confirmation',
        'transfer-confirmation',
        'customer-payment-outcome',
        'payment-outcome',
        'hold-order',
        'post-order',
        'void-order',
        'transfer-order',
        'transfer-answer',
        'account-notice',
        'settlement-batch',
        'settlement-acceptance',
        'payout-advice',
        'receipt',
      ] as const)
        expect(kinds).toContain(kind)
      await tap.replay(frames)
      await tap.replay(frames.toReversed())
      await tap.replay(frames)
      expect(await picture()).toEqual(before)
    } finally {
      await tap.close()
    }
  })
})

type Requests = readonly { readonly requestId: string }[]
const untilArrived = async (wallet: HostClient, requestId: string): Promise<void> => {
  while (!(await wallet.read<Requests>('requests')).some((one) => one.requestId === requestId)) await delay(20)
}

/** A wallet host that treats one customer's request to pay as another's, or as a second one of the same. */
const forgingWallet = (services: NodeServices): AnyNodeDefinition => {
  const honest = defineWallet(services)
  return {
    ...honest,
    controls: {
      ...honest.controls,
      'copy-request': on(
        (read: Reader, { args }: ControlEvent) => read.get(requests, fromHex(String(args['requestId']))),
        (request, { args }, { freshId }) => {
          if (request === undefined) return decision({ reply: { ok: false, code: 'NOT_FOUND' } })
          const { prId: _, ...rest } = request
          const copy = { ...rest, requestId: freshId(), customer: String(args['customer']), state: 'open' } as const
          return decision({
            writes: [put(requests, keyOf(copy.requestId), copy)],
            reply: { ok: true, requestId: toHex(copy.requestId) },
          })
        },
      ),
    },
  }
}

describe('one invoice', () => {
  let forger: RunningHost
  beforeAll(async () => {
    const { directory } = net().fleet
    await net().fleet.supervisor('stop-host', { id: WALLETS })
    const credentials = await readHostCredentials(directory.credentials(WALLETS))
    forger = await startHost(credentials, await readHostConfig(directory.config(WALLETS)), forgingWallet, silentLog)
    const wallet = await net().fleet.host(WALLETS)
    for (const customer of ['hu-alice', 'hu-bob'])
      await unlock(wallet, net().fleet, { customer }, String(await net().fleet.pin(customer)))
  })
  afterAll(() => forger.stop())

  /** An invoice for alice, as requests to pay of these customers, answered one after the other. */
  const payTwice = async (
    first: { readonly customer: string; readonly cpp: string },
    second: { readonly customer: string; readonly cpp: string },
    atOnce: boolean,
  ): Promise<readonly PayResult[]> => {
    const wallet = await net().fleet.host(WALLETS)
    const shop = await net().fleet.host('hu-shops-1')
    const { requestId } = await shop.command<{ requestId: string }>('request-payment', {
      payee: 'bakery@hu',
      alias: 'hu-alice-pays',
      amountMinor: '150',
    })
    await untilArrived(wallet, requestId)
    const copies: { readonly customer: string; readonly cpp: string; readonly requestId: string }[] = []
    for (const payer of [first, second]) {
      const copy = await wallet.command<{ requestId: string }>('copy-request', { requestId, customer: payer.customer })
      copies.push({ ...payer, requestId: copy.requestId })
    }
    const payCopy = async ({ customer, cpp, requestId: copied }: (typeof copies)[number]): Promise<PayResult> => {
      const order = { customer, payee: 'bakery@hu', amountMinor: 150n, currency: 'EUR' } as const
      const request = { requestId: copied, accept: true, cpp }
      return (await payRequest(wallet, order, request, 30_000)) as PayResult
    }
    if (atOnce) return Promise.all(copies.map(payCopy))
    return [await payCopy(copies[0] as (typeof copies)[0]), await payCopy(copies[1] as (typeof copies)[0])]
  }

  const alice = { customer: 'hu-alice', cpp: 'hu-otp' }
  test.each([
    ['twice by one customer', alice, alice, 'refused'],
    ['by two customers', alice, { customer: 'hu-bob', cpp: 'hu-otp' }, 'refused'],
    ['by two processors', alice, { customer: 'hu-alice', cpp: 'hu-second' }, 'rejected'],
  ])('is not paid %s', async (_, first, second, outcome) => {
    const inTurn = await payTwice(first, second, false)
    expect(inTurn.map((paid) => paid.outcome)).toEqual(['confirmed', outcome])
    expect(inTurn[1]?.code).toBe('TRANS_ALREADY_PAID')

    const atOnce = await payTwice(first, second, true)
    expect(atOnce.map((paid) => paid.outcome).toSorted()).toEqual(['confirmed', outcome].toSorted())
    const late = atOnce.find((paid) => paid.outcome !== 'confirmed')
    expect(['TRANS_LOCKED', 'TRANS_ALREADY_PAID']).toContain(late?.code)
  })

  test('leaves every ledger in agreement, also while a request is on its way', async () => {
    const shop = await net().fleet.host('hu-shops-1')
    await shop.command('request-payment', { payee: 'bakery@hu', alias: 'hu-alice-pays', amountMinor: '150' })
    expect((await picture()).broken).toEqual([])
  })
})
