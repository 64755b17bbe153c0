/**
 * The process that a running fleet hangs on: it starts the broker and every host, in waves with bounded concurrency, keeps
 * `fleet.json`, restarts what it is told to, and ends everything it started. Invariant: a fleet directory has one supervisor at
 * a time, and no process of the fleet outlives a supervisor that ends in order; hosts also end when it dies.
 */
import { rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { trustOf } from '../../bus/authority.ts'
import { attachServer, startServer, type NatsServer } from '../../bus/nats-server.ts'
import { isWildcard, serverTls } from '../../bus/tls-authority.ts'
import type { ServerAddress } from '../../bus/tls-client.ts'
import { lockLedger } from '../../nodes/runtime/ledger-lock.ts'
import { bootstrap, type Bootstrap } from './bootstrap.ts'
import { bankOf } from '../../protocol/ids.ts'
import { eachBounded, serial, serialByKey } from './concurrency.ts'
import { makeFleetDirectory, writeJson, type FleetDirectory } from './directory.ts'
import { createHostProcess, type HostProcess } from './host-process.ts'
import { isRevokedId, readRegisterNow, withKeyRoom } from './key-room.ts'
import { leaveHeard } from './heard-files.ts'
import { endLeftovers } from './leftovers.ts'
import { natsUrl, WAVES, type HostRole, type Plan } from './plan.ts'
import { fleetAuthority, provision, type Provisioned } from './provision.ts'
import type { FleetState, FleetStatus, HostStatus, Steps } from './state.ts'
import { statusOf } from './status.ts'

/** Hosts that start at once: starting is mostly computing. */
const STARTS_AT_ONCE = Math.max(2, availableParallelism())
const STOPS_AT_ONCE = 64

export type Supervisor = {
  readonly status: () => FleetStatus
  /** Resolves when every payee and customer is enrolled. @throws Error when a process does not start; `down` is up to the caller */
  readonly start: (steps: Steps) => Promise<void>
  readonly startHost: (id: string) => Promise<void>
  readonly stopHost: (id: string) => Promise<void>
  readonly killHost: (id: string) => Promise<void>
  readonly restartHost: (id: string) => Promise<void>
  /** Lets a host go on with an old ledger. */
  readonly acceptLedger: (id: string) => Promise<void>
  /** `kill`: without letting it end in order. Its port and accounts stay. */
  readonly restartNats: (kill: boolean) => Promise<void>
  /** Ends hosts, then the broker. Safe to call at any time and twice. */
  readonly down: () => Promise<void>
}

/** @throws LedgerLocked when the directory has a supervisor already */
export const createSupervisor = async (plan: Plan, directory: FleetDirectory): Promise<Supervisor> => {
  await makeFleetDirectory(directory)
  const lock = lockLedger(directory.root)
  const startedAtMs = Date.now()
  const served = new Set<string>()
  let phase: FleetState['state'] = 'starting'
  let nats: NatsServer | undefined
  let provisioned: Provisioned | undefined
  let enrolment: Bootstrap | undefined
  let ending: Promise<void> | undefined

  const save = createSaver(() => writeJson(directory.stateFile, state()))
  const hosts = new Map<string, HostProcess>(
    plan.hosts.map((host) => [host.id, createHostProcess(host, directory, save.soon)]),
  )
  const state = (): FleetState => ({
    version: 1,
    network: plan.network,
    state: phase,
    supervisorPid: process.pid,
    natsUrl: nats === undefined ? '' : natsUrl(plan.nats, nats.port),
    tls: plan.nats.tls,
    natsPid: nats?.pid ?? 0,
    startedAtMs,
    hosts: statuses(),
  })
  const revoked = (): ReadonlySet<string> => {
    const register = readRegisterNow(directory)
    return new Set([...hosts.keys()].filter((id) => isRevokedId(register, id)))
  }
  const held = (): ReadonlySet<string> =>
    new Set([...hosts.values()].filter((one) => one.status().state === 'held').map(({ plan: { id } }) => id))
  const statuses = (): readonly HostStatus[] => {
    const out = revoked()
    return [...hosts.values()].map((host) => {
      const status = host.status()
      return out.has(status.id) ? { ...status, state: 'revoked', problem: renewal(status.id) } : status
    })
  }
  const host = (id: string): HostProcess => {
    const found = hosts.get(id)
    if (found === undefined) throw new Error(`no host ${id}; the hosts are ${[...hosts.keys()].join(', ')}`)
    return found
  }
  const checkNotEnding = (): void => {
    if (ending !== undefined) throw new Error('the fleet is being stopped')
  }
  const ofRoles = (roles: readonly HostRole[]): readonly HostProcess[] =>
    [...hosts.values()].filter(({ plan: { role } }) => roles.includes(role))

  const startBroker = async (): Promise<{ readonly server: NatsServer; readonly address: ServerAddress }> => {
    const trust = await trustOf(await fleetAuthority(directory, plan.network))
    const { host: listenHost, port, names } = plan.nats
    const named = isWildcard(listenHost) ? names : [listenHost, ...names]
    const tls = plan.nats.tls
      ? await serverTls(directory.tlsDir, { name: plan.network, hosts: named, nowMs: Date.now() })
      : undefined
    const listen = { host: listenHost, ...(port === undefined ? {} : { port }), ...(tls === undefined ? {} : { tls }) }
    const started = async (): Promise<NatsServer> => {
      try {
        return await startServer({ dir: directory.natsDir, trust, listen })
      } catch (error) {
        // The port of the last run may be somebody else's by now; then any will do, unless the network file names it.
        if (port !== undefined || !/address already in use/.test((error as Error).message)) throw error
        return startServer({ dir: directory.natsDir, trust, listen: { ...listen, port: -1 } })
      }
    }
    const server = await started()
    const servers = [natsUrl(plan.nats, server.port)]
    return { server, address: tls === undefined ? { servers } : { servers, ca: tls.ca } }
  }

  /** Whom this host can not serve without, with why that one does not serve; undefined when nobody is missing. */
  const waitsFor = (
    { plan: { certifiedBy, realm, role } }: HostProcess,
    out: ReadonlySet<string>,
  ): string | undefined => {
    const waiting = held()
    const certifier = certifiedBy.find((one) => out.has(one) || waiting.has(one))
    const directories = role === 'dc' ? [] : ofRoles(['dc']).filter((one) => one.plan.realm === realm)
    const id = certifier ?? (directories.every((one) => waiting.has(one.plan.id)) ? directories[0]?.plan.id : undefined)
    return id === undefined ? undefined : `${id}, which is ${out.has(id) ? 'revoked' : 'held'}`
  }
  /** Everybody who can be enrolled now; who is held is left for when the operator has spoken. */
  const enrol = async (steps: Steps): Promise<void> => {
    if (provisioned === undefined) throw new Error('the hosts have no credentials yet')
    const out = revoked()
    const waiting = held()
    const without = (ids: ReadonlySet<string>) =>
      bootstrap(planWithout(plan, ids), directory, provisioned as Provisioned, served)
    enrolment = without(new Set([...out, ...waiting]))
    await enrolment.all(steps)
    if (waiting.size > 0) enrolment = without(out)
  }

  const start = async (steps: Steps): Promise<void> => {
    await endLeftovers(directory)
    steps.step('broker', 1)
    const broker = await startBroker()
    nats = broker.server
    checkNotEnding()
    provisioned = await withKeyRoom(directory, async () =>
      provision(plan, directory, broker.address, await fleetAuthority(directory, plan.network), startedAtMs),
    )
    steps.advance(broker.address.servers.join(', '))
    steps.done()
    const out = revoked()
    await leaveHeard(directory, plan)
    steps.step('hosts', hosts.size - out.size)
    for (const wave of WAVES)
      await eachBounded(ofRoles(wave), STARTS_AT_ONCE, async (one) => {
        if (out.has(one.plan.id)) return
        checkNotEnding()
        await one.start(waitsFor(one, out))
        steps.advance(one.plan.id)
      })
    steps.done()
    await enrol(steps)
    checkNotEnding()
    phase = 'ready'
    await save.now()
  }

  // One change of a host at a time: what one command does, the next one finds done. Hosts do not wait for each other: one may
  // serve only once the other does, which is down too.
  const inTurn = serial()
  const hostTurns = serialByKey()
  const change = async (id: string, act: () => Promise<void>): Promise<void> => {
    await inTurn(() => Promise.resolve())
    return hostTurns.run(id, act)
  }
  const startHost = async (id: string): Promise<void> => {
    checkNotEnding()
    // The broker would refuse it, and it would dial for ever.
    const out = revoked()
    if (out.has(id)) throw new Error(`${id} is revoked: ${renewal(id)}`)
    await leaveHeard(directory, plan, id)
    checkNotEnding()
    await host(id).start(waitsFor(host(id), out))
    if (!held().has(id)) await enrolment?.host(id)
  }
  const restartBroker = async (kill: boolean): Promise<void> => {
    checkNotEnding()
    if (kill) await nats?.kill()
    else await nats?.stop()
    nats = (await startBroker()).server
    await save.now()
  }

  const end = async (): Promise<void> => {
    phase = 'stopping'
    enrolment?.stop()
    save.soon()
    // Who asks goes before who is asked, so that what is under way can still be answered.
    for (const wave of WAVES.toReversed()) await eachBounded(ofRoles(wave), STOPS_AT_ONCE, (one) => one.stop())
    await inTurn(() => Promise.resolve())
    await hostTurns.settled()
    await (nats ?? (await attachServer(directory.natsDir)))?.stop()
    await save.end()
    await rm(directory.stateFile, { force: true })
    lock.release()
  }

  return {
    status: () => statusOf(plan, state(), served),
    start: (steps) => inTurn(() => start(steps)),
    startHost: (id) => change(id, () => startHost(id)),
    stopHost: (id) => change(id, () => host(id).stop()),
    killHost: (id) => change(id, () => host(id).kill()),
    restartHost: (id) =>
      change(id, async () => {
        await host(id).stop()
        await startHost(id)
      }),
    acceptLedger: (id) =>
      change(id, async () => {
        checkNotEnding()
        await host(id).accept()
        // What could not be enrolled while it was held, too.
        await enrol(SILENT)
      }),
    restartNats: (kill) => inTurn(() => restartBroker(kill)),
    down: () => (ending ??= end()),
  }
}

const SILENT: Steps = { step: () => undefined, advance: () => undefined, done: () => undefined }

const renewal = (id: string): string => `give it new keys with \`semops credential rotate ${id}\``

/** What can be enrolled while these hosts are out: nothing of theirs, and nothing that they would have to answer. */
const planWithout = (plan: Plan, out: ReadonlySet<string>): Plan => ({
  ...plan,
  hosts: plan.hosts.filter(({ id }) => !out.has(id)),
  accounts: plan.accounts.filter(({ bank }) => !out.has(bank)),
  payees: plan.payees.filter(({ host, mpp, account }) => ![host, mpp, bankOf(account)].some((id) => out.has(id))),
  customers: plan.customers
    .map((customer) => ({ ...customer, cpps: customer.cpps.filter((cpp) => !out.has(cpp)) }))
    .filter(({ host, account, cpps }) => !out.has(host) && !out.has(bankOf(account)) && cpps.length > 0),
})

/** Writes after changes, one write at a time; changes during a write are one more write. */
const createSaver = (write: () => Promise<void>) => {
  let running: Promise<void> | undefined
  let again = false
  let ended = false
  const run = async (): Promise<void> => {
    do {
      again = false
      await write()
    } while (again)
  }
  const now = (): Promise<void> => {
    if (ended) return Promise.resolve()
    again = true
    return (running ??= run().finally(() => (running = undefined)))
  }
  return {
    now,
    /** A failed write stops nothing: the socket answers the same. */
    soon: () => void now().catch(() => undefined),
    end: async (): Promise<void> => {
      ended = true
      await running?.catch(() => undefined)
    },
  }
}
