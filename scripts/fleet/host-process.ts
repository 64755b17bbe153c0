/**
 * One host as a child process: started, watched, stopped by its pid. The child says `ready` over IPC; the same channel tells
 * it that its supervisor is gone, so that no host outlives it unseen.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { setTimeout as delay } from 'node:timers/promises'
import { TimeLimitError, within } from './concurrency.ts'
import type { FleetDirectory } from './directory.ts'
import { connectHost } from './host-client.ts'
import type { HostPlan, HostRole } from './plan.ts'
import type { HostState, HostStatus } from './state.ts'

/** SIGTERM lets a host drain; after this it is ended. */
const STOP_TIMEOUT_MS = 10_000
/** From fork to `ready`. A host on a loaded machine, with a ledger to look through, needs seconds. */
const START_TIMEOUT_MS = 60_000

const MAIN: Record<HostRole, string> = {
  customer: '../../nodes/customer/main.js',
  merchant: '../../nodes/merchant/main.js',
  cpp: '../../nodes/cpp/main.js',
  mpp: '../../nodes/mpp/main.js',
  bank: '../../nodes/bank/main.js',
  dc: '../../nodes/data-center/main.js',
}

export type HostProcess = {
  readonly plan: HostPlan
  readonly status: () => HostStatus
  /**
   * Resolves when the host serves; with `waitsFor`, one that is out and that it needs to serve, when it runs.
   * @throws Error with the end of its log when it ends instead
   */
  readonly start: (waitsFor?: string) => Promise<void>
  /** An operator lets it go on with an old ledger; resolves when it serves. @throws HostRefusal when it is not held */
  readonly accept: () => Promise<void>
  /** Asks it to drain; resolves when the process is gone. */
  readonly stop: () => Promise<void>
  /** SIGKILL: what a power cut does. Resolves when the process is gone. */
  readonly kill: () => Promise<void>
}

const SERVING_POLL_MS = 50

/** A host that runs serves once its processors and data centers know it. Resolves with nothing. */
const untilServing = async (directory: FleetDirectory, id: string): Promise<undefined> => {
  const client = await connectHost(directory, id)
  try {
    for (;;) {
      const { ready } = await client.builtin<{ readonly ready: boolean }>('status')
      if (ready) return undefined
      await delay(SERVING_POLL_MS)
    }
  } finally {
    client.close()
  }
}

const lastLines = async (file: string, count: number): Promise<string> => {
  const text = await readFile(file, 'utf8').catch(() => '')
  return text.trimEnd().split('\n').slice(-count).join('\n')
}

/** @param changed called after every change of the status */
export const createHostProcess = (plan: HostPlan, directory: FleetDirectory, changed: () => void): HostProcess => {
  const log = directory.log(plan.id)
  let state: HostState = 'stopped'
  let child: ChildProcess | undefined
  let ended: Promise<void> = Promise.resolve()
  let startedAtMs: number | undefined
  let starts = 0
  let problem: string | undefined

  const become = (next: HostState, why?: string): void => {
    state = next
    problem = why
    changed()
  }

  const start = async (waitsFor?: string): Promise<void> => {
    if (child !== undefined) throw new Error(`${plan.id} is running already`)
    const output = openSync(log, 'a', 0o600)
    const started = fork(
      fileURLToPath(new URL(MAIN[plan.role], import.meta.url)),
      ['--creds', directory.credentials(plan.id), '--config', directory.config(plan.id)],
      { stdio: ['ignore', output, output, 'ipc'], execArgv: ['--enable-source-maps'] },
    )
    closeSync(output)
    child = started
    startedAtMs = Date.now()
    starts += 1
    become('starting')
    const exit = new Promise<string>((resolve) => {
      started.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
      started.once('error', (error) => resolve(error.message))
    })
    ended = exit.then((how) => {
      child = undefined
      if (state === 'stopping') become('stopped')
      else become('failed', `ended by itself: ${how}`)
    })
    let held: string | undefined
    const ready = new Promise<void>((resolve) => {
      started.on('message', (message: { readonly type?: string; readonly held?: string }) => {
        if (message.type !== 'ready') return
        held = message.held
        resolve()
      })
    })
    // A host that ends meanwhile also breaks the connection: how it ended says more.
    const serving = ready
      .then(() => (waitsFor === undefined && held === undefined ? untilServing(directory, plan.id) : undefined))
      .catch(() => exit)
    const said = Promise.race([serving, exit])
    const how = await within(START_TIMEOUT_MS, 'not ready in time', said).catch(async (error: unknown) => {
      if (!(error instanceof TimeLimitError)) throw error
      started.kill('SIGKILL')
      await ended
      return `${error.message}: ${START_TIMEOUT_MS / 1000} s`
    })
    if (how !== undefined)
      throw new Error(`${plan.id} did not start (${how}); the end of its log:\n${await lastLines(log, 5)}`)
    if (held !== undefined) return become('held', held)
    become('ready', waitsFor === undefined ? undefined : `it waits for ${waitsFor}`)
  }

  const accept = async (): Promise<void> => {
    const client = await connectHost(directory, plan.id)
    try {
      await client.builtin('accept-ledger')
    } finally {
      client.close()
    }
    await untilServing(directory, plan.id)
    become('ready')
  }

  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const running = child
    if (running === undefined) return ended
    become('stopping')
    running.kill(signal)
    const late = setTimeout(() => running.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await ended
    clearTimeout(late)
  }

  return {
    plan,
    status: () => ({
      id: plan.id,
      role: plan.role,
      realm: plan.realm,
      state,
      pid: child?.pid,
      startedAtMs: child === undefined ? undefined : startedAtMs,
      restarts: Math.max(0, starts - 1),
      problem,
    }),
    start,
    accept,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  }
}
