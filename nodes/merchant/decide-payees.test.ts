import { describe, expect, test } from 'vitest'
import type { FailureCode } from '../../protocol/failures.ts'
import { incoming, testBytes, testId } from '../runtime/testing.ts'
import { oneSent, sentBy } from '../customer/testing/drive.ts'
import { judge, type Approval } from './approval.ts'
import { catalogue, payees } from './state.ts'
import { BAKERY, credentialOf, HOST, merchant, MPP, MPP2, payeeArguments } from './testing/merchant.ts'

describe('enrol-payee: checks in their order', () => {
  const rows: readonly [string, Record<string, unknown>, FailureCode][] = [
    ['a kind that does not exist', { payeeKind: 'ghost' }, 'SCHEMA_VIOLATION'],
    ['a payee outside the grammar', { payee: 'Bakery' }, 'SCHEMA_VIOLATION'],
    ['an item that is free', { catalogue: [{ item: 'air', amountMinor: '0' }] }, 'AMOUNT_INVALID'],
    ['a rule that does not exist', { approval: { rule: 'perhaps' } }, 'SCHEMA_VIOLATION'],
    ['a limit that is no amount', { approval: { rule: 'reject-over', limitMinor: 1.5 } }, 'AMOUNT_INVALID'],
    ['an MPP that has not certified this host', { mpp: MPP2 }, 'ENROLMENT_REFUSED'],
    ['a payee who is here with another account', { account: 'hu-kh:other' }, 'NAME_TAKEN'],
    ["another payee's account", { payee: 'hu-butcher' }, 'NAME_TAKEN'],
  ]
  test.each(rows)('%s', (_, changes, code) => {
    const host = merchant()
    host.enrol()
    const decision = host.control('enrol-payee', payeeArguments(changes))
    expect(decision.reply).toMatchObject({ ok: false, code })
    expect(decision.writes).toEqual([])
  })
})

describe('a payee', () => {
  test("is enrolled by its MPP's record, which names host, account and currency", () => {
    const host = merchant()
    const asked = host.control('enrol-payee', payeeArguments({ payeeKind: 'person' }))
    const { to, body } = oneSent(asked, 'payee-enrolment')
    expect(to).toBe(MPP)
    expect(body).toMatchObject({ payee: BAKERY, payeeKind: 'person', displayName: 'Bakery', account: 'hu-kh:bakery' })
    const credential = credentialOf({ payee: BAKERY, host: HOST, account: 'hu-kh:bakery', currency: 'EUR' })
    const done = host.deliver(
      incoming('payee-enrolment-record', { enrolmentId: body.enrolmentId, credential }, { from: MPP, role: 'mpp' }),
    )
    expect(done.announce).toMatchObject([{ topic: asked.replyOn, value: { ok: true, payee: BAKERY } }])
    expect(host.ledger.rows(payees)).toMatchObject([{ state: 'enrolled', credential }])
    expect(host.ledger.outbox.size).toBe(0)
  })

  test.each([
    ["another MPP's", { from: MPP2 }, {}, 'NOT_FOUND'],
    ['of no enrolment', { enrolmentId: testId('none') }, {}, 'NOT_FOUND'],
    ['of another payee', {}, { payee: 'hu-butcher' }, 'ENROLMENT_REFUSED'],
    ['of another host', {}, { host: 'hu-elsewhere' }, 'ENROLMENT_REFUSED'],
    ['of another account', {}, { account: 'hu-kh:thief' }, 'ENROLMENT_REFUSED'],
  ] as const)('a record %s is refused', (_, where, said, code) => {
    const host = merchant()
    const { body } = oneSent(host.control('enrol-payee', payeeArguments()), 'payee-enrolment')
    const credential = credentialOf({ payee: BAKERY, host: HOST, account: 'hu-kh:bakery', currency: 'EUR', ...said })
    const enrolmentId = 'enrolmentId' in where ? where.enrolmentId : body.enrolmentId
    const record = incoming(
      'payee-enrolment-record',
      { enrolmentId, credential },
      { from: 'from' in where ? where.from : MPP, role: 'mpp' },
    )
    expect(host.deliver(record).refuse?.code).toBe(code)
    expect(host.ledger.rows(payees)).toMatchObject([{ state: 'enrolling' }])
  })

  test('a record that is no credential is refused', () => {
    const host = merchant()
    const { body } = oneSent(host.control('enrol-payee', payeeArguments()), 'payee-enrolment')
    const record = incoming(
      'payee-enrolment-record',
      { enrolmentId: body.enrolmentId, credential: testBytes('junk') },
      { from: MPP, role: 'mpp' },
    )
    expect(host.deliver(record).refuse?.code).toBe('ENROLMENT_REFUSED')
  })

  test('the same again: waits, then is answered at once, with the new catalogue and rule', () => {
    const host = merchant()
    const first = host.control('enrol-payee', payeeArguments())
    expect(host.control('enrol-payee', payeeArguments())).toMatchObject({ replyOn: first.replyOn, sends: [] })
    const { body } = oneSent(first, 'payee-enrolment')
    const credential = credentialOf({ payee: BAKERY, host: HOST, account: 'hu-kh:bakery', currency: 'EUR' })
    host.deliver(
      incoming('payee-enrolment-record', { enrolmentId: body.enrolmentId, credential }, { from: MPP, role: 'mpp' }),
    )
    const again = host.control(
      'enrol-payee',
      payeeArguments({ catalogue: [{ item: 'tea', amountMinor: '90' }], approval: { rule: 'reject-all' } }),
    )
    expect(again.reply).toMatchObject({ ok: true })
    expect(host.ledger.rows(catalogue).map(({ item }) => item)).toContain('tea')
    expect(host.ledger.rows(payees)).toMatchObject([{ approval: { rule: 'reject-all' }, state: 'enrolled' }])
  })

  test('refused by its MPP: told, and free to be tried again; somebody else can not refuse', () => {
    const host = merchant()
    const { body } = oneSent(host.control('enrol-payee', payeeArguments()), 'payee-enrolment')
    host.refused('payee-enrolment', ['payee-enrolment', body.enrolmentId], { code: 'NAME_TAKEN', by: MPP2 })
    expect(host.ledger.rows(payees)).toMatchObject([{ state: 'enrolling' }])
    const refused = host.refused('payee-enrolment', ['payee-enrolment', body.enrolmentId], {
      code: 'NAME_TAKEN',
      by: MPP,
    })
    expect(refused.announce).toMatchObject([{ value: { ok: false, code: 'NAME_TAKEN' } }])
    expect(
      sentBy(host.control('enrol-payee', payeeArguments({ account: 'hu-kh:other' })), 'payee-enrolment'),
    ).toHaveLength(1)
  })
})

describe('the approval rule', () => {
  test.each([
    [{ rule: 'approve' }, 100n, 'approve'],
    [{ rule: 'reject-over', limitMinor: 100n }, 100n, 'approve'],
    [{ rule: 'reject-over', limitMinor: 100n }, 101n, 'reject'],
    [{ rule: 'reject-all' }, 1n, 'reject'],
    [{ rule: 'silent' }, 1n, 'none'],
  ] as const)('%o of %d: %s', (rule: Approval, amount, decision) => {
    expect(judge(rule, amount).decision).toBe(decision)
  })

  test('set-approval: SCHEMA_VIOLATION, AMOUNT_INVALID, NOT_FOUND, then set', () => {
    const host = merchant()
    host.enrol()
    const set = (args: Record<string, unknown>) => host.control('set-approval', args).reply
    expect(set({ payee: 'bakery@hu' })).toMatchObject({ code: 'SCHEMA_VIOLATION' })
    expect(set({ payee: 'bakery@hu', approval: 'silent' })).toMatchObject({ code: 'SCHEMA_VIOLATION' })
    expect(set({ payee: 'bakery@hu', approval: { rule: 'reject-over', limitMinor: '-1' } })).toMatchObject({
      code: 'AMOUNT_INVALID',
    })
    expect(set({ payee: 'butcher@hu', approval: { rule: 'silent' } })).toMatchObject({ code: 'NOT_FOUND' })
    expect(set({ payee: 'bakery@hu', approval: { rule: 'reject-over', limitMinor: '500' } })).toMatchObject({
      ok: true,
    })
    expect(host.read('payees')).toMatchObject([{ payee: BAKERY, approval: { rule: 'reject-over', limitMinor: 500n } }])
  })
})

test('a host with two MPPs registers at both, and is ready when both have receipted', () => {
  const host = merchant({ mpps: [MPP, MPP2] })
  expect(sentBy(host.start(), 'host-registration').map(({ to }) => to)).toEqual([MPP, MPP2])
  host.receipted('host-registration', ['host-registration', MPP])
  expect(host.isReady()).toBe(false)
  host.receipted('host-registration', ['host-registration', MPP2])
  expect(host.isReady()).toBe(true)
})
