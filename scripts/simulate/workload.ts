/** People who pay: micropayments and macropayments at random, one after the other. */
import type { Told } from './observed.ts'
import type { World } from './world.ts'

export type Workload = {
  readonly start: () => void
  readonly done: () => boolean
  readonly made: () => number
  readonly open: () => readonly string[]
}

export const createWorkload = (
  world: World,
  { payments, tell }: { readonly payments: number; readonly tell: (fact: Told) => void },
): Workload => {
  const draws = world.draws('workload')
  const { customers, payees } = world.topology
  const open = new Set<string>()
  let made = 0
  const next = (): void => {
    if (made >= payments) return
    made += 1
    const { id: customer, host } = draws.pick(customers)
    const { id: payee } = draws.pick(payees)
    const amountMinor = BigInt(draws.chance(0.8) ? 1 + draws.below(400) : 1_000 + draws.below(2_000))
    const name = `${made}: ${customer} → ${payee}`
    open.add(name)
    void world
      .command(host, 'pay', { customer, payee, amountMinor: String(amountMinor), currency: 'EUR' })
      .then((answer) => {
        open.delete(name)
        const value = (answer?.ok === true ? answer.value : undefined) as
          { outcome?: string; code?: string; txId?: string; prId?: string } | undefined
        const code = value?.code ?? (answer?.ok === false ? answer.error.code : undefined)
        tell({
          type: 'paid',
          customer,
          payee,
          amountMinor,
          currency: 'EUR',
          outcome: value?.outcome ?? 'lost',
          code,
          txId: value?.txId,
          prId: value?.prId,
        })
      })
    world.after(draws.below(200), next)
  }
  return { start: next, done: () => made >= payments && open.size === 0, made: () => made, open: () => [...open] }
}
