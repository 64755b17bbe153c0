/** What people know of their PINs, whatever their wallet says or does not say: the one that stands is never forgotten. */
import { describe, expect, it } from 'vitest'
import { createChance } from '../chance.ts'
import type { Acting, Reply } from './acting.ts'
import type { Operators } from './operators.ts'
import type { Customer, People } from './people.ts'
import { createRegistrations } from './registrations.ts'

const OLD = '246810'
const OTHER = '135790'

/** A customer whose wallet answers as it is told to, and what was ordered of it. */
const wallet = (pins: readonly string[], replies: readonly (Reply | undefined)[]) => {
  const customer: Customer = {
    id: 'hu-alice',
    host: 'hu-phone-1',
    cpp: 'hu-cpp',
    account: 'hu-bank:alice',
    currency: 'EUR',
    alias: undefined,
    pins,
    state: 'paying',
  }
  const tried: Readonly<Record<string, string>>[] = []
  const left = [...replies]
  const acting = {
    whenUp: async () => {},
    // A payment was refused meanwhile, so that the next PIN is tried.
    sleep: async () => {
      customer.pins = [...customer.pins.slice(1), ...customer.pins.slice(0, 1)]
    },
    order: async (_host: string, _name: string, args: Readonly<Record<string, string>>) => {
      tried.push(args)
      return left.shift()
    },
  } as unknown as Acting
  const { changePin } = createRegistrations(acting, {} as People, {} as Operators)
  return { customer, tried, change: () => changePin(customer, createChance('pins')) }
}
const refused = (code: string, detail = ''): Reply => ({ ok: false, code, detail })
const UNDER_WAY = refused('UNDECIDED', 'a payment made with the old PIN is under way')

describe('a change of PIN', () => {
  it('that is not begun yet leaves one PIN, whatever is tried meanwhile', async () => {
    const { customer, tried, change } = wallet([OLD], [UNDER_WAY, UNDER_WAY, { ok: true }])
    await change()
    const newPin = tried[0]?.['newPin']
    expect(tried.map((one) => [one['pin'], one['newPin']])).toEqual([
      [OLD, newPin],
      [OLD, newPin],
      [OLD, newPin],
    ])
    expect(newPin).not.toBe(OLD)
    expect(customer.pins).toEqual([newPin])
  })

  it.each([
    ['a host that dies', undefined],
    ['a device that is reported lost', refused('UNDECIDED', 'the device is lost')],
  ])('cut short by %s: either may stand', async (_, reply) => {
    const { customer, tried, change } = wallet([OLD, OTHER], [reply, refused('CUSTOMER_UNKNOWN')])
    await change()
    expect(new Set(customer.pins)).toEqual(new Set([OLD, OTHER, tried[0]?.['newPin']]))
  })

  it('with a PIN that does not stand: the other one is next, and none is dropped', async () => {
    const { customer, change } = wallet([OLD, OTHER], [refused('WRONG_PIN')])
    await change()
    expect(customer.pins).toEqual([OTHER, OLD])
  })
})
