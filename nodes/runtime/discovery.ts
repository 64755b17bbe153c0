/**
 * A host in discovery: `$SRV` answered on a connection of its own (bus/services.ts), which is exchanged with the host's other
 * logins. Invariant: no two hosts of one id: who finds its id answering does not start.
 */
import type { HostLogin } from '../../bus/logins.ts'
import { openRequestReply } from '../../bus/nats-bus.ts'
import { serviceName } from '../../bus/permissions.ts'
import type { RequestReply } from '../../bus/request-reply.ts'
import { answerDiscovery, discover, type ServiceDescription } from '../../bus/services.ts'
import { BusError } from '../../bus/bus.ts'
import type { Log } from './log.ts'

const PING_MS = 400

/** An id answers on the bus already: two hosts of one id would split its messages between two ledgers. */
export class AlreadyRunning extends Error {
  constructor(host: string) {
    super(`${host} is running elsewhere: stop it there first`)
    this.name = 'AlreadyRunning'
  }
}

export type Discovery = {
  /** A connection under the new login that answers already, beside the one that will be closed. Rejects when the broker refuses it. */
  readonly prepare: (
    next: { readonly login: HostLogin },
    signal: AbortSignal,
  ) => Promise<{ readonly complete: () => Promise<void>; readonly abandon: () => Promise<void> }>
  readonly close: () => Promise<void>
}

const open = async (id: string, login: HostLogin, signal?: AbortSignal): Promise<RequestReply | undefined> => {
  const { servers, ca, service } = login
  if (service === undefined) return undefined
  const giveUp = new AbortController()
  const stop = (): void => giveUp.abort(signal?.reason)
  signal?.addEventListener('abort', stop)
  let refusal: string | undefined
  try {
    return await openRequestReply({
      servers,
      ...(ca === undefined ? {} : { ca }),
      login: service,
      label: `${id} $SRV`,
      signal: giveUp.signal,
      onEvent: (event) => {
        // A start waits for its broker; an exchange has one that works, and does not wait.
        if (event.type !== 'login-refused' || signal === undefined) return
        refusal ??= event.detail
        giveUp.abort()
      },
    })
  } catch (error) {
    if (refusal === undefined) throw error
    throw new BusError('refused-by-broker', `the new $SRV login is refused: ${refusal}`, error)
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

/** Answers `$SRV`, after making sure that nobody else answers for this id. @throws AlreadyRunning */
export const openDiscovery = async (
  { host: id, login }: { readonly host: string; readonly login: HostLogin },
  service: ServiceDescription,
  log: Log,
): Promise<Discovery> => {
  let current = await open(id, login)
  if (current !== undefined) {
    try {
      const name = serviceName(service.role)
      const others = await discover(current, 'ping', { name, id, timeoutMs: PING_MS, expected: 1 })
      if (others.length > 0) throw new AlreadyRunning(id)
    } catch (error) {
      if (error instanceof AlreadyRunning) {
        await current.close()
        throw error
      }
      log.write('warn', 'could not ask whether this id is alive elsewhere', { error: (error as Error).message })
    }
    await answerDiscovery(current, service)
  }
  return {
    prepare: async (next, signal) => {
      const fresh = await open(id, next.login, signal)
      try {
        if (fresh !== undefined) await answerDiscovery(fresh, service)
      } catch (error) {
        await fresh?.close()
        throw error
      }
      return {
        complete: async () => {
          const old = current
          current = fresh
          await old?.close()
        },
        abandon: async () => fresh?.close(),
      }
    },
    close: async () => current?.close(),
  }
}
