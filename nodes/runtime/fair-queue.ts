/**
 * A queue in which senders take turns, so that one who floods it delays nobody else. Each sender has a lane, first in first out;
 * lanes stand in a ring, and a turn takes one item, or several from the lane of a group, inside which its members take turns
 * again. A push and a shift cost the same however many wait.
 *
 * Invariants: between two turns of one lane every other lane that is not empty has its turn. A lane holds at most its bound, and
 * at most `LIMITS.maxSenderShare` times what is still free, so that a queue which others have filled still has room for a
 * newcomer (the dynamic thresholds of Choudhury and Hahne). What does not fit is refused, never dropped unseen.
 */
import { LIMITS } from '../../protocol/limits.ts'
import { newLine, shiftLine, type Line } from './queue.ts'

/** Who an item is from. With `member`, the sender is a group whose members take turns: guests, or a data center's originators. */
export type Lane = {
  readonly sender: string
  readonly member?: string
  /** Items in a turn; the lane may hold as many times the bound of one sender. Default: 1. */
  readonly turns?: number
}

export type FairQueue<T> = {
  readonly size: number
  readonly bytes: number
  /** False when the lane, its group or the queue is full. */
  readonly push: (lane: Lane, item: T, bytes: number) => boolean
  readonly shift: () => T | undefined
}

export type FairQueueBounds = { readonly items: number; readonly bytes: number; readonly perSender: number }

type Held<T> = { readonly item: T; readonly bytes: number }
/** What holds something: a lane of items, or a group of lanes, in the order of their turns. */
type Ring<T> = {
  readonly name: string
  readonly turns: number
  size: number
  bytes: number
  /** Items that its turn may still take. */
  left: number
  readonly items: Line<Held<T>>
  /** Of a group: its lanes, and their order. */
  readonly lanes: Map<string, Ring<T>> | undefined
  readonly order: Line<Ring<T>>
}
type Group<T> = Ring<T> & { readonly lanes: Map<string, Ring<T>> }

const EMPTY = { size: 0, bytes: 0 }

export const createFairQueue = <T>(bounds: FairQueueBounds): FairQueue<T> => {
  const ring = <L extends Ring<T>['lanes']>(
    name: string,
    turns: number,
    lanes: L,
  ): Ring<T> & { readonly lanes: L } => ({
    name,
    turns,
    size: 0,
    bytes: 0,
    left: 0,
    items: newLine(),
    lanes,
    order: newLine(),
  })
  const lane = (name: string, turns: number): Ring<T> => ring(name, turns, undefined)
  const group = (name: string, turns: number): Group<T> => ring(name, turns, new Map<string, Ring<T>>())
  const all = group('', 1)

  /** `most`: what it may hold at all; `free`: what is left where it stands. */
  const fits = (held: Pick<Ring<T>, 'size' | 'bytes'>, bytes: number, most: number, free: number): boolean =>
    held.size < most &&
    held.size < LIMITS.maxSenderShare * free &&
    held.bytes + bytes <= LIMITS.maxSenderShare * (bounds.bytes - all.bytes - bytes)
  const join = <R extends Ring<T>>(of: Group<T>, one: R): R => {
    of.lanes.set(one.name, one)
    of.order.items.push(one)
    return one
  }
  const put = (to: Ring<T>, held: Held<T>): void => {
    if (to.lanes === undefined) to.items.items.push(held)
    to.size += 1
    to.bytes += held.bytes
  }

  const takeTurn = (from: Group<T>): Held<T> => {
    const next = from.order.items[from.order.head] as Ring<T>
    if (next.left === 0) next.left = next.turns
    const held = next.lanes === undefined ? (shiftLine(next.items) as Held<T>) : takeTurn(next as Group<T>)
    next.left -= 1
    next.size -= 1
    next.bytes -= held.bytes
    if (next.size === 0) {
      // Nothing is kept of who has sent nothing: there are no more lanes than items.
      shiftLine(from.order)
      from.lanes.delete(next.name)
    } else if (next.left === 0) {
      shiftLine(from.order)
      from.order.items.push(next)
    }
    return held
  }

  return {
    get size() {
      return all.size
    },
    get bytes() {
      return all.bytes
    },
    push: ({ sender, member, turns = 1 }, item, bytes) => {
      const held = { item, bytes }
      const most = Math.min(bounds.items, bounds.perSender * turns)
      const free = bounds.items - all.size
      if (member === undefined) {
        const own = all.lanes.get(sender)
        if (!fits(own ?? EMPTY, bytes, most, free)) return false
        put(own ?? join(all, lane(sender, turns)), held)
      } else {
        // A name of its own: a host that turns out to be a data center may still have a lane without members.
        const name = `${sender} *`
        const of = all.lanes.get(name) as Group<T> | undefined
        const own = of?.lanes.get(member)
        if (!fits(of ?? EMPTY, bytes, most, free)) return false
        if (!fits(own ?? EMPTY, bytes, bounds.perSender, most - (of?.size ?? 0))) return false
        const to = of ?? join(all, group(name, turns))
        put(own ?? join(to, lane(member, 1)), held)
        put(to, held)
      }
      put(all, held)
      return true
    },
    shift: () => {
      if (all.size === 0) return undefined
      const { item, bytes } = takeTurn(all)
      all.size -= 1
      all.bytes -= bytes
      return item
    },
  }
}
