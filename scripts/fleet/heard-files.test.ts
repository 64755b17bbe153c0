import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { heardFile } from '../../nodes/runtime/head-mark.ts'
import { readHeard, type HeardJson } from '../../nodes/runtime/heard.ts'
import { fleetDirectory, makeFleetDirectory, type FleetDirectory } from './directory.ts'
import { leaveHeard, type Openers } from './heard-files.ts'
import type { NodeSource } from './node-source.ts'
import type { HostPlan } from './plan.ts'

const IDS = ['hu-kh', 'hu-otp', 'hu-cosmo', 'hu-dc-1'] as const
const hosts = IDS.map((id): HostPlan => ({
  id,
  role: 'bank',
  realm: 'hu',
  operatorId: id,
  certifiedBy: [],
  account: undefined,
  accounts: {},
  policy: {},
}))
const said = (by: string, host: string, sentAtMs: number): HeardJson => ({ by, host, sentAtMs, frame: 'c0' })
/** What each holds of others. */
const HELD: Readonly<Record<string, readonly HeardJson[]>> = {
  'hu-kh': [said('hu-kh', 'hu-otp', 5), said('hu-kh', 'hu-cosmo', 3)],
  'hu-otp': [said('hu-otp', 'hu-kh', 4)],
  'hu-cosmo': [said('hu-cosmo', 'hu-otp', 9)],
}

let directory: FleetDirectory
beforeEach(async () => {
  directory = fleetDirectory(await mkdtemp(join(tmpdir(), 'semops-heard-')))
  await makeFleetDirectory(directory)
})
afterEach(() => rm(directory.root, { recursive: true, force: true }))

/** Hosts of which some run, some have a ledger that opens, and some do not even have that. */
const fleet = (running: readonly string[], stopped: readonly string[] = [], dying: readonly string[] = []) => {
  const ledgers: string[] = []
  const open = new Set<string>()
  const source = (id: string): NodeSource => {
    open.add(id)
    const nothing = (): Promise<never> => Promise.reject(new Error('not asked'))
    return {
      id,
      role: 'bank',
      live: running.includes(id),
      report: nothing,
      payments: nothing,
      ask: nothing,
      trace: nothing,
      standing: nothing,
      age: nothing,
      drain: nothing,
      resume: nothing,
      heard: async (of) => {
        if (dying.includes(id)) throw new Error('it died')
        return (HELD[id] ?? []).filter(({ host }) => of === undefined || host === of)
      },
      close: async () => void open.delete(id),
    }
  }
  const openRunning: Openers['openRunning'] = async (_, { id }) => {
    if (!running.includes(id)) throw new Error('ECONNREFUSED')
    return source(id)
  }
  const openSource: Openers['openSource'] = async (where, host) => {
    if (running.includes(host.id)) return openRunning(where, host)
    ledgers.push(host.id)
    if (!stopped.includes(host.id)) throw new Error('no ledger')
    return source(host.id)
  }
  return { openers: { openRunning, openSource }, ledgers, open }
}
const left = (id: string) =>
  readHeard(heardFile(join(directory.marks, id))).map(({ by, sentAtMs }) => `${by} ${sentAtMs}`)

test('before all start, everybody’s ledger says what it holds of each, newest first; who has none says nothing', async () => {
  const { openers, open } = fleet([], ['hu-kh', 'hu-otp', 'hu-cosmo'])
  await leaveHeard(directory, { hosts }, undefined, openers)
  expect(IDS.map(left)).toEqual([['hu-otp 4'], ['hu-cosmo 9', 'hu-kh 5'], ['hu-kh 3'], []])
  expect([...open]).toEqual([])
})

test('before one starts, those that run are asked of it, and no ledger is opened: its host could not start meanwhile', async () => {
  const { openers, ledgers, open } = fleet(['hu-kh'], ['hu-otp', 'hu-cosmo'])
  await leaveHeard(directory, { hosts }, 'hu-otp', openers)
  expect(IDS.map(left)).toEqual([[], ['hu-kh 5'], [], []])
  expect(ledgers).toEqual([])
  expect([...open]).toEqual([])
})

test('one that dies while it is asked makes the proof weaker and nothing wrong', async () => {
  const { openers, open } = fleet(['hu-kh', 'hu-cosmo'], [], ['hu-cosmo'])
  await leaveHeard(directory, { hosts }, 'hu-otp', openers)
  expect(left('hu-otp')).toEqual(['hu-kh 5'])
  expect([...open]).toEqual([])
})

test('what was left before is replaced: nobody holds it any more', async () => {
  await leaveHeard(directory, { hosts }, 'hu-otp', fleet(['hu-kh']).openers)
  expect(left('hu-otp')).toEqual(['hu-kh 5'])
  await leaveHeard(directory, { hosts }, 'hu-otp', fleet(['hu-dc-1']).openers)
  expect(left('hu-otp')).toEqual([])
})
