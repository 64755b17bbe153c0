/**
 * What a supervisor that was killed left behind. Its hosts end by themselves when the channel to it breaks; its broker does
 * not. Only a process that still runs with this directory's own configuration is waited for or ended, never a bare pid.
 */
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { attachServer } from '../../bus/nats-server.ts'
import { readJson, type FleetDirectory } from './directory.ts'
import type { FleetState } from './state.ts'

/** Hosts drain when their supervisor dies; after this they are ended. */
const PATIENCE_MS = 15_000
const POLL_MS = 50

/** Is `pid` a host that was started with this configuration file? Where /proc is missing nobody can say, so: no. */
export const runsWith = async (pid: number, configFile: string): Promise<boolean> => {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').includes(configFile)
  } catch {
    return false
  }
}

export const endLeftovers = async (directory: FleetDirectory): Promise<void> => {
  const before = await readJson<FleetState>(directory.stateFile).catch(() => undefined)
  const hosts = (before?.hosts ?? []).flatMap(({ id, pid }) => (pid === undefined ? [] : [{ id, pid }]))
  const deadline = performance.now() + PATIENCE_MS
  for (const { id, pid } of hosts) {
    while (await runsWith(pid, directory.config(id))) {
      if (performance.now() > deadline) {
        process.kill(pid, 'SIGKILL')
        break
      }
      await delay(POLL_MS)
    }
  }
  await (await attachServer(directory.natsDir))?.stop()
}
