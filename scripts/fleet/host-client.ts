/** A connection to one host's control socket, as the fleet uses it: one way to call, refusals as one error, nothing unbounded. */
import { connectControl, ControlError, type ControlClient } from '../../nodes/runtime/control-client.ts'
import { within } from './concurrency.ts'
import type { FleetDirectory } from './directory.ts'

/** Longer than any host takes to answer; a payment has a limit of its own. */
const CALL_TIMEOUT_MS = 60_000

/** A host's refusal of a command: `code` as in the failure registry, or of the control socket. */
export class HostRefusal extends Error {
  override readonly name = 'HostRefusal'
  readonly host: string
  readonly code: string
  readonly detail: string
  constructor(host: string, what: string, code: string, detail: string) {
    super(`${host} refused ${what}: ${code}${detail === '' ? '' : ` (${detail})`}`)
    this.host = host
    this.code = code
    this.detail = detail
  }
}

type Args = Readonly<Record<string, unknown>>
export type HostClient = {
  readonly id: string
  /** Changes something. @throws HostRefusal, TimeLimitError */
  readonly command: <T = unknown>(name: string, args?: Args, timeoutMs?: number) => Promise<T>
  /** A question to the node. @throws HostRefusal, TimeLimitError */
  readonly read: <T = unknown>(name: string, args?: Args) => Promise<T>
  /** What every host answers: status, report, trace, pause, drain, fault… @throws HostRefusal, TimeLimitError */
  readonly builtin: <T = unknown>(name: string, args?: Args, timeoutMs?: number) => Promise<T>
  /** False once the host has closed the connection: it ended. */
  readonly isOpen: () => boolean
  readonly close: () => void
}

type Refused = { readonly ok: false; readonly code: string; readonly detail?: string }
const isRefused = (value: unknown): value is Refused =>
  typeof value === 'object' && value !== null && 'ok' in value && value.ok === false && 'code' in value

/** @throws Error (ENOENT, ECONNREFUSED) when the host does not run */
export const connectHost = (directory: FleetDirectory, id: string): Promise<HostClient> =>
  connectHostAt(id, directory.socket(id))

/** The same, of a host whose control socket is at `path`. */
export const connectHostAt = async (id: string, path: string): Promise<HostClient> =>
  hostClient(id, await connectControl(path))

const hostClient = (id: string, control: ControlClient): HostClient => {
  const ask = async <T>(what: string, asked: Promise<T>, timeoutMs: number): Promise<T> => {
    try {
      const value = await within(timeoutMs, `${id} did not answer ${what} within ${timeoutMs / 1000} s`, asked)
      if (isRefused(value)) throw new HostRefusal(id, what, value.code, value.detail ?? '')
      return value
    } catch (error) {
      if (!(error instanceof ControlError)) throw error
      throw new HostRefusal(id, what, error.code, error.detail)
    }
  }
  return {
    id,
    isOpen: control.isOpen,
    command: (name, args, timeoutMs = CALL_TIMEOUT_MS) => ask(name, control.command(name, args), timeoutMs),
    read: (name, args) => ask(name, control.read(name, args), CALL_TIMEOUT_MS),
    builtin: (name, args, timeoutMs = CALL_TIMEOUT_MS) => ask(name, control.builtin(name, args), timeoutMs),
    close: control.close,
  }
}
