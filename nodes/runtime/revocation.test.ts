/** Revocation among the real nodes of every role: how fast a list is everywhere, and how what was under way ends. */
import { describe, expect, it } from 'vitest'
import { LOST } from '../../bus/simulated-bus.ts'
import { toHex, utf8 } from '../../protocol/bytes.ts'
import { decodeBody } from '../../protocol/codec.ts'
import { hash } from '../../protocol/hash.ts'
import { networkIdOf } from '../../protocol/keys.ts'
import type { KindName } from '../../protocol/kinds.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { parseFrame, type ParsedFrame } from '../../protocol/seals.ts'
import { issueRevocationList } from '../../protocol/statements.ts'
import { parseSubject } from '../../protocol/subjects.ts'
import { dataCenter } from '../data-center/definition.ts'
import type { Answer } from './host-types.ts'
import type { PaymentLine, PaymentsPage } from './reports.ts'
import type { SimNetwork } from './sim-network.ts'
import { buildWholeNetwork, oneTruth, unrest, type WholeNetwork } from './whole-network.ts'

const listOf = (sim: SimNetwork, version: number, ...hosts: readonly string[]): Uint8Array =>
  issueRevocationList(
    sim.engine,
    {
      networkId: networkIdOf(sim.root.publicKey),
      version,
      revoked: hosts.map((id) => sim.host(id).identity.signing.keyId),
      issuedAtMs: sim.now(),
    },
    sim.root,
  )
/** As the operator of `at` gives it over the control socket. */
const give = async (sim: SimNetwork, at: string, list: Uint8Array): Promise<Answer> => {
  const answer = sim.host(at).host().revocations(list)
  await sim.run()
  return await answer
}
const versionAt = (sim: SimNetwork, id: string): number => sim.host(id).host().revocationStatus().revocationListVersion

/** Loses every message of these kinds, from those hosts alone if given. */
const lose = (sim: SimNetwork, kinds: readonly KindName[], from?: string): void =>
  sim.setOnSend(({ subject }) => {
    const parsed = parseSubject(subject)
    const hit = parsed !== undefined && kinds.includes(parsed.kind) && (from === undefined || parsed.fromHost === from)
    return hit ? LOST : { delaysMs: [0] }
  })
const start = ({ sim }: WholeNetwork, amountMinor = '300', payee = 'hu-bakery'): Promise<Answer> =>
  sim.host('hu-wallet-1').host().command('pay', { customer: 'hu-alice', payee, amountMinor, currency: 'EUR' })
const askAlice = async ({ sim }: WholeNetwork, lifetimeMs?: number): Promise<void> => {
  const args = { payee: 'hu-bakery', alias: 'hu-alice-pays', amountMinor: '250', text: 'lunch', lifetimeMs }
  void sim.host('hu-shop-1').host().command('request-payment', args)
  await sim.run()
}
/** The merchant host has new keys, those of before are revoked, and nothing is lost any more. */
const renewShop = async ({ sim }: WholeNetwork): Promise<void> => {
  const list = listOf(sim, 1, 'hu-shop-1')
  const taking = sim.host('hu-shop-1').take('new')
  await sim.run()
  await taking
  await give(sim, 'hu-dc-1', list)
  sim.setOnSend(undefined)
}
const lines = ({ sim }: WholeNetwork, id: string): readonly PaymentLine[] => {
  const answer = sim.host(id).host().ask('payments', {})
  if (!answer.ok) throw new Error(answer.error.code)
  return (answer.value as PaymentsPage).payments
}
const statesAt = (network: WholeNetwork, id: string): readonly string[] => lines(network, id).map(({ state }) => state)
/** Down, and up again under other keys of the same id: certified by whoever certifies it now. */
const renew = async (sim: SimNetwork, ...ids: readonly string[]): Promise<void> => {
  for (const id of ids) await sim.host(id).crash()
  for (const id of ids) sim.host(id).reissue({ seed: hash(utf8(`renewed ${id}`)) })
  for (const id of ids) await sim.host(id).restart()
}

const digestOfEnd = ({ header, bodyBytes }: ParsedFrame): string => {
  const body = decodeBody('notice-record', header.bodyVersion, bodyBytes)
  const end = body.ok ? parseFrame(body.value.end) : undefined
  return end?.ok === true ? toHex(end.value.digest) : 'no end'
}

describe('a revocation list', { timeout: 60_000 }, () => {
  it('is pushed to every processor, bank, sibling and peer at once, and asked for by the others', async () => {
    const { sim } = await buildWholeNetwork()
    expect(await give(sim, 'hu-dc-1', listOf(sim, 1, 'hu-shop-1'))).toMatchObject({ ok: true, value: { version: 1 } })
    const told = sim.hosts().filter(({ id }) => versionAt(sim, id) === 1)
    expect(new Set(told.map(({ identity }) => identity.role))).toEqual(new Set(['dc', 'bank', 'cpp', 'mpp']))
    expect(told).toHaveLength(2 + 3 + 2 + 2)
    await sim.advance(LIMITS.revocationPollMs)
    // Nobody answers a key that is revoked.
    for (const { id } of sim.hosts()) expect([id, versionAt(sim, id)]).toEqual([id, id === 'hu-shop-1' ? 0 : 1])
  })

  it('is everywhere within one poll and a round trip of its data centers having it, though every push is lost', async () => {
    const { sim } = await buildWholeNetwork()
    const oneWayMs = 100
    const stepMs = 50
    const askedBy = new Map<string, number>()
    let lost = 0
    sim.setOnSend(({ subject }) => {
      const { kind, fromHost, toHost } = parseSubject(subject) ?? {}
      if (kind === 'revocation-query') askedBy.set(fromHost ?? '', (askedBy.get(fromHost ?? '') ?? 0) + 1)
      if (kind !== 'revocation-record') return { delaysMs: [oneWayMs] }
      const open = askedBy.get(toHost ?? '') ?? 0
      askedBy.set(toHost ?? '', Math.max(0, open - 1))
      // What nobody asked for is a push.
      if (open === 0) lost += 1
      return open === 0 ? LOST : { delaysMs: [oneWayMs] }
    })
    await give(sim, 'hu-dc-1', listOf(sim, 1, 'ro-shop-1'))
    expect(sim.hosts().filter(({ id }) => versionAt(sim, id) === 1)).toHaveLength(1)
    const from = sim.now()
    const afterMs = new Map<string, number>()
    while (afterMs.size < sim.hosts().length - 1 && sim.now() < from + 60_000) {
      await sim.advance(stepMs, stepMs)
      for (const { id } of sim.hosts())
        if (versionAt(sim, id) === 1 && !afterMs.has(id)) afterMs.set(id, sim.now() - from)
    }
    expect(lost).toBeGreaterThan(5)
    const bound = LIMITS.revocationPollMs + 2 * oneWayMs + stepMs
    const abroad = afterMs.get('ro-dc-1') as number
    expect(abroad).toBeLessThanOrEqual(bound)
    for (const { id } of sim.hosts()) {
      // Nobody answers a key that is revoked.
      if (id === 'ro-shop-1') expect(afterMs.get(id)).toBeUndefined()
      else expect([id, (afterMs.get(id) as number) <= (id.startsWith('ro-') ? abroad : 0) + bound]).toEqual([id, true])
    }
  })
})

describe('two replicas of a data center', { timeout: 60_000 }, () => {
  it('that have new keys at the same time ask each other for them', async () => {
    const { sim } = await buildWholeNetwork()
    await sim.add({ id: 'hu-dc-2', role: 'dc', operatorId: 'hu-dc', define: dataCenter })
    await sim.run()
    for (const id of ['hu-dc-1', 'hu-dc-2']) {
      const taking = sim.host(id).take('new')
      await sim.run()
      await taking
    }
    await sim.advance(3 * LIMITS.maxResendMs)
    expect(sim.host('hu-dc-2').host().depths()).toMatchObject({ outbox: 0, parked: 0 })
  })
})

describe('what is under way when a key is revoked', { timeout: 60_000 }, () => {
  it("an invoice's on its way to an alias: the merchant host is told that it is no good any more, and sends it no more", async () => {
    const network = await buildWholeNetwork()
    const { sim } = network
    lose(sim, ['request-to-pay'])
    const asked = sim
      .host('hu-shop-1')
      .host()
      .command('request-payment', { payee: 'hu-bakery', alias: 'hu-alice-pays', amountMinor: '250', text: 'lunch' })
    await sim.run()
    await renewShop(network)
    await sim.advance(LIMITS.maxResendMs + 5_000)
    expect(await asked).toMatchObject({ ok: true, value: { ok: false, code: 'TRANS_INVALID' } })
    expect(unrest(network)).toEqual([])
  })

  it.each([
    ['hu-mpp', 'its MPP'],
    ['hu-cpp', "the customer's CPP"],
  ])("an invoice's that waits at %s, %s: nobody would take it, so it is dropped", async (at) => {
    const network = await buildWholeNetwork()
    const { sim } = network
    lose(sim, ['request-to-pay'], at)
    await askAlice(network)
    expect(network.sim.host(at).host().depths().outbox).toBe(1)
    await renewShop(network)
    await sim.advance(LIMITS.revocationPollMs + LIMITS.maxResendMs + 5_000)
    expect(unrest(network)).toEqual([])
  })

  it('an invoice that nobody is there to take: its request to pay ends with it', async () => {
    const network = await buildWholeNetwork()
    const { sim } = network
    lose(sim, ['request-to-pay'], 'hu-cpp')
    await askAlice(network, 60_000)
    expect(sim.host('hu-cpp').host().depths().outbox).toBe(1)
    await sim.advance(61_000)
    expect(unrest(network)).toEqual([])
  })

  it("an MPP's: its countersignature is never taken, the payment expires, and its books are whole when it comes back", async () => {
    const network = await buildWholeNetwork()
    const { sim, report } = network
    lose(sim, ['countersigned-decision'])
    const paying = start(network)
    await sim.advance(2_000)
    expect(statesAt(network, 'hu-cpp')).toEqual(['notified'])
    await give(sim, 'hu-dc-1', listOf(sim, 1, 'hu-mpp'))
    sim.setOnSend(undefined)
    await sim.advance(20_000)
    expect(await paying).toMatchObject({ ok: true, value: { outcome: 'expired' } })
    expect(statesAt(network, 'hu-cpp')).toEqual(['expired'])
    expect(report.cpp('hu-cpp').totals).toMatchObject([{ outstandingMinor: 0n, pendingMinor: 0n }])
    expect(statesAt(network, 'hu-mpp')).toEqual(['countersigned'])
    await renew(sim, 'hu-mpp', 'hu-shop-1')
    await sim.advance(60_000)
    expect([...oneTruth(network).values()]).toEqual(['expired'])
    expect(statesAt(network, 'hu-shop-1')).toEqual(['expired'])
    expect(unrest(network)).toEqual([])
  })

  it.each(['300', '5000'])(
    "a CPP's, before its confirmation of %s arrived: refused in silence, and taken once it is sealed anew",
    async (amountMinor) => {
      const network = await buildWholeNetwork()
      const { sim } = network
      lose(sim, [
        'transfer-confirmation',
        'delayed-transfer-confirmation',
        'customer-transfer-confirmation',
        'customer-delayed-transfer-confirmation',
      ])
      void start(network, amountMinor)
      await sim.advance(5_000)
      expect(statesAt(network, 'hu-cpp')).toEqual(['confirmed'])
      await give(sim, 'hu-dc-1', listOf(sim, 1, 'hu-cpp'))
      await sim.advance(LIMITS.revocationPollMs)
      sim.setOnSend(undefined)
      await sim.advance(40_000)
      expect(statesAt(network, 'hu-mpp')).toEqual(['countersigned'])
      expect(statesAt(network, 'hu-shop-1').concat(statesAt(network, 'hu-wallet-1'))).not.toContain('confirmed')
      expect(sim.host('hu-cpp').host().metrics.value('ownKeyRevoked')).toBe(1)
      await renew(sim, 'hu-cpp', 'hu-wallet-1')
      await sim.advance(90_000)
      expect([...oneTruth(network).values()]).toEqual(['confirmed'])
      for (const id of ['hu-wallet-1', 'hu-cpp', 'hu-mpp', 'hu-shop-1'])
        expect([id, statesAt(network, id)]).toEqual([id, ['confirmed']])
      expect(unrest(network)).toEqual([])
    },
  )

  it.each([
    ['confirmed', '300', ['delayed-transfer-confirmation'], 'approve'],
    ['confirmed', '5000', ['transfer-confirmation'], 'approve'],
    ['rejected', '300', ['payment-outcome'], 'reject-all'],
  ] as const)(
    "a CPP's, when its end of a payment (%s, %s) is at the MPP and not yet at the merchant: the MPP asks for it anew",
    async (state, amountMinor, kinds, rule) => {
      const network = await buildWholeNetwork('whole', { approval: { rule } })
      const { sim } = network
      const ends = new Set<string>()
      const listen = (lost: boolean): void =>
        sim.setOnSend(({ subject, data }) => {
          const { kind, fromHost } = parseSubject(subject) ?? {}
          const isEnd = kinds.some((one) => one === kind)
          const frame = fromHost === 'hu-cpp' ? parseFrame(data) : undefined
          if (isEnd && frame?.ok === true) ends.add(toHex(frame.value.digest))
          if (kind === 'notice-record' && frame?.ok === true) ends.add(digestOfEnd(frame.value))
          return lost && isEnd && fromHost === 'hu-mpp' ? LOST : { delaysMs: [0] }
        })
      listen(true)
      const paying = start(network, amountMinor)
      await sim.advance(6_000)
      expect(await paying).toMatchObject({ ok: true, value: { outcome: state } })
      expect(statesAt(network, 'hu-mpp')).toEqual([state])
      await give(sim, 'hu-dc-1', listOf(sim, 1, 'hu-cpp'))
      await sim.advance(LIMITS.revocationPollMs)
      listen(false)
      await sim.advance(40_000)
      expect(statesAt(network, 'hu-shop-1')).not.toContain(state)
      expect(sim.host('hu-mpp').host().metrics.value('staleRelays')).toBeGreaterThan(0)
      await renew(sim, 'hu-cpp', 'hu-wallet-1')
      await sim.advance(60_000)
      for (const id of ['hu-wallet-1', 'hu-cpp', 'hu-mpp', 'hu-shop-1'])
        expect([id, statesAt(network, id)]).toEqual([id, [state]])
      // Under another key, in the same words: whoever has had it before takes it for what it is.
      expect(ends.size).toBe(1)
      expect(unrest(network)).toEqual([])
    },
  )

  it("a wallet host's: its payment requests are refused, and nothing is charged", async () => {
    const network = await buildWholeNetwork()
    const { sim, report } = network
    await give(sim, 'hu-dc-1', listOf(sim, 1, 'hu-wallet-1'))
    void start(network)
    await sim.advance(60_000)
    expect(lines(network, 'hu-cpp')).toEqual([])
    expect(report.cpp('hu-cpp').totals).toMatchObject([{ outstandingMinor: 0n, pendingMinor: 0n }])
    expect(report.bank('hu-bank').accounts).toContainEqual(
      expect.objectContaining({ account: 'hu-bank:alice', balanceMinor: 1_000_000n, heldMinor: 0n }),
    )
  })

  it("a merchant host's: its invoices are not paid, and its decision on a notice that is out is not taken", async () => {
    const network = await buildWholeNetwork()
    const { sim } = network
    lose(sim, ['payment-decision'])
    const paying = start(network)
    await sim.advance(2_000)
    expect(statesAt(network, 'hu-mpp')).toEqual(['notified'])
    await give(sim, 'hu-dc-1', listOf(sim, 1, 'hu-shop-1'))
    await sim.advance(LIMITS.revocationPollMs)
    sim.setOnSend(undefined)
    await sim.advance(20_000)
    expect(await paying).toMatchObject({ ok: true, value: { outcome: 'expired' } })
    expect(statesAt(network, 'hu-mpp')).toEqual(['expired'])
    const next = start(network)
    await sim.advance(60_000)
    expect(await next).toMatchObject({ ok: true, value: { outcome: 'refused' } })
    expect(lines(network, 'hu-cpp')).toHaveLength(1)
  })
})
