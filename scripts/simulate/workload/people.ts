/**
 * Who is in the network and what they know: their PINs, whether they have a device, and which payments can be given back. What a
 * person knows may be wrong after a crash (which PIN stands?), and is then found out as a person would.
 */
import { CURRENCIES, type Currency } from '../../../protocol/amount.ts'
import type { Draws, Topology } from '../world.ts'
import type { Acting, Reply } from './acting.ts'

export type Customer = {
  readonly id: string
  host: string
  readonly cpp: string
  readonly account: string
  readonly currency: Currency
  readonly alias: string | undefined
  /** One of them stands. The first is tried first; there are more where a change of PIN was cut short. */
  pins: readonly string[]
  /** Pays no more: the account is closed or closing, or there is no device. */
  state: 'paying' | 'without-device' | 'closing'
}

export type Payee = {
  readonly id: string
  readonly host: string
  readonly mpp: string
  readonly account: string
  readonly currency: Currency
  readonly refundPin: string
  /** To whoever pays. */
  readonly answers: 'yes' | 'no' | 'nothing'
}

/** A payment that was confirmed, and how much of it may still be asked back. */
export type Confirmed = {
  readonly customer: string
  readonly payee: string
  readonly txId: string
  readonly amountMinor: bigint
  leftMinor: bigint
}

export type People = {
  readonly customers: Customer[]
  readonly payees: Payee[]
  readonly confirmed: Confirmed[]
}

const ANSWERS = { approve: 'yes', 'reject-all': 'no', silent: 'nothing' } as const

export const peopleOf = ({ customers, payees }: Topology): People => ({
  customers: customers.map(({ id, host, cpp, account, currency, pin, alias }) => ({
    id,
    host,
    cpp,
    account,
    currency: currency as Currency,
    alias,
    pins: [pin],
    state: 'paying',
  })),
  payees: payees.map(({ id, host, mpp, account, currency, refundPin, approval }) => ({
    id,
    host,
    mpp,
    account,
    currency: currency as Currency,
    refundPin,
    answers: ANSWERS[approval],
  })),
  confirmed: [],
})

export const bankOf = (account: string): string => account.slice(0, account.indexOf(':'))
export const realmOf = (id: string): string => id.slice(0, id.indexOf('-'))
export const macroFrom = (currency: Currency): bigint => CURRENCIES[currency].macroFromMinor

export const paying = ({ customers }: People): readonly Customer[] =>
  customers.filter(({ state }) => state === 'paying')

/** Types the PIN into the wallet; whether it is right, the CPP says at a payment. */
export const unlock = (
  { order }: Pick<Acting, 'order'>,
  { id, host, cpp, pins }: Customer,
  pin = pins[0] as string,
): Promise<Reply | undefined> => order(host, 'unlock', { customer: id, cpp, pin })

export const isLocked = ({ ok, code, outcome }: Reply): boolean => !ok && code === 'WRONG_PIN' && outcome === undefined

/** Of PINs one of which stands: this one is not it, as the CPP says, unless it did not hear of a change yet. Tried last from now on. */
export const afterWrong = (pins: readonly string[], wrong: string): readonly string[] =>
  pins.includes(wrong) ? [...pins.filter((one) => one !== wrong), wrong] : pins

/** Of PINs one of which stands, and a change to another that was made or was not. */
export const orElse = (pins: readonly string[], other: string): readonly string[] => [
  ...pins.filter((one) => one !== other),
  other,
]

/** Another PIN than the ones that may stand. */
export const freshPin = (draws: Draws, { pins }: Customer): string => {
  for (;;) {
    const pin = String(100_000 + draws.below(900_000))
    if (!pins.includes(pin)) return pin
  }
}
