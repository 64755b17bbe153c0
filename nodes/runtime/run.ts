/**
 * One host as one process, from its two files to its end: ledger, lock, bus, discovery, control socket; then steps until it is
 * told to stop. Everything it opens it closes, in reverse.
 */
import { chmodSync, mkdirSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import type { Bus, BusEventListener } from '../../bus/bus.ts'
import { natsBroker } from '../../bus/nats-bus.ts'
import { fromHex } from '../../protocol/bytes.ts'
import { createTrust } from '../../protocol/credentials.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { createRotatingBroker } from '../../bus/rotating-bus.ts'
import {
  chainsOf,
  formerKeysOf,
  identityOf,
  readHostConfig,
  readHostCredentials,
  type HostConfig,
  type HostCredentials,
} from './bundle.ts'
import { createBuiltins } from './builtins.ts'
import { systemClock } from './clock.ts'
import { serveControl } from './control.ts'
import { openDiscovery } from './discovery.ts'
import { createDriver } from './drive.ts'
import { DEATH_MESSAGE, readDeath, type Death } from './faults.ts'
import { heardFile, markFile, openMark, readMark } from './head-mark.ts'
import { readHeard } from './heard.ts'
import type { Answer, Host, NodeServices } from './host-types.ts'
import { createHost } from './host.ts'
import { createLedgerDesk, isAnsweredWhileHeld } from './ledger-desk.ts'
import { LedgerError } from './ledger-error.ts'
import { lockLedger } from './ledger-lock.ts'
import { lmdbStore } from './lmdb-store.ts'
import { pinoLog, type Log } from './log.ts'
import { memoryInUse } from './memory-use.ts'
import type { AnyNodeDefinition } from './node.ts'
import { systemRandom } from './random.ts'
import { createReload } from './reload.ts'

export { AlreadyRunning } from './discovery.ts'

export const HOST_VERSION = '0.1.0'

export type RunningHost = {
  readonly host: Host
  readonly socket: string
  /** Why it does nothing until an operator accepts its ledger; undefined when it serves. */
  readonly held: () => string | undefined
  /** Stops admissions, drains, flushes, closes. The reason is `undefined` when it was asked for. */
  readonly stop: () => Promise<void>
  /** Resolves when the host is down; rejects with what stopped it when it was not asked to. */
  readonly ended: Promise<void>
}

/**
 * @param reread the credentials as they are now, for the builtin `reload`; without it there is no such builtin
 * @throws LedgerLocked, LedgerDamaged, LedgerMismatch, RowVersionError, AlreadyRunning, or Error for a policy that does not fit
 */
export const startHost = async (
  credentials: HostCredentials,
  config: HostConfig,
  define: (services: NodeServices) => AnyNodeDefinition,
  log: Log,
  reread?: () => Promise<HostCredentials>,
): Promise<RunningHost> => {
  const { host: id, role, login } = credentials
  mkdirSync(config.ledgerDir, { recursive: true, mode: 0o700 })
  chmodSync(config.ledgerDir, 0o700)
  const closers: (() => Promise<void> | void)[] = []
  const close = async (): Promise<void> => {
    for (const one of closers.splice(0).toReversed()) await one()
  }
  try {
    const lock = lockLedger(config.ledgerDir)
    closers.push(lock.release)
    const store = lmdbStore(join(config.ledgerDir, 'ledger.mdb'))
    closers.push(store.close)
    const marks = join(config.marksDir ?? config.ledgerDir, id)
    const found = { mark: readMark(markFile(marks)), heard: readHeard(heardFile(marks)) }
    const mark = openMark(markFile(marks))
    closers.push(mark.close)
    const broker = createRotatingBroker(natsBroker(login))
    const bus: Bus = await broker.openHost({ onEvent: createWaitingLog(log) })
    closers.push(() => bus.close())
    closers.push(async () => {
      await broker[Symbol.asyncDispose]()
    })

    const engine = loadEngine()
    const driver = createDriver()
    closers.push(driver.stop)
    let end: (error: unknown) => void = () => {}
    const failed = new Promise<unknown>((resolve) => {
      end = resolve
    })
    let definition: AnyNodeDefinition | undefined
    const trust = createTrust(engine, fromHex(credentials.rootKey))
    const host = createHost({
      self: { id, role, realm: credentials.realm, operatorId: credentials.operatorId },
      define: (services) => (definition = define(services)),
      store,
      broker,
      bus,
      clock: systemClock,
      random: systemRandom(),
      trust,
      identity: identityOf(engine, credentials),
      former: formerKeysOf(engine, credentials),
      localKey: fromHex(credentials.localKey),
      trusted: chainsOf(credentials.trusted),
      dataCenters: credentials.dataCenters,
      peerRealms: credentials.peerRealms,
      policy: config.policy,
      durability: config.durability,
      log,
      onWork: driver.wake,
      onFatal: end,
      die: (point, steps) => {
        const dieNow = (): Promise<void> => dieAsTold(point, steps)
        return point === 'after-publish' ? bus.flush().then(dieNow, dieNow) : dieNow()
      },
      onDurable: mark.write,
    })
    if (definition === undefined) throw new Error('a host makes its definition while it is created')
    const desk = createLedgerDesk({
      host,
      trust,
      definition,
      hold: driver.hold,
      release: driver.release,
      flushed: store.flushed,
      copyTo: store.copyTo,
      begin: async (accepted) => {
        await host.start(accepted)
        driver.run(host)
      },
    })
    for (const death of config.dieAt ?? []) {
      const armed = readDeath(host.steps, death)
      if (typeof armed === 'string') throw new Error(`dieAt: ${armed}`)
      host.faults.dieAt(armed)
    }
    const startedAtMs = Date.now()
    const delays = monitorEventLoopDelay({ resolution: 20 })
    delays.enable()
    closers.push(() => void delays.disable())
    const facts = {
      status: () => ({
        pid: process.pid,
        startedAtMs,
        connected: bus.connected,
        version: HOST_VERSION,
        network: credentials.networkName,
        durability: config.durability,
        ...(desk.behind() === undefined ? {} : { state: 'held', held: desk.behind()?.text }),
      }),
      metrics: () => ({
        bus: bus.stats(),
        eventLoopDelayMs: { p50: delays.percentile(50) / 1e6, p99: delays.percentile(99) / 1e6, max: delays.max / 1e6 },
        memoryBytes: process.memoryUsage.rss(),
        uptimeMs: Date.now() - startedAtMs,
      }),
    }
    const { realm, operatorId } = credentials
    const discovery = await openDiscovery(
      credentials,
      {
        role,
        version: HOST_VERSION,
        description: `SEMOPS ${role} ${id}`,
        metadata: () => ({
          role,
          realm,
          operatorId,
          state: desk.behind() !== undefined ? 'held' : host.ready() ? 'ready' : 'starting',
        }),
        stats: () => ({ counters: host.metrics.snapshot(), depths: host.depths(), ...facts.metrics() }),
        startedAtMs,
      },
      log,
    )
    closers.push(discovery.close)
    const reload =
      reread === undefined ? undefined : createReload({ host, engine, broker, discovery, credentials, reread })
    const behind = await desk.begin(found.mark, found.heard)
    if (behind !== undefined)
      log.write('error', 'held: it does nothing until an operator accepts its ledger', {
        reason: behind.text,
        forgotten: behind.forgotten,
      })
    closers.push(() => host.stop())
    const builtins = createBuiltins(host, {
      ...facts,
      ledger: { ...desk.builtins, memory: () => ({ ok: true, value: memoryInUse() }) },
      ...(reload === undefined ? {} : { reload }),
    })
    const control = await serveControl(join(config.runDir, `${id}.sock`), (request): Promise<Answer> | Answer => {
      const why = desk.behind()
      if (why === undefined || isAnsweredWhileHeld(request.form, request.name)) return builtins(request)
      return { ok: false, error: { code: 'HELD', detail: why.text } }
    })
    closers.push(control.close)

    let stopping: Promise<void> | undefined
    let endedInOrder = (): void => {}
    const stop = (): Promise<void> => {
      stopping ??= (async () => {
        host.setGate('draining')
        await untilQuiet(host)
        await host.stop()
        await host.settled()
        await store.flushed()
        await close()
        endedInOrder()
      })()
      return stopping
    }
    const inOrder = new Promise<undefined>((resolve) => {
      endedInOrder = () => resolve(undefined)
    })
    const ended = Promise.race([failed, inOrder]).then(async (error) => {
      if (error === undefined) return
      await close()
      throw error instanceof Error ? error : new Error('the host stopped itself', { cause: error })
    })
    return { host, socket: control.path, held: () => desk.behind()?.text, stop, ended }
  } catch (error) {
    await close()
    throw error
  }
}

/** Says where in one line, since nothing does afterwards. The process is gone before the next line; the promise is for the types. */
const dieAsTold = (point: Death, steps: readonly string[]): Promise<void> => {
  writeSync(process.stderr.fd, `${JSON.stringify({ level: 50, time: Date.now(), msg: DEATH_MESSAGE, point, steps })}\n`)
  process.kill(process.pid, 'SIGKILL')
  return new Promise(() => {})
}

/** Why the broker is not entered yet, once for each reason: the bus goes on trying. What comes later the host itself logs. */
const createWaitingLog = (log: Log): BusEventListener => {
  let said = ''
  return (event) => {
    if ((event.type !== 'unreachable' && event.type !== 'login-refused') || event.detail === said) return
    said = event.detail
    log.write('warn', 'waiting for the broker', { reason: event.type, detail: event.detail })
  }
}

/** What is in the queues is decided and published; what waits for others stays in the outbox for the next start. */
const untilQuiet = async (host: Host): Promise<void> => {
  const deadline = performance.now() + LIMITS.stopDrainMs
  const busy = (): boolean => {
    const { completions, admissions, overflow, commits, jobs } = host.depths()
    return (completions ?? 0) + (admissions ?? 0) + (overflow ?? 0) + (commits ?? 0) + (jobs ?? 0) > 0
  }
  while (busy() && !host.stopped() && performance.now() < deadline)
    await new Promise((resolve) => void setTimeout(resolve, 10))
}

/**
 * A `main.ts` in one call: reads `--creds FILE --config FILE`, runs the host until SIGTERM or SIGINT, and sets the exit code: 0
 * after a stop in order, 1 otherwise. Says that it is ready as one JSON line on standard output, and over IPC to a parent.
 */
export const runNode = async (
  define: (services: NodeServices) => AnyNodeDefinition,
  argv: readonly string[] = process.argv.slice(2),
): Promise<void> => {
  const startedAt = performance.now()
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: { creds: { type: 'string' }, config: { type: 'string' } },
    })
    if (values.creds === undefined || values.config === undefined) throw new Error('usage: --creds FILE --config FILE')
    const { creds } = values
    const credentials = await readHostCredentials(creds)
    const config = await readHostConfig(values.config)
    const log = pinoLog({ host: credentials.host, role: credentials.role, level: config.logLevel }, () => Date.now())
    const running = await startHost(credentials, config, define, log, () => readHostCredentials(creds))
    // Why it did not end in order, `ended` says.
    const stop = (): void => void running.stop().catch(() => undefined)
    process.once('SIGTERM', stop)
    process.once('SIGINT', stop)
    // A parent that is gone can not ask any more: a host of a fleet does not outlive its supervisor.
    process.once('disconnect', stop)
    const ready = {
      type: 'ready',
      host: credentials.host,
      role: credentials.role,
      pid: process.pid,
      socket: running.socket,
      ...(running.held() === undefined ? {} : { held: running.held() }),
      readyMs: Math.round(performance.now() - startedAt),
    }
    process.stdout.write(`${JSON.stringify(ready)}\n`)
    process.send?.(ready)
    try {
      await running.ended
    } finally {
      log.flush()
      if (process.connected) process.disconnect()
    }
  } catch (error) {
    process.exitCode = 1
    const code = error instanceof LedgerError ? { code: error.code } : {}
    const msg = error instanceof Error ? error.message : String(error)
    process.stderr.write(`${JSON.stringify({ level: 50, ...code, msg })}\n`)
    if (process.connected) process.disconnect()
  }
}
