/** Snapshots of a network of real processes while people pay, and what becomes of a ledger that comes back alone. */
import { rmSync } from 'node:fs'
import { mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { markFile } from '../../nodes/runtime/head-mark.ts'
import { restoreSnapshot } from '../fleet/restore.ts'
import { takeSnapshot } from '../fleet/snapshot.ts'
import { openFleet } from '../fleet/client.ts'
import { eventually, startFaultFleet, type FaultFleet } from './fault-fleet.ts'
import { oneRealm, oneRealmOrder } from './one-realm.ts'
import { startStream } from './payment-stream.ts'

const CPP = 'hu-otp'
const PAID_MS = 60_000

let net: FaultFleet
let folders: string
beforeAll(async () => {
  folders = await mkdtemp(join(tmpdir(), 'semops-kept-'))
  net = await startFaultFleet(oneRealm('kept'))
}, 180_000)
afterAll(async () => {
  await net[Symbol.asyncDispose]()
  rmSync(folders, { recursive: true, force: true })
}, 60_000)

const payMore = async (during: () => Promise<unknown> = async () => undefined): Promise<void> => {
  const stream = startStream(net, 3, oneRealmOrder)
  const more = (count: number) => {
    const from = stream.ended()
    return eventually(`${count} payments`, PAID_MS, () => stream.ended() >= from + count)
  }
  await more(4)
  await during()
  await more(4)
  await stream.stop()
}
const stateOf = async (id: string): Promise<string> => (await net.statusOf(id)).state
const brokenNames = async (): Promise<readonly string[]> =>
  (await net.verify()).checks.filter(({ ok }) => !ok).map(({ name }) => name)
const AGE = `nobody knows more of a host than its own ledger: ${CPP}`

test('an old ledger is found out, by its mark and by its peers; a whole snapshot is one moment', async () => {
  const folder = join(folders, 'while-paying')
  await payMore(async () => {
    const { ledgers, without } = await takeSnapshot(net.directory.root, folder)
    expect(ledgers.map(({ id }) => id).toSorted()).toEqual(net.plan.hosts.map(({ id }) => id).toSorted())
    expect(without).toEqual([])
  })
  expect(await brokenNames()).toEqual([])

  // One ledger comes back alone: the mark tells.
  await net.kill(CPP)
  await net.untilDead(CPP)
  const { keptIn, whole } = await restoreSnapshot(net.directory.root, folder, { only: [CPP], force: true })
  expect(whole).toBe(false)
  await net.start(CPP)
  expect(await net.statusOf(CPP)).toMatchObject({
    state: 'held',
    problem: expect.stringContaining('up to entry') as string,
  })
  expect(await brokenNames()).toContain(AGE)
  await net.withHost(CPP, async (cpp) => {
    expect(await cpp.builtin('status')).toMatchObject({ state: 'held', ready: false })
    await expect(cpp.command('set-policy')).rejects.toMatchObject({ code: 'HELD' })
  })

  // Without the mark, as on another machine, its peers tell.
  await net.kill(CPP)
  await net.untilDead(CPP)
  await rm(markFile(join(net.directory.marks, CPP)))
  await net.start(CPP)
  expect(await net.statusOf(CPP)).toMatchObject({
    state: 'held',
    problem: expect.stringContaining('holds its') as string,
  })

  // Its own ledger again: nothing is held against it.
  await net.kill(CPP)
  await net.untilDead(CPP)
  const ledger = net.directory.ledger(CPP)
  await rename(join(keptIn[CPP] ?? '', 'ledger.mdb'), join(ledger, 'ledger.mdb'))
  await rm(join(ledger, 'ledger.mdb-lock'), { force: true })
  await net.start(CPP)
  expect(await stateOf(CPP)).toBe('ready')
  await payMore()
  expect(await brokenNames()).toEqual([])

  // All of one moment, in which payments were under way.
  await net.down()
  expect(await restoreSnapshot(net.directory.root, folder, { force: true })).toMatchObject({ whole: true })
  await net.up()
  for (const { id } of net.plan.hosts) expect([id, await stateOf(id)]).toEqual([id, 'ready'])
  await payMore()
  expect(await brokenNames()).toEqual([])
}, 240_000)

test('an operator may let a host go on with an old ledger, and is asked once', async () => {
  const folder = join(folders, 'accepted')
  await takeSnapshot(net.directory.root, folder)
  await payMore()
  await net.kill(CPP)
  await net.untilDead(CPP)
  await restoreSnapshot(net.directory.root, folder, { only: [CPP], force: true })
  await net.start(CPP)
  expect(await stateOf(CPP)).toBe('held')
  const fleet = await openFleet(net.directory.root)
  try {
    await fleet.supervisor('accept-ledger', { id: CPP })
    await expect(fleet.supervisor('accept-ledger', { id: CPP })).rejects.toThrow(
      'nobody has shown this ledger to be old',
    )
  } finally {
    fleet.close()
  }
  expect(await stateOf(CPP)).toBe('ready')
  await net.kill(CPP)
  await net.untilDead(CPP)
  await net.start(CPP)
  expect(await stateOf(CPP)).toBe('ready')
  // What it has forgotten differs all the same, and is shown.
  const broken = await brokenNames()
  expect(broken).not.toContain(AGE)
  expect(broken).not.toEqual([])
}, 120_000)
