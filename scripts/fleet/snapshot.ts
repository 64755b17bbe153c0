/**
 * A copy of a fleet's ledgers while it runs. Every host is held for as long as the copies take, so that no ledger of the snapshot
 * holds a message that the one of its maker lacks: what was published was flushed before, and after the last host is held nothing
 * is published any more. Each copy is LMDB's own. A host that does not run is copied under its lock.
 */
import { chmod, mkdir, readdir, rm } from 'node:fs/promises'
import { createTrust } from '../../protocol/credentials.ts'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { readHostCredentials } from '../../nodes/runtime/bundle.ts'
import { CliError } from '../cli/errors.ts'
import { readPlan } from './client.ts'
import { mapBounded } from './concurrency.ts'
import { fleetDirectory, writeJson, type FleetDirectory } from './directory.ts'
import { connectHost, HostRefusal, type HostClient } from './host-client.ts'
import { openStopped, type StoppedLedger } from './stopped-ledger.ts'
import type { HostPlan, Plan } from './plan.ts'
import { checksumOf, ledgerFile, manifestFile, type SnapshotManifest } from './snapshot-manifest.ts'

export type Snapshot = SnapshotManifest & {
  readonly folder: string
  /** How long the hosts stood still. */
  readonly heldMs: number
}

const HOSTS_AT_ONCE = 8

/** One host's ledger, ready to be copied: its journal's end does not move until `release`. */
type Copied = {
  readonly plan: HostPlan
  readonly head: { readonly seq: number; readonly hash: string }
  readonly copyTo: (path: string) => Promise<void>
  /** False when it has moved since. */
  readonly release: () => Promise<boolean>
}

/** @throws CliError; what was written is taken away again, and every host goes on */
export const takeSnapshot = async (
  dir: string,
  folder: string,
  { onCopied = () => undefined }: { readonly onCopied?: (id: string) => void } = {},
): Promise<Snapshot> => {
  const directory = fleetDirectory(dir)
  const plan = await readPlan(directory)
  await prepare(folder)
  const held: Copied[] = []
  const without: string[] = []
  const startedAt = performance.now()
  let stood = true
  try {
    await mapBounded(plan.hosts, HOSTS_AT_ONCE, async (host) => {
      const one = await hold(directory, host)
      if (one === undefined) without.push(host.id)
      else held.push(one)
    })
    if (held.length === 0)
      throw new CliError('environment', 'there are no ledgers yet; start the network with `semops up`')
    await mapBounded(held, HOSTS_AT_ONCE, async ({ plan: { id }, copyTo }) => {
      await copyTo(ledgerFile(folder, id))
      onCopied(id)
    })
  } catch (error) {
    await release(held)
    await rm(folder, { recursive: true, force: true })
    throw error
  }
  stood = await release(held)
  const heldMs = Math.round(performance.now() - startedAt)
  if (!stood) {
    await rm(folder, { recursive: true, force: true })
    throw new CliError(
      'environment',
      `copying took longer than ${LIMITS.maxHoldMs / 1000} s, so hosts went on meanwhile; nothing was kept`,
    )
  }
  const ledgers = await mapBounded(
    held.toSorted((a, b) => a.plan.id.localeCompare(b.plan.id)),
    HOSTS_AT_ONCE,
    async ({ plan: { id, role }, head }) => ({ id, role, ...head, ...(await checksumOf(ledgerFile(folder, id))) }),
  )
  const manifest: SnapshotManifest = {
    version: 1,
    network: plan.network,
    networkId: await networkIdOfFleet(directory, plan),
    takenAtMs: Date.now(),
    without: without.toSorted(),
    ledgers: [...ledgers],
  }
  await writeJson(manifestFile(folder), manifest)
  return { ...manifest, folder, heldMs }
}

/** The network that this fleet's hosts trust, in hex. */
export const networkIdOfFleet = async (directory: FleetDirectory, { hosts: [first] }: Plan): Promise<string> => {
  if (first === undefined) throw new CliError('usage', 'the network has no hosts')
  const { rootKey } = await readHostCredentials(directory.credentials(first.id))
  return toHex(createTrust(loadEngine(), fromHex(rootKey)).networkId)
}

const prepare = async (folder: string): Promise<void> => {
  const there = await readdir(folder).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return []
    if (code === 'ENOTDIR') throw new CliError('usage', `${folder} is a file; give a folder that is empty or new`)
    throw error
  })
  if (there.length > 0) throw new CliError('usage', `${folder} is not empty; give a folder that is empty or new`)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await chmod(folder, 0o700)
}

const release = async (held: readonly Copied[]): Promise<boolean> =>
  (await mapBounded(held, HOSTS_AT_ONCE, async (one) => one.release())).every(Boolean)

const hold = async (directory: FleetDirectory, host: HostPlan): Promise<Copied | undefined> => {
  let client: HostClient
  try {
    client = await connectHost(directory, host.id)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' && code !== 'ECONNREFUSED') throw error
    const stopped = openStopped(directory.ledger(host.id), host.id)
    return stopped === undefined ? undefined : { plan: host, ...ofStopped(stopped) }
  }
  try {
    const { seq, hash } = await client.builtin<{ readonly seq: number; readonly hash: string }>('hold', {
      ms: LIMITS.maxHoldMs,
    })
    return {
      plan: host,
      head: { seq, hash },
      copyTo: async (path) => {
        await client.builtin('copy-ledger', { path }).catch((error: unknown) => {
          throw error instanceof HostRefusal
            ? new CliError('environment', `${host.id} can not copy its ledger: ${error.detail}; nothing was kept`)
            : error
        })
      },
      release: async () => {
        try {
          return (await client.builtin<{ readonly held: boolean }>('release')).held
        } finally {
          client.close()
        }
      },
    }
  } catch (error) {
    client.close()
    throw error
  }
}

const ofStopped = ({ head, copyTo, close }: StoppedLedger): Omit<Copied, 'plan'> => ({
  head: { seq: head.seq, hash: toHex(head.hash) },
  copyTo,
  release: async () => {
    await close()
    return true
  },
})
