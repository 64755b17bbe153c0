import { chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fromSeed } from '@nats-io/jwt'
import { fromHex } from '../protocol/bytes.ts'
import { guestToken, isGuestToken } from '../protocol/ids.ts'
import { createAuthority, issueHostLogin, issueLogin, readAuthority, withRevoked, writeAuthority } from './authority.ts'
import { loadKey, newSeed, seedOf } from './nkeys.ts'
import {
  loginName,
  loginPublicKey,
  mintGuest,
  parseHostLogin,
  readHostLogin,
  writeHostLogin,
  type HostLogin,
} from './logins.ts'
import { serverTls } from './tls-authority.ts'

const state = createAuthority('test')
const servers = ['nats://127.0.0.1:4222']

describe('logins', () => {
  test.each(['*', '>', 'hu-*', 'hu-a.b', 'hu', '', 'HU-A', 'hu-a\n'])(
    'none is issued for the name %j',
    async (host) => {
      await expect(issueLogin(state, { role: 'cpp', host })).rejects.toThrow(TypeError)
    },
  )

  test('a guest is named by its own key, and nobody issues it another name', async () => {
    const wallet = await issueHostLogin(state, { role: 'customer', host: 'hu-w', servers })
    const guest = await mintGuest(wallet.guestSigner!, new Uint8Array(32).fill(5))
    const token = loginPublicKey(guest)
    expect(isGuestToken(token)).toBe(true)
    expect(loginName(guest)).toBe(token)
    for (const host of [token, 'hu-a', '*'])
      await expect(issueLogin(state, { role: 'guest', host })).rejects.toThrow(TypeError)
    await expect(issueLogin(state, { role: 'cpp', host: token })).rejects.toThrow(TypeError)
  })

  test('the protocol and NATS write the key of a guest alike', () => {
    const seed = seedOf('U', fromHex('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60'))
    // RFC 8032, 7.1, test 1.
    const key = fromHex('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a')
    expect(guestToken(key)).toBe(loadKey(seed).publicKey)
    expect(fromSeed(new TextEncoder().encode(seed)).getPublicKey()).toBe(guestToken(key))
  })

  test("a data center is named after its realm's address", async () => {
    for (const host of ['hu-dc', 'hu-dc-1']) expect(loginName(await issueLogin(state, { role: 'dc', host }))).toBe(host)
    for (const host of ['hu-otp', 'hu-dcx', 'hu-x-dc'])
      await expect(issueLogin(state, { role: 'dc', host })).rejects.toThrow(TypeError)
  })

  test('each has a key of its own, and only a wallet host can mint guests', async () => {
    const wallet = await issueHostLogin(state, { role: 'customer', host: 'hu-w', servers })
    const again = await issueHostLogin(state, { role: 'customer', host: 'hu-w', servers })
    const keys = [wallet, wallet.service!, again, again.service!].map(loginPublicKey)
    expect(new Set(keys).size).toBe(4)
    expect(wallet.guestSigner).toBeDefined()
    expect(await issueHostLogin(state, { role: 'merchant', host: 'hu-m', servers })).not.toHaveProperty('guestSigner')
  })

  test('nothing in a guest login names or links to its host', async () => {
    const wallet = await issueHostLogin(state, { role: 'customer', host: 'hu-wallet', servers })
    const [one, two] = [1, 2].map((fill) => new Uint8Array(32).fill(fill)) as [Uint8Array, Uint8Array]
    const guests = [await mintGuest(wallet.guestSigner!, one), await mintGuest(wallet.guestSigner!, two)]
    const claims = guests.map(({ jwt }) => Buffer.from(jwt.split('.')[1]!, 'base64url').toString())
    for (const text of claims) {
      expect(text).not.toContain('hu-wallet')
      expect(text).not.toContain(loginPublicKey(wallet))
    }
    expect(new Set(guests.map(loginPublicKey)).size).toBe(2)
    await expect(mintGuest(wallet.guestSigner!, new Uint8Array(31))).rejects.toThrow(TypeError)
  })

  test('revoking adds to what was revoked, and rounds to the second that the broker compares', () => {
    const once = withRevoked(state, ['UA'], 1_999)
    expect(withRevoked(once, ['UB', 'UC'], 5_000).revocations).toEqual({ UA: 1, UB: 5, UC: 5 })
    expect(state.revocations).toEqual({})
  })
})

describe('files', () => {
  let dir: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'semops-login-'))
  })
  afterEach(() => rm(dir, { recursive: true, force: true }))

  test('a host login and an authority come back as they were, readable by their owner only', async () => {
    const { ca } = await serverTls(join(dir, 'tls'), { name: 'test', nowMs: Date.now() })
    await rm(join(dir, 'tls'), { recursive: true })
    const login = await issueHostLogin(state, { role: 'customer', host: 'hu-w', servers, ca })
    expect(login.ca).toBe(ca)
    await writeHostLogin(join(dir, 'login.json'), login)
    await writeAuthority(join(dir, 'authority.json'), state)
    expect(await readHostLogin(join(dir, 'login.json'))).toEqual(login)
    expect(await readAuthority(join(dir, 'authority.json'))).toEqual(state)
    for (const name of await readdir(dir)) expect((await stat(join(dir, name))).mode & 0o777).toBe(0o600)
    expect((await readdir(dir)).toSorted()).toEqual(['authority.json', 'login.json'])
  })

  test('one that others can read is refused', async () => {
    const file = join(dir, 'login.json')
    await writeHostLogin(file, await issueHostLogin(state, { role: 'bank', host: 'hu-b', servers }))
    for (const mode of [0o640, 0o604]) {
      await chmod(file, mode)
      await expect(readHostLogin(file)).rejects.toThrow('chmod 600')
    }
    await chmod(file, 0o600)
    await expect(readAuthority(file)).rejects.toThrow('not a broker authority')
  })

  test.each([
    ['null', () => null],
    ['a list', () => []],
    ['no servers', (login: HostLogin) => ({ ...login, servers: [] })],
    ['servers that are no text', (login: HostLogin) => ({ ...login, servers: [1] })],
    ["another key's seed", (login: HostLogin) => ({ ...login, seed: newSeed('U') })],
    ['an account seed', (login: HostLogin) => ({ ...login, seed: state.accountSeed })],
    ['no JWT', (login: HostLogin) => ({ ...login, jwt: 'x' })],
    ['half a service login', (login: HostLogin) => ({ ...login, service: { jwt: login.jwt } })],
    ['a signer that is none', (login: HostLogin) => ({ ...login, guestSigner: { seed: 'x', accountPublicKey: 'A' } })],
    ['an authority that is no text', (login: HostLogin) => ({ ...login, ca: 1 })],
    ['an authority that is no certificate', (login: HostLogin) => ({ ...login, ca: 'ca.pem' })],
    // Node would trust the machine's own authorities instead.
    ['an authority that is empty', (login: HostLogin) => ({ ...login, ca: '' })],
  ])('%s is no host login', async (_, change) => {
    const login = await issueHostLogin(state, { role: 'customer', host: 'hu-w', servers })
    expect(parseHostLogin(login)).toEqual(login)
    expect(() => parseHostLogin(change(login))).toThrow(TypeError)
  })
})
