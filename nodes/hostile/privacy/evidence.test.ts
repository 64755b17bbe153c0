/**
 * Evidence of design §7 "Customer's anonymity" and §8.13: all that every host of a crowd's network hears, says, keeps, logs and
 * answers is searched for everything that belongs to a customer. It is where it has to be, and nowhere else.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { utf8 } from '../../../protocol/bytes.ts'
import { hash } from '../../../protocol/hash.ts'
import type { Body } from '../../../protocol/kinds.ts'
import { parseSubject } from '../../../protocol/subjects.ts'
import { defineCpp } from '../../cpp/define.ts'
import type { NodeServices } from '../../runtime/host-types.ts'
import type { AnyNodeDefinition, Decision } from '../../runtime/node.ts'
import { sessions } from '../../customer/state.ts'
import { bodyOf } from '../testing/forge.ts'
import { CUSTOMERS, gather, type Crowd, type Name } from './testing/crowd.ts'
import { evidenceOf, secretsOf, type Evidence } from './testing/evidence.ts'

/** Asked to pay by hu-shop-1: the first does, the second declines. */
const ASKED: readonly Name[] = ['zsofia', 'gergely']
const told = ({ id }: { readonly id: string }): readonly string[] =>
  ASKED.some((name) => CUSTOMERS[name].id === id) ? ['hu-shop-1', 'hu-cosmo'] : []

/** A wallet host that its CPP has not heard of. */
const STRANGER = 'hu-phone-9'

/** Small and large payments, at home and abroad, of every outcome; requests to pay; a settlement; a device that was lost. */
const live = async (crowd: Crowd): Promise<Readonly<Record<string, number>>> => {
  const outcomes: Record<string, number> = {}
  const count = (outcome: unknown): void => void (outcomes[String(outcome)] = (outcomes[String(outcome)] ?? 0) + 1)
  const pay = async (...args: Parameters<Crowd['pay']>): Promise<void> => count((await crowd.pay(...args))['outcome'])
  // Refused by a merchant host that this wallet host has not heard of before.
  await pay('gergely', 'ro-pub', '120', { item: 'cake' })
  for (const name of Object.keys(CUSTOMERS) as Name[]) {
    await pay(name, 'hu-bakery', '120', { item: 'bread' })
    await pay(name, 'ro-pub', '90')
  }
  await pay('zsofia', 'hu-bakery', '2500', { cpp: 'hu-erste' })
  await pay('marton', 'ro-pub', '2700')
  await pay('gergely', 'hu-bakery', '3100')
  await pay('ionela', 'hu-bakery', '3300')
  await pay('piroska', 'hu-cheap', '300')
  await pay('katalin', 'hu-cheap', '1500')
  await pay('bela', 'hu-quiet', '80')
  await pay('mircea', 'hu-quiet', '1800')
  await pay('katalin', 'hu-nobody', '100')
  // Past the threshold: what he owes is collected first.
  await pay('marton', 'hu-bakery', '950')
  for (const name of ASKED) {
    const { host, alias } = CUSTOMERS[name]
    await crowd.must('hu-shop-1', 'request-payment', { payee: 'hu-bakery', alias, amountMinor: '250' })
    await crowd.sim.advance(1_000)
    const asked = crowd.ask(host, 'requests') as readonly { readonly requestId: string; readonly state: string }[]
    for (const { requestId } of asked.filter(({ state }) => state === 'open')) {
      const done = await crowd.command(host, 'pay-request', { requestId, accept: name === 'zsofia' })
      count(done['outcome'] ?? done['state'])
    }
  }
  for (const cpp of ['hu-otp', 'hu-erste', 'ro-cec']) await crowd.must(cpp, 'settle-now')
  await crowd.lostDevice('katalin')
  await crowd.lostDevice('marton', STRANGER)
  await crowd.sim.advance(60_000)
  return outcomes
}

describe('a crowd that pays', () => {
  let crowd: Crowd
  let evidence: Evidence
  beforeAll(async () => {
    crowd = await gather()
    const outcomes = await live(crowd)
    expect(outcomes).toMatchObject({ confirmed: 22, rejected: 2, expired: 2, refused: 2 })
    evidence = evidenceOf(crowd, secretsOf(crowd, told))
  }, 120_000)

  test('leaves nothing of a customer where it need not be', () => {
    expect(evidence.leaks).toEqual([])
    expect(evidence.bytes).toBeGreaterThan(2_000_000)
  })

  test('and the search looks well: it finds each secret where it belongs, but for the PINs, which are nowhere', () => {
    const missed = secretsOf(crowd, told)
      .map(({ name }) => name)
      .filter((name) => !evidence.found.has(name))
    expect(missed).toEqual(Object.values(CUSTOMERS).map(({ id }) => `PIN of ${id}`))
  })

  test('shows an alias to those whom the customer let know it, in a request to pay and the payment of it alone', () => {
    const alias = utf8(CUSTOMERS.zsofia.alias)
    const kinds = crowd.traffic
      .filter(
        ({ to, data }) =>
          to !== undefined && /-(shop-1|cosmo|netopia)$/.test(to) && Buffer.from(data).includes(Buffer.from(alias)),
      )
      .map(({ subject }) => parseSubject(subject)?.kind)
    expect(new Set(kinds)).toEqual(new Set(['request-to-pay', 'payment-notice']))
  })

  test('makes no CPP ask a data center for what only customers are', () => {
    const asked = ['hu-otp', 'hu-erste', 'ro-cec'].flatMap((cpp) => queriesOf(crowd, cpp).map(({ id }) => id))
    expect(asked.filter((id) => id === STRANGER || crowd.who.some((one) => one.id === id))).toEqual([])
  })

  test('tells no data center, in the name of a wallet host, whom its customers buy from', () => {
    const said = crowd.traffic.filter(
      ({ from, subject }) => /-(wallets|phone)-\d$/.test(from) && subject.includes('.dc.'),
    )
    expect(
      said.map(({ subject }) => parseSubject(subject)?.kind).filter((kind) => kind !== 'revocation-query'),
    ).toEqual([])
  })
})

const queriesOf = (crowd: Crowd, from: string): readonly Body<'credential-query'>[] =>
  crowd.traffic
    .filter((one) => one.to === undefined && one.from === from && one.subject.includes('.credential-query.'))
    .map(({ data }) => bodyOf('credential-query', data))

test('what a guest is sent makes its host ask for nothing but the credential of a data center that it knows', async () => {
  const crowd = await gather({ who: ['gergely'] })
  const { host } = CUSTOMERS.gergely
  void crowd.pay('gergely', 'hu-quiet', '120')
  await crowd.sim.run()
  const [token] = [...crowd.sim.host(host).host().read.scan(sessions, [])].map(([, row]) => row.token)
  const before = queriesOf(crowd, host).length
  // Names that whoever writes them would know again.
  for (const from of ['hu-shop-1', 'hu-tag-4711', 'hu-dc-4711', 'ro-dc-2']) await crowd.provoke(token as string, from)
  expect(queriesOf(crowd, host)).toHaveLength(before)
  await crowd.provoke(token as string, 'ro-dc-1')
  const asked = queriesOf(crowd, host).slice(before)
  expect(asked.length).toBeGreaterThan(0)
  for (const { id, keyId } of asked) expect([id, keyId]).toEqual(['ro-dc-1', undefined])
  await crowd.sim.advance(20_000)
})

test('a CPP that makes the id of a notice from the id of its customer is found out', async () => {
  const careless = (services: NodeServices): AnyNodeDefinition => {
    const honest = defineCpp(services) as AnyNodeDefinition
    const request = honest.messages['payment-request'] as (...args: readonly unknown[]) => Decision
    const planted: typeof request = (read, event, context) => {
      const { sender } = (event as { readonly message: { readonly sender: { readonly id: string } } }).message
      let first = true
      const freshId = (): Uint8Array => {
        if (!first) return (context as { freshId: () => Uint8Array }).freshId()
        first = false
        return hash(utf8(sender.id)).subarray(0, 16)
      }
      return request(read, event, { ...(context as object), freshId })
    }
    return { ...honest, messages: { ...honest.messages, 'payment-request': planted } } as AnyNodeDefinition
  }
  const crowd = await gather({ who: ['gergely'], cpp: careless })
  expect(await crowd.pay('gergely', 'hu-bakery', '120')).toMatchObject({ outcome: 'confirmed' })
  const { leaks } = evidenceOf(crowd, secretsOf(crowd, told))
  expect(new Set(leaks.map(({ secret }) => secret))).toEqual(new Set([`id of ${CUSTOMERS.gergely.id}`]))
  const hosts = new Set(leaks.map(({ host }) => host))
  for (const host of ['hu-dc-1', 'hu-cosmo', 'hu-shop-1']) expect(hosts).toContain(host)
  expect(leaks.some(({ where }) => where.startsWith('table '))).toBe(true)
}, 60_000)
