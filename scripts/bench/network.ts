/**
 * The network of the paper's analysis, whole and in one process: the real nodes with real envelopes, seals and ledgers (in memory)
 * over the simulated bus, on virtual time. One realm: a data center, a CPP, an MPP, a bank of the customers and one of the
 * merchants with a settlement bank behind them, wallets and shops on a few hosts.
 *
 * Figure 2 of the paper (one intermediary) and figure 3 (two) differ by one word of configuration: whether CPP and MPP have the same operator.
 */
import { DELIVERED_AT_ONCE, type Published } from '../../bus/simulated-bus.ts'
import { toHex, utf8 } from '../../protocol/bytes.ts'
import type { Engine } from '../../protocol/engines/engine.ts'
import { hash } from '../../protocol/hash.ts'
import { networkIdOf, signingKeyFromSeed } from '../../protocol/keys.ts'
import { derivePinKey } from '../../protocol/pin.ts'
import { issueMandate } from '../../protocol/statements.ts'
import { defineBank } from '../../nodes/bank/define.ts'
import { defineCpp } from '../../nodes/cpp/define.ts'
import { defineWallet } from '../../nodes/customer/define.ts'
import { dataCenter } from '../../nodes/data-center/definition.ts'
import { defineMerchant } from '../../nodes/merchant/define.ts'
import { mpp as defineMpp } from '../../nodes/mpp/definition.ts'
import type { Answer, NodeServices } from '../../nodes/runtime/host-types.ts'
import { memoryStore, type MemoryStore } from '../../nodes/runtime/memory-store.ts'
import type { AnyNodeDefinition } from '../../nodes/runtime/node.ts'
import { frameTable, journalTable } from '../../nodes/runtime/runtime-tables.ts'
import { createSimNetwork, SIM_START_MS, type SimNetwork } from '../../nodes/runtime/sim-network.ts'
import { CURRENCY, DAY_MS } from './workload.ts'

export const SEALS = ['ed25519', 'ed25519-batch', 'rsa-2048'] as const
/** One Ed25519 signature a message; one for all messages that leave together; one RSA-2048 signature a message. */
export type Seals = (typeof SEALS)[number]

export type NetworkOptions = {
  readonly seed: string
  readonly intermediaries: 1 | 2
  readonly seals: Seals
  readonly customers: number
  readonly merchants: number
  /** The CPP's `aggregation` and `settlement`; default: the node's own. */
  readonly cppPolicy?: object
  readonly engine: Engine
  readonly onPublish?: (message: Published) => void
  /** Of every message on its way. Default: none. */
  readonly hopMs?: number
  /** Of messages to and from banks, in place of `hopMs`. */
  readonly bankHopMs?: number
}

const CUSTOMER_BANK = 'hu-kh'
const MERCHANT_BANK = 'hu-erste'
const RESERVE = 'hu-mnb'
export const CPP = 'hu-otp'
export const MPP = 'hu-cosmo'
const DC = 'hu-dc-1'
const WALLETS = ['hu-wallets-1', 'hu-wallets-2', 'hu-wallets-3', 'hu-wallets-4'] as const
const SHOPS = ['hu-shops-1', 'hu-shops-2'] as const
const PIN = '471100'
const RICH = '100000000000'

export const customerId = (index: number): string => `hu-customer-${index}`
export const payeeId = (index: number): string => `hu-payee-${index}`
export const walletOf = (customer: number): string => WALLETS[customer % WALLETS.length] as string
const shopOf = (merchant: number): string => SHOPS[merchant % SHOPS.length] as string

/**
 * Journal entries and kept frames are made, encoded and committed as ever, and then let go: nothing of a run reads them, and those
 * of a hundred thousand payments at a dozen hosts would take gigabytes.
 */
const forgetful = (store: MemoryStore): MemoryStore => ({
  ...store,
  commit: (mutations) => store.commit(mutations.filter(({ table }) => !FORGOTTEN.has(table))),
})
const FORGOTTEN: ReadonlySet<string> = new Set([journalTable.name, frameTable.name])

/** Asking for the newest revocation list costs by the hour, not by the payment: left out of the count. */
const unpolled =
  <N extends AnyNodeDefinition>(define: (services: NodeServices) => N) =>
  (services: NodeServices): N => ({ ...define(services), revocationSources: () => [] })

/** A PIN key costs tens of milliseconds by intent, and is the same in every network that a comparison builds. */
const pinKeys = new Map<string, Promise<Uint8Array>>()
const derive: typeof derivePinKey = (pin, customer, cpp) => {
  const name = `${pin} ${customer} ${cpp}`
  let key = pinKeys.get(name)
  if (key === undefined) pinKeys.set(name, (key = derivePinKey(pin, customer, cpp)))
  return key
}

export type PaperNetwork = Awaited<ReturnType<typeof buildNetwork>>

/** @throws Error when an enrolment is refused, or the network does not come to rest */
export const buildNetwork = async (options: NetworkOptions) => {
  const { seed, intermediaries, engine, hopMs = 0, bankHopMs = hopMs } = options
  const banks = new Set([CUSTOMER_BANK, MERCHANT_BANK, RESERVE])
  const fateOf = (delayMs: number) => (delayMs === 0 ? DELIVERED_AT_ONCE : { delaysMs: [delayMs] })
  const [near, far] = [fateOf(hopMs), fateOf(bankHopMs)]
  const sim = createSimNetwork({
    seed,
    engine,
    store: () => forgetful(memoryStore((_what, run) => queueMicrotask(run))),
    onSend: ({ from, to }) => (banks.has(from) || banks.has(to) ? far : near),
    ...(options.onPublish === undefined ? {} : { onPublish: options.onPublish }),
  })
  const driver = createDriver(sim)
  const common = {
    algorithm: options.seals === 'rsa-2048' ? 'rsa-pss-sha256' : 'ed25519',
    seals: options.seals === 'ed25519-batch' ? 'batch' : 'single',
  } as const
  const dataCenters = [DC]
  const one = intermediaries === 1
  const operators = one ? { cpp: 'hu-operator', mpp: 'hu-operator' } : { cpp: CPP, mpp: MPP }
  const cppAccount = `${CUSTOMER_BANK}:cpp`
  const mppAccount = one ? cppAccount : `${MERCHANT_BANK}:mpp`

  await sim.add({ ...common, id: DC, role: 'dc', operatorId: 'hu-dc', define: unpolled(dataCenter), policy: {} })
  const clearing = { settlementBank: RESERVE, clearing: { windowMs: DAY_MS } }
  for (const id of banks)
    await sim.add({
      ...common,
      id,
      role: 'bank',
      define: unpolled(defineBank),
      policy: { dataCenters, ...clearing, peers: [...banks].filter((peer) => peer !== id || id === RESERVE) },
    })
  await sim.add({
    ...common,
    id: CPP,
    role: 'cpp',
    operatorId: operators.cpp,
    define: unpolled(defineCpp),
    policy: {
      dataCenters,
      operatorAccounts: { [CURRENCY]: cppAccount },
      settlementAccounts: { [MPP]: mppAccount },
      ...options.cppPolicy,
    },
  })
  await sim.add({
    ...common,
    id: MPP,
    role: 'mpp',
    operatorId: operators.mpp,
    define: unpolled(defineMpp),
    policy: {
      dataCenters,
      operatorAccounts: { [CURRENCY]: mppAccount },
      settlementAccounts: { [CPP]: cppAccount },
    },
  })
  for (const id of SHOPS)
    await sim.add({ ...common, id, role: 'merchant', certifiedBy: [MPP], define: unpolled(defineMerchant), policy: {} })
  for (const id of WALLETS)
    await sim.add({
      ...common,
      id,
      role: 'customer',
      certifiedBy: [CPP],
      define: unpolled((services) => defineWallet(services, derive)),
      policy: {},
    })
  await driver.rest()

  const holder = (account: string) => signingKeyFromSeed(engine, hash(utf8(`holder ${account}`)))
  const mandate = (account: string, operatorId: string): string =>
    toHex(
      issueMandate(
        engine,
        {
          networkId: networkIdOf(sim.root.publicKey),
          account,
          operatorId,
          limitMinor: BigInt(RICH),
          currency: CURRENCY,
          notBeforeMs: SIM_START_MS - DAY_MS,
          notAfterMs: SIM_START_MS + 365 * DAY_MS,
          serial: 1,
        },
        holder(account),
      ),
    )
  const all = async (commands: readonly (readonly [id: string, name: string, args: object])[]): Promise<void> => {
    for (let at = 0; at < commands.length; at += SETUP_AT_ONCE)
      await driver.commands(commands.slice(at, at + SETUP_AT_ONCE))
  }
  const account = (name: string, balanceMinor: string, extra: object) =>
    [
      name.split(':')[0] as string,
      'open-account',
      { account: name, holderKey: toHex(holder(name).publicKey), currency: CURRENCY, balanceMinor, ...extra },
    ] as const

  const indexes = (count: number) => Array.from({ length: count }, (_, index) => index)
  await all([
    ...[CUSTOMER_BANK, MERCHANT_BANK].map(
      (bank) => [RESERVE, 'fund-reserve', { bank, currency: CURRENCY, amountMinor: RICH }] as const,
    ),
    account(cppAccount, RICH, { operatorId: operators.cpp, holderHost: { role: 'cpp', host: CPP } }),
    ...(one ? [] : [account(mppAccount, RICH, { operatorId: operators.mpp, holderHost: { role: 'mpp', host: MPP } })]),
    ...indexes(options.customers).map((index) => account(`${CUSTOMER_BANK}:customer-${index}`, RICH, {})),
    ...indexes(options.merchants).map((index) =>
      account(`${MERCHANT_BANK}:payee-${index}`, '0', { holderHost: { role: 'merchant', host: shopOf(index) } }),
    ),
  ])
  await all(
    indexes(options.merchants).map((index) => [
      shopOf(index),
      'enrol-payee',
      {
        payee: payeeId(index),
        payeeKind: 'shop',
        displayName: `Payee ${index}`,
        mpp: MPP,
        account: `${MERCHANT_BANK}:payee-${index}`,
        currency: CURRENCY,
        mandate: mandate(`${MERCHANT_BANK}:payee-${index}`, operators.mpp),
        catalogue: [],
        approval: { rule: 'approve' },
      },
    ]),
  )
  await all(
    indexes(options.customers).map((index) => [
      walletOf(index),
      'enrol',
      {
        customer: customerId(index),
        cpp: CPP,
        account: `${CUSTOMER_BANK}:customer-${index}`,
        currency: CURRENCY,
        pin: PIN,
        mandate: mandate(`${CUSTOMER_BANK}:customer-${index}`, operators.cpp),
      },
    ]),
  )
  await driver.rest()
  return { sim, ...driver }
}

const SETUP_AT_ONCE = 64
const MAX_TURNS = 2_000_000
const MAX_REAL_WAIT_MS = 120_000

export type Command = readonly [id: string, name: string, args: object]

/** Moves messages and time, from one moment at which something happens to the next. */
const createDriver = (sim: SimNetwork) => {
  const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

  /** Until nothing moves at this moment. @throws what stopped a host */
  const quiesce = async (): Promise<void> => {
    for (let idle = 0; idle < 2;) {
      let moved = sim.network.pump() > 0
      for (const one of sim.hosts()) {
        const fatal = one.fatal()
        if (fatal !== undefined) throw fatal instanceof Error ? fatal : new Error(`${one.id} stopped`, { cause: fatal })
        if (one.host().step()) moved = true
      }
      await turn()
      idle = moved ? 0 : idle + 1
    }
  }

  const busy = () => sim.hosts().filter((one) => one.host().inFlight() > 0)
  /** What is to come at this moment or later, while anything is under way. */
  const nextAtMs = (): number =>
    Math.min(
      sim.network.nextDueAtMs() ?? Number.POSITIVE_INFINITY,
      ...busy().map((one) => Math.max(sim.now() + 1, one.host().nextDueAtMs())),
    )

  /** Lets time pass until nothing is under way anywhere and `done`. @throws Error when that does not come about */
  const rest = async (done: () => boolean = () => true): Promise<void> => {
    const real = performance.now()
    for (let turns = 0; ; turns++) {
      await quiesce()
      const next = nextAtMs()
      if (next === Number.POSITIVE_INFINITY) {
        if (done()) return
        // A job of scrypt runs on real time.
        await turn()
        if (performance.now() - real > MAX_REAL_WAIT_MS) throw new Error('a command has no answer')
        continue
      }
      if (turns > MAX_TURNS) throw new Error('the network does not come to rest')
      sim.setTime(next)
    }
  }

  return {
    rest,
    /** Lets time pass to `atMs`, if it is still to come, and what fell due meanwhile happen. */
    until: async (atMs: number): Promise<void> => {
      if (atMs > sim.now()) sim.setTime(atMs)
      await rest()
    },
    /** At once, until each is answered and the network is at rest. @throws Error for one that is refused */
    commands: async (commands: readonly Command[]): Promise<readonly unknown[]> => {
      const answers: (Answer | undefined)[] = commands.map(() => undefined)
      let left = commands.length
      commands.forEach(([id, name, args], at) => {
        void sim
          .host(id)
          .host()
          .command(name, args as Readonly<Record<string, unknown>>)
          .then((answer) => {
            answers[at] = answer
            left -= 1
          })
      })
      await rest(() => left === 0)
      return answers.map((answer, at) => {
        if (answer?.ok !== true) {
          const [id, name] = commands[at] as Command
          throw new Error(`${id} ${name}: ${answer?.error.code ?? ''} ${answer?.error.detail ?? ''}`)
        }
        return answer.value
      })
    },
  }
}
