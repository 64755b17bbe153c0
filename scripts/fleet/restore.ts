/**
 * Puts ledgers of a snapshot in the place of those of a fleet that does not run, or of some of its hosts that do not. Everything is
 * checked before anything moves; what was there is kept beside. A ledger that comes back alone is older than what its peers have
 * heard: its host finds its mark, says so and does nothing until an operator accepts it (decision 0011). Only when all ledgers
 * come back, from one snapshot, do they agree with each other: then the marks go with the ledgers that they are of.
 */
import { existsSync } from 'node:fs'
import { copyFile, constants, mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { equalBytes, fromHex } from '../../protocol/bytes.ts'
import { lmdbStore } from '../../nodes/runtime/lmdb-store.ts'
import { heardFile, markFile } from '../../nodes/runtime/head-mark.ts'
import type { LedgerLock } from '../../nodes/runtime/ledger-lock.ts'
import { CliError } from '../cli/errors.ts'
import { hostOf, readPlan } from './client.ts'
import { fleetDirectory, type FleetDirectory } from './directory.ts'
import type { Plan } from './plan.ts'
import { networkIdOfFleet } from './snapshot.ts'
import {
  checkFiles,
  ledgerFile,
  readManifest,
  type SnapshotLedger,
  type SnapshotManifest,
} from './snapshot-manifest.ts'
import { LEDGER, lockOf, readOwner } from './stopped-ledger.ts'

export type RestoreOptions = {
  /** Ids of hosts, or of customers and merchants whose hosts are meant. Default: all. */
  readonly only?: readonly string[] | undefined
  /** Replaces ledgers that are there. */
  readonly force: boolean
  readonly onRestored?: (id: string) => void
}

export type Restored = {
  readonly takenAtMs: number
  readonly restored: readonly { readonly id: string; readonly seq: number }[]
  /** What was there before, by host. */
  readonly keptIn: Readonly<Record<string, string>>
  /** All ledgers of the fleet, from one moment: they agree with each other. */
  readonly whole: boolean
}

/** What an operator may do about a host that is held. */
export const remedy = (id: string): string =>
  `restore a newer ledger, or let it go on with \`semops restore --accept ${id}\``

/** @throws CliError that says what is wrong, before anything is changed */
export const restoreSnapshot = async (
  dir: string,
  folder: string,
  { only, force, onRestored = () => undefined }: RestoreOptions,
): Promise<Restored> => {
  const directory = fleetDirectory(dir)
  const plan = await readPlan(directory)
  const manifest = await readManifest(folder)
  await checkNetwork(directory, plan, manifest)
  const ids = only?.map((id) => hostOf(plan, id))
  const ledgers = chosen(manifest, plan, ids)
  await checkFiles(folder, ledgers, () => undefined)

  const locks: LedgerLock[] = []
  const drafts: string[] = []
  try {
    for (const { id } of ledgers) {
      await mkdir(directory.ledger(id), { recursive: true, mode: 0o700 })
      locks.push(lockOf(directory.ledger(id), id))
    }
    const there = ledgers.filter(({ id }) => existsSync(join(directory.ledger(id), LEDGER))).map(({ id }) => id)
    if (there.length > 0 && !force)
      throw new CliError(
        'usage',
        `${there.length === 1 ? `${there[0]} has` : `${there.length} hosts have`} a ledger; --force puts it aside and restores`,
      )
    for (const ledger of ledgers) {
      const draft = join(directory.ledger(ledger.id), `${LEDGER}.restoring`)
      drafts.push(draft)
      await putDraft(ledgerFile(folder, ledger.id), draft, ledger, manifest)
    }
    const whole = isWhole(plan, ledgers)
    const keptIn: Record<string, string> = {}
    for (const { id } of ledgers) {
      const kept = await exchange(directory, id, whole)
      if (kept !== undefined) keptIn[id] = kept
      onRestored(id)
    }
    return { takenAtMs: manifest.takenAtMs, restored: ledgers.map(({ id, seq }) => ({ id, seq })), keptIn, whole }
  } finally {
    for (const draft of drafts) for (const file of [draft, `${draft}-lock`]) await rm(file, { force: true })
    for (const lock of locks) lock.release()
  }
}

const checkNetwork = async (directory: FleetDirectory, plan: Plan, manifest: SnapshotManifest): Promise<void> => {
  if (manifest.network !== plan.network)
    throw new CliError('usage', `the snapshot is of the network ${manifest.network}, not of ${plan.network}`)
  if (manifest.networkId !== (await networkIdOfFleet(directory, plan)))
    throw new CliError(
      'usage',
      `the snapshot is of another network of the name ${plan.network}: its root key is another`,
    )
}

const chosen = (
  { ledgers }: SnapshotManifest,
  { hosts }: Plan,
  ids: readonly string[] | undefined,
): readonly SnapshotLedger[] => {
  for (const { id, role } of ledgers) {
    const planned = hosts.find((host) => host.id === id)
    if (planned?.role !== role && (ids === undefined || ids.includes(id)))
      throw new CliError('usage', `the snapshot holds the ledger of ${role} ${id}, which this network does not have`)
  }
  if (ids === undefined) return ledgers
  return ids.map((id) => {
    const found = ledgers.find((ledger) => ledger.id === id)
    if (found === undefined) throw new CliError('usage', `the snapshot holds no ledger of ${id}`)
    return found
  })
}

/** Every host of the plan that has, or is given, a ledger is given one of this snapshot. */
const isWhole = ({ hosts }: Plan, ledgers: readonly SnapshotLedger[]): boolean =>
  hosts.every(({ id }) => ledgers.some((ledger) => ledger.id === id))

/** The copy beside its place, opened once: it is the ledger that the manifest speaks of. @throws CliError */
const putDraft = async (
  from: string,
  draft: string,
  { id, seq, hash }: SnapshotLedger,
  { networkId }: SnapshotManifest,
): Promise<void> => {
  await rm(draft, { force: true })
  await copyFile(from, draft, constants.COPYFILE_FICLONE)
  const store = lmdbStore(draft)
  try {
    const { head, owner } = readOwner(store)
    const fits =
      (owner === undefined ? seq === 0 : owner.host === id && equalBytes(owner.networkId, fromHex(networkId))) &&
      head.seq === seq &&
      equalBytes(head.hash, fromHex(hash))
    if (!fits)
      throw new CliError('usage', `${from} is not the ledger that the manifest speaks of; nothing was restored`)
  } finally {
    await store.close()
  }
}

/** What was there goes aside, the draft takes its place. → where it went */
const exchange = async (directory: FleetDirectory, id: string, whole: boolean): Promise<string | undefined> => {
  const ledgerDir = directory.ledger(id)
  const place = join(ledgerDir, LEDGER)
  const base = join(directory.marks, id)
  let aside: string | undefined
  if (existsSync(place)) {
    aside = join(ledgerDir, `before-restore-${new Date().toISOString().replaceAll(':', '')}`)
    await mkdir(aside, { mode: 0o700 })
    await rename(place, join(aside, LEDGER))
    await rm(`${place}-lock`, { force: true })
  }
  await rename(`${place}.restoring`, place)
  if (whole) {
    const mark = markFile(base)
    if (existsSync(mark)) await (aside === undefined ? rm(mark) : rename(mark, join(aside, 'mark')))
    await rm(heardFile(base), { force: true })
  }
  return aside
}
