/**
 * Taking what the credentials file says now, while the host runs: message keys, sealing keys and chains, the data centers it
 * trusts, the bus login, the `$SRV` login and the guest signer. Invariant: everything is checked, and every new connection
 * stands, before anything is exchanged; what does not fit changes nothing.
 */
import { isDeepStrictEqual } from 'node:util'
import type { RotatingBroker } from '../../bus/rotating-bus.ts'
import { natsBroker } from '../../bus/nats-bus.ts'
import type { Engine } from '../../protocol/engines/engine.ts'
import { chainsOf, formerKeysOf, identityOf, type HostCredentials } from './bundle.ts'
import type { Discovery } from './discovery.ts'
import type { Answer, Host, NewIdentity } from './host-types.ts'

const OPEN_TIMEOUT_MS = 10_000

export type ReloadDeps = {
  readonly host: Host
  readonly engine: Engine
  readonly broker: RotatingBroker
  readonly discovery: Discovery
  /** The credentials in force at the start. */
  readonly credentials: HostCredentials
  /** @throws Error for a file that is not there, can be read by others, or is no bundle */
  readonly reread: () => Promise<HostCredentials>
}

/** What a running host can not become: who it is and what its ledger is bound to. */
const FIXED = ['networkName', 'rootKey', 'host', 'role', 'realm', 'operatorId', 'localKey'] as const
/** Taken at a start only. */
const AT_START = ['dataCenters', 'realmAddress', 'peerRealms'] as const

const bad = (detail: string): Answer => ({ ok: false, error: { code: 'BAD_CREDENTIALS', detail } })

/**
 * The builtin `reload`: → {signingKeyId, serial, changed, atNextStart}. `changed` names what is other than before: `identity`,
 * `trusted`, `login`, `service`, `guest-signer`. BAD_CREDENTIALS, and nothing is changed, for a file that can not be read or does
 * not fit this host, or a login that the broker refuses; BUSY while another reload is under way.
 */
export const createReload = (deps: ReloadDeps): (() => Promise<Answer>) => {
  const { host, engine, broker, discovery, reread } = deps
  let inForce = deps.credentials
  let reloading = false

  const run = async (): Promise<Answer> => {
    let next: HostCredentials
    try {
      next = await reread()
    } catch (error) {
      return bad((error as Error).message)
    }
    const other = FIXED.find((field) => next[field] !== inForce[field])
    if (other !== undefined) return bad(`${other} is not that of this host`)
    let identity: NewIdentity
    try {
      identity = {
        identity: identityOf(engine, next),
        former: formerKeysOf(engine, next),
        trusted: chainsOf(next.trusted),
      }
    } catch (error) {
      return bad((error as Error).message)
    }
    const problem = host.identityProblem(identity)
    if (problem !== undefined) return bad(problem)

    const { service, guestSigner, ...login } = inForce.login
    const { service: nextService, guestSigner: nextSigner, ...nextLogin } = next.login
    const newLogin = !isDeepStrictEqual(login, nextLogin)
    const newSigner = !isDeepStrictEqual(guestSigner, nextSigner)
    const newService = !isDeepStrictEqual(service, nextService) || (newLogin && nextService !== undefined)
    const signal = AbortSignal.timeout(OPEN_TIMEOUT_MS)
    let moved: Awaited<ReturnType<Discovery['prepare']>> | undefined
    try {
      if (newService) moved = await discovery.prepare(next, signal)
      if (newLogin) await broker.exchange(natsBroker(next.login), { signal })
      else if (newSigner) broker.useForGuests(natsBroker(next.login))
    } catch (error) {
      await moved?.abandon()
      return bad((error as Error).message)
    }
    await moved?.complete()
    // Not waited for: a guest that can not enter yet goes on trying, and the host itself has moved.
    if (newLogin) void host.moveGuests()
    const trustedBefore = inForce.trusted
    const atNextStart = AT_START.filter((field) => !isDeepStrictEqual(next[field], inForce[field]))
    inForce = next
    const adopted = await host.adopt(identity)
    if (!adopted.ok) return adopted
    const { signingKeyId, serial, changed } = adopted.value as {
      readonly signingKeyId: string
      readonly serial: number | undefined
      readonly changed: boolean
    }
    const names = {
      identity: changed,
      trusted: !isDeepStrictEqual(trustedBefore, next.trusted),
      login: newLogin,
      service: newService,
      'guest-signer': newSigner,
    }
    const what = Object.entries(names).flatMap(([name, is]) => (is ? [name] : []))
    return { ok: true, value: { signingKeyId, serial, changed: what, atNextStart } }
  }

  return async () => {
    if (reloading) return { ok: false, error: { code: 'BUSY', detail: 'a reload is under way' } }
    reloading = true
    try {
      return await run()
    } finally {
      reloading = false
    }
  }
}
