/**
 * The crash matrix on real processes: a network in which everything happens, whose hosts are told to die at every durable step they
 * take, before and after each stage of its commit. A host that died is started again and the network goes on; every so often it comes to rest
 * and is judged: no payment with two ends, no money made or lost, everything decided in time.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { eventually, startFaultFleet, type DiedAt, type FaultFleet } from '../e2e/fault-fleet.ts'
import { judgePayments } from '../e2e/payment-judge.ts'
import { startStream } from '../e2e/payment-stream.ts'
import type { HostPlan, HostRole } from '../fleet/plan.ts'
import { createActor, type Act, type ActCount } from './acts.ts'
import { createCells, type CellFilter, type Coverage } from './cells.ts'
import { examineLedgers } from './ledgers.ts'
import { MATRIX_NETWORK } from './network.ts'
import { operatorsActs } from './operators.ts'
import { createOutages } from './outages.ts'
import { orderOf, peoplesActs } from './people.ts'
import { judgeRound, type RoundJudgement } from './round-judge.ts'

export type MatrixOptions = CellFilter & {
  /** Ends after this long, whatever is open: the round under way is judged. */
  readonly maxMs: number
  /** Deaths after which the network comes to rest and is judged. */
  readonly deathsPerRound: number
  /** A round without a death for this long is judged; two such rounds end the matrix. */
  readonly idleMs: number
  /** How late a sweep may come on a machine that is busy with other things. */
  readonly stallMs: number
  /** Payments alone, or all that people and operators do. */
  readonly acts: boolean
  readonly onProgress: (line: string) => void
}

export type MatrixResult = {
  readonly ok: boolean
  readonly deaths: number
  readonly rounds: number
  readonly payments: number
  readonly confirmed: number
  readonly seconds: number
  /** How long hosts were down, together. */
  readonly downSeconds: number
  readonly coverage: readonly Coverage[]
  readonly acts: readonly ActCount[]
  /** The latest that a decision came after it might be expected, by what it waited for, in milliseconds. */
  readonly latestMs: RoundJudgement['latestMs'] & { readonly order: number }
  /** Journal entries of all ledgers, whose chains were checked, and orders of CPPs to their banks. */
  readonly entries: number
  readonly orders: number
  /** What broke a rule, and in which round. */
  readonly violations: readonly string[]
}

/** A host dies there only when it is started. */
const AT_START = 'started'
/** How often a host is started that does not serve in time. */
const STARTS = 3
const IN_FLIGHT = 5
const PATIENCE_MS = 600_000
const REST_MS = 120_000
/** For every host to serve again once none dies any more: some starts, each given up after a minute, on a machine that is busy. */
const RETURN_MS = 240_000
const LOOK_MS = 60
/** Hosts that may die at a time, to begin with; and how long one may take to come to its death. */
const AT_ONCE = 3
const SLOT_MS = 6_000

export const runMatrix = async (options: MatrixOptions): Promise<MatrixResult> => {
  const startedAt = performance.now()
  const endsAt = startedAt + options.maxMs
  const { onProgress: say } = options
  say('starting the network')
  await using net = await startFaultFleet(MATRIX_NETWORK)
  const cells = createCells(options)
  const outages = createOutages()
  const judge = judgePayments(net)
  const actor = createActor()
  const violations: string[] = []
  const finals = new Map<string, string>()
  const sums = { deaths: 0, rounds: 0, payments: 0, confirmed: 0 }
  let latestMs: RoundJudgement['latestMs'] = { expiry: 0, bank: 0 }
  const mortals = mortalHosts(net, options.roles)
  /** Rounds in a row in which nobody died where nobody had. */
  let idle = 0
  /** Ended only to be started again. */
  const killed = new Set<string>()
  const seen = new Map<string, number>()
  const takeSteps = async (): Promise<void> => {
    for (const { id, role } of mortals) {
      const { points, steps, taken, seq } = await net.faultPoints(id, seen.get(id) ?? 1)
      cells.declare(role, steps, points)
      cells.take(role, Object.keys(taken))
      seen.set(id, seq + 1)
    }
  }
  await takeSteps()

  /** One round: payments and acts go on while hosts die, and then the network comes to rest. */
  const round = async (): Promise<void> => {
    const before = cells.hits()
    const stream = startStream(net, IN_FLIGHT, (i) => orderOf(sums.payments + i), PATIENCE_MS)
    const acts: readonly Act[] = options.acts ? [...peoplesActs(net, () => stream.made), ...operatorsActs(net)] : []
    const acting = actor.start(acts)
    try {
      await die()
    } finally {
      await acting.stop()
    }
    const made = await stream.stop()
    sums.rounds += 1
    sums.payments += made.size
    sums.confirmed += [...made.values()].filter(({ result }) => result.outcome === 'confirmed').length
    await takeSteps()
    const judged = await judgeRound({ net, judge, outages, made, finals, stallMs: options.stallMs, restMs: REST_MS })
    violations.push(...judged.violations.map((text) => `round ${sums.rounds}: ${text}`))
    latestMs = {
      expiry: Math.max(latestMs.expiry, judged.latestMs.expiry),
      bank: Math.max(latestMs.bank, judged.latestMs.bank),
    }
    const hit = cells.hits() - before
    idle = hit === 0 ? idle + 1 : 0
    const left = rolesOf(mortals).reduce((sum, role) => sum + cells.openTaken(role), 0)
    say(
      `round ${sums.rounds}: ${hit} cells hit, ${left} of known steps not; ${made.size} payments, ${judged.violations.length} violations; ` +
        `${Math.round((performance.now() - startedAt) / 1_000)} s`,
    )
  }

  /** Lets hosts die until enough did, or none does any more; leaves them all up. */
  const die = async (): Promise<void> => {
    const armed = new Map<string, number>()
    const burying = new Map<string, Promise<void>>()
    const waiting = mortals.filter(({ role }) => cells.open(role).length > 0)
    let atOnce = AT_ONCE
    let deaths = 0
    let lastDeathAt = performance.now()
    let lastFailure = ''
    const goOn = (): boolean =>
      deaths < options.deathsPerRound && performance.now() < endsAt && performance.now() - lastDeathAt < options.idleMs
    /** Starts each host that is down, beside the others: one may serve only once the other does. */
    const buryDead = async (): Promise<void> => {
      const statuses = await net.statuses()
      for (const one of mortals) {
        const isDown = statuses.some(({ id, pid }) => id === one.id && pid === undefined)
        if (!isDown || burying.has(one.id)) continue
        armed.delete(one.id)
        const buried = bury(one)
          .then((count) => {
            deaths += count
            lastDeathAt = performance.now()
            atOnce = Math.max(AT_ONCE, atOnce - 1)
          })
          .catch((error: unknown) => {
            // It is tried again; what counts is whether all are up in the end.
            killed.add(one.id)
            lastFailure = (error as Error).message
          })
          .finally(() => {
            burying.delete(one.id)
            waiting.push(one)
          })
        burying.set(one.id, buried)
      }
    }
    while (goOn()) {
      for (const [id, at] of armed)
        if (performance.now() - at > SLOT_MS && atOnce < mortals.length) {
          // It does not come to where it is to die: others may.
          atOnce += 1
          armed.set(id, performance.now())
        }
      for (let tries = waiting.length; tries > 0 && armed.size < atOnce; tries--) {
        const one = waiting.shift() as HostPlan
        const open = cells.open(one.role).map(({ step, point }) => ({ step, point, count: 1 }))
        if (open.length === 0) continue
        try {
          if (open.every(({ step }) => step === AT_START)) {
            killed.add(one.id)
            await net.kill(one.id)
          } else await net.arm(one.id, open)
          armed.set(one.id, performance.now())
        } catch {
          // It is just dying, or starting.
          waiting.push(one)
        }
      }
      await buryDead()
      if (armed.size === 0 && waiting.length === 0 && burying.size === 0) break
      await delay(LOOK_MS)
    }
    const allUp = async (): Promise<boolean> => {
      await Promise.all(mortals.map(({ id }) => net.arm(id, []).catch(() => undefined)))
      await buryDead()
      await Promise.all(burying.values())
      return (await net.statuses()).every(({ pid }) => pid !== undefined)
    }
    await eventually('every host up again', RETURN_MS, allUp, () => lastFailure)
  }

  /** A host that is down is counted where it died, and started again; while it starts it may be told to die once more. */
  const bury = async (host: HostPlan): Promise<number> => {
    const { id, role } = host
    const died = await net.diedAt(id)
    outages.down(id, died?.atMs ?? Date.now())
    let deaths = count(host, died)
    const starting = cells.open(role).find(({ step }) => step === AT_START)
    if (starting !== undefined) {
      await net.armStart(id, [{ step: starting.step, point: starting.point, count: 1 }])
      await net.start(id).catch(() => undefined)
      const { pid } = await net.statusOf(id)
      await net.armStart(id, [])
      // What it starts with may change nothing: then there is nothing to die at.
      if (pid === undefined) deaths += count(host, await net.diedAt(id))
    }
    await startAgain(id)
    outages.up(id, Date.now())
    return deaths
  }
  const startAgain = async (id: string): Promise<void> => {
    for (let left = STARTS; ; left--)
      try {
        if ((await net.statusOf(id)).pid === undefined) await net.start(id)
        return
      } catch (error) {
        // Whom it needs may be down for longer than it is waited for.
        if (left === 1) throw error
      }
  }
  const count = ({ id, role }: HostPlan, at: DiedAt): number => {
    if (at === undefined && killed.delete(id)) return 1
    if (at === undefined) {
      violations.push(`${id} died, and nobody had told it to`)
      return 1
    }
    for (const step of at.steps) cells.hit({ role, step, point: at.point })
    sums.deaths += 1
    return 1
  }

  const goesOn = (): boolean =>
    performance.now() < endsAt && idle < 2 && mortals.some(({ role }) => cells.open(role).length > 0)
  while (goesOn()) {
    try {
      await round()
    } catch (error) {
      violations.push(`round ${sums.rounds + 1} did not end: ${(error as Error).message}`)
      break
    }
  }
  say('reading the ledgers')
  await net.down()
  const ledgers = await examineLedgers(net.directory, net.plan, outages, options.stallMs)
  violations.push(...ledgers.violations)
  const coverage = cells.coverage()
  return {
    ...sums,
    entries: ledgers.entries,
    orders: ledgers.orders,
    ok: violations.length === 0 && coverage.every(isWhole),
    seconds: Math.round((performance.now() - startedAt) / 1_000),
    downSeconds: Math.round(outages.totalMs() / 1_000),
    coverage,
    acts: actor.counts(),
    latestMs: { ...latestMs, order: ledgers.latestOrderMs },
    violations,
  }
}

/** Every step of the role was died at, or there is a reason why nobody came to it. */
const isWhole = ({ missed, notTaken }: Coverage): boolean =>
  missed.length === 0 && notTaken.every(({ why }) => why !== undefined)

const rolesOf = (hosts: readonly HostPlan[]): readonly HostRole[] => [...new Set(hosts.map(({ role }) => role))]

const mortalHosts = ({ plan }: FaultFleet, roles: readonly HostRole[]): readonly HostPlan[] =>
  plan.hosts.filter(({ role }) => roles.length === 0 || roles.includes(role))
