import { describe, expect, test } from 'vitest'
import { fromHex } from '../../protocol/bytes.ts'
import type { FailureCode } from '../../protocol/failures.ts'
import { deviceReplacementSubject, pinChangeSubject, pinProof } from '../../protocol/pin.ts'
import type { Decision } from '../runtime/node.ts'
import { incoming, outboxKey, testBytes } from '../runtime/testing.ts'
import { aliases, changes, customers, deviceSeeds, enrolments } from './state.ts'
import { contains, leavesOf, oneSent } from './testing/drive.ts'
import {
  accountOf,
  ALICE,
  CPP,
  CPP2,
  HOST,
  recordOf,
  requested,
  payArguments,
  wallet,
  type Wallet,
} from './testing/wallet.ts'

const OLD = '1234'
const NEW = '86420975'
const keyOfPin = (pin: string, customer = ALICE, cpp = CPP) => testBytes(`pin ${pin} ${customer} ${cpp}`)
const withAlice = async (): Promise<Wallet> => {
  const host = wallet()
  await host.enrol(ALICE)
  return host
}
const changePin = (host: Wallet, more: Record<string, unknown> = {}): Decision =>
  host.control('change-pin', { customer: ALICE, cpp: CPP, pin: OLD, newPin: NEW, ...more })
const derived = async (host: Wallet): Promise<Decision> =>
  host.finish('derive-change-keys', await host.run('derive-change-keys'))
const released = async (host: Wallet): Promise<void> => {
  host.finish('release-change-keys', await host.run('release-change-keys'))
}
const lastChange = (host: Wallet) => host.ledger.rows(changes).at(-1)

describe('change-pin', () => {
  test('proves the old PIN to the CPP, and the new one opens the wallet once the CPP has receipted', async () => {
    const host = await withAlice()
    changePin(host)
    const { body, to, signer, delivery } = oneSent(await derived(host), 'pin-change')
    expect([to, signer]).toEqual([CPP, { device: ALICE }])
    expect(body.pinKey).toEqual(keyOfPin(NEW))
    expect(body.pinProof).toEqual(pinProof(keyOfPin(OLD), pinChangeSubject(keyOfPin(NEW)), body.changeId))
    expect(delivery).toEqual({ until: ['change', body.changeId] })
    const done = host.receipted('pin-change', ['change', body.changeId])
    expect(done.announce).toMatchObject([{ value: { ok: true, customer: ALICE, cpp: CPP } }])
    await released(host)
    const pr = requested(host)
    const { transDigest = testBytes('none') } = host.payment()
    expect(pr.body.pinProof).toEqual(pinProof(keyOfPin(NEW), transDigest, pr.body.prId))
  })

  test('a refusal is told, and the old PIN still opens the wallet', async () => {
    const host = await withAlice()
    changePin(host, { pin: '9999' })
    const { body } = oneSent(await derived(host), 'pin-change')
    const refused = host.refused('pin-change', ['change', body.changeId], { code: 'WRONG_PIN', by: CPP })
    expect(refused.announce).toMatchObject([{ value: { ok: false, code: 'WRONG_PIN' } }])
    await released(host)
    const pr = requested(host)
    const { transDigest = testBytes('none') } = host.payment()
    expect(pr.body.pinProof).toEqual(pinProof(keyOfPin(OLD), transDigest, pr.body.prId))
  })

  test('a refusal of another than the CPP ends nothing', async () => {
    const host = await withAlice()
    changePin(host)
    const { body } = oneSent(await derived(host), 'pin-change')
    host.refused('pin-change', ['change', body.changeId], { code: 'WRONG_PIN', by: CPP2 })
    expect(lastChange(host)).toMatchObject({ state: 'sent' })
  })

  const rows: readonly [string, (host: Wallet) => unknown, Record<string, unknown>, FailureCode][] = [
    ['a new PIN of letters', () => 0, { newPin: 'abcd' }, 'SCHEMA_VIOLATION'],
    ['an unknown customer', () => 0, { customer: 'hu-nobody' }, 'CUSTOMER_UNKNOWN'],
    ['a CPP without an enrolment', () => 0, { cpp: CPP2 }, 'CUSTOMER_UNKNOWN'],
    ['a payment of the old PIN under way', (host) => requested(host), {}, 'UNDECIDED'],
    [
      'another change under way',
      async (host) => {
        changePin(host)
        await derived(host)
      },
      {},
      'UNDECIDED',
    ],
  ]
  test.each(rows)('refuses %s', async (_, before, more, code) => {
    const host = await withAlice()
    await before(host)
    const decided = changePin(host, more)
    expect(decided.reply).toMatchObject({ ok: false, code })
    expect(decided.writes).toEqual([])
    expect(JSON.stringify(decided.reply)).not.toContain(NEW)
  })

  test('no PIN and no key of one is in any row, reply, record or announcement; the new key travels in the change alone', async () => {
    const host = await withAlice()
    const started = changePin(host)
    const sent = await derived(host)
    const secrets = [OLD, NEW].flatMap((pin) => [Buffer.from(pin), keyOfPin(pin)])
    const shown = [started, sent].flatMap(({ writes, record, reply, announce }) =>
      leavesOf([writes.map(({ row }) => row), record, reply, announce]),
    )
    for (const secret of secrets) expect(shown.some((leaf) => contains(leaf, secret))).toBe(false)
  })
})

const AUTHORIZATION = 'a1b2c3'
const replaceDevice = (host: Wallet, more: Record<string, unknown> = {}): Decision =>
  host.control('replace-device', { customer: ALICE, cpp: CPP, pin: OLD, authorization: AUTHORIZATION, ...more })
const recorded = (
  host: Wallet,
  changeId: Uint8Array,
  deviceKey: Uint8Array,
  more: { host?: string; from?: string } = {},
) =>
  host.deliver(
    incoming(
      'customer-enrolment-record',
      {
        enrolmentId: changeId,
        record: recordOf({
          customer: ALICE,
          host: more.host ?? HOST,
          deviceKey,
          account: accountOf(ALICE),
          currency: 'EUR',
        }),
      },
      { from: more.from ?? CPP, role: 'cpp', header: { to: ALICE } },
    ),
  )

describe('a lost device', () => {
  test('is forgotten: its key is gone, its wallet locked, it pays no more', async () => {
    const host = await withAlice()
    expect(host.control('forget-device', { customer: ALICE }).reply).toEqual({
      ok: true,
      customer: ALICE,
      lostAt: [CPP],
    })
    host.finish('lock-wallet', await host.run('lock-wallet'))
    expect(host.ledger.rows(deviceSeeds)).toEqual([])
    expect(host.control('pay', payArguments()).reply).toMatchObject({ ok: false, code: 'CUSTOMER_UNKNOWN' })
    expect(
      host.control('enrol', {
        customer: ALICE,
        cpp: CPP,
        account: accountOf(ALICE),
        currency: 'EUR',
        mandate: 'aa',
        pin: OLD,
      }).reply,
    ).toMatchObject({ ok: false, code: 'NAME_TAKEN' })
  })

  test('is replaced: a new key, proved by PIN and authorization; then the customer pays again', async () => {
    const host = await withAlice()
    const [before] = host.ledger.rows(customers)
    host.control('forget-device', { customer: ALICE })
    replaceDevice(host)
    const sent = oneSent(await derived(host), 'device-replacement')
    const { changeId, deviceKey } = sent.body
    expect(deviceKey).not.toEqual(before?.deviceKey)
    expect(sent.signer).toBeUndefined()
    expect(sent.body.pinProof).toEqual(
      pinProof(keyOfPin(OLD), deviceReplacementSubject(deviceKey, fromHex(AUTHORIZATION)), changeId),
    )
    expect(recorded(host, changeId, deviceKey).announce).toMatchObject([{ value: { ok: true } }])
    await released(host)
    expect(host.ledger.rows(enrolments)).toMatchObject([{ state: 'enrolled', enrolmentId: changeId }])
    expect(requested(host).signer).toEqual({ device: ALICE })
  })

  test("had asked for a payment: its host asks what became of it under the host's own key, with no device at all", async () => {
    const host = await withAlice()
    const { prId, trans } = requested(host).body
    expect(trans.length).toBeGreaterThan(0)
    host.control('forget-device', { customer: ALICE })
    const query = oneSent(host.fireNext('payment-query'), 'payment-query')
    expect([query.to, query.body.prId, query.body.customer, query.signer]).toEqual([CPP, prId, ALICE, undefined])
    expect(host.ledger.outbox.has(outboxKey('pq', prId))).toBe(true)
  })

  test('ends a change of the PIN that it can not ask for any more, so that it can be replaced', async () => {
    const host = await withAlice()
    changePin(host)
    const { body } = oneSent(await derived(host), 'pin-change')
    const lost = host.control('forget-device', { customer: ALICE })
    expect(lost.reply).toMatchObject({ ok: true, lostAt: [CPP] })
    expect(lost.forget).toEqual([['change', body.changeId]])
    expect(lost.announce).toMatchObject([{ value: { ok: false, code: 'UNDECIDED' } }])
    expect(lastChange(host)).toMatchObject({ kind: 'pin', state: 'refused' })
    replaceDevice(host)
    expect(lastChange(host)).toMatchObject({ kind: 'device', state: 'deriving' })
  })

  test('is replaced on a host that never knew the customer', async () => {
    const host = wallet()
    replaceDevice(host, { alias: 'hu-ali' })
    const { body } = oneSent(await derived(host), 'device-replacement')
    recorded(host, body.changeId, body.deviceKey)
    expect(host.ledger.rows(enrolments)).toMatchObject([
      { state: 'enrolled', account: accountOf(ALICE), alias: 'hu-ali' },
    ])
    expect(host.ledger.rows(aliases)).toMatchObject([{ customer: ALICE, cpp: CPP }])
  })

  test.each([
    ['a record of another device', { deviceKey: testBytes('other') }, 'ENROLMENT_REFUSED'],
    ['a record of another host', { host: 'hu-wallet-9' }, 'ENROLMENT_REFUSED'],
    ['a record of another CPP', { from: CPP2 }, 'NOT_FOUND'],
  ])(
    '%s is not believed',
    async (_, { deviceKey, ...more }: { deviceKey?: Uint8Array; host?: string; from?: string }, code) => {
      const host = wallet()
      replaceDevice(host)
      const { body } = oneSent(await derived(host), 'device-replacement')
      expect(recorded(host, body.changeId, deviceKey ?? body.deviceKey, more).refuse?.code).toBe(code)
      expect(host.ledger.rows(enrolments)).toEqual([])
    },
  )

  const rows: readonly [string, Record<string, unknown>, FailureCode][] = [
    ['an authorization that is no hex', { authorization: 'xyz' }, 'SCHEMA_VIOLATION'],
    ['a CPP that has not certified this host', { cpp: CPP2 }, 'ENROLMENT_REFUSED'],
    ['a device that is not lost', {}, 'NAME_TAKEN'],
  ]
  test.each(rows)('replace-device refuses %s', async (_, more, code) => {
    const host = await withAlice()
    const decided = replaceDevice(host, more)
    expect(decided.reply).toMatchObject({ ok: false, code })
    expect(decided.writes).toEqual([])
  })
})
