/**
 * What a machine does to the processes that run on it, while people pay: one stands still for longer than any payment may wait,
 * another finds the disk full, and one comes back to a ledger that is not whole.
 */
import { copyFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LIMITS } from '../../protocol/limits.ts'
import { startFaultFleet, type FaultFleet } from './fault-fleet.ts'
import { CAN_FILL_DISKS, fillDisk, ledgerFile, stopHosts } from './machine.ts'
import { faultNetwork, NONE_DOWN, payThrough, SOUND } from './pay-through.ts'
import type { Lives } from './two-realms.ts'

/** Short, so that a host can stand still for longer; long enough for a slow machine. */
const SHORT: Lives = { noticeMs: 4_000, invoiceMs: 7_000, guestMs: 5_000 }
/** Longer than each of them, a resend and a sweep: whatever waited for a host that stood still was given up by others. */
const STILL_MS = SHORT.invoiceMs + LIMITS.sweepEveryMs + 1_000

let net: FaultFleet
beforeAll(async () => {
  net = await startFaultFleet(faultNetwork('machine', SHORT))
}, 180_000)
afterAll(() => net[Symbol.asyncDispose](), 60_000)

const everyHost = (): readonly string[] => net.plan.hosts.map(({ id }) => id)

describe.skipIf(process.platform === 'win32')('a process that stands still for longer than a payment may wait', () => {
  test.each<[string, () => readonly string[]]>([
    ['a CPP', () => ['hu-otp']],
    ['a bank, an MPP and a wallet host', () => ['ro-carpat', 'hu-cosmo', 'hu-wallets-1']],
    ['every host', everyHost],
  ])('%s', async (_, hosts) => {
    const examined = await payThrough(net, async () => {
      const before = await net.statuses()
      const goOn = await stopHosts(net, hosts())
      try {
        await delay(STILL_MS)
      } finally {
        goOn()
      }
      const returnedAtMs = Date.now()
      // Nobody died of it, and nobody was started anew.
      expect((await net.statuses()).map(({ pid }) => pid)).toEqual(before.map(({ pid }) => pid))
      return new Map(hosts().map((id) => [id, returnedAtMs]))
    })
    expect(examined).toEqual(SOUND)
  })
})

describe.runIf(CAN_FILL_DISKS)('a disk that is full', () => {
  test.each([
    ['a CPP', 'ro-libra'],
    ['a bank', 'hu-kh'],
  ])('stops %s in one clear line, and nothing is lost', async (_, id) => {
    const examined = await payThrough(net, async () => {
      await fillDisk(net, id)
      await net.untilDead(id)
      expect(await net.statusOf(id)).toMatchObject({ state: 'failed', problem: 'ended by itself: exit code 1' })
      const last = readFileSync(net.directory.log(id), 'utf8').trimEnd().split('\n').at(-1) ?? ''
      expect(JSON.parse(last)).toEqual({
        level: 50,
        code: 'LEDGER_NOT_WRITTEN',
        msg: expect.stringMatching(
          /could not be written \(.*MB free.*make room, then start this host again$/,
        ) as unknown,
      })
      // There is room again.
      await net.start(id)
      return new Map([[id, Date.now()]])
    })
    expect(examined).toEqual(SOUND)
  })
})

describe('a ledger that is not whole', () => {
  const PAGE = 4_096
  const damage: readonly (readonly [string, (file: string) => void])[] = [
    ['cut short', (file) => truncateSync(file, Math.floor(readFileSync(file).length / 2))],
    ['with pages of zeros', (file) => writeFileSync(file, readFileSync(file).fill(0, 2 * PAGE))],
    ['gone', (file) => rmSync(file)],
  ]
  test('refuses to start, with what is wrong and what to do, and is left as it is; a whole copy starts', async () => {
    const examined = await payThrough(net, async () => {
      const id = 'hu-cosmo'
      const file = ledgerFile(net, id)
      await net.kill(id)
      await net.untilDead(id)
      copyFileSync(file, `${file}.whole`)
      for (const [what, act] of damage) {
        copyFileSync(`${file}.whole`, file)
        act(file)
        const damaged = what === 'gone' ? undefined : readFileSync(file)
        await expect(net.start(id), what).rejects.toThrow(/LEDGER_DAMAGED.*put a whole copy/)
        if (damaged !== undefined) expect(readFileSync(file).equals(damaged), what).toBe(true)
      }
      copyFileSync(`${file}.whole`, file)
      await net.start(id)
      return NONE_DOWN
    })
    expect(examined).toEqual(SOUND)
  })
})
