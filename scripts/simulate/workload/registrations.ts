/**
 * People come, change what they hold, and go: accounts are opened, customers and payees enrolled, PINs changed, devices lost and
 * replaced, accounts closed. Invariant: what a person does after a crash follows from what the ledgers then say, never from
 * what the person hoped.
 */
import type { Currency } from '../../../protocol/amount.ts'
import type { Draws } from '../world.ts'
import { money, type Acting } from './acting.ts'
import type { Operators } from './operators.ts'
import {
  afterWrong,
  bankOf,
  freshPin,
  macroFrom,
  orElse,
  paying,
  realmOf,
  type Customer,
  type People,
} from './people.ts'

const TRIES = 5
const TRY_AGAIN_MS = 2_000
/** What a wallet says of a change that was on its way when its device was reported lost. */
const CUT_SHORT = 'the device is lost'
const CLOSING_LOOK_MS = 5_000
const APPROVALS = [
  { rule: 'approve' },
  { rule: 'approve' },
  { rule: 'reject-over', limitMinor: '700' },
  { rule: 'silent' },
]

export const createRegistrations = (acting: Acting, people: People, operators: Operators) => {
  const { ask, insist, order, sleep, tell, whenUp, world } = acting
  let newcomers = 0

  /** An account of its own at the same bank as another. */
  const open = async (
    account: string,
    currency: Currency,
    balanceMinor: bigint,
    holder: object = {},
  ): Promise<boolean> => {
    const terms = {
      account,
      holderKey: world.holderKey(account),
      currency,
      balanceMinor: money(balanceMinor),
      ...holder,
    }
    const opened = await insist(bankOf(account), 'open-account', terms)
    if (!opened.ok) return false
    if (balanceMinor > 0n) tell({ type: 'deposited', account, currency, amountMinor: balanceMinor })
    return true
  }

  /** Does the wallet's own word hold: a change that a crash cut short is finished by the host itself. */
  const enrolled = ({ id, host, cpp }: Pick<Customer, 'id' | 'host' | 'cpp'>): boolean => {
    const rows = ask(host, 'customers')
    if (rows === undefined) return false
    return Object.values(rows).some((row) => {
      const { customer, enrolments = [] } = row as {
        readonly customer?: string
        readonly enrolments?: readonly { readonly cpp: string; readonly state: string }[]
      }
      return customer === id && enrolments.some((one) => one.cpp === cpp && one.state === 'enrolled')
    })
  }

  const newCustomer = async (draws: Draws): Promise<void> => {
    const like = draws.pick(people.customers)
    const { host, cpp, currency } = like
    const name = `new${(newcomers += 1)}`
    const id = `${realmOf(like.id)}-${name}`
    const account = `${bankOf(like.account)}:${name}`
    const macroMinor = macroFrom(currency)
    const balanceMinor = draws.chance(0.3) ? macroMinor / 3n : macroMinor * BigInt(5 + draws.below(50))
    if (!(await open(account, currency, balanceMinor))) return
    const alias = draws.chance(0.5) ? `${id}-pays` : undefined
    const pin = String(100_000 + draws.below(900_000))
    const mandate = world.mandate(account, cpp, currency)
    const terms = { customer: id, cpp, account, currency, pin, mandate, ...(alias === undefined ? {} : { alias }) }
    for (let tries = 1; tries <= TRIES; tries++) {
      const reply = await insist(host, 'enrol', terms)
      if (reply.ok) {
        people.customers.push({ id, host, cpp, account, currency, alias, pins: [pin], state: 'paying' })
        return
      }
      await sleep(TRY_AGAIN_MS)
    }
  }

  const newPayee = async (draws: Draws): Promise<void> => {
    const like = draws.pick(people.payees)
    const { host, mpp, currency, refundPin } = like
    const name = `newshop${(newcomers += 1)}`
    const id = `${realmOf(like.id)}-${name}`
    const account = `${bankOf(like.account)}:${name}`
    if (!(await open(account, currency, 0n, { holderHost: { role: 'merchant', host } }))) return
    const approval = draws.pick(APPROVALS)
    const terms = {
      payee: id,
      payeeKind: draws.chance(0.5) ? 'shop' : 'person',
      displayName: name,
      mpp,
      account,
      currency,
      mandate: world.mandate(account, mpp, currency),
      catalogue: [],
      approval,
    }
    for (let tries = 1; tries <= TRIES; tries++) {
      const reply = await insist(host, 'enrol-payee', terms)
      if (reply.ok) {
        const answers = approval.rule === 'silent' ? 'nothing' : 'yes'
        people.payees.push({ id, host, mpp, account, currency, refundPin, answers })
        return
      }
      await sleep(TRY_AGAIN_MS)
    }
  }

  const changePin = async (customer: Customer, draws: Draws): Promise<void> => {
    const { id, host, cpp } = customer
    const newPin = freshPin(draws, customer)
    for (let tries = 1; tries <= TRIES; tries++) {
      await whenUp(host)
      if (customer.state !== 'paying') return
      // What others find out meanwhile changes which one is tried, and an earlier try of this may have brought the new one.
      const pin = customer.pins.find((one) => one !== newPin) ?? ''
      const reply = await order(host, 'change-pin', { customer: id, cpp, pin, newPin })
      if (reply?.ok === true) {
        customer.pins = [newPin]
        return
      }
      if (reply?.code === 'WRONG_PIN') customer.pins = afterWrong(customer.pins, pin)
      // It may stand or not: the CPP says at the next payment.
      const isUnknown = reply === undefined || (reply.code === 'UNDECIDED' && reply['detail'] === CUT_SHORT)
      if (isUnknown) customer.pins = orElse(customer.pins, newPin)
      if (reply?.code !== 'UNDECIDED') return
      await sleep(TRY_AGAIN_MS)
    }
  }

  const replaceDevice = async (customer: Customer, draws: Draws): Promise<void> => {
    const { id, cpp, alias } = customer
    customer.state = 'without-device'
    await insist(customer.host, 'forget-device', { customer: id })
    await sleep(draws.below(10_000))
    const hosts = world.topology.customers.filter((one) => one.cpp === cpp && realmOf(one.id) === realmOf(id))
    const host = draws.chance(0.3) && hosts.length > 0 ? draws.pick(hosts).host : customer.host
    for (let tries = 1; tries <= 4 * TRIES; tries++) {
      await whenUp(cpp)
      const authorized = await order(cpp, 'authorize-device', { customer: id, host })
      if (authorized?.ok === true) {
        await whenUp(host)
        // An earlier change was answered after all, for a device that is not believed any more.
        if (enrolled({ id, host, cpp })) await insist(host, 'forget-device', { customer: id })
        const [pin = ''] = customer.pins
        const { authorization } = authorized
        const terms = { customer: id, cpp, pin, authorization, ...(alias === undefined ? {} : { alias }) }
        const replaced = await order(host, 'replace-device', terms)
        if (replaced?.ok === true || (await finishedLater({ id, host, cpp }))) {
          // Whatever the lost device had asked for is over: the CPP has just said which one stands.
          if (replaced?.ok === true) customer.pins = [pin]
          customer.host = host
          customer.state = 'paying'
          return
        }
        if (replaced?.code === 'WRONG_PIN') customer.pins = afterWrong(customer.pins, pin)
        if (replaced?.code === 'PIN_LOCKED') await order(cpp, 'unlock-customer', { customer: id })
      }
      await sleep(TRY_AGAIN_MS)
    }
  }

  /** The CPP's word: the device that it knows is not one that was reported lost. */
  const believed = ({ id, cpp }: Pick<Customer, 'id' | 'cpp'>): boolean =>
    ask(cpp, 'customer', { customer: id })?.['deviceLost'] === false

  /**
   * A change that was on its way when its host died is finished by the host itself. An earlier one whose answer comes now is none: the
   * device it brought was reported lost when this one was authorised.
   */
  const finishedLater = async (wallet: Pick<Customer, 'id' | 'host' | 'cpp'>): Promise<boolean> => {
    for (let tries = 1; tries <= TRIES; tries++) {
      await whenUp(wallet.host)
      if (enrolled(wallet) && believed(wallet)) return true
      await sleep(TRY_AGAIN_MS)
    }
    return false
  }

  /** What is owed is collected first: while the account does not hold it, it is deposited. */
  const close = async (customer: Customer): Promise<void> => {
    const { id, host, cpp } = customer
    if (paying(people).length < 3 || customer.state !== 'paying') return
    customer.state = 'closing'
    for (;;) {
      await whenUp(host)
      let answered = false
      const closing = order(host, 'close-account', { customer: id, cpp, pin: customer.pins[0] }).then((reply) => {
        answered = true
        return reply
      })
      for (let looks = 0; !answered; looks++) {
        await sleep(CLOSING_LOOK_MS)
        if (!answered && looks > 0) await operators.makeCollectable(customer)
      }
      const reply = await closing
      // Unknown: closed meanwhile, by what its host sent before it died.
      if (reply?.ok === true || reply?.code === 'CUSTOMER_UNKNOWN' || reply?.code === 'CUSTOMER_CLOSED') return
      if (reply?.code === 'UNDECIDED') await operators.makeCollectable(customer)
      else if (reply !== undefined) {
        customer.state = 'paying'
        return
      }
      await sleep(TRY_AGAIN_MS)
    }
  }

  return {
    newCustomer,
    newPayee,
    changePin,
    replaceDevice,
    close,
  }
}
export type Registrations = ReturnType<typeof createRegistrations>
