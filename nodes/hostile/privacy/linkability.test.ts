/**
 * Design §7: two purchases of one customer look, to everybody but the CPP, like two customers'. All fields of all messages that
 * merchants, MPPs and data centers get are compared, of purchases by customers of one host, and by hosts of one customer each.
 */
import { describe, expect, test } from 'vitest'
import { isGuestToken } from '../../../protocol/ids.ts'
import { parseSubject } from '../../../protocol/subjects.ts'
import { randomBelow, type Random } from '../../runtime/random.ts'
import { seededRandom } from '../../runtime/sim-network.ts'
import { gather, type Name } from './testing/crowd.ts'
import { featuresOf, sharedByOneAlone, tellingFields, type Purchase } from './testing/features.ts'

const CHANCE = 0.01
/** Every host asks for the revocation list by the clock, whoever buys or not, and is told that there is one or none. */
const isPoll = ({ from, subject }: { readonly from: string; readonly subject: string }): boolean => {
  const kind = parseSubject(subject)?.kind
  return kind?.startsWith('revocation-') === true || (kind === 'refusal' && /-dc-\d$/.test(from))
}
/** Each purchase with what strangers heard while it was made and nothing else was. @param first buys before the others */
const buy = async (who: readonly Name[], first: Name, each: number, wallets: unknown): Promise<readonly Purchase[]> => {
  const crowd = await gather({ who: [...who, first], wallets })
  // The hosts of the payee's side ask for each other's keys once, whoever buys first.
  await crowd.pay(first, 'hu-bakery', '130')
  await crowd.sim.advance(5_000)
  const random = seededRandom(`order of ${who.join()}`)
  const left = who.flatMap((name) => Array.from({ length: each }, () => name))
  const purchases: Purchase[] = []
  while (left.length > 0) {
    const [name] = left.splice(randomBelow(random, left.length), 1) as [Name]
    const from = crowd.traffic.length
    const done = await crowd.pay(name, 'hu-bakery', '130')
    expect(done['outcome']).toBe('confirmed')
    await crowd.sim.advance(1_500)
    const heard = crowd.traffic
      .slice(from)
      .filter((one) => one.to !== undefined && /-(shop-1|cosmo|dc-1)$/.test(one.to) && !isPoll(one))
    purchases.push({ customer: name, features: featuresOf(heard) })
  }
  return purchases
}

describe('what tells who bought', () => {
  const random = (): Random => seededRandom('telling')
  const order = (): readonly string[] => {
    const { bytes } = seededRandom('order')
    return [...bytes(24)].map((byte) => (byte < 128 ? 'a' : 'b'))
  }
  const told = (value: (customer: string, at: number, nth: number) => string): boolean => {
    const counts = new Map<string, number>()
    const purchases = order().map((customer, at) => {
      const nth = (counts.get(customer) ?? 0) + 1
      counts.set(customer, nth)
      return { customer, features: new Map([['field', value(customer, at, nth)]]) }
    })
    return tellingFields(purchases, random(), CHANCE).length > 0
  }

  test.each([
    ['a name', (customer: string) => `${customer}!`],
    ["a customer's counter", (_: string, __: number, nth: number) => String(nth)],
    [
      "a customer's counter that begins anywhere",
      (customer: string, _: number, nth: number) => String(nth + (customer === 'a' ? 700 : 9_000)),
    ],
    ['a field that only one of them has', (customer: string) => (customer === 'a' ? 'x' : String(Math.E))],
  ])('%s does', (_, value) => expect(told(value)).toBe(true))

  test.each([
    ['a constant', () => 'x'],
    ['a fresh value', (_: string, at: number) => `fresh ${at}`],
    ['a counter of all', (_: string, at: number) => String(at)],
    ['what changes every third time', (_: string, at: number) => `batch ${Math.floor(at / 3)}`],
  ])('%s does not', (_, value) => expect(told(value)).toBe(false))

  test('a value that comes back for one customer alone is seen', () => {
    const of = (customer: string, value: string): Purchase => ({
      customer,
      features: new Map([['f', value]]),
    })
    const bought = [of('a', '1'), of('a', '1'), of('b', '2'), of('a', '3'), of('b', '3'), of('a', '3')]
    expect(sharedByOneAlone(bought, () => false)).toEqual(['f = 1'])
  })
})

describe('customers of one host', () => {
  test('cannot be told apart: a login serves whoever comes, and everything else is constant or fresh', async () => {
    const perLogin = 3
    const purchases = await buy(['marton', 'piroska'], 'gergely', 9, { purchasesPerGuestLogin: perLogin })
    const tokens = purchases.map(({ features }) => features.get('offer-request to merchant 1 from') ?? '')
    expect(tokens.every(isGuestToken)).toBe(true)
    for (const [at, token] of tokens.entries()) expect(tokens.indexOf(token)).toBe(Math.floor(at / perLogin) * perLogin)
    const perLoginOnly = new Set(
      purchases.flatMap(({ features }) => {
        const path = 'offer-request to merchant 1'
        return ['from', ' header.from', ' seal.keyId', ' body.sealingKey'].map(
          (name) => features.get(`${path} ${name}`.replace('  ', ' ')) ?? '',
        )
      }),
    )
    expect(perLoginOnly.size).toBe((4 * purchases.length) / perLogin)
    expect(
      sharedByOneAlone(purchases, (name) =>
        [...perLoginOnly].some((one) => name.includes(one) || name.includes(one.slice(0, 8))),
      ),
    ).toEqual([])
    expect(tellingFields(purchases, seededRandom('packed'), CHANCE)).toEqual([])
  }, 120_000)
})

describe('hosts of one customer each', () => {
  test('cannot be told apart: nothing but constants comes back', async () => {
    const purchases = await buy(['gergely', 'katalin'], 'marton', 7, {})
    expect(sharedByOneAlone(purchases, () => false)).toEqual([])
    expect(tellingFields(purchases, seededRandom('alone'), CHANCE)).toEqual([])
    // The first and the last look alike: nothing shows that a host has bought here before.
    expect(new Set(purchases.map(({ features }) => features.get('messages'))).size).toBe(1)
    expect(purchases[0]?.features.get('messages')).toContain('payee-lookup to dc')
    for (const path of [
      'offer-request to merchant 1 from',
      'offer-request to merchant 1 header.from',
      'offer-request to merchant 1 body.sealingKey',
      'offer-request to merchant 1 body.purchaseToken',
      'payment-notice to merchant 1 seal.keyId',
    ])
      expect([path, purchases[0]?.features.has(path)]).toEqual([path, true])
  }, 120_000)
})
