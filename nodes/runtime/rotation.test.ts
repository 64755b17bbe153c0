/** Keys exchanged in the middle of payments: each kind of host in turn, in a network of real nodes. */
import { beforeAll, describe, expect, it } from 'vitest'
import { toHex } from '../../protocol/bytes.ts'
import { networkIdOf } from '../../protocol/keys.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { parseFrame } from '../../protocol/seals.ts'
import { issueRevocationList } from '../../protocol/statements.ts'
import { parseSubject } from '../../protocol/subjects.ts'
import { hostileWorld, HOSTS, type World } from '../hostile/testing/world.ts'
import { checkNetwork, READING_ORDER } from '../verify/check-network.ts'
import { checkChain } from './journal.ts'
import type { PaymentLine, PaymentsPage } from './reports.ts'
import { headTable, journalTable } from './runtime-tables.ts'

/** To a payee of the own realm and of the other, of an amount that is collected later and of one that is held at once. */
const PURCHASES = [
  ['hu-bakery', '120'],
  ['at-pub', '90'],
  ['hu-bakery', '5000'],
  ['at-pub', '7000'],
] as const
const AT_REST_MS = 40_000

/** The keys that sealed what this host made itself, in the order in which it was sent. */
const sealedBy = ({ sent }: World, host: string, from: number): readonly { kind: string; keyId: string }[] =>
  sent.slice(from).flatMap(({ subject, data }) => {
    const frame = parseFrame(data)
    if (!frame.ok || parseSubject(subject)?.fromHost !== host || frame.value.header.from !== host) return []
    return [{ kind: frame.value.header.kind ?? '', keyId: toHex(frame.value.seal.keyId) }]
  })

/** The root's list with one more key: given to one data center, which gives it to the other, and both to everyone else. */
const revoking = () => {
  const revoked: Uint8Array[] = []
  return async ({ sim }: World, keyId: Uint8Array, withinMs = LIMITS.revocationPollMs + 1_000): Promise<void> => {
    revoked.push(keyId)
    const networkId = networkIdOf(sim.root.publicKey)
    const list = issueRevocationList(
      sim.engine,
      { networkId, version: revoked.length, revoked, issuedAtMs: sim.now() },
      sim.root,
    )
    const answer = sim.host(HOSTS.dc).host().revocations(list)
    await sim.advance(withinMs, 500)
    expect(await answer).toMatchObject({ ok: true })
    // Processors are told at once; wallet and merchant hosts ask.
    for (const { id, host } of sim.hosts())
      if (withinMs > LIMITS.revocationPollMs || !/wallet|shop/.test(id))
        expect([id, host().revocationStatus().revocationListVersion]).toEqual([id, revoked.length])
  }
}

const expectAtRest = ({ sim, report }: World): void => {
  for (const { id, host, fatal } of sim.hosts()) {
    expect([id, fatal(), host().depths()['outbox'], host().inFlight()]).toEqual([id, undefined, 0, 0])
    const head = host().read.get(headTable, 'head')
    if (head !== undefined) expect([id, checkChain(host().read, head).brokenAtSeq]).toEqual([id, undefined])
  }
  const byRole = READING_ORDER.flatMap((role) => sim.hosts().filter((one) => one.host().self.role === role))
  const payments = new Map<string, readonly PaymentLine[]>()
  for (const { id, host } of byRole) {
    const answer = host().ask('payments', { limit: 1_000 })
    if (answer.ok) payments.set(id, (answer.value as PaymentsPage).payments)
  }
  const checks = checkNetwork(
    byRole.map(({ id }) => report(id)),
    payments,
    { quiet: true },
  )
  expect(checks.filter(({ ok }) => !ok)).toEqual([])
}

describe('keys exchanged in the middle of payments', { timeout: 60_000 }, () => {
  const revoke = revoking()
  let world: World
  beforeAll(async () => {
    world = await hostileWorld()
  }, 60_000)

  /** Starts a purchase every so often, does `act` among them, and waits for the end of all. → their outcomes */
  const payingWhile = async (act: (() => Promise<void>) | undefined): Promise<readonly unknown[]> => {
    const { sim } = world
    const times = act === undefined ? [1] : [1, 2]
    const paying = PURCHASES.flatMap((purchase) => times.map(() => purchase)).map(
      ([payee, amountMinor], at) => ({ payee, amountMinor, at }) as const,
    )
    world.setFate(() => ({ delaysMs: [40] }))
    const answers: Promise<unknown>[] = []
    for (const { payee, amountMinor, at } of paying) {
      if (act !== undefined && at === paying.length / 2) {
        const acting = act()
        await sim.run()
        await acting
      }
      const args = { customer: 'hu-alice', payee, amountMinor, currency: 'EUR' }
      answers.push(sim.host(HOSTS.customer).host().command('pay', args))
      // Long enough for an invoice, not for a payment: every stage of one is under way at the exchange.
      await sim.advance(120, 40)
    }
    await sim.advance(AT_REST_MS, 500)
    world.setFate(undefined)
    await sim.run()
    return (await Promise.all(answers)).map((answer) => (answer as { value?: { outcome?: string } }).value?.outcome)
  }
  /** The hosts that must be certified anew before the former key of their processor may be revoked. */
  const certified: Readonly<Record<string, readonly string[]>> = {
    [HOSTS.cpp]: [HOSTS.customer],
    [HOSTS.mpp]: [HOSTS.merchant],
    'at-mpp': ['at-shop-1'],
  }

  it.each([HOSTS.dc, HOSTS.bank, HOSTS.cpp, HOSTS.mpp, HOSTS.merchant, HOSTS.customer, 'at-mpp'])(
    '%s: every payment ends as it would have, under the new key, and goes on when the old one is revoked',
    async (id) => {
      const { sim } = world
      let from = 0
      let former = new Uint8Array(0)
      const before = toHex(sim.host(id).identity.signing.keyId)
      expect(
        await payingWhile(async () => {
          from = world.sent.length
          former = new Uint8Array(await sim.host(id).take('new'))
        }),
      ).toEqual(Array.from({ length: 2 * PURCHASES.length }, () => 'confirmed'))
      const now = toHex(sim.host(id).identity.signing.keyId)
      expect([toHex(former), now === before]).toEqual([before, false])
      const sealed = sealedBy(world, id, from)
      expect(sealed.length).toBeGreaterThan(0)
      // An invoice made before shows the chain of the former key, and is sealed with no other.
      expect(sealed.filter(({ kind, keyId }) => keyId !== now && kind !== 'transaction-details')).toEqual([])
      expectAtRest(world)
      const journal = [...sim.host(id).host().read.scan(journalTable, [])].map(([, row]) => row)
      const entries = journal.filter(({ trigger }) => trigger === 'identity')
      expect(entries.at(-1)?.fields).toContain(`"from":"${before}","to":"${now}"`)

      for (const host of certified[id] ?? []) {
        const taking = sim.host(host).take('same')
        await sim.run()
        await taking
      }
      await sim.advance(5_000)
      await revoke(world, former)
      expect(await payingWhile(undefined)).toEqual(PURCHASES.map(() => 'confirmed'))
      expectAtRest(world)
    },
  )

  it('is refused whole for a chain of another host, of another key, or that begins later', async () => {
    const { sim } = world
    const host = sim.host(HOSTS.cpp)
    const { signing, sealing, chains } = host.identity
    const other = sim.host('hu-erste').identity
    const refused = async (identity: object) => {
      const answer = host.host().adopt({ identity: { signing, sealing, chains, ...identity }, former: [], trusted: [] })
      await sim.run()
      return answer
    }
    const code = { ok: false, error: { code: 'BAD_CREDENTIALS' } }
    expect(await refused({ chains: other.chains })).toMatchObject(code)
    expect(await refused({ signing: other.signing })).toMatchObject(code)
    expect(await refused({ sealing: other.sealing })).toMatchObject(code)
    expect(await refused({ chains: [] })).toMatchObject(code)
    expect(host.host().identityStatus().signingKeyId).toBe(toHex(signing.keyId))
  })
})

describe('a credential that ends while messages wait', { timeout: 60_000 }, () => {
  it('ends nothing: what was refused for it goes out under the next, and says loudly what it waits for', async () => {
    const world = await hostileWorld()
    const { sim } = world
    const cpp = sim.host(HOSTS.cpp)
    // A credential of a few seconds' life, which all meet in time: everything that the CPP makes after that is refused as too late.
    const short = cpp.take('new', undefined, sim.now() + 5_000)
    await sim.run()
    await short
    expect(await world.pay('hu-alice', 'hu-bakery', '5000')).toMatchObject({ outcome: 'confirmed' })
    // The decisions come too late for this credential, and in time for their notices: a confirmation and an order to the bank.
    world.setFate(({ subject }) => ({
      delaysMs: parseSubject(subject)?.kind === 'countersigned-decision' ? [] : [0],
    }))
    const paying = ['120', '5000'].map((amountMinor) =>
      sim
        .host(HOSTS.customer)
        .host()
        .command('pay', { customer: 'hu-alice', payee: 'hu-bakery', amountMinor, currency: 'EUR' }),
    )
    await sim.advance(6_000)
    world.setFate(undefined)
    await sim.advance(3_000)
    expect(cpp.host().depths()['outbox']).toBeGreaterThan(0)
    expect(cpp.host().metrics.snapshot()['ownCredentialRefused']).toBeGreaterThan(0)
    expect(world.lines.filter(({ host, code }) => host === HOSTS.cpp && code === 'CREDENTIAL_EXPIRED')).not.toEqual([])
    const taking = cpp.take('new')
    await sim.run()
    await taking
    await sim.advance(AT_REST_MS, 500)
    for (const answer of await Promise.all(paying))
      expect(answer).toMatchObject({ ok: true, value: { outcome: 'confirmed' } })
    expectAtRest(world)
  })
})

describe('what a rotation finds on its way', { timeout: 60_000 }, () => {
  const revoke = revoking()
  let world: World
  beforeAll(async () => {
    world = await hostileWorld()
  }, 60_000)
  const lose = (kind: string): void =>
    world.setFate(({ subject }) => ({ delaysMs: parseSubject(subject)?.kind === kind ? [] : [0] }))
  const taking = async (host: string, keys: 'new' | 'same'): Promise<Uint8Array> => {
    const taken = world.sim.host(host).take(keys)
    await world.sim.run()
    return taken
  }
  const buying = () =>
    world.sim
      .host(HOSTS.customer)
      .host()
      .command('pay', { customer: 'hu-alice', payee: 'hu-bakery', amountMinor: '120', currency: 'EUR' })

  it('a notice that waits at the MPP goes on with its CPP’s new seal, though the former key is revoked', async () => {
    const { sim } = world
    world.setFate(({ to, subject }) => ({
      delaysMs: to === HOSTS.merchant && parseSubject(subject)?.kind === 'payment-notice' ? [] : [0],
    }))
    const paying = buying()
    await sim.advance(1_000)
    expect(sim.host(HOSTS.mpp).host().depths()['outbox']).toBe(1)
    const former = await taking(HOSTS.cpp, 'new')
    await taking(HOSTS.customer, 'same')
    await sim.advance(2_000)
    await revoke(world, former, 1_000)
    world.setFate(undefined)
    await sim.advance(AT_REST_MS, 500)
    expect(await paying).toMatchObject({ ok: true, value: { outcome: 'confirmed' } })
    expect(sim.host(HOSTS.mpp).host().metrics.snapshot()['relaysRenewed']).toBeGreaterThan(0)
    expectAtRest(world)
  })

  it('goods sealed with a key that the buyer has not seen are opened, and nobody is asked in the buyer’s host’s name', async () => {
    const { sim } = world
    lose('goods-release')
    const paying = buying()
    await sim.advance(1_000)
    await taking(HOSTS.merchant, 'new')
    world.setFate(undefined)
    const from = world.sent.length
    await sim.advance(60_000, 500)
    expect(await paying).toMatchObject({ ok: true, value: { outcome: 'confirmed' } })
    const journal = [...sim.host(HOSTS.customer).host().read.scan(journalTable, [])].map(([, row]) => row.event)
    const last = journal.lastIndexOf('goods-asked-for')
    expect(last).toBeGreaterThan(0)
    expect(journal.slice(last)).toContain('goods-received')
    const asked = world.sent.slice(from).filter(({ from: who }) => who === HOSTS.customer)
    expect(asked.filter(({ subject }) => parseSubject(subject)?.kind === 'credential-query')).toEqual([])
    expectAtRest(world)
  })
})

describe('a host that starts again after a rotation', { timeout: 60_000 }, () => {
  it('starts though a former chain of its key, which it still holds, has ended', async () => {
    const world = await hostileWorld()
    const { sim } = world
    const shop = sim.host(HOSTS.merchant)
    for (const notAfterMs of [sim.now() + 5_000, undefined]) {
      const taking = shop.take('same', undefined, notAfterMs)
      await sim.run()
      await taking
    }
    await sim.advance(6_000)
    await shop.crash()
    await shop.restart()
    await sim.advance(1_000)
    expect(shop.fatal()).toBeUndefined()
    expect(await world.pay('hu-alice', 'hu-bakery', '120')).toMatchObject({ outcome: 'confirmed' })
  })
})
