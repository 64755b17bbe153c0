import { describe, expect, test } from 'vitest'
import type { FailureCode } from '../../protocol/failures.ts'
import { incoming, testBytes, testId } from '../runtime/testing.ts'
import { registrations } from './host-registration.ts'
import { aliases, customers, deviceSeeds, enrolments } from './state.ts'
import { contains, leavesOf, oneSent, sentBy } from './testing/drive.ts'
import { accountOf, ALICE, CPP, CPP2, HOST, publicKeyOf, recordOf, wallet, type Wallet } from './testing/wallet.ts'

const PIN = '739251'
const enrolArguments = (changes: Record<string, unknown> = {}) => ({
  customer: ALICE,
  cpp: CPP,
  account: accountOf(ALICE),
  currency: 'EUR',
  mandate: 'aabb',
  pin: PIN,
  ...changes,
})
const sent = async (host: Wallet, changes: Record<string, unknown> = {}) => {
  host.control('enrol', enrolArguments(changes))
  return oneSent(host.finish('derive-pin-key', await host.run('derive-pin-key')), 'customer-enrolment')
}

describe('the host at its CPPs', () => {
  test('registers at each at its start, and is ready when all have receipted', () => {
    const host = wallet({ cpps: [CPP, CPP2] })
    const started = host.start()
    expect(sentBy(started, 'host-registration').map(({ to }) => to)).toEqual([CPP, CPP2])
    expect(host.isReady()).toBe(false)
    host.receipted('host-registration', ['host-registration', CPP])
    expect(host.isReady()).toBe(false)
    host.receipted('host-registration', ['host-registration', CPP2])
    expect(host.isReady()).toBe(true)
  })

  test('a registration that waits in the outbox is not made twice; a registered host shows itself again and stays ready', () => {
    const host = wallet()
    host.start()
    expect(sentBy(host.start(), 'host-registration')).toEqual([])
    host.receipted('host-registration', ['host-registration', CPP])
    const [before] = host.ledger.rows(registrations)
    const again = oneSent(host.start(), 'host-registration')
    expect(again.body.registrationId).not.toEqual(before?.registrationId)
    expect(host.isReady()).toBe(true)
  })

  test('a refused registration is not ready', () => {
    const host = wallet()
    host.start()
    host.refused('host-registration', ['host-registration', CPP], { code: 'BROKEN_CHAIN', by: CPP })
    expect(host.isReady()).toBe(false)
    expect(host.ledger.rows(registrations)).toMatchObject([{ state: 'refused', code: 'BROKEN_CHAIN' }])
  })
})

describe('enrol: checks in their order', () => {
  const rows: readonly [string, Record<string, unknown>, FailureCode][] = [
    ['a PIN of letters', { pin: 'abcd' }, 'SCHEMA_VIOLATION'],
    ['a PIN too short', { pin: '123' }, 'SCHEMA_VIOLATION'],
    ['a mandate that is not hex', { mandate: 'xyz' }, 'SCHEMA_VIOLATION'],
    ['an account outside the grammar', { account: 'alice' }, 'SCHEMA_VIOLATION'],
    ['a CPP that has not certified this host', { cpp: CPP2 }, 'ENROLMENT_REFUSED'],
    ['the same customer with another account', { customer: 'hu-bob', account: 'hu-kh:other' }, 'NAME_TAKEN'],
    [
      "another customer's alias",
      { customer: 'hu-carol', account: accountOf('hu-carol'), alias: 'hu-bobby' },
      'NAME_TAKEN',
    ],
  ]
  test.each(rows)('%s', async (_, changes, code) => {
    const host = wallet()
    await host.enrol('hu-bob', CPP, { alias: 'hu-bobby' })
    const decision = host.control('enrol', enrolArguments(changes))
    expect(decision.reply).toMatchObject({ ok: false, code })
    expect(JSON.stringify(decision.reply)).not.toContain(PIN)
    expect(decision.writes).toEqual([])
  })
})

describe('enrolment', () => {
  test("device key of fresh bytes, PIN key by scrypt, the CPP's record", async () => {
    const host = wallet()
    const started = host.control('enrol', enrolArguments({ alias: 'hu-ali' }))
    expect(started.sends).toEqual([])
    const [{ seed } = { seed: undefined }] = host.ledger.rows(deviceSeeds)
    const decided = host.finish('derive-pin-key', await host.run('derive-pin-key'))
    const enrolment = oneSent(decided, 'customer-enrolment')
    expect(enrolment).toMatchObject({
      to: CPP,
      body: {
        customer: ALICE,
        pinKey: testBytes(`pin ${PIN} ${ALICE} ${CPP}`),
        account: accountOf(ALICE),
        currency: 'EUR',
        alias: 'hu-ali',
      },
    })
    expect(enrolment.signer).toBeUndefined()
    expect(enrolment.body.deviceKey).toEqual(publicKeyOf(seed ?? testBytes('none')))
    expect(host.ledger.rows(enrolments)).toMatchObject([{ state: 'enrolling' }])
    const { enrolmentId, deviceKey, account, currency } = enrolment.body
    const record = recordOf({ customer: ALICE, host: HOST, deviceKey, account, currency })
    const done = host.deliver(
      incoming('customer-enrolment-record', { enrolmentId, record }, { from: CPP, role: 'cpp' }),
    )
    expect(done.announce).toMatchObject([{ topic: started.replyOn, value: { ok: true, customer: ALICE, cpp: CPP } }])
    expect(host.ledger.outbox.size).toBe(0)
    expect(host.ledger.rows(enrolments)).toMatchObject([{ state: 'enrolled', record }])
    // Enrolled leaves it unlocked.
    expect(host.read('customers')).toMatchObject([{ enrolments: [{ unlocked: true }] }])
  })

  test('a second CPP has the same device key', async () => {
    const host = wallet({ cpps: [CPP, CPP2] })
    await host.enrol(ALICE, CPP)
    const second = await sent(host, { cpp: CPP2 })
    expect(second.body.deviceKey).toEqual(host.ledger.rows(customers)[0]?.deviceKey)
    expect(host.ledger.rows(deviceSeeds)).toHaveLength(1)
  })

  test('two customers have keys that have nothing in common', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    await host.enrol('hu-bob')
    const [a, b] = host.ledger.rows(deviceSeeds)
    expect(a?.seed).not.toEqual(b?.seed)
  })

  test('the same again: the same answer, before the record and after it', async () => {
    const host = wallet()
    const { body } = await sent(host)
    const waits = host.control('enrol', enrolArguments())
    expect(waits.replyOn).toBe(`enrolment:${Buffer.from(body.enrolmentId).toString('hex')}`)
    expect(waits.jobs).toEqual([])
    await host.enrol('hu-bob')
    expect(
      host.control('enrol', enrolArguments({ customer: 'hu-bob', account: accountOf('hu-bob') })).reply,
    ).toMatchObject({ ok: true, customer: 'hu-bob' })
  })

  test('a restart during scrypt: `enrol` starts over, and the older job changes nothing', async () => {
    const host = wallet()
    host.control('enrol', enrolArguments())
    host.control('enrol', enrolArguments())
    expect(host.ledger.rows(enrolments)).toHaveLength(1)
    const result = await host.run('derive-pin-key')
    expect(host.finish('derive-pin-key', result).sends).toEqual([])
    expect(sentBy(host.finish('derive-pin-key', result), 'customer-enrolment')).toHaveLength(1)
  })

  test('no key could be derived', () => {
    const host = wallet()
    host.control('enrol', enrolArguments({ alias: 'hu-ali' }))
    expect(host.finish('derive-pin-key', { ok: false }).announce).toMatchObject([
      { value: { ok: false, code: 'WRONG_PIN' } },
    ])
    expect(host.ledger.rows(aliases)).toEqual([])
  })

  test('the CPP refuses: told, and open to be tried again; somebody else can not refuse', async () => {
    const host = wallet()
    const { body } = await sent(host)
    expect(
      host.refused('customer-enrolment', ['enrolment', body.enrolmentId], { code: 'NAME_TAKEN', by: CPP2 }).writes,
    ).toEqual([])
    const refused = host.refused('customer-enrolment', ['enrolment', body.enrolmentId], { code: 'NAME_TAKEN', by: CPP })
    expect(refused.announce).toMatchObject([{ value: { ok: false, code: 'NAME_TAKEN' } }])
    expect(host.control('enrol', enrolArguments()).jobs).toHaveLength(1)
  })

  test.each([
    ["another CPP's", { from: CPP2 }, {}, 'NOT_FOUND'],
    ['of no enrolment', { enrolmentId: testId('none') }, {}, 'NOT_FOUND'],
    ['of another device key', {}, { deviceKey: testBytes('other') }, 'ENROLMENT_REFUSED'],
    ['of another account', {}, { account: 'hu-kh:other' }, 'ENROLMENT_REFUSED'],
    ['of another host', {}, { host: 'hu-wallet-2' }, 'ENROLMENT_REFUSED'],
  ] as const)('a record %s is refused', async (_, where, said, code) => {
    const host = wallet()
    const { body } = await sent(host)
    const record = recordOf({
      customer: ALICE,
      host: HOST,
      deviceKey: body.deviceKey,
      account: body.account,
      currency: body.currency,
      ...said,
    })
    const enrolmentId = 'enrolmentId' in where ? where.enrolmentId : body.enrolmentId
    const from = 'from' in where ? where.from : CPP
    expect(
      host.deliver(incoming('customer-enrolment-record', { enrolmentId, record }, { from, role: 'cpp' })).refuse?.code,
    ).toBe(code)
    expect(host.ledger.rows(enrolments)).toMatchObject([{ state: 'enrolling' }])
  })
})

describe('unlock', () => {
  test('SCHEMA_VIOLATION, CUSTOMER_UNKNOWN, then unlocked by what the job derived', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    expect(host.control('unlock', { customer: ALICE, cpp: CPP, pin: 'x' }).reply).toMatchObject({
      code: 'SCHEMA_VIOLATION',
    })
    expect(host.control('unlock', { customer: ALICE, cpp: CPP2, pin: PIN }).reply).toMatchObject({
      code: 'CUSTOMER_UNKNOWN',
    })
    const asked = host.control('unlock', { customer: ALICE, cpp: CPP, pin: PIN })
    const done = host.finish('derive-pin-key', await host.run('derive-pin-key'))
    expect(done.announce).toEqual([{ topic: asked.replyOn, value: { ok: true, state: 'unlocked' } }])
    host.control('unlock', { customer: ALICE, cpp: CPP, pin: PIN })
    expect(host.finish('derive-pin-key', { ok: false }).announce).toMatchObject([{ value: { ok: false } }])
  })

  test('a PIN, a PIN key and a device seed stand in no reply, record, announcement, read or row but their own', async () => {
    const host = wallet()
    const started = host.control('enrol', enrolArguments())
    const [{ seed } = { seed: testBytes('none') }] = host.ledger.rows(deviceSeeds)
    const derived = host.finish('derive-pin-key', await host.run('derive-pin-key'))
    const unlock = host.control('unlock', { customer: ALICE, cpp: CPP, pin: PIN })
    const shown = [started, derived, unlock].map(({ reply, record, announce, replyOn, writes }) => ({
      reply,
      record,
      announce,
      replyOn,
      rows: writes.filter(({ table }) => table.name !== deviceSeeds.name).map(({ row }) => row),
    }))
    const leaves = leavesOf([
      shown,
      host.read('customers'),
      host.read('report'),
      host.ledger.rows(enrolments),
      host.ledger.rows(customers),
    ])
    for (const secret of [
      Buffer.from(PIN),
      testBytes(`pin ${PIN} ${ALICE} ${CPP}`),
      seed,
      Buffer.from(Buffer.from(seed).toString('hex')),
    ])
      expect(leaves.some((leaf) => contains(leaf, secret))).toBe(false)
  })
})
