import { describe, expect, it } from 'vitest'
import { acceptsOf, KINDS } from '../../protocol/kinds.ts'
import type { Message } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { context, TEST_NOW_MS, testBytes, testId, testLedger } from '../runtime/testing.ts'
import { fail } from '../../protocol/failures.ts'
import { bankDefinition } from './definition.ts'
import { fromJson } from '../runtime/json.ts'
import { BankPolicy, DEFAULT_BANK_POLICY } from './policy.ts'
import { REGISTRATIONS } from './state.ts'

const bankWith = (chain: readonly Uint8Array[]) =>
  bankDefinition({
    chain: () => chain,
    isHolderKey: () => true,
    readMandate: () => undefined,
    verifyMandate: () => fail('MANDATE_INVALID'),
  })
const contextAt = (nowMs: number, dataCenters: readonly string[]) =>
  context<BankPolicy, 'bank'>({
    self: { id: 'hu-kh', role: 'bank' },
    nowMs,
    policy: { ...DEFAULT_BANK_POLICY, dataCenters: [...dataCenters] },
  })

describe('the bank in the directory', () => {
  const chain = [testBytes('chain')]
  const started = () => {
    const ledger = testLedger()
    const start = (dataCenters: readonly string[], nowMs = TEST_NOW_MS, shown = chain) =>
      ledger.apply(bankWith(shown).started(ledger, {}, contextAt(nowMs, dataCenters)))
    const registrations = () =>
      ledger.sent.filter(
        (send): send is Message<'processor-registration'> => 'kind' in send && send.kind === 'processor-registration',
      )
    const ready = (dataCenters: readonly string[]) => bankWith(chain).ready(ledger, contextAt(TEST_NOW_MS, dataCenters))
    const receipt = (index: number) => {
      const { delivery } = registrations()[index] as Message<'processor-registration'>
      const key = 'until' in delivery ? delivery.until : []
      ledger.apply(
        bankWith(chain).receipted(
          ledger,
          { kind: 'processor-registration', key: keyOf(...key) },
          contextAt(TEST_NOW_MS, []),
        ),
      )
    }
    return { ledger, start, registrations, ready, receipt }
  }

  it('registers at every data center and is ready when all have receipted', () => {
    const { start, registrations, ready, receipt } = started()
    start(['hu-dc-1', 'hu-dc-2'])
    expect(registrations().map(({ to, nextHop, body }) => [to, nextHop, body.version])).toEqual([
      ['hu-dc-1', { role: 'dc', host: 'hu-dc-1' }, TEST_NOW_MS],
      ['hu-dc-2', { role: 'dc', host: 'hu-dc-2' }, TEST_NOW_MS],
    ])
    expect(ready(['hu-dc-1', 'hu-dc-2'])).toBe(false)
    receipt(0)
    expect(ready(['hu-dc-1', 'hu-dc-2'])).toBe(false)
    receipt(1)
    expect(ready(['hu-dc-1', 'hu-dc-2'])).toBe(true)
  })

  it('registers anew at each start under a higher version, and forgets data centers that the policy names no more', () => {
    const { ledger, start, registrations, receipt, ready } = started()
    start(['hu-dc-1', 'hu-dc-2'])
    receipt(0)
    receipt(1)
    start(['hu-dc-1'], TEST_NOW_MS - 5, [testBytes('rotated')])
    expect(registrations().at(-1)).toMatchObject({
      to: 'hu-dc-1',
      body: { version: TEST_NOW_MS + 1, chain: [testBytes('rotated')] },
    })
    expect(ready(['hu-dc-1'])).toBe(false)
    expect(ledger.rows(REGISTRATIONS)).toEqual([{ host: 'hu-dc-1', version: TEST_NOW_MS + 1 }])
  })

  it('a stale registration is repeated under a higher version; other refusals are logged', () => {
    const { ledger, start, registrations } = started()
    start(['hu-dc-1'])
    const key = keyOf('registration', 'hu-dc-1', TEST_NOW_MS)
    const refused = (code: 'REGISTRATION_STALE' | 'BROKEN_CHAIN') =>
      bankWith(chain).refused(
        ledger,
        { kind: 'processor-registration', key, code, detail: '', by: 'hu-dc-1' },
        contextAt(TEST_NOW_MS, ['hu-dc-1']),
      )
    expect(refused('BROKEN_CHAIN')).toMatchObject({ sends: [], record: { event: 'message-refused', level: 'warn' } })
    ledger.apply(refused('REGISTRATION_STALE'))
    expect(registrations().map(({ body }) => body.version)).toEqual([TEST_NOW_MS, TEST_NOW_MS + 1])
  })

  it('says which kinds it accepts', () => {
    const numbers = acceptsOf('bank').map(({ kind }) => kind)
    expect(numbers).toContain(KINDS['hold-order'].number)
    expect(numbers).toContain(KINDS['bulk-transfer-order'].number)
    expect(numbers).not.toContain(KINDS['payment-request'].number)
  })

  it('ignores a receipt for what needs none', () => {
    const { ledger } = started()
    const decision = bankWith(chain).receipted(
      ledger,
      { kind: 'account-notice', key: keyOf('account-notice', testId('n')) },
      contextAt(TEST_NOW_MS, []),
    )
    expect(decision.writes).toEqual([])
  })
})

describe('a policy', () => {
  const readPolicy = (given: object) => fromJson(BankPolicy, { ...DEFAULT_BANK_POLICY, ...given })
  it('has defaults that fit, and names the key that does not', () => {
    expect(readPolicy({})).toEqual({ ok: true, value: DEFAULT_BANK_POLICY })
    expect(readPolicy({ settlementBank: 'eu-settle', peers: ['hu-kh'] })).toMatchObject({ ok: true })
    expect(readPolicy({ clearing: { windowMs: 1 } })).toMatchObject({
      ok: false,
      problem: expect.stringContaining('clearing/windowMs'),
    })
    expect(readPolicy({ typo: 1 })).toMatchObject({ ok: false })
  })
})
