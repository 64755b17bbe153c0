/**
 * A network of real processes for end-to-end tests: a real nats-server on a port that it picks, every host a process of its own,
 * in a temporary directory that goes with it.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { projectRoot } from '../cli/paths.ts'
import { openFleet, type Fleet } from '../fleet/client.ts'
import { fleetDirectory, writeJson } from '../fleet/directory.ts'
import { launch, prepareNetwork } from '../fleet/launch.ts'
import { closeSources, openSources } from '../fleet/sources.ts'
import { stopFleet } from '../fleet/stop.ts'
import { verifyNetwork, type Verification } from '../fleet/verify.ts'

export type TestFleet = AsyncDisposable & {
  readonly dir: string
  readonly fleet: Fleet
  /** Stops admissions, waits for rest, holds every ledger against the others. */
  readonly verifyAtRest: () => Promise<Verification>
}

const REST_MS = 60_000

/** Customers' PINs, where a test looks for them: longer than those that the fleet would make, so that chance writes none. */
export type Pins = Readonly<Record<string, string>>

/** Starts the network of this text, or the default one; resolves when everybody is enrolled. */
export const startTestFleet = async (network?: string, pins?: Pins): Promise<TestFleet> => {
  const dir = await mkdtemp(join(tmpdir(), 'semops-e2e-'))
  const directory = fleetDirectory(dir)
  const file = join(dir, 'given.yaml')
  if (network !== undefined) await writeFile(file, network)
  await prepareNetwork(directory, network === undefined ? undefined : file)
  if (pins !== undefined) await writeJson(directory.pinsFile, pins)
  const launched = launch(directory, { detach: false, onMessage: () => undefined })
  const end = async (): Promise<void> => {
    await stopFleet(dir).catch(() => undefined)
    await launched.ended
    await rm(dir, { recursive: true, force: true })
  }
  try {
    await launched.ready
    const fleet = await openFleet(dir)
    return {
      dir,
      fleet,
      verifyAtRest: () => verifyAtRest(fleet),
      [Symbol.asyncDispose]: async () => {
        fleet.close()
        await end()
      },
    }
  } catch (error) {
    await end()
    throw error
  }
}

/** One fleet for all tests of a file: started before the first, ended after the last. */
export const useTestFleet = (network?: string, pins?: Pins): (() => TestFleet) => {
  let started: TestFleet | undefined
  beforeAll(async () => {
    started = await startTestFleet(network, pins)
  })
  afterAll(async () => {
    await started?.[Symbol.asyncDispose]()
  })
  return () => {
    if (started === undefined) throw new Error('the fleet is started before the first test')
    return started
  }
}

export const verifyAtRest = async ({ directory, plan }: Pick<Fleet, 'directory' | 'plan'>): Promise<Verification> => {
  const sources = await openSources(directory, plan)
  try {
    return await verifyNetwork(sources, { quiesceMs: REST_MS })
  } finally {
    await closeSources(sources)
  }
}

export type CommandEnd = { readonly code: number; readonly out: string; readonly error: string }

/** Runs `semops` as a person would, in a process of its own. */
export const semops = (words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CommandEnd> =>
  new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(projectRoot(), 'scripts/bin/semops.mjs'), ...words],
      { env: { ...process.env, ...env } },
      (failure, out, error) => {
        const code = failure === null ? 0 : typeof failure.code === 'number' ? failure.code : 255
        resolve({ code, out, error })
      },
    )
  })
