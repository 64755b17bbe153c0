/**
 * A whole network in one process for tests: real envelopes and credentials, hosts of any roles over the simulated bus and memory
 * stores, virtual time. Everything moves only when the test says so, and the same way for the same seed.
 */
import { createSimulatedNetwork, DELIVERED_AT_ONCE, type OnSend, type Published } from '../../bus/simulated-bus.ts'
import { u32be, utf8 } from '../../protocol/bytes.ts'
import { createTrust } from '../../protocol/credentials.ts'
import type { Algorithm, Engine, KeyPair } from '../../protocol/engines/engine.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { hash } from '../../protocol/hash.ts'
import { dataCenterAddress, guestToken, realmOf } from '../../protocol/ids.ts'
import { keyIdOf, networkIdOf, signingKeyFromSeed, signingKeyOf, type SigningKey } from '../../protocol/keys.ts'
import { issueHost, issueProcessor } from '../../protocol/statements.ts'
import type { Answer, Host, HostDeps, NodeServices } from './host-types.ts'
import { createHost } from './host.ts'
import type { FormerKeys } from './identity.ts'
import { silentLog, type Log } from './log.ts'
import { memoryStore, type MemoryStore } from './memory-store.ts'
import type { AnyNodeDefinition } from './node.ts'
import type { Random } from './random.ts'
import { credentialIdTable, credentialTable } from './runtime-tables.ts'
import { keyOf } from './table.ts'

export const SIM_START_MS = 1_800_000_000_000
const YEAR_MS = 366 * 86_400_000
const MAX_TURNS = 100_000

/** Bytes that look random and are the same for the same name. */
export const seededRandom = (name: string): Random => {
  let block = 0
  return {
    bytes: (length) => {
      const bytes = new Uint8Array(length)
      for (let at = 0; at < length; at += 32)
        bytes.set(hash(utf8(`sim ${name}`), u32be(block++)).subarray(0, length - at), at)
      return bytes
    },
  }
}

type ProcessorRole = 'cpp' | 'mpp' | 'bank' | 'dc'
export type SimSpec = {
  readonly id: string
  readonly define: (services: NodeServices) => AnyNodeDefinition
  readonly policy?: unknown
  readonly durability?: 'flushed' | 'committed'
  readonly maxAdmissions?: number
  /** 32 bytes that its message key is made of. Default: from the network's seed and its id. */
  readonly signingSeed?: Uint8Array
  /** Of its message key. Default: Ed25519. An RSA key is fresh in every run. */
  readonly algorithm?: Algorithm
  /** Default: what leaves in one step shares a signature. */
  readonly seals?: HostDeps['seals']
} & (
  | { readonly role: ProcessorRole; readonly operatorId?: string }
  /** `certifiedBy`: ids of CPPs or MPPs added before. */
  | { readonly role: 'customer' | 'merchant'; readonly certifiedBy: readonly string[] }
)

export type SimHost = {
  readonly id: string
  /** The running one; another after a restart. */
  readonly host: () => Host
  readonly store: () => MemoryStore
  /** In force now: another after {@link SimHost.take}. */
  readonly identity: SimIdentity
  readonly former: readonly FormerKeys[]
  /** What stopped it, if something did. */
  readonly fatal: () => unknown
  /**
   * Power cut: the unflushed suffix and everything in memory is lost. Gone from the bus until {@link restart}. `keptBatches`: so many
   * of what was committed and not flushed are there all the same, as when only the process dies.
   */
  readonly crash: (keptBatches?: number) => Promise<void>
  /** Its wall clock alone is wrong by so much more. */
  readonly jumpClock: (ms: number) => void
  readonly wrongByMs: () => number
  /** Starts again on what the crash, or a stop in order, left behind. */
  readonly restart: () => Promise<void>
  /** Another credential for its next start, by whoever certifies it now. Default: of the same keys, valid as before. */
  readonly reissue: (changes?: Reissue) => void
  /**
   * Takes a new credential while it runs: of new keys, or of the same keys under its certifiers' keys of now. Resolves, while the
   * network runs, with the id of the message key before. `trusted`: its bundle brings the data centers' newest chains as well.
   */
  readonly take: (keys: 'new' | 'same', told?: 'trusted', notAfterMs?: number) => Promise<Uint8Array>
}
type Validity = { readonly notBeforeMs: number; readonly notAfterMs: number }
export type Reissue = {
  /** 32 bytes that its new message and sealing keys are made of. */
  readonly seed?: Uint8Array
  readonly validity?: Validity
}
export type SimIdentity = {
  readonly id: string
  readonly role: SimSpec['role']
  readonly signing: SigningKey
  readonly sealing: KeyPair
  readonly chains: readonly (readonly Uint8Array[])[]
}

/** Puts credentials into a host's ledger as learning them would, and flushes it. */
export const introduce = async (host: SimHost, others: readonly SimHost[]): Promise<void> => {
  for (const { identity } of others) {
    if (identity.id === host.id) continue
    const keyId = keyIdOf('ed25519', identity.signing.publicKey)
    const chain = identity.chains[0] ?? []
    await host.store().commit([
      {
        table: credentialTable.name,
        key: keyOf(keyId),
        value: credentialTable.encode({ id: identity.id, chain, learnedAtMs: SIM_START_MS }),
      },
      { table: credentialIdTable.name, key: keyOf(identity.id), value: credentialIdTable.encode({ keyId }) },
    ])
    await host.store().flushed()
  }
}

export type SimNetwork = Awaited<ReturnType<typeof createSimNetwork>>

export const createSimNetwork = (
  options: {
    readonly seed?: string
    readonly log?: (host: string) => Log
    readonly onSend?: OnSend
    /** Everything that the broker takes, also what nobody hears. */
    readonly onPublish?: (message: Published) => void
    /** Default: the fastest that loads. */
    readonly engine?: Engine
    /** Where a host keeps its ledger. Default: a memory store that commits and flushes on later turns. */
    readonly store?: (host: string) => MemoryStore
    /** Of a host's nth start. Default: by the network's seed. */
    readonly random?: (host: string, start: number) => Random
    /** Where it begins. Default: {@link SIM_START_MS}. */
    readonly startMs?: number
    /** A host has something to do. For who drives it with something else than `run`. */
    readonly onWork?: (host: string) => void
    /** What stopped a host. */
    readonly onFatal?: (host: string, error: unknown) => void
    /** Of every credential. Default: a year before and after the start. */
    readonly validity?: { readonly notBeforeMs: number; readonly notAfterMs: number }
  } = {},
) => {
  const { seed = 'sim' } = options
  const engine = options.engine ?? loadEngine()
  const root = signingKeyFromSeed(engine, hash(utf8(`${seed} root`)))
  const networkId = networkIdOf(root.publicKey)
  let time = options.startMs ?? SIM_START_MS
  let onSend: OnSend = options.onSend ?? (() => DELIVERED_AT_ONCE)
  const network = createSimulatedNetwork({
    now: () => time,
    onSend: (message) => onSend(message),
    guestName: (seedBytes) => guestToken(engine.ed25519.keyPairFromSeed(seedBytes).publicKey),
    ...(options.onPublish === undefined ? {} : { onPublish: options.onPublish }),
  })
  const hosts = new Map<string, SimHost>()
  const validity = {
    notBeforeMs: SIM_START_MS - YEAR_MS,
    notAfterMs: SIM_START_MS + YEAR_MS,
    ...options.validity,
  }

  type Keys = Pick<SimIdentity, 'signing' | 'sealing'>
  const keysFrom = (signingSeed: Uint8Array, secretKey: Uint8Array): Keys => ({
    signing: signingKeyFromSeed(engine, signingSeed),
    sealing: { secretKey, publicKey: engine.sealing.publicKeyOf(secretKey) },
  })
  const keysOf = (spec: SimSpec, generation: number): Keys => {
    const name = (what: string) => utf8(`${seed} ${spec.id} ${what}${generation === 1 ? '' : ` ${generation}`}`)
    const given = generation === 1 ? spec.signingSeed : undefined
    const keys = keysFrom(given ?? hash(name('signing')), hash(name('sealing')))
    if (spec.algorithm !== 'rsa-pss-sha256') return keys
    return { ...keys, signing: signingKeyOf(engine, spec.algorithm, engine.rsa.generateKeyPair()) }
  }
  /** Certified by the certifiers' keys of now. */
  const identify = (
    spec: SimSpec,
    { signing, sealing }: Keys,
    serial: number,
    valid: Validity = validity,
  ): SimIdentity => {
    const { id, role } = spec
    const common = {
      networkId,
      id,
      algorithm: signing.algorithm,
      signingKey: signing.publicKey,
      sealingKey: sealing.publicKey,
      ...valid,
      serial,
    }
    if ('certifiedBy' in spec) {
      const chains = spec.certifiedBy.map((by) => {
        const issuer = hosts.get(by)?.identity
        if (issuer === undefined) throw new Error(`${by}, which certifies ${id}, was not added before`)
        return [...(issuer.chains[0] ?? []), issueHost(engine, { ...common, role: spec.role }, issuer.signing)]
      })
      return { id, role, signing, sealing, chains }
    }
    const realm = realmOf(id)
    const address = role === 'dc' ? { address: dataCenterAddress(realm) } : {}
    const credential = issueProcessor(
      engine,
      { ...common, ...address, role: spec.role, realm, operatorId: spec.operatorId ?? id },
      root,
    )
    return { id, role, signing, sealing, chains: [[credential]] }
  }

  /** Registers a host that the returned function starts. */
  const prepare = (spec: SimSpec): { readonly sim: SimHost; readonly launch: () => Promise<void> } => {
    let serial = 1
    let generation = 1
    let identity = identify(spec, keysOf(spec, 1), serial)
    let former: readonly FormerKeys[] = []
    const { id, role } = spec
    const realm = realmOf(id)
    // A guest looks a payee up at the directory of the payee's realm, so those of all realms are known from the start.
    const directories = () => [...hosts.values()].map((one) => one.identity).filter((one) => one.role === 'dc')
    // Their chains are read at each start, but which data centers there are is settled at the first.
    let known: readonly string[] = []
    const trusted = () =>
      directories()
        .filter((one) => known.includes(one.id))
        .flatMap((one) => one.chains)
    let store = options.store === undefined ? memoryStore() : options.store(id)
    let running: Host | undefined
    let fatal: unknown
    let starts = 0
    let wrongByMs = 0
    const clock = { wallMs: () => time + wrongByMs, monotonicMs: () => time - SIM_START_MS }
    const launch = async (): Promise<void> => {
      const broker = network.broker(role, id)
      const bus = await broker.openHost()
      starts += 1
      const start = starts
      if (start === 1) known = directories().map((one) => one.id)
      fatal = undefined
      running = createHost({
        self: { id, role, realm, operatorId: 'operatorId' in spec ? (spec.operatorId ?? id) : id },
        define: spec.define,
        store,
        broker,
        bus,
        clock,
        random: options.random?.(id, start) ?? seededRandom(`${seed} ${id} ${start}`),
        trust: createTrust(engine, root.publicKey),
        identity: sim.identity,
        former: sim.former,
        localKey: hash(utf8(`${seed} ${id} local`)),
        trusted: trusted(),
        dataCenters: known.filter((one) => realmOf(one) === realm),
        peerRealms: [...new Set([...hosts.keys()].map(realmOf))].filter((one) => one !== realm),
        policy: spec.policy,
        durability: spec.durability ?? 'flushed',
        ...(spec.seals === undefined ? {} : { seals: spec.seals }),
        ...(spec.maxAdmissions === undefined ? {} : { maxAdmissions: spec.maxAdmissions }),
        log: options.log?.(id) ?? silentLog,
        onWork: () => options.onWork?.(id),
        onFatal: (error) => {
          // What goes on in one that has crashed is nobody's business any more.
          if (start !== starts || running === undefined) return
          fatal = error
          options.onFatal?.(id, error)
        },
      })
      const started = running
      closing = async () => {
        await started.stop()
        await bus.close()
      }
      await started.start()
    }
    let closing = async (): Promise<void> => {}
    const sim: SimHost = {
      id,
      get identity() {
        return identity
      },
      get former() {
        return former
      },
      host: () => running as Host,
      store: () => store,
      fatal: () => fatal,
      crash: async (keptBatches) => {
        store = store.crash(keptBatches)
        const closed = closing()
        running = undefined
        await closed
      },
      jumpClock: (ms) => {
        wrongByMs += ms
      },
      wrongByMs: () => wrongByMs,
      restart: launch,
      reissue: ({ seed: from, validity: valid } = {}) => {
        serial += 1
        identity = identify(spec, from === undefined ? identity : keysFrom(from, hash(from)), serial, valid)
      },
      take: async (keys, told, notAfterMs = validity.notAfterMs) => {
        const before = identity
        serial += 1
        if (keys === 'new') generation += 1
        const next = keys === 'new' ? keysOf(spec, generation) : before
        identity = identify(spec, next, serial, { ...validity, notAfterMs })
        const { signing, sealing, chains } = before
        former = [{ signingKeyId: signing.keyId, sealing, chains, untilMs: validity.notAfterMs }, ...former]
        const answer = await sim.host().adopt({ identity, former, trusted: told === 'trusted' ? trusted() : [] })
        if (!answer.ok) throw new Error(`${id} does not take its new keys: ${answer.error.detail}`)
        return before.signing.keyId
      },
    }
    hosts.set(id, sim)
    return { sim, launch }
  }

  /** Adds a host and starts it. Data centers first, so that the others of the realm know their chains. */
  const add = async (spec: SimSpec): Promise<SimHost> => {
    const { sim, launch } = prepare(spec)
    await launch()
    return sim
  }

  /** Adds hosts that were planned together, as a fleet is: each starts with all their data centers, itself or later ones included. */
  const addAll = async (specs: readonly SimSpec[]): Promise<void> => {
    const prepared = specs.map(prepare)
    for (const { launch } of prepared) await launch()
  }

  const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

  /**
   * Steps every host and delivers every message until nothing moves at this time. @throws what stopped a host, or Error when the
   * network never comes to rest
   */
  const run = async (): Promise<void> => {
    let idle = 0
    for (let turns = 0; idle < 3; turns++) {
      if (turns > MAX_TURNS) throw new Error('the network does not come to rest')
      let moved = network.pump() > 0
      for (const { host, fatal } of hosts.values()) {
        if (fatal() !== undefined) throw fatal()
        const running = host() as Host | undefined
        if (running === undefined) continue
        if (running.step()) moved = true
        const { commits, jobs, completions, admissions } = running.depths()
        if ((commits ?? 0) + (jobs ?? 0) + (completions ?? 0) + (admissions ?? 0) > 0) moved = true
      }
      await turn()
      if (network.pump() > 0) moved = true
      idle = moved ? 0 : idle + 1
    }
  }

  return {
    engine,
    root,
    network,
    now: () => time,
    add,
    addAll,
    run,
    host: (id: string): SimHost => {
      const found = hosts.get(id)
      if (found === undefined) throw new Error(`no host ${id}`)
      return found
    },
    hosts: () => [...hosts.values()],
    /** Lets time pass in steps, running the network at each. */
    advance: async (ms: number, stepMs = 250): Promise<void> => {
      const end = time + ms
      while (time < end) {
        time = Math.min(end, time + stepMs)
        await run()
      }
    },
    /** Moves the clock without running anything. */
    setTime: (ms: number): void => {
      time = ms
    },
    /** What happens to messages on their way: loss, delay, duplication. */
    setOnSend: (next: OnSend | undefined): void => {
      onSend = next ?? (() => DELIVERED_AT_ONCE)
    },
    /** A command of a host's control socket: runs, and lets time pass, until it is answered. @throws Error after `withinMs` */
    command: async (
      id: string,
      name: string,
      args: Readonly<Record<string, unknown>> = {},
      withinMs = 120_000,
    ): Promise<Answer> => {
      const end = time + withinMs
      let answer: Answer | undefined
      void (hosts.get(id) as SimHost)
        .host()
        .command(name, args)
        .then((given) => {
          answer = given
        })
      await run()
      for (; answer === undefined && time < end; await run()) time += 250
      if (answer === undefined) throw new Error(`${id} did not answer ${name} within ${withinMs} ms`)
      return answer
    },
  }
}
