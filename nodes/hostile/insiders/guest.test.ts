/**
 * A guest, and an observer, that lie. A guest's login is anybody's who has a wallet host: it may ask for offers, look payees up
 * and fetch goods by what only the buyer knows. An observer may read reports, a kind that is not live yet.
 */
import { Packr } from 'msgpackr'
import { beforeAll, describe, expect, test } from 'vitest'
import { MAX_PAYMENT_MINOR } from '../../../protocol/amount.ts'
import { utf8 } from '../../../protocol/bytes.ts'
import { hash } from '../../../protocol/hash.ts'
import { guestToken } from '../../../protocol/ids.ts'
import { makeContent } from '../../../protocol/envelope.ts'
import { signingKeyFromSeed, type SigningKey } from '../../../protocol/keys.ts'
import { KIND_NAMES, KINDS, type Body, type KindName } from '../../../protocol/kinds.ts'
import { sealOne } from '../../../protocol/seals.ts'
import { payments as merchantPayments } from '../../merchant/state.ts'
import { kindOf, parsed } from '../testing/forge.ts'
import { codesAt, CREDENTIALS, nothingChanged, STORED_ANSWER } from '../testing/nothing-changed.ts'
import { HOSTS, type World } from '../testing/world.ts'
import { insiders, kindsFrom, LIARS, discord, refusedBy, type Insiders } from './testing/insiders.ts'

const ASKED = [...CREDENTIALS, ...STORED_ANSWER]

const packr = new Packr({ useRecords: false, variableMapSize: true, int64AsType: 'bigint' })

let on: Insiders
let key: SigningKey
let token: string
beforeAll(async () => {
  on = await insiders('a lying guest')
  key = signingKeyFromSeed(on.sim.engine, hash(utf8('guest')))
  // The login key and the message key are two.
  token = guestToken(signingKeyFromSeed(on.sim.engine, hash(utf8('guest login'))).publicKey)
  await on.join('guest', { id: token, signing: key, sealing: on.keysOf('guest').sealing, chain: [] })
  await on.world.pay('hu-alice', 'hu-bakery', '120')
  await on.world.pay('hu-bob', 'hu-bakery', '2500')
}, 60_000)

const guestSays = (to: string, kind: KindName, body: Uint8Array, from: string = token): void => {
  const header = on.forge.header(kind, token, to, { from: key.publicKey })
  on.forge.put(to, kind, from, sealOne(makeContent(header, body), key))
}
const offer = (more: Partial<Body<'offer-request'>> = {}): Body<'offer-request'> => ({
  purchaseToken: on.forge.id(),
  sealingKey: on.keysOf('guest').sealing.publicKey,
  payee: 'hu-bakery',
  currency: 'EUR',
  amountMinor: 10n,
  ...more,
})
const refused = async (to: string, kind: KindName, body: Uint8Array): Promise<readonly string[]> =>
  refusedBy(await nothingChanged(on.world, () => guestSays(to, kind, body), ASKED), to)

describe('a guest that asks for too much', () => {
  test.each([
    ['an item for another price', { item: 'bread', amountMinor: 1n }, 'AMOUNT_INVALID'],
    ['an item that is not sold', { item: 'gold' }, 'NOT_FOUND'],
    ['a payee that is at another host', { payee: 'at-pub' }, 'NOT_FOUND'],
    ['a currency that the payee does not take', { currency: 'USD' as const }, 'CURRENCY_UNSUPPORTED'],
  ] as const)('a guest that asks for %s is refused', async (_, more, code) => {
    expect(await refused(HOSTS.merchant, 'offer-request', on.encode('offer-request', offer(more)))).toEqual([code])
  })
  test.each([
    ['nothing', 0n],
    ['a negative sum', -1n],
    ['more than the largest payment', MAX_PAYMENT_MINOR + 1n],
  ] as const)('a guest that asks for an invoice over %s is refused: SCHEMA_VIOLATION', async (_, amountMinor) => {
    const body = new Uint8Array(packr.pack({ ...offer(), amountMinor }))
    expect(await refused(HOSTS.merchant, 'offer-request', body)).toEqual(['SCHEMA_VIOLATION'])
  })
})
describe("a guest that wants another's goods", () => {
  const paidOrder = (): { readonly txId: Uint8Array; readonly payee: string } => {
    const rows = [...on.sim.host(HOSTS.merchant).host().read.scan(merchantPayments, [])]
    const row = rows.find(([, one]) => one.state === 'confirmed')?.[1]
    if (row === undefined) throw new Error('nothing was paid')
    return { txId: row.txId, payee: row.payee }
  }
  test.each(['first', 'second', 'third'])(
    'a guest that knows the txId and guesses the nonce, a %s time, is refused: NOT_FOUND',
    async () => {
      const body = { ...paidOrder(), nonce: on.forge.id(), sealingKey: on.keysOf('guest').sealing.publicKey }
      expect(await refused(HOSTS.merchant, 'order-query', on.encode('order-query', body))).toEqual(['NOT_FOUND'])
    },
  )
  test("a guest that sends another's captured offer under its own token gets nothing of it: the answer was given", async () => {
    const captured = on.world.sent.find((one) => kindOf(one) === 'offer-request' && one.to === HOSTS.merchant)
    if (captured === undefined) throw new Error('no offer')
    const caused = await nothingChanged(
      on.world,
      () => on.forge.put(HOSTS.merchant, 'offer-request', token, captured.data),
      ASKED,
    )
    expect(caused.sent.filter((one) => one.to === token).map(kindOf)).not.toContain('transaction-details')
  })
})

const NOT_A_GUESTS = KIND_NAMES.filter(
  (kind) => KINDS[kind].accepts.length > 0 && KINDS[kind].paths.every((path) => (path[0] as string) !== 'guest'),
)
const roleHost = (kind: KindName): string | undefined => {
  const last = KINDS[kind].paths[0]?.at(-1)
  return last === undefined || last === 'guest' || last === 'observer' ? undefined : HOSTS[last as keyof typeof HOSTS]
}
/** A real body of this kind, where one was ever sent; else an empty one. */
const someBody = (world: World, kind: KindName): Uint8Array => {
  const seen = world.sent.find((one) => kindOf(one) === kind)
  return seen === undefined ? Uint8Array.of(0x80) : parsed(seen.data).bodyBytes
}

/** Says all of it at once: nothing changes anywhere. → by kind, the codes that the receiver logged, and what it answered */
const sayAll = async (kinds: readonly KindName[], say: (to: string, kind: KindName) => void): Promise<Verdicts> => {
  const verdicts = new Map<KindName, Verdict>()
  await nothingChanged(
    on.world,
    async () => {
      for (const kind of kinds) {
        const to = roleHost(kind) as string
        const [lines, sent] = [on.world.lines.length, on.world.sent.length]
        say(to, kind)
        await on.sim.run()
        const caused = { lines: on.world.lines.slice(lines), sent: on.world.sent.slice(sent) }
        verdicts.set(kind, { codes: codesAt(caused, to), answers: kindsFrom(caused, to) })
      }
    },
    ASKED,
  )
  return verdicts
}
type Verdict = { readonly codes: readonly string[]; readonly answers: readonly KindName[] }
type Verdicts = ReadonlyMap<KindName, Verdict>
const ADDRESSED = KIND_NAMES.filter((kind) => roleHost(kind) !== undefined)

describe('a guest that sends what hosts send', () => {
  const kinds = NOT_A_GUESTS.filter((kind) => ADDRESSED.includes(kind))
  let verdicts: Verdicts
  beforeAll(async () => {
    verdicts = await sayAll(kinds, (to, kind) => guestSays(to, kind, someBody(on.world, kind)))
  })
  test.each(kinds)('a guest that sends a %s is not obeyed: a code, and nothing changed', (kind) => {
    const codes = verdicts.get(kind)?.codes ?? []
    expect(codes).toHaveLength(1)
    expect(['WRONG_ROLE', 'NOT_CONFIDENTIAL', 'KEY_NOT_OF_SENDER', 'SCHEMA_VIOLATION', 'UNKNOWN_KEY']).toContain(
      codes[0],
    )
  })
  test('a guest that speaks under the name of a host is refused: WRONG_PATH', async () => {
    const body = on.encode('offer-request', offer())
    const caused = await nothingChanged(
      on.world,
      () => guestSays(HOSTS.merchant, 'offer-request', body, LIARS.customer),
      ASKED,
    )
    expect(codesAt(caused, HOSTS.merchant)).toEqual(['WRONG_PATH'])
  })
})

describe('an observer', () => {
  let verdicts: Verdicts
  beforeAll(async () => {
    verdicts = await sayAll(ADDRESSED, (to, kind) =>
      on.forge.put(to, kind, LIARS.observer, on.forge.raw(kind, LIARS.observer, to, someBody(on.world, kind))),
    )
  })
  test.each(ADDRESSED)('an observer that sends a %s is not obeyed: a code, no answer, nothing changed', (kind) => {
    const { codes = [], answers = [] } = verdicts.get(kind) ?? {}
    expect(codes.length).toBeGreaterThan(0)
    expect(answers.filter((one) => one !== 'credential-query')).toEqual([])
  })
})

test('after all of this every honest ledger agrees with every other', async () => {
  await on.sim.advance(10_000, 1_000)
  expect(await discord(on.world)).toEqual([])
})
