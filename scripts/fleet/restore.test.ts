import { existsSync } from 'node:fs'
import { appendFile, mkdir, mkdtemp, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fromHex } from '../../protocol/bytes.ts'
import { heardFile, markFile } from '../../nodes/runtime/head-mark.ts'
import { appendEntry, NO_HASH, type Chain } from '../../nodes/runtime/journal.ts'
import { lockLedger } from '../../nodes/runtime/ledger-lock.ts'
import { lmdbStore } from '../../nodes/runtime/lmdb-store.ts'
import { put } from '../../nodes/runtime/node.ts'
import { headTable, journalTable } from '../../nodes/runtime/runtime-tables.ts'
import { createStaged } from '../../nodes/runtime/staged.ts'
import { keyOf } from '../../nodes/runtime/table.ts'
import { provisionedFleet, type ProvisionedFleet } from '../testing/provisioned-fleet.ts'
import { restoreSnapshot, type RestoreOptions } from './restore.ts'
import { ledgerFile, manifestFile, type SnapshotManifest } from './snapshot-manifest.ts'
import { networkIdOfFleet, takeSnapshot } from './snapshot.ts'
import { openStopped } from './stopped-ledger.ts'

let fleet: ProvisionedFleet
let temporary: string
let folder: string
beforeEach(async () => {
  fleet = await provisionedFleet()
  temporary = await mkdtemp(join(tmpdir(), 'semops-snapshot-'))
  folder = join(temporary, 'snapshot')
  for (const { id } of fleet.plan.hosts) await write(id, 3)
})
afterEach(async () => {
  await fleet[Symbol.asyncDispose]()
  await rm(temporary, { recursive: true, force: true })
})

/** A ledger of `entries` more entries, as its host would have written them. */
const write = async (id: string, entries: number): Promise<void> => {
  const { directory, plan } = fleet
  const lock = lockLedger(await ledgerDir(id))
  const store = lmdbStore(join(directory.ledger(id), 'ledger.mdb'))
  const staged = createStaged(store)
  const networkId = fromHex(await networkIdOfFleet(directory, plan))
  const head = staged.get(headTable, 'head')
  let chain: Chain = { seq: head?.seq ?? 0, hash: head?.hash ?? NO_HASH }
  for (let i = 0; i < entries; i++) {
    const entry = { atMs: 1_000 + i, trigger: 'control', name: 'test', ids: [], sends: [], postings: [] }
    const appended = appendEntry(chain, entry)
    staged.write(put(journalTable, keyOf(appended.row.seq), appended.row))
    chain = appended.chain
  }
  staged.write(put(headTable, keyOf('head'), { host: id, networkId, ...chain, highestNowMs: 2_000 }))
  const { mutations } = staged.take()
  await store.commit(mutations)
  await store.close()
  lock.release()
}
const ledgerDir = async (id: string): Promise<string> => {
  await mkdir(fleet.directory.ledger(id), { recursive: true })
  return fleet.directory.ledger(id)
}
const seqOf = async (id: string): Promise<number | undefined> => {
  const ledger = openStopped(fleet.directory.ledger(id), id)
  await ledger?.close()
  return ledger?.head.seq
}
const snapshot = () => takeSnapshot(fleet.directory.root, folder)
const restore = (options: Partial<RestoreOptions> = {}) =>
  restoreSnapshot(fleet.directory.root, folder, { force: false, ...options })
const changeManifest = async (change: (manifest: SnapshotManifest) => object): Promise<void> => {
  const manifest = JSON.parse(await readFile(manifestFile(folder), 'utf8')) as SnapshotManifest
  await writeFile(manifestFile(folder), JSON.stringify({ ...manifest, ...change(manifest) }))
}

describe('a snapshot of a network that does not run', () => {
  test('brings every ledger back to where it was, and puts aside what was there', async () => {
    const { ledgers } = await snapshot()
    expect(ledgers.map(({ id, seq }) => [id, seq])).toEqual(
      fleet.plan.hosts.map(({ id }) => [id, 3]).toSorted(([a], [b]) => String(a).localeCompare(String(b))),
    )
    for (const { id } of fleet.plan.hosts) await write(id, 2)
    await writeFile(markFile(join(fleet.directory.marks, 'hu-otp')), 'a mark')
    await writeFile(heardFile(join(fleet.directory.marks, 'hu-otp')), '[]')
    const restored = await restore({ force: true })
    expect(restored.whole).toBe(true)
    for (const { id } of fleet.plan.hosts) {
      expect(await seqOf(id)).toBe(3)
      expect((await readdir(fleet.directory.ledger(id))).filter((name) => name.startsWith('ledger.mdb.'))).toEqual([])
    }
    const kept = openStopped(restored.keptIn['hu-otp'] ?? '', 'hu-otp')
    await kept?.close()
    expect(kept?.head.seq).toBe(5)
    // They are of one moment: nobody knows more.
    expect(existsSync(markFile(join(fleet.directory.marks, 'hu-otp')))).toBe(false)
    expect(await readFile(join(restored.keptIn['hu-otp'] ?? '', 'mark'), 'utf8')).toBe('a mark')
  })

  test('brings one back alone, and leaves the mark that it will be held by', async () => {
    await snapshot()
    await write('hu-otp', 1)
    await writeFile(markFile(join(fleet.directory.marks, 'hu-otp')), 'a mark')
    const restored = await restore({ only: ['hu-otp'], force: true })
    expect(restored).toMatchObject({ whole: false, restored: [{ id: 'hu-otp', seq: 3 }] })
    expect(existsSync(markFile(join(fleet.directory.marks, 'hu-otp')))).toBe(true)
    await write('hu-kh', 4)
    expect(await seqOf('hu-kh')).toBe(7)
  })

  test('needs no force where nothing is there', async () => {
    await snapshot()
    await rm(fleet.directory.ledger('hu-kh'), { recursive: true })
    expect(await restore({ only: ['hu-kh'] })).toMatchObject({ keptIn: {}, restored: [{ id: 'hu-kh' }] })
    expect(await seqOf('hu-kh')).toBe(3)
  })

  test('is not taken over something else', async () => {
    await writeFile(join(temporary, 'file'), '')
    await expect(takeSnapshot(fleet.directory.root, join(temporary, 'file'))).rejects.toThrow('is a file')
    await expect(takeSnapshot(fleet.directory.root, temporary)).rejects.toThrow('is not empty')
  })

  test('is not taken of a ledger that somebody has open, and leaves nothing then', async () => {
    const lock = lockLedger(fleet.directory.ledger('hu-otp'))
    await expect(snapshot()).rejects.toThrow('hu-otp has its ledger open')
    lock.release()
    expect(existsSync(folder)).toBe(false)
  })
})

const OTP = () => ledgerFile(folder, 'hu-otp')
const flipByte = async (): Promise<void> => {
  const bytes = await readFile(OTP())
  const at = bytes.length - 100
  bytes[at] = (bytes[at] ?? 0) ^ 1
  await writeFile(OTP(), bytes)
}
/** What was done to a snapshot or to the network, and what the refusal says. */
const REFUSED: readonly (readonly [what: string, damage: () => Promise<unknown>, says: string | RegExp])[] = [
  ['no manifest: it was not finished', () => rm(manifestFile(folder)), 'holds no snapshot'],
  ['a manifest cut short', () => truncate(manifestFile(folder), 100), 'is damaged'],
  ['a manifest with a field more', () => changeManifest(() => ({ extra: 1 })), 'is damaged'],
  ['a ledger missing', () => rm(OTP()), 'is partial'],
  ['a ledger cut short', () => truncate(OTP(), 8_192), 'has 8192 bytes instead of'],
  ['a ledger that is longer', () => appendFile(OTP(), 'x'), 'bytes instead of'],
  ['a flipped bit', flipByte, 'is damaged: its checksum is another'],
  [
    'a manifest that speaks of another entry',
    () => changeManifest(({ ledgers }) => ({ ledgers: ledgers.map((one) => ({ ...one, seq: 2 })) })),
    'is not the ledger that the manifest speaks of',
  ],
  [
    "another host's ledger under this name",
    () =>
      changeManifest(({ ledgers }) => ({
        ledgers: ledgers.map((one) =>
          one.id === 'hu-otp'
            ? { ...one, id: 'hu-cosmo', role: 'mpp' }
            : one.id === 'hu-cosmo'
              ? { ...one, id: 'hu-otp', role: 'cpp' }
              : one,
        ),
      })),
    /damaged|bytes instead/,
  ],
  [
    'a network of another name',
    () => changeManifest(() => ({ network: 'other' })),
    'is of the network other, not of files',
  ],
  [
    'a network of another root key',
    () => changeManifest(() => ({ networkId: '00'.repeat(16) })),
    'its root key is another',
  ],
  [
    'a host that this network does not have',
    () => changeManifest(({ ledgers }) => ({ ledgers: ledgers.map((one) => ({ ...one, role: 'bank' })) })),
    'which this network does not have',
  ],
]

describe('a snapshot is refused, and nothing is changed, for', () => {
  test.each(REFUSED)('%s', async (_, damage, says) => {
    await snapshot()
    await write('hu-otp', 1)
    await damage()
    await expect(restore({ force: true })).rejects.toThrow(says)
    expect(await seqOf('hu-otp')).toBe(4)
    for (const { id } of fleet.plan.hosts)
      expect((await readdir(fleet.directory.ledger(id))).toSorted()).toEqual(['ledger.mdb', 'ledger.mdb-lock'])
  })

  test('ledgers that are there, without --force', async () => {
    await snapshot()
    await write('hu-otp', 1)
    await expect(restore()).rejects.toThrow('hosts have a ledger; --force puts it aside')
    await expect(restore({ only: ['hu-otp'] })).rejects.toThrow('hu-otp has a ledger')
    expect(await seqOf('hu-otp')).toBe(4)
  })

  test('a host that runs', async () => {
    await snapshot()
    const lock = lockLedger(fleet.directory.ledger('hu-otp'))
    await expect(restore({ force: true })).rejects.toThrow('hu-otp has its ledger open; end it first')
    lock.release()
  })

  test('a host that is not in it, or nowhere', async () => {
    await snapshot()
    await changeManifest(({ ledgers }) => ({ ledgers: ledgers.filter(({ id }) => id !== 'hu-otp') }))
    await expect(restore({ only: ['hu-otp'], force: true })).rejects.toThrow('holds no ledger of hu-otp')
    await expect(restore({ only: ['hu-nobody'], force: true })).rejects.toThrow('no node hu-nobody')
  })
})
