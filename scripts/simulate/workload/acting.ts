/**
 * How people act in the simulated network: they order things over a host's control socket, wait until a host that died is back, and
 * look up what became of what they ordered. Invariant: nothing is done twice unless it is safe to do twice, and what the
 * judges are told took place in a ledger that outlived every crash so far.
 */
import type { Answer } from '../../../nodes/runtime/host-types.ts'
import type { Told } from '../observed.ts'
import type { Draws, World } from '../world.ts'

/** A host that is up answers within this, whatever happens around it: longer than any deadline of a node's. */
export const ANSWERED_WITHIN_MS = 4 * 3_600_000
const LOOK_EVERY_MS = 500

export type Reply = Readonly<Record<string, unknown>> & { readonly ok: boolean; readonly code?: string }

export type Acting = {
  readonly world: World
  readonly tell: (fact: Told) => void
  readonly sleep: (ms: number) => Promise<void>
  readonly whenUp: (host: string) => Promise<void>
  /** Undefined: the host was down, or died first, and it may have done it or not. */
  readonly order: (host: string, name: string, args?: object) => Promise<Reply | undefined>
  /** The same until there is an answer: for what may be done twice. */
  readonly insist: (host: string, name: string, args?: object) => Promise<Reply>
  /** Of committed state; undefined while the host is down. */
  readonly ask: (host: string, read: string, args?: object) => Reply | undefined
  /** One at a time for each name, in the order of their coming. */
  readonly inTurn: <T>(name: string, act: () => Promise<T>) => Promise<T>
  /** How often something happened whose answer may be lost: counted once its host is up, before and after. */
  readonly happened: (host: string, count: () => number | undefined) => Promise<number>
}

/** The node's word, or the runtime's where it did not come to the node. */
const replyOf = (answer: Answer): Reply =>
  answer.ok ? { ok: true, ...(answer.value as object) } : { ok: false, ...answer.error }

export const createActing = (world: World, tell: (fact: Told) => void): Acting => {
  const turns = new Map<string, Promise<unknown>>()
  const sleep: Acting['sleep'] = (ms) => new Promise((resolve) => world.after(ms, resolve))
  const whenUp: Acting['whenUp'] = async (host) => {
    while (!world.isUp(host)) await sleep(LOOK_EVERY_MS)
  }
  const order: Acting['order'] = async (host, name, args = {}) => {
    if (!world.isUp(host)) return undefined
    const answer = await world.command(host, name, { ...args }, ANSWERED_WITHIN_MS)
    return answer === undefined ? undefined : replyOf(answer)
  }
  const ask: Acting['ask'] = (host, read, args = {}) => {
    const answer = world.ask(host, read, { ...args })
    return answer === undefined ? undefined : replyOf(answer)
  }
  return {
    world,
    tell,
    sleep,
    whenUp,
    order,
    ask,
    insist: async (host, name, args) => {
      for (;;) {
        await whenUp(host)
        const reply = await order(host, name, args)
        if (reply !== undefined) return reply
        await sleep(LOOK_EVERY_MS)
      }
    },
    inTurn: (name, act) => {
      const before = turns.get(name) ?? Promise.resolve()
      const mine = before.then(act, act)
      turns.set(name, mine)
      return mine
    },
    happened: async (host, count) => {
      for (;;) {
        await whenUp(host)
        const counted = count()
        if (counted !== undefined) return counted
        await sleep(LOOK_EVERY_MS)
      }
    },
  }
}

/** 0 … limit − 1 */
export const belowMinor = (draws: Draws, limit: bigint): bigint =>
  limit <= 1n ? 0n : BigInt(draws.below(Number(limit > 0xffff_ffffn ? 0xffff_ffffn : limit)))

/** Decimal text, as the control socket takes money. */
export const money = (amountMinor: bigint): string => amountMinor.toString()
