/**
 * What goes wrong, by the seed: on the wire, on the disks, in the machines and their clocks. Invariant: nothing here breaks a promise
 * that a network, a disk or a machine really makes (what was flushed is there after a crash; what arrives unaltered was sent), and
 * after `stop` everything is whole again.
 */
import { LOST, type Fate, type OnSend, type Published } from '../../bus/simulated-bus.ts'
import type { KindName } from '../../protocol/kinds.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { parseFrame } from '../../protocol/seals.ts'
import type { SimNetwork } from '../../nodes/runtime/sim-network.ts'
import type { Chance } from './chance.ts'
import type { Hosts } from './hosts.ts'
import type { Kernel } from './kernel.ts'
import type { Finding, Wire } from './observed.ts'
import { createThief, type Thief } from './thief.ts'
import type { Topology } from './world.ts'

export const FAULTS = {
  delay: 'messages take long',
  duplicate: 'messages come twice',
  reorder: 'messages overtake each other',
  drop: 'messages are lost',
  corrupt: 'bytes of messages change',
  replay: 'old messages come again',
  partition: 'groups of hosts do not reach each other',
  crash: 'hosts die, losing what was not flushed, and start again',
  'clock-skew': 'hosts run on wrong clocks, and start again with them',
  disk: 'commits fail, disks are slow',
  pause: 'hosts stand still',
  disconnect: 'hosts lose their connection to the bus',
  theft: 'who stole a key speaks on under it when it is revoked',
} as const
export type FaultName = keyof typeof FAULTS
export const FAULT_NAMES = Object.keys(FAULTS) as readonly FaultName[]

export type Faults = {
  readonly start: () => void
  /** Heals everything, and nothing happens any more. */
  readonly stop: () => void
  readonly areOver: () => boolean
  readonly onSend: OnSend
  /** Told of everything that the broker takes. */
  readonly onPublish: (message: Published, origin: Wire['origin']) => void
  /** Of what is being published at this moment. */
  readonly origin: () => Wire['origin']
  readonly onFatal: (host: string, error: unknown) => void
  /** A batch is committed, and not on disk yet. */
  readonly onCommitted: (host: string) => void
  readonly diskSlowness: (host: string) => number
  readonly onRevoked: Thief['onRevoked']
}

/** An injected failure: the only thing that may stop a host. */
class DiskFailure extends Error {
  constructor() {
    super('the disk does not write')
    this.name = 'DiskFailure'
  }
}

/** Of a message on its way, without any fault. */
const HOP_MS = [0.1, 3] as const
const DOWN_MS = { least: 50, mostOften: 3_000, most: 20_000 } as const
const KEPT_MESSAGES = 256
/** Within what the protocol allows between two hosts, however wrong both are. */
const MOST_SKEW_MS = LIMITS.maxFutureSkewMs / 2 - 2_000

/** Kinds of which each simulation has bad luck with a few, so that faults meet the steps of a payment that seldom are met. */
const FRAIL = [
  'payment-request',
  'payment-notice',
  'countersigned-decision',
  'delayed-transfer-confirmation',
  'hold-order',
  'hold-answer',
  'post-order',
  'post-answer',
  'void-order',
  'transfer-order',
  'transfer-answer',
  'bulk-transfer-order',
  'interbank-credit',
  'interbank-booking',
  'interbank-return',
  'countersigned-refund',
  'settlement-batch',
  'settlement-acceptance',
] as const satisfies readonly KindName[]
const UNLUCKY_KINDS = 3
const BAD_LUCK = ['delay', 'drop', 'pause', 'crash'] as const satisfies readonly FaultName[]

/** So many of the hold orders are overtaken by their void, where hosts stand still and run on wrong clocks. */
const OVERTAKEN_SHARE = 0.15
/** The bank of such an order, behind its CPP. */
const BEHIND_MS = [5_000, MOST_SKEW_MS] as const

/** Each fault's rate this time: none at all for some, so that what each does alone is seen as well. */
type Rates = Readonly<Record<FaultName, number>>

/** In the worst little is paid, settled and given back; in the best a fault meets a network that lives. */
const WEATHERS = [0.03, 0.15, 0.5, 1] as const
const drawRates = (chance: Chance, allowed: readonly FaultName[]): Rates => {
  // Drawn for all, so that leaving one out does not change the others.
  const weather = chance.pick(WEATHERS)
  const drawn = FAULT_NAMES.map((name) => [name, chance.chance(0.7) ? weather * chance.fraction() ** 2 : 0] as const)
  return Object.fromEntries(drawn.map(([name, rate]) => [name, allowed.includes(name) ? rate : 0])) as Rates
}

export const createFaults = (deps: {
  readonly kernel: Kernel
  readonly hosts: Hosts
  readonly network: () => SimNetwork
  readonly topology: Topology
  readonly chance: Chance
  readonly allowed: readonly FaultName[] | undefined
  readonly found: (finding: Finding) => void
}): Faults => {
  const { kernel, hosts, network, chance } = deps
  const rates = drawRates(chance, deps.allowed ?? FAULT_NAMES)
  const ids = deps.topology.hosts.map(({ id }) => id)
  const roles = [...new Set(deps.topology.hosts.map(({ role }) => role))]
  /** Of a role first: wallets and shops are many, banks are few. */
  const someHost = (): string => {
    const role = chance.pick(roles)
    return chance.pick(deps.topology.hosts.filter((host) => host.role === role)).id
  }
  const outageMs = (): number => chance.between(DOWN_MS.least, chance.chance(0.3) ? DOWN_MS.most : DOWN_MS.mostOften)
  const unlucky = Array.from({ length: UNLUCKY_KINDS }, () => `.${chance.pick(FRAIL)}.`)
  let active = false
  let stopped = false
  let origin: Wire['origin'] = 'node'
  /** Messages to come again. */
  const kept: Published[] = []
  /** Hosts on the one side of the partition. */
  let island: ReadonlySet<string> = new Set()
  const slow = new Map<string, number>()

  const inject = (as: Wire['origin'], { from, subject, data }: Published): void => {
    const before = origin
    origin = as
    try {
      network().network.inject(from, subject, data)
    } finally {
      origin = before
    }
  }
  const thief = createThief({
    kernel,
    network,
    chance,
    hosts: ids,
    inject: (message) => inject('corrupted', message),
  })
  const altered = (data: Uint8Array): Uint8Array => {
    const bytes = chance.chance(0.2) ? data.slice(0, chance.below(data.length)) : data.slice()
    for (let changes = 1 + chance.below(3); changes > 0 && bytes.length > 0; changes--) {
      const at = chance.below(bytes.length)
      bytes[at] = (bytes[at] as number) ^ (1 << chance.below(8))
    }
    return bytes
  }

  const onSend: OnSend = (message) => {
    const usual = chance.between(...HOP_MS)
    if (!active) return { delaysMs: [usual] }
    if (island.size > 0 && island.has(message.fromHost) !== island.has(message.toHost)) return LOST
    if (chance.chance(rates.drop * 0.2)) return LOST
    if (isOvertaken(message.subject)) overtakeHold(message)
    if (chance.chance(rates.crash * 0.003)) dieSoon(chance.chance(0.5) ? message.fromHost : message.toHost)
    const delaysMs = [usual]
    if (chance.chance(rates.delay * 0.3)) delaysMs[0] = chance.between(10, chance.chance(0.2) ? 20_000 : 1_000)
    if (chance.chance(rates.duplicate * 0.2)) delaysMs.push(usual + chance.between(0, 2_000))
    const overtake = chance.chance(rates.reorder * 0.3)
    if (unlucky.some((kind) => message.subject.includes(kind)) && chance.chance(0.15)) {
      const luck = chance.pick(BAD_LUCK)
      if (rates[luck] > 0) {
        if (luck === 'drop') return LOST
        if (luck === 'delay') return { delaysMs: [chance.between(1_000, 20_000)], overtake: rates.reorder > 0 }
        if (luck === 'pause') hosts.freeze(message.toHost, chance.between(100, 20_000))
        else dieSoon(message.toHost)
      }
    }
    if (origin === 'node' && chance.chance(rates.corrupt * 0.05)) {
      const { from, subject, data } = message
      kernel.after(usual, () => inject('corrupted', { from, subject, data: altered(data) }))
      if (chance.chance(0.7)) return LOST
    }
    const fate: Fate = overtake ? { delaysMs, overtake: true } : { delaysMs }
    return fate
  }

  const isOvertaken = (subject: string): boolean =>
    subject.includes('.hold-order.') && rates.pause > 0 && rates['clock-skew'] > 0 && chance.chance(OVERTAKEN_SHARE)
  /**
   * The bank stands still from a hold order until its CPP has given the payment up, on a clock by which the order is still good: it finds
   * the void first, since voids are completions and hold orders admissions, and then the hold that must not be held any more.
   */
  const overtakeHold = ({ fromHost: cpp, toHost: bank, data }: Parameters<OnSend>[0]): void => {
    const order = parseFrame(data)
    const expiresAtMs = order.ok ? order.value.header.expiresAtMs : undefined
    if (expiresAtMs === undefined || hosts.isFrozen(bank)) return
    const cppWrongMs = network().host(cpp).wrongByMs()
    const givenUpMs = expiresAtMs - cppWrongMs - kernel.now()
    if (givenUpMs < 0) return
    setClock(bank, Math.max(-MOST_SKEW_MS, cppWrongMs - chance.between(...BEHIND_MS)))
    hosts.freeze(bank, givenUpMs + chance.between(50, 3_000))
  }

  const dieFor = (id: string, downMs: number): void => {
    const unflushed = network().host(id).store().unflushed()
    hosts.crash(id, chance.chance(0.5) ? 0 : chance.below(unflushed + 1))
    kernel.after(downMs, () => {
      // Nothing tells a host that starts that its clock is ahead: whoever starts it has looked.
      if (network().host(id).wrongByMs() > MOST_SKEW_MS) setClock(id, 0)
      hosts.restart(id)
    })
  }

  /** Death comes most often while something is under way. */
  const dieSoon = (id: string): void =>
    void kernel.after(chance.between(0, 2), () => {
      if (active && ids.includes(id)) dieFor(id, outageMs())
    })

  const setClock = (id: string, wrongByMs: number): void => {
    const host = network().host(id)
    host.jumpClock(wrongByMs - host.wrongByMs())
  }
  /** The clock is set right, and the operator says so. */
  const mendClock = (id: string): void => {
    setClock(id, 0)
    const host = hosts.running(id)
    if (host?.gate() === 'paused') host.acceptClock()
  }
  const spoilClock = (): void => {
    const id = someHost()
    if (chance.chance(0.6)) {
      setClock(id, chance.between(-MOST_SKEW_MS, MOST_SKEW_MS))
      return
    }
    const far = chance.between(LIMITS.maxClockJumpMs + 60_000, 6 * LIMITS.maxClockJumpMs)
    const forMs = outageMs()
    // A running host sees a jump either way; one that starts can only see that its clock went back.
    if (chance.chance(0.5)) {
      dieFor(id, forMs)
      setClock(id, -far)
    } else setClock(id, chance.chance(0.5) ? far : -far)
    kernel.after(forMs + chance.between(1_000, 20_000), () => mendClock(id))
  }

  const heal = (): void => {
    island = new Set()
    slow.clear()
    network().network.reconnect()
    for (const id of ids) {
      mendClock(id)
      hosts.thaw(id)
      hosts.restart(id)
    }
  }

  /** Happens again and again, on average after so long at the full rate. */
  const recurring = (name: FaultName, everyMs: number, act: () => void): void => {
    const rate = rates[name]
    if (rate === 0) return
    const next = (): void => {
      const waitMs = (everyMs / rate) * -Math.log(1 - chance.fraction())
      kernel.after(waitMs, () => {
        if (!active) return
        act()
        next()
      })
    }
    next()
  }

  return {
    start: () => {
      active = true
      // Machines are wrong from the beginning, not since somebody looks.
      if (rates['clock-skew'] > 0)
        for (const id of ids) if (chance.chance(0.2)) setClock(id, chance.between(-MOST_SKEW_MS, MOST_SKEW_MS))
      recurring('crash', 5_000, () => dieFor(someHost(), outageMs()))
      recurring('pause', 8_000, () => hosts.freeze(someHost(), chance.between(100, 40_000)))
      recurring('disconnect', 8_000, () => {
        const id = someHost()
        network().network.disconnect(id)
        kernel.after(chance.between(10, 15_000), () => network().network.reconnect(id))
      })
      recurring('partition', 20_000, () => {
        if (island.size > 0) return
        island = new Set(ids.filter(() => chance.chance(0.5)))
        kernel.after(chance.between(100, 30_000), () => {
          island = new Set()
        })
      })
      recurring('disk', 10_000, () => {
        const id = someHost()
        if (!hosts.isUp(id)) return
        if (chance.chance(0.5)) network().host(id).store().failNextCommit(new DiskFailure())
        else {
          slow.set(id, chance.between(5, 200))
          kernel.after(chance.between(1_000, 20_000), () => slow.delete(id))
        }
      })
      recurring('clock-skew', 10_000, spoilClock)
      recurring('replay', 500, () => {
        if (kept.length > 0) inject('replay', chance.pick(kept))
      })
    },
    stop: () => {
      active = false
      stopped = true
      heal()
    },
    areOver: () => stopped,
    onSend,
    onPublish: (message, as) => {
      if (rates.theft > 0) thief.onPublish(message, as)
      if (as !== 'node' || rates.replay === 0) return
      const copy = (): Published => ({ ...message, data: message.data.slice() })
      if (kept.length < KEPT_MESSAGES) kept.push(copy())
      else if (chance.chance(0.2)) kept[chance.below(KEPT_MESSAGES)] = copy()
    },
    origin: () => origin,
    onFatal: (id, error) => {
      if (!(error instanceof DiskFailure)) {
        const detail = error instanceof Error ? (error.stack ?? error.message) : String(error)
        deps.found({ rule: 'no host stops itself', detail: `${id}: ${detail}` })
        return
      }
      // Not from within the host's own step.
      kernel.after(0, () => {
        if (stopped) {
          hosts.crash(id)
          hosts.restart(id)
        } else dieFor(id, outageMs())
      })
    },
    onCommitted: (host) => {
      if (active && chance.chance(rates.crash * 0.008)) dieSoon(host)
    },
    diskSlowness: (host) => slow.get(host) ?? 1,
    onRevoked: (host, keys, version) => {
      if (rates.theft > 0) thief.onRevoked(host, keys, version)
    },
  }
}
