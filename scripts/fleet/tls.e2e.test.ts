/** A fleet made without TLS, started again with it: every file and every connection follows, and the money is where it was. */
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { HostLogin } from '../../bus/logins.ts'
import { exitCode } from '../exit-codes.ts'
import { semops as run, type CommandEnd } from '../testing/test-fleet.ts'
import { fleetDirectory } from './directory.ts'

const network = (nats: string): string => `network: small
currency: EUR
${nats}
banks: [{ id: hu-kh }]
realms:
  hu:
    cpps: [{ id: hu-otp, bank: hu-kh }]
    mpps: [{ id: hu-cosmo, bank: hu-kh }]
    merchants: [{ payee: bakery@hu, bank: hu-kh }]
    customers: [{ id: hu-anna, bank: hu-kh }]
`

let dir: string
let file: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'semops-tls-'))
  file = join(dir, 'given.yaml')
})
afterAll(async () => {
  await semops('down')
  await rm(dir, { recursive: true, force: true })
})

const semops = (...words: readonly string[]): Promise<CommandEnd> => run(['--dir', join(dir, 'fleet'), ...words])
const up = async (nats: string, ...words: readonly string[]): Promise<CommandEnd> => {
  await writeFile(file, network(nats))
  return semops('up', file, '--detach', ...words)
}
const pay = () => semops('pay', '--customer', 'hu-anna', '--to', 'bakery@hu', '--amount', '1.20', '--json')
const logins = async (): Promise<readonly HostLogin[]> => {
  const hosts = join(dir, 'fleet', 'hosts')
  const files = (await readdir(hosts)).filter((name) => name.endsWith('.creds'))
  const texts = await Promise.all(files.map((name) => readFile(join(hosts, name), 'utf8')))
  return texts.map((text) => (JSON.parse(text) as { readonly login: HostLogin }).login)
}

test('without TLS, up and status say so, and no file names an authority', async () => {
  const end = await up('nats: { tls: false }')
  expect(end).toMatchObject({ code: 0 })
  expect(end.out).toMatch(/^TLS off: nodes and broker talk in the clear on loopback/m)
  expect((await semops('status')).out).toMatch(/broker nats:\/\/127\.0\.0\.1:\d+ \(pid \d+\), TLS off$/m)
  for (const login of await logins()) {
    expect(login.servers[0]).toMatch(/^nats:/)
    expect(login).not.toHaveProperty('ca')
  }
  expect((await semops('down')).code).toBe(0)
})

test('the next up with TLS gives every file its authority, and the same network goes on', async () => {
  const before = await logins()
  const end = await up('nats: {}')
  expect(end).toMatchObject({ code: 0 })
  expect(end.out).not.toContain('TLS off')
  const after = await logins()
  const ca = await readFile(join(fleetDirectory(join(dir, 'fleet')).tlsDir, 'ca.crt'), 'utf8')
  expect(after.map(({ jwt }) => jwt)).toEqual(before.map(({ jwt }) => jwt))
  for (const login of after) {
    expect(login.servers[0]).toMatch(/^tls:/)
    expect(login.ca).toBe(ca)
  }
  expect((await pay()).code).toBe(0)
  expect((await semops('down')).code).toBe(0)
})

test('a key that others can read stops the next up before anything runs', async () => {
  const key = join(fleetDirectory(join(dir, 'fleet')).tlsDir, 'server.key')
  await chmod(key, 0o644)
  const end = await up('nats: {}')
  expect(end).toMatchObject({ code: exitCode('environment'), out: '' })
  expect(end.error.trimEnd().split('\n').at(-1)).toBe(
    `semops: ${key} can be read by others than its owner: chmod 600 it`,
  )
})
