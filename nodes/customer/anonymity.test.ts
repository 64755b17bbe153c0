/**
 * Design §7 "Customer's anonymity", §8.13: what a wallet host sends to merchants and data centers holds nothing of a customer, as
 * it is, as hex, or as a digest; and two purchases of one customer have nothing in common but what was bought.
 */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { utf8 } from '../../protocol/bytes.ts'
import { hash } from '../../protocol/hash.ts'
import { keyIdOf } from '../../protocol/keys.ts'
import type { Message } from '../runtime/node.ts'
import { customers, deviceSeeds, payments } from './state.ts'
import { contains, leavesOf, oneSent } from './testing/drive.ts'
import {
  accountOf,
  CPP,
  confirmationOf,
  HOST,
  openGuest,
  payArguments,
  recordFor,
  transFor,
  wallet,
  type Wallet,
} from './testing/wallet.ts'

const PIN = '830571'
const hex = (bytes: Uint8Array): Uint8Array => utf8(Buffer.from(bytes).toString('hex'))

/** Everything that would tell who pays: names, accounts, keys, ids, and what can be computed from each. */
const secretsOf = (host: Wallet, customer: string): readonly Uint8Array[] => {
  const [{ deviceKey } = { deviceKey: new Uint8Array(32) }] = host.ledger
    .rows(customers)
    .filter((row) => row.customer === customer)
  const prIds = host.ledger
    .rows(payments)
    .filter((row) => row.customer === customer)
    .map(({ prId }) => prId)
  const plain = [
    utf8(customer),
    utf8(HOST),
    utf8(CPP),
    utf8(accountOf(customer)),
    utf8(PIN),
    deviceKey,
    keyIdOf('ed25519', deviceKey),
    ...host.ledger.rows(deviceSeeds).map(({ seed }) => seed),
    ...prIds,
  ]
  const digests = plain.flatMap((secret) => [
    hash(secret),
    hash(secret).subarray(0, 16),
    new Uint8Array(createHash('sha256').update(secret).digest()),
    new Uint8Array(createHash('sha256').update(secret).digest().subarray(0, 16)),
  ])
  return [...plain, ...digests].flatMap((secret) => [secret, hex(secret)])
}

const purchase = (host: Wallet, customer: string): readonly Message[] => {
  const sent: Message[] = []
  const keep = (sends: readonly unknown[]): void =>
    void sent.push(...(sends.filter((send) => 'kind' in (send as object)) as Message[]))
  const before = new Set(host.ledger.rows(payments).map(({ prId }) => hex(prId).join()))
  keep(host.control('pay', payArguments({ customer, item: 'bread' })).sends)
  if (host.jobs.some(({ name }) => name === 'open-guest')) keep(openGuest(host).sends)
  const mine = () => {
    const row = host.ledger.rows(payments).find(({ prId }) => !before.has(hex(prId).join()))
    if (row === undefined) throw new Error('no payment was made')
    return row
  }
  if (mine().state === 'looking-up') keep(host.deliver(recordFor(mine().token ?? '')).sends)
  const offer = oneSent({ sends: sent } as never, 'offer-request')
  keep(host.deliver(transFor(offer, host.now())).sends)
  keep(host.deliver(confirmationOf(mine())).sends)
  keep(host.fireNext('goods-query').sends)
  if (host.jobs.some(({ name }) => name === 'open-guest')) keep(openGuest(host).sends)
  return sent
}

const isToStranger = (message: Message): boolean =>
  ['payee-lookup', 'offer-request', 'order-query'].includes(message.kind)

describe('what merchants and data centers get', () => {
  test.each([
    ['a host of one wallet', ['hu-alice']],
    ['a host of three', ['hu-alice', 'hu-bob', 'de-carol']],
  ])('%s sends them payee, money, item and one-time values only', async (_name, names) => {
    const host = wallet()
    for (const name of names) await host.enrol(name, CPP, { pin: PIN })
    const sent = names.flatMap((name) => purchase(host, name))
    expect(new Set(sent.map(({ kind }) => kind))).toEqual(
      new Set(['payee-lookup', 'offer-request', 'payment-request', 'order-query']),
    )
    for (const message of sent) {
      if (message.kind === 'payment-request') {
        expect(message.to).toBe(CPP)
        continue
      }
      expect(isToStranger(message)).toBe(true)
      expect(message.signer).toHaveProperty('guest')
      expect(message.correlationId).toBeUndefined()
      // The outbox key stays in the ledger; everything else is what travels.
      const { delivery: _, ...travels } = message
      const leaves = leavesOf(travels)
      for (const name of names)
        for (const secret of secretsOf(host, name)) expect(leaves.some((leaf) => contains(leaf, secret))).toBe(false)
    }
  })

  test('two purchases of one customer share no token, key, purchase token or nonce', async () => {
    const host = wallet()
    await host.enrol('hu-alice', CPP, { pin: PIN })
    const [first, second] = [purchase(host, 'hu-alice'), purchase(host, 'hu-alice')].map((sent) =>
      sent
        .filter(({ kind }) => kind === 'offer-request')
        .map((offer) => {
          const { body, signer } = offer as Message<'offer-request'>
          return [hex(body.purchaseToken), hex(body.sealingKey), utf8((signer as { guest: string }).guest)].map(
            (bytes) => Buffer.from(bytes).toString(),
          )
        })
        .flat(),
    )
    expect(first).toHaveLength(3)
    expect(new Set([...(first ?? []), ...(second ?? [])]).size).toBe(6)
  })

  test('property: the same purchases by any two customers look alike but for random values', async () => {
    const name = fc.stringMatching(/^[a-z]{6,12}$/)
    await fc.assert(
      fc.asyncProperty(name, name, fc.bigInt(1n, 999n), async (a, b, amount) => {
        const shapes = await Promise.all(
          [a, b].map(async (who) => {
            const host = wallet()
            await host.enrol(`hu-x${who}`, CPP, { pin: PIN })
            host.control('pay', payArguments({ customer: `hu-x${who}`, amountMinor: String(amount) }))
            openGuest(host)
            const offer = oneSent(host.deliver(recordFor(host.payment().token ?? '')), 'offer-request')
            const { purchaseToken, sealingKey, ...open } = offer.body
            expect(purchaseToken).toHaveLength(16)
            expect(sealingKey).toHaveLength(32)
            return { to: offer.to, open, expiresAtMs: offer.expiresAtMs, fields: Object.keys(offer).toSorted() }
          }),
        )
        expect(shapes[0]).toEqual(shapes[1])
      }),
      { numRuns: 25 },
    )
  })
})
