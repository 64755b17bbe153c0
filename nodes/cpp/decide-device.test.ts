import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import type { FailureCode } from '../../protocol/failures.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { deviceReplacementSubject, pinChangeSubject, pinProof } from '../../protocol/pin.ts'
import type { Decision } from '../runtime/node.ts'
import { TEST_NOW_MS, testBytes, testId } from '../runtime/testing.ts'
import { keyOf } from '../runtime/table.ts'
import { authorizations, customers, hosts, ledger } from './state.ts'
import { UNSOUND_KEY, WALLET_HOST, createWorld, kindsOf } from './testing/world.ts'

const ALICE = 'hu-alice'
const NEW_HOST = 'hu-wallet-2'
const NEW_PIN = testBytes('another PIN key')

const world = () => {
  const one = createWorld()
  one.enrol(ALICE)
  for (const host of [WALLET_HOST, NEW_HOST])
    one.ledger.put(hosts, keyOf(host), { host, keyId: testId(host), registeredAtMs: TEST_NOW_MS })
  return one
}
type World = ReturnType<typeof world>
const rowOf = (one: World) => one.ledger.get(customers, ALICE)
const refusal = (decided: Decision): FailureCode | undefined => decided.refuse?.code
/** The one job that waits, done. */
const finish = async (one: World): Promise<Decision> => {
  const [decided, ...more] = await one.finishJobs()
  if (decided === undefined || more.length > 0) throw new Error('not exactly one job waits')
  return decided
}

const changePin = (
  one: World,
  given: { id?: string; pinKey?: Uint8Array; from?: string; proofOf?: Uint8Array } = {},
) => {
  const { id = 'change', pinKey = one.pinKeyOf(ALICE), from = ALICE } = given
  const changeId = testId(id)
  const proof = pinProof(pinKey, pinChangeSubject(given.proofOf ?? NEW_PIN), changeId)
  return one.receive('pin-change', { changeId, pinKey: NEW_PIN, pinProof: proof }, { from, host: WALLET_HOST })
}

describe('pin-change', () => {
  it('replaces the key: the old PIN is wrong from then on, the new one pays', () => {
    const one = world()
    const changed = changePin(one)
    expect(kindsOf(changed)).toEqual(['receipt'])
    // A receipt travels in clear: it is to the host, and names no customer.
    expect(changed.sends[0]).toMatchObject({ to: WALLET_HOST })
    expect(one.pay({ tx: 'old' }).sends[0]).toMatchObject({ body: { outcome: 'refused', code: 6010 } })
    expect(kindsOf(one.pay({ tx: 'new', pinKey: NEW_PIN }))).toEqual(['payment-notice'])
  })

  it('refuses in this order: CUSTOMER_UNKNOWN, PIN_LOCKED, WRONG_PIN; and keeps the old key', () => {
    const one = world()
    expect(refusal(changePin(one, { from: 'hu-nobody' }))).toBe('CUSTOMER_UNKNOWN')
    const before = rowOf(one)?.sealedPinKey
    expect(refusal(changePin(one, { pinKey: testBytes('guess') }))).toBe('WRONG_PIN')
    expect(refusal(changePin(one, { id: 'other', proofOf: testBytes('another key yet') }))).toBe('WRONG_PIN')
    expect(rowOf(one)?.sealedPinKey).toEqual(before)
  })

  it('is no way to guess the PIN: wrong ones count and lock, and a locked one can not be changed', () => {
    const one = world()
    for (let i = 0; i < LIMITS.maxWrongPins; i++) changePin(one, { id: `guess ${i}`, pinKey: testBytes('guess') })
    expect(rowOf(one)?.pinLockedAtMs).toBe(one.nowMs)
    expect(refusal(changePin(one, { id: 'right' }))).toBe('PIN_LOCKED')
    expect(one.pay({ tx: 'right' }).sends[0]).toMatchObject({ body: { code: 6011 } })
  })
})

/** An operator gives the customer an authorization for NEW_HOST. */
const authorize = async (one: World, args: Record<string, unknown> = {}): Promise<Uint8Array> => {
  one.control('authorize-device', { customer: ALICE, host: NEW_HOST, ...args })
  const decided = await finish(one)
  const [told] = decided.announce.map(({ value }) => value as { readonly authorization: string })
  return fromHex(told?.authorization ?? '')
}
const DEVICE = testBytes('new device')
const replace = (
  one: World,
  authorization: Uint8Array,
  given: { id?: string; customer?: string; from?: string; pinKey?: Uint8Array; deviceKey?: Uint8Array } = {},
) => {
  const { id = 'replace', customer = ALICE, from = NEW_HOST, pinKey = one.pinKeyOf(ALICE), deviceKey = DEVICE } = given
  const changeId = testId(id)
  const proof = pinProof(pinKey, deviceReplacementSubject(deviceKey, authorization), changeId)
  return one.receive(
    'device-replacement',
    { changeId, customer, deviceKey, pinProof: proof, authorization },
    { from, host: from },
  )
}

describe('authorize-device', () => {
  it('blocks the lost device at once', async () => {
    const one = world()
    expect(one.definition.deviceKey?.(one.ledger, ALICE)).toMatchObject({ host: WALLET_HOST })
    one.control('authorize-device', { customer: ALICE, host: NEW_HOST })
    expect(one.definition.deviceKey?.(one.ledger, ALICE)).toBe('revoked')
  })

  it.each([
    ['no customer', { host: NEW_HOST }, 'SCHEMA_VIOLATION'],
    ['an unknown field', { customer: ALICE, host: NEW_HOST, pin: '1' }, 'SCHEMA_VIOLATION'],
    ['an unknown customer', { customer: 'hu-nobody', host: NEW_HOST }, 'CUSTOMER_UNKNOWN'],
    ['a host that is not registered', { customer: ALICE, host: 'hu-wallet-9' }, 'NOT_FOUND'],
  ])('refuses %s', (_, args, code) => {
    const one = world()
    const decided = one.control('authorize-device', args)
    expect(decided.reply).toMatchObject({ ok: false, code })
    expect(decided.writes).toEqual([])
  })
})

describe('device-replacement', () => {
  it('puts the new device in place of the lost one, and leaves the debt where it is', async () => {
    const one = world()
    one.pay({ tx: 'before' })
    const debt = one.ledger.get(ledger, ALICE)
    const authorization = await authorize(one)
    expect(kindsOf(replace(one, authorization))).toEqual([])
    const done = await finish(one)
    expect(done.sends).toMatchObject([
      { kind: 'customer-enrolment-record', to: ALICE, nextHop: { role: 'customer', host: NEW_HOST } },
    ])
    expect(one.definition.deviceKey?.(one.ledger, ALICE)).toEqual({ publicKey: DEVICE, host: NEW_HOST })
    expect(rowOf(one)).toMatchObject({ serial: 2, walletHost: NEW_HOST })
    expect(one.ledger.get(ledger, ALICE)).toEqual(debt)
  })

  it('refuses in the order of SPEC 34.R1, and keeps the lost device blocked', async () => {
    const one = world()
    const other = await authorize(one)
    const authorization = await authorize(one)
    const before = rowOf(one)
    const rows: readonly [string, Decision, FailureCode][] = [
      ['a host not registered', replace(one, authorization, { from: 'hu-wallet-9' }), 'ENROLMENT_REFUSED'],
      ['an unknown customer', replace(one, authorization, { customer: 'hu-nobody' }), 'CUSTOMER_UNKNOWN'],
      ['one voided by a later one', replace(one, other), 'ENROLMENT_REFUSED'],
      ['one never given', replace(one, testBytes('made up')), 'ENROLMENT_REFUSED'],
      ['one for another host', replace(one, authorization, { from: WALLET_HOST }), 'ENROLMENT_REFUSED'],
      ['a wrong PIN', replace(one, authorization, { id: 'guess', pinKey: testBytes('guess') }), 'WRONG_PIN'],
    ]
    for (const [name, decided, code] of rows) expect([name, refusal(decided)]).toEqual([name, code])
    expect(rowOf(one)).toEqual({ ...before, wrongPins: 1 })
  })

  it('takes an authorization once, in its time', async () => {
    const one = world()
    const authorization = await authorize(one, { lifetimeMs: 1_000 })
    one.nowMs += 1_001
    expect(refusal(replace(one, authorization))).toBe('ENROLMENT_REFUSED')
    const second = await authorize(one)
    replace(one, second)
    expect(refusal(replace(one, second, { id: 'again' }))).toBe('ENROLMENT_REFUSED')
    await finish(one)
    expect(refusal(replace(one, second, { id: 'later' }))).toBe('ENROLMENT_REFUSED')
  })

  it('lives no longer than its limit, whatever the operator asks for', async () => {
    const one = world()
    await authorize(one, { lifetimeMs: LIMITS.maxDeviceAuthorizationMs * 10 })
    expect(one.ledger.get(authorizations, ALICE)?.expiresAtMs).toBe(one.nowMs + LIMITS.maxDeviceAuthorizationMs)
  })

  it('with an unsound device key refuses, and the authorization is good for a sound one', async () => {
    const one = world()
    const authorization = await authorize(one)
    replace(one, authorization, { deviceKey: UNSOUND_KEY })
    expect((await finish(one)).sends).toMatchObject([{ kind: 'refusal', body: { code: 9003 } }])
    expect(one.definition.deviceKey?.(one.ledger, ALICE)).toBe('revoked')
    expect(refusal(replace(one, authorization, { id: 'sound' }))).toBeUndefined()
  })

  it('goes on after a restart in the middle', async () => {
    const one = world()
    replace(one, await authorize(one))
    const restarted = one.start()
    expect(restarted.jobs.map(({ name }) => name)).toEqual(['issue-replacement'])
  })

  it('logs and records no key, PIN or authorization', async () => {
    const one = world()
    const authorization = await authorize(one)
    const text = JSON.stringify(replace(one, authorization).record ?? {})
    for (const secret of [authorization, one.pinKeyOf(ALICE), DEVICE]) expect(text).not.toContain(toHex(secret))
  })
})
