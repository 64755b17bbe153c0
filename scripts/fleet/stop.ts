/** Ends a fleet and knows that it has ended: also one whose supervisor was killed. */
import { CliError } from '../cli/errors.ts'
import { LedgerLocked, lockLedger } from '../../nodes/runtime/ledger-lock.ts'
import { setTimeout as delay } from 'node:timers/promises'
import { rm } from 'node:fs/promises'
import { openFleet, type Fleet } from './client.ts'
import { fleetDirectory, readJson, type FleetDirectory } from './directory.ts'
import { endLeftovers } from './leftovers.ts'
import type { FleetState } from './state.ts'

/** Between the supervisor's answer and the end of its process. */
const EXIT_TIMEOUT_MS = 15_000
const POLL_MS = 20

export type Stopped = { readonly hosts: number; readonly wasRunning: boolean }

/** @throws CliError when there is nothing to end */
export const stopFleet = async (dir: string): Promise<Stopped> => {
  const directory = fleetDirectory(dir)
  const state = await readJson<FleetState>(directory.stateFile)
  const hosts = state?.hosts.filter(({ pid }) => pid !== undefined).length ?? 0
  const fleet = await openFleet(dir).catch((error: unknown) => {
    if (error instanceof CliError && state !== undefined) return undefined
    throw error
  })
  if (fleet === undefined) {
    await endLeftovers(directory)
    await rm(directory.stateFile, { force: true })
    return { hosts, wasRunning: false }
  }
  await endRunning(fleet)
  await untilUnlocked(directory)
  return { hosts, wasRunning: true }
}

const endRunning = async (fleet: Fleet): Promise<void> => {
  // Whether it has ended, its lock tells; a connection that breaks on the way tells nothing.
  await fleet.supervisor('down').catch(() => undefined)
  fleet.close()
}

/** The supervisor's lock is free only when it has ended everything. */
const untilUnlocked = async (directory: FleetDirectory): Promise<void> => {
  const deadline = performance.now() + EXIT_TIMEOUT_MS
  for (;;) {
    try {
      lockLedger(directory.root).release()
      return
    } catch (error) {
      if (!(error instanceof LedgerLocked) || performance.now() > deadline) throw error
      await delay(POLL_MS)
    }
  }
}
