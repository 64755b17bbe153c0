/** Each thing that doctor finds, made and seen; on the files of a fleet that does not run, with stand-ins for what does. */
import { spawn } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { serveControl } from '../../nodes/runtime/control.ts'
import { lmdbStore } from '../../nodes/runtime/lmdb-store.ts'
import { put } from '../../nodes/runtime/node.ts'
import { headTable } from '../../nodes/runtime/runtime-tables.ts'
import { createStaged } from '../../nodes/runtime/staged.ts'
import { keyOf } from '../../nodes/runtime/table.ts'
import { serverConfig } from '../../bus/server-config.ts'
import { serverTls, tlsFiles } from '../../bus/tls-authority.ts'
import { trustOf } from '../../bus/authority.ts'
import { provisionedFleet, type ProvisionedFleet } from '../testing/provisioned-fleet.ts'
import { diagnose, type Finding, type Machine } from './doctor.ts'
import { readRegister, withChangedKeys, writeRegister } from './key-room.ts'
import { fleetAuthority } from './provision.ts'
import { writeJson } from './directory.ts'

const DAY_MS = 86_400_000
const GIB = 1_073_741_824
let fleet: ProvisionedFleet
beforeEach(async () => {
  fleet = await provisionedFleet()
})
afterEach(() => fleet[Symbol.asyncDispose]())

/** Nothing is wrong with it. */
const sound: Machine = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  nodeVersion: '20.19.0',
  serverText: async () => 'nats-server: v2.10.27',
  freeBytes: async () => 100 * GIB,
}
const findings = async (machine: Partial<Machine> = {}): Promise<readonly Finding[]> =>
  (await diagnose(fleet.directory, fleet.plan, { ...sound, ...machine }, () => undefined)).findings
const one = async (machine: Partial<Machine> = {}): Promise<Finding> => {
  const all = await findings(machine)
  expect(all).toHaveLength(1)
  return all[0] as Finding
}

test('a sound fleet has no findings', async () => {
  expect(await findings()).toEqual([])
})

describe('modes', () => {
  test.each([
    ['the broker authority', () => fleet.directory.authorityFile, '600'],
    ['the root key', () => fleet.directory.secretsFile, '600'],
    ['PINs', () => fleet.directory.pinsFile, '600'],
    ['the register', () => fleet.directory.registerFile, '600'],
    ["a host's credentials", () => fleet.directory.credentials('hu-otp'), '600'],
    ['the folder of ledgers', () => join(fleet.directory.root, 'ledgers'), '700'],
    ['the fleet itself', () => fleet.directory.root, '700'],
  ])('%s', async (_, path, wanted) => {
    await chmod(path(), wanted === '600' ? 0o640 : 0o755)
    expect(await one()).toEqual({
      check: 'modes',
      level: 'error',
      what: `${path()} is open to others than its owner (mode ${wanted === '600' ? '640' : '755'})`,
      todo: `chmod ${wanted} ${path()}`,
    })
  })

  test('a control socket', async () => {
    const path = fleet.directory.socket('hu-kh')
    await using _ = await serveControl(path, () => ({ ok: false, error: { code: 'NO', detail: '' } }))
    await chmod(path, 0o666)
    expect(await one()).toMatchObject({ check: 'modes', level: 'error', todo: `chmod 600 ${path}` })
  })

  test("a ledger's folder", async () => {
    const path = fleet.directory.ledger('hu-kh')
    mkdirSync(path, { mode: 0o700 })
    await chmod(path, 0o750)
    expect(await one()).toMatchObject({ check: 'modes', level: 'error', todo: `chmod 700 ${path}` })
  })
})

describe('listen', () => {
  const configure = async (change: (conf: Record<string, unknown>) => Record<string, unknown>): Promise<void> => {
    const { natsDir } = fleet.directory
    const conf = serverConfig(natsDir, {}, await trustOf(await fleetAuthority(fleet.directory, 'files')))
    const changed = change(JSON.parse(conf) as Record<string, unknown>)
    await writeFile(join(natsDir, 'nats-server.conf'), JSON.stringify(changed), { mode: 0o600 })
  }
  test('what this program writes is sound', async () => {
    await configure((conf) => conf)
    expect(await findings()).toEqual([])
  })
  test('beyond loopback without TLS', async () => {
    await configure((conf) => ({ ...conf, host: '0.0.0.0' }))
    expect(await one()).toMatchObject({
      check: 'listen',
      level: 'error',
      what: expect.stringMatching(/0\.0\.0\.0 without TLS/),
    })
    await configure((conf) => ({ ...conf, host: '0.0.0.0', tls: {} }))
    expect(await findings()).toEqual([])
  })
  test('users outside every account, and revocations that cannot be pushed', async () => {
    await configure(({ operator: _operator, ...conf }) => conf)
    expect(await one()).toMatchObject({
      check: 'listen',
      level: 'error',
      what: expect.stringMatching(/outside every account/),
    })
    await configure((conf) => ({ ...conf, resolver: { type: 'memory' } }))
    expect(await one()).toMatchObject({ check: 'listen', level: 'error', what: expect.stringMatching(/revocation/) })
  })
})

test("the broker's certificate, near its end and past it", async () => {
  await serverTls(fleet.directory.tlsDir, { name: 'files', nowMs: Date.now() - 300 * DAY_MS })
  const text = await readFile(tlsFiles(fleet.directory.tlsDir).serverCert, 'utf8')
  const endMs = Date.parse(new X509Certificate(text).validTo)
  const listen = async (nowMs: number) =>
    (await findings({ nowMs: () => nowMs })).filter(({ check }) => check === 'listen')
  expect(await listen(endMs - 40 * DAY_MS)).toEqual([])
  expect(await listen(endMs - 10 * DAY_MS)).toMatchObject([{ level: 'warning', todo: 'semops restart nats' }])
  expect(await listen(endMs + 1)).toMatchObject([{ level: 'error' }])
})

describe('server', () => {
  test.each([
    ['2.9.10', 'warning', /CVE-2023-47090/],
    ['2.9.22', 'warning', /CVE-2023-47090/],
    ['2.10.1', 'warning', /CVE-2023-47090/],
    ['2.9.9', 'error', /older than 2\.9\.10/],
  ] as const)('%s', async (version, level, what) => {
    const found = await one({ serverText: async () => `nats-server: v${version}` })
    expect(found).toMatchObject({ check: 'server', level })
    expect(found.what).toMatch(what)
  })
  test.each(['2.9.23', '2.10.2', '2.11.0'])('%s has that mended', async (version) => {
    expect(await findings({ serverText: async () => `nats-server: v${version}` })).toEqual([])
  })
  test('none at all', async () => {
    expect(await one({ serverText: async () => undefined })).toMatchObject({ check: 'server', level: 'error' })
  })
})

describe('clocks', () => {
  const host = (id: string, aheadMs: number) =>
    serveControl(fleet.directory.socket(id), () => ({ ok: true, value: { nowMs: Date.now() + aheadMs } }))
  test('a host that is off this machine by more than the limit', async () => {
    await using _ = await host('hu-otp', 3_600_000)
    expect(await one()).toMatchObject({
      check: 'clocks',
      level: 'error',
      what: expect.stringMatching(/hu-otp is 3600\.\d s ahead of this/),
    })
  })
  test('two hosts that are off each other', async () => {
    await using _ = await host('hu-otp', 20_000)
    expect(await findings()).toEqual([])
    await using cosmo = await host('hu-cosmo', -20_000)
    expect(cosmo.path).toBe(fleet.directory.socket('hu-cosmo'))
    expect(await one()).toMatchObject({
      check: 'clocks',
      what: expect.stringMatching(/hu-otp is 40\.\d s ahead of hu-cosmo/),
    })
  })
  test('a ledger that has seen a later time', async () => {
    const ledger = fleet.directory.ledger('hu-kh')
    mkdirSync(ledger, { mode: 0o700 })
    const store = lmdbStore(join(ledger, 'ledger.mdb'))
    const staged = createStaged(store)
    const row = { host: 'hu-kh', networkId: new Uint8Array(16), seq: 0, hash: new Uint8Array(32) }
    staged.write(put(headTable, keyOf('head'), { ...row, highestNowMs: Date.now() + DAY_MS }))
    await store.commit(staged.take().mutations)
    await store.close()
    expect(await one()).toMatchObject({ check: 'clocks', level: 'error', what: /ledger of hu-kh .*8\d{4}\.\d s ahead/ })
  })
})

describe('expiry', () => {
  test('near, past, and not yet', async () => {
    const hosts = fleet.plan.hosts.length
    const soon = await findings({ nowMs: () => Date.now() + 340 * DAY_MS })
    expect(soon).toHaveLength(hosts)
    expect(soon[0]).toMatchObject({
      check: 'expiry',
      level: 'warning',
      what: expect.stringMatching(/expires in 2\d days/),
    })
    const late = await findings({ nowMs: () => Date.now() + 366 * DAY_MS })
    expect(late.filter(({ level, what }) => level === 'error' && what.includes('has expired'))).toHaveLength(hosts)
    const early = await findings({ nowMs: () => Date.now() - DAY_MS })
    expect(early.filter(({ what }) => what.includes('not valid yet'))).toHaveLength(hosts)
  })
})

describe('revocations', () => {
  test('a host whose key is revoked', async () => {
    const register = await readRegister(fleet.directory)
    const revoked = withChangedKeys(
      register,
      (_, { id }) => id === 'hu-cosmo',
      (key) => ({ ...key, revokedAtMs: Date.now() }),
    )
    await writeRegister(fleet.directory, revoked)
    expect(await one()).toMatchObject({
      check: 'revocations',
      level: 'warning',
      what: expect.stringMatching(/hu-cosmo is revoked/),
    })
  })
  test('a former key that is still good after its overlap', async () => {
    const register = await readRegister(fleet.directory)
    const cosmo = register.ids['hu-cosmo']
    const [key] = cosmo?.keys ?? []
    if (cosmo === undefined || key === undefined) throw new Error('provisioned without a key')
    const former = { ...key, keyId: 'f'.repeat(32), overlapsUntilMs: Date.now() - 1 }
    await writeRegister(fleet.directory, {
      ...register,
      ids: { ...register.ids, 'hu-cosmo': { ...cosmo, keys: [former, key] } },
    })
    expect(await one()).toMatchObject({ check: 'revocations', todo: `semops credential revoke --key ${former.keyId}` })
  })
})

describe('the machine', () => {
  test('an old Node', async () => {
    expect(await one({ nodeVersion: '20.18.9' })).toMatchObject({ check: 'node', level: 'error' })
  })
  test('a disk that is nearly full, or is', async () => {
    expect(await one({ freeBytes: async () => GIB })).toMatchObject({ check: 'disk', level: 'warning' })
    expect(await one({ freeBytes: async () => GIB / 8 })).toMatchObject({ check: 'disk', level: 'error' })
  })
  test('a host that outlived its supervisor', async () => {
    const config = fleet.directory.config('hu-otp')
    const child = spawn(process.execPath, ['-e', 'process.stdout.write("up"); setInterval(() => {}, 1000)', config])
    await once(child.stdout, 'data')
    try {
      await writeJson(fleet.directory.stateFile, { hosts: [{ id: 'hu-otp', pid: child.pid }] })
      expect(await one()).toMatchObject({
        check: 'leftovers',
        level: 'warning',
        what: expect.stringMatching(/hu-otp still runs/),
      })
    } finally {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    expect(await findings()).toEqual([])
  })
})

test('it changes nothing', async () => {
  const before = await readFile(fleet.directory.registerFile, 'utf8')
  await findings({ nowMs: () => Date.now() + 400 * DAY_MS })
  expect(await readFile(fleet.directory.registerFile, 'utf8')).toBe(before)
})
