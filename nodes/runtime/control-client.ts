/** The other end of a host's control socket: what the commands of `semops` speak to a running host with. */
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import type { Answer } from './host-types.ts'

/** The host refused, or the connection ended before it answered (`DISCONNECTED`). */
export class ControlError extends Error {
  override readonly name = 'ControlError'
  readonly code: string
  readonly detail: string
  constructor(code: string, detail: string) {
    super(detail === '' ? code : `${code}: ${detail}`)
    this.code = code
    this.detail = detail
  }
}

export type ControlClient = AsyncDisposable & {
  /** Changes something. Money in and out is decimal text, bytes are hex (json.ts). @throws ControlError */
  readonly command: <T = unknown>(name: string, args?: Readonly<Record<string, unknown>>) => Promise<T>
  /** @throws ControlError */
  readonly read: <T = unknown>(name: string, args?: Readonly<Record<string, unknown>>) => Promise<T>
  /** status, metrics, report, payments, trace, policy, set-policy, pause, resume, drain, fault. @throws ControlError */
  readonly builtin: <T = unknown>(name: string, args?: Readonly<Record<string, unknown>>) => Promise<T>
  /** False once the host has ended the connection. */
  readonly isOpen: () => boolean
  readonly close: () => void
}

/** @throws Error (ENOENT, ECONNREFUSED) when no host listens there */
export const connectControl = async (path: string): Promise<ControlClient> => {
  const socket = await new Promise<Socket>((resolve, reject) => {
    const opening = connect(path)
    opening.once('error', reject)
    opening.once('connect', () => {
      opening.off('error', reject)
      resolve(opening)
    })
  })
  const waiting = new Map<
    number,
    { readonly resolve: (value: unknown) => void; readonly reject: (error: ControlError) => void }
  >()
  let nextId = 1
  let ended = false
  const end = (): void => {
    ended = true
    for (const { reject } of waiting.values())
      reject(new ControlError('DISCONNECTED', 'the host closed its control socket'))
    waiting.clear()
  }
  socket.on('error', end)
  socket.on('close', end)
  const lines = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY })
  // The reader repeats the socket's errors, which `end` has dealt with.
  lines.on('error', () => undefined)
  lines.on('line', (line) => {
    const answer = JSON.parse(line) as Answer & { readonly id: number }
    const asker = waiting.get(answer.id)
    waiting.delete(answer.id)
    if (answer.ok) asker?.resolve(answer.value)
    else asker?.reject(new ControlError(answer.error.code, answer.error.detail))
  })
  const ask = <T>(
    form: 'command' | 'read' | 'builtin',
    name: string,
    args: Readonly<Record<string, unknown>> = {},
  ): Promise<T> =>
    new Promise((resolve, reject) => {
      if (ended) {
        reject(new ControlError('DISCONNECTED', 'the host closed its control socket'))
        return
      }
      const id = nextId++
      waiting.set(id, { resolve: resolve as (value: unknown) => void, reject })
      socket.write(`${JSON.stringify({ id, [form]: name, args })}\n`)
    })
  const close = (): void => void socket.end()
  return {
    command: (name, args) => ask('command', name, args),
    read: (name, args) => ask('read', name, args),
    builtin: (name, args) => ask('builtin', name, args),
    isOpen: () => !ended,
    close,
    [Symbol.asyncDispose]: async () => close(),
  }
}
