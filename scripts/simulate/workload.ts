/**
 * What people and operators do in a simulated network, drawn from its seed: everybody at once, in open loop, so that whoever is slow
 * or dead is offered as much as before. Invariant: the same seed and network give the same acts; each payment is told once.
 */
import type { Told } from './observed.ts'
import type { World } from './world.ts'
import { createActing } from './workload/acting.ts'
import { createOperators } from './workload/operators.ts'
import { createPayments, SIZES } from './workload/payments.ts'
import { paying, peopleOf, realmOf, type Customer, type Payee } from './workload/people.ts'
import { createRefunds } from './workload/refunds.ts'
import { createRegistrations } from './workload/registrations.ts'

export type WorkloadOptions = {
  readonly payments: number
  readonly tell: (fact: Told) => void
  /** Only these acts beside payments. Default: all. */
  readonly acts?: readonly Act[]
}
export type Workload = {
  readonly start: () => void
  /** Every act was begun, and has ended. */
  readonly done: () => boolean
  /** Payments told. */
  readonly made: () => number
  /** What is under way, for whoever asks why it does not end. */
  readonly open: () => readonly string[]
}

/** Beside payments: how often, in acts for each hundred payments, before the seed's mood. */
export const ACTS = {
  refund: 22,
  deposit: 4,
  recover: 10,
  'settle-now': 5,
  'new-customer': 3,
  'new-payee': 2,
  'change-pin': 3,
  'replace-device': 2,
  'close-account': 1.5,
  'change-policy': 4,
  dispute: 2,
  rotate: 2,
  revoke: 2,
  estrange: 5,
  'fund-reserve': 1,
} as const satisfies Readonly<Record<string, number>>
export type Act = keyof typeof ACTS

/** Kinds of payment: how often, of each hundred, before the seed's mood. */
const PURCHASES = { local: 62, international: 30, alias: 8, 'wrong-pin': 3, 'unknown-payee': 2, flurry: 7 } as const
type Kind = keyof typeof PURCHASES
const MOODS = [0, 0.5, 1, 1, 1, 2] as const
const PACES_MS = [15, 60, 250, 900] as const
const MOST_IN_A_FLURRY = 4
/** What the payee says, of each hundred payments. */
const ANSWERS = { yes: 80, no: 15, nothing: 5 } as const satisfies Readonly<Record<Payee['answers'], number>>
/** What the banks are given at the end where a seed has left them short, in multiples of M. */
const RESERVE_IN_M = 1_000_000n

export const createWorkload = (world: World, { payments, tell, acts }: WorkloadOptions): Workload => {
  let told = 0
  const acting = createActing(world, (fact) => {
    if (fact.type === 'paid') told += 1
    tell(fact)
  })
  const people = peopleOf(world.topology)
  const purchases = createPayments(acting, people)
  const operators = createOperators(acting, people)
  const refunds = createRefunds(acting, people)
  const registrations = createRegistrations(acting, people, operators)
  const draws = world.draws('workload')
  const open = new Set<string>()
  let begun = false
  let scheduled = 0
  let made = 0
  let number = 0

  /** Counted as open until it ends; what it throws is the simulation's own fault. */
  const keep = (what: string, act: () => Promise<void>): void => {
    open.add(what)
    void act().then(
      () => open.delete(what),
      (error: unknown) => {
        open.delete(what)
        world.after(0, () => {
          throw error
        })
      },
    )
  }
  const weighted = <K extends string>(weights: Readonly<Record<K, number>>): Readonly<Record<K, number>> =>
    Object.fromEntries(
      Object.entries<number>(weights).map(([name, weight]) => [name, weight * draws.pick(MOODS)]),
    ) as Record<K, number>
  const draw = <K extends string>(weights: Readonly<Record<K, number>>): K | undefined => {
    const entries = Object.entries(weights) as [K, number][]
    let at = (draws.below(1_000_000) / 1_000_000) * entries.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [name, weight] of entries) if ((at -= weight) < 0) return name
    return undefined
  }
  const kinds = { ...weighted(PURCHASES), local: PURCHASES.local }
  const sizes = { ...weighted({ tiny: 2, small: 5, large: 5, border: 1, macro: 5, threshold: 3 }), small: 5 }
  const others = weighted(ACTS)

  const pickPayee = (customer: Customer, kind: Kind): Payee => {
    const home = people.payees.filter(({ id }) => (realmOf(id) === realmOf(customer.id)) === (kind !== 'international'))
    const there = home.length > 0 ? home : people.payees
    const answer = draw(ANSWERS) ?? 'yes'
    const answering = there.filter(({ answers }) => answers === answer)
    return draws.pick(answering.length > 0 ? answering : there)
  }

  const purchase = (customer: Customer, kind: Kind): void => {
    const n = (number += 1)
    const own = world.draws(`payment ${n}`)
    const payee = pickPayee(customer, kind)
    const size = draw(sizes) ?? SIZES[0]
    const amountMinor = purchases.amountFor(size, customer, payee, own)
    const name = `payment ${n}: ${customer.id} pays ${payee.id} ${amountMinor} ${payee.currency} (${kind})`
    made += 1
    keep(name, () => {
      switch (kind) {
        case 'alias':
          return customer.alias === undefined
            ? purchases.pay({ customer, payee, amountMinor }, own)
            : purchases.requestToPay(customer, payee, amountMinor, own)
        case 'wrong-pin':
          return purchases.payWithWrongPin({ customer, payee, amountMinor }, own)
        case 'unknown-payee': {
          const nobody = { id: `${realmOf(payee.id)}-nobody`, currency: payee.currency }
          return purchases.pay({ customer, payee: nobody, amountMinor }, own)
        }
        default:
          return purchases.pay({ customer, payee, amountMinor }, own)
      }
    })
  }

  /** One or, in a flurry, a few of one customer at the same moment: they race for the same threshold. */
  const arrive = (): void => {
    const able = paying(people)
    const customer = draws.pick(able.length > 0 ? able : people.customers)
    const kind = draw(kinds) ?? 'local'
    const count = kind === 'flurry' ? 2 + draws.below(MOST_IN_A_FLURRY - 1) : 1
    for (let i = 0; i < count && made < payments; i++) purchase(customer, kind)
  }

  const act = (name: Act): void => {
    const n = (number += 1)
    const own = world.draws(`${name} ${n}`)
    const someone = (): Customer | undefined => {
      const able = paying(people)
      return able.length === 0 ? undefined : own.pick(able)
    }
    const doings: Readonly<Record<Act, () => Promise<void>>> = {
      refund: () => refunds.refund(own),
      deposit: () => operators.depositFor(own),
      recover: () => operators.recover(own),
      'settle-now': () => operators.settleNow(own),
      'new-customer': () => registrations.newCustomer(own),
      'new-payee': () => registrations.newPayee(own),
      'change-pin': async () => {
        const customer = someone()
        if (customer !== undefined) await registrations.changePin(customer, own)
      },
      'replace-device': async () => {
        const customer = someone()
        if (customer !== undefined) await registrations.replaceDevice(customer, own)
      },
      'close-account': async () => {
        const customer = someone()
        if (customer !== undefined) await registrations.close(customer)
      },
      'change-policy': () => operators.changePolicy(own),
      dispute: () => operators.dispute(own),
      rotate: () => operators.rotate(own),
      revoke: () => operators.revoke(own),
      estrange: () => operators.estrange(own),
      'fund-reserve': () => operators.reserves((macroMinor) => macroMinor * BigInt(1 + own.below(20))),
    }
    keep(`${name} ${n}`, doings[name])
  }

  /** What a seed left without money gets some, so that everything owed between banks can come to rest. */
  const finish = (): void => {
    keep('reserves at the end', () => operators.reserves((macroMinor) => macroMinor * RESERVE_IN_M))
    begun = true
  }

  return {
    start: () => {
      const paceMs = draws.pick(PACES_MS)
      let atMs = 0
      const later = (): number => {
        atMs += Math.floor((paceMs * (1 + draws.below(200))) / 100)
        return atMs
      }
      const schedule = (what: () => void): void => {
        scheduled += 1
        world.after(later(), () => {
          what()
          scheduled -= 1
          if (scheduled === 0 && made >= payments) finish()
        })
      }
      const plan: (() => void)[] = []
      for (let n = 0; n < payments; n++) plan.push(() => void (made < payments && arrive()))
      for (const name of Object.keys(ACTS) as Act[]) {
        if (acts !== undefined && !acts.includes(name)) continue
        const expected = (others[name] * payments) / 100
        const count = Math.floor(expected) + (draws.below(1_000) < (expected % 1) * 1_000 ? 1 : 0)
        for (let n = 0; n < count; n++) plan.splice(draws.below(plan.length + 1), 0, () => act(name))
      }
      for (const what of plan) schedule(what)
      if (plan.length === 0) finish()
    },
    done: () => begun && open.size === 0,
    made: () => told,
    open: () => [...open],
  }
}
