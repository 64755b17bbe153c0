/**
 * The control socket of a host: newline-delimited JSON over a Unix socket that its owner alone can open. Requests may be sent
 * without waiting; each answer bears its request's id, and they come in any order.
 *
 *   → {"id": 1, "command" | "read" | "builtin": "<name>", "args": {…}}
 *   ← {"id": 1, "ok": true, "value": …} | {"id": 1, "ok": false, "error": {"code": "…", "detail": "…"}}
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { LIMITS } from '../../protocol/limits.ts'
import type { Answer } from './host-types.ts'
import { toJson } from './json.ts'

export type ControlRequest = {
  readonly form: 'command' | 'read' | 'builtin'
  readonly name: string
  readonly args: Readonly<Record<string, unknown>>
}
export type ControlHandler = (request: ControlRequest) => Promise<Answer> | Answer

export type ControlServer = AsyncDisposable & { readonly path: string; readonly close: () => Promise<void> }

const NEWLINE = 0x0a
const FORMS = ['command', 'read', 'builtin'] as const

type Parsed = { readonly id: unknown; readonly request: ControlRequest | undefined; readonly problem: string }

const parseRequest = (line: string): Parsed => {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return { id: null, request: undefined, problem: 'not JSON' }
  }
  if (typeof value !== 'object' || value === null) return { id: null, request: undefined, problem: 'not an object' }
  const { id = null, args = {}, ...rest } = value as Readonly<Record<string, unknown>>
  const form = FORMS.find((one) => typeof rest[one] === 'string')
  if (form === undefined) return { id, request: undefined, problem: 'expected one of command, read, builtin' }
  if (typeof args !== 'object' || args === null || Array.isArray(args))
    return { id, request: undefined, problem: 'args is not an object' }
  return {
    id,
    request: { form, name: rest[form] as string, args: args as Readonly<Record<string, unknown>> },
    problem: '',
  }
}

/**
 * Hands on each line of at most `most` bytes, without its end, and keeps what has begun. False, once and for all, when a line is
 * longer: what follows would not be told from it.
 */
export const lineSplitter = (most: number): ((chunk: Uint8Array, onLine: (line: string) => void) => boolean) => {
  let begun: Uint8Array[] = []
  let begunBytes = 0
  let broken = false
  return (chunk, onLine) => {
    let at = 0
    while (!broken) {
      const end = chunk.indexOf(NEWLINE, at)
      const part = chunk.subarray(at, end < 0 ? chunk.length : end)
      broken = begunBytes + part.length > most
      if (broken) break
      begun.push(part)
      begunBytes += part.length
      if (end < 0) return true
      const line = Buffer.concat(begun).toString()
      begun = []
      begunBytes = 0
      onLine(line.endsWith('\r') ? line.slice(0, -1) : line)
      at = end + 1
    }
    begun = []
    return false
  }
}

/** @throws Error when the socket can not be made: its path is too long, say */
export const serveControl = async (path: string, handle: ControlHandler): Promise<ControlServer> => {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  // The ledger's lock is held: a socket that is there is a dead process's.
  rmSync(path, { force: true })
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => sockets.delete(socket))
    let pending = 0
    const answer = (id: unknown, given: Answer): void => {
      if (!socket.writable) return
      // Who asks and does not read the answers must not have them pile up here.
      if (socket.writableLength > LIMITS.maxControlUnreadBytes) {
        socket.destroy()
        return
      }
      socket.write(
        given.ok
          ? `{"id":${JSON.stringify(id)},"ok":true,"value":${toJson(given.value)}}\n`
          : `${toJson({ id, ok: false, error: given.error })}\n`,
      )
    }
    const refuse = (id: unknown, code: string, detail: string): void =>
      answer(id, { ok: false, error: { code, detail } })
    if (sockets.size > LIMITS.maxControlConnections) {
      refuse(null, 'BUSY', 'too many connections')
      socket.end()
      return
    }
    const onLine = (line: string): void => {
      if (line.length === 0) return
      const { id, request, problem } = parseRequest(line)
      if (request === undefined) {
        refuse(id, 'BAD_REQUEST', problem)
        return
      }
      pending += 1
      if (pending > LIMITS.maxControlPending) {
        pending -= 1
        refuse(id, 'BUSY', 'too many requests without an answer on this connection')
        return
      }
      Promise.resolve()
        .then(() => handle(request))
        .catch((error: unknown): Answer => ({
          ok: false,
          error: { code: 'INTERNAL', detail: error instanceof Error ? error.message : String(error) },
        }))
        .then((given) => {
          pending -= 1
          answer(id, given)
        })
        .catch(() => socket.destroy())
    }
    const lines = lineSplitter(LIMITS.maxControlRequestBytes)
    socket.on('data', (chunk) => {
      if (lines(chunk, onLine)) return
      // What still comes is read and let go of, so that the answer is not lost in a reset.
      refuse(null, 'BAD_REQUEST', 'the request is too long')
      socket.end()
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
  })
  chmodSync(path, 0o600)
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve())
      for (const socket of sockets) socket.end()
      for (const socket of sockets) socket.unref()
    })
  return { path, close, [Symbol.asyncDispose]: close }
}
