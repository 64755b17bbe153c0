import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PeerCertificate } from 'node:tls'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createAuthority, trustOf } from './authority.ts'
import { startServer } from './nats-server.ts'
import { checkListen } from './server-config.ts'
import { isHostName, isNamed, isWildcard, serverTls, tlsFiles } from './tls-authority.ts'
import { clientTls } from './tls-client.ts'

const DAY_MS = 24 * 3_600_000
const NOW = Date.UTC(2026, 0, 15)

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'semops-ca-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const made = (options: { readonly hosts?: readonly string[]; readonly nowMs?: number } = {}) =>
  serverTls(dir, { name: 'test', nowMs: NOW, ...options })
const contents = async () =>
  Object.fromEntries(
    await Promise.all(
      Object.entries(tlsFiles(dir)).map(async ([name, path]) => [name, await readFile(path, 'utf8')] as const),
    ),
  ) as Record<keyof ReturnType<typeof tlsFiles>, string>
const certificates = (pem: string): readonly X509Certificate[] =>
  (pem.match(/-----BEGIN[^]+?-----END CERTIFICATE-----/g) ?? []).map((one) => new X509Certificate(one))

describe('the authority of TLS', () => {
  test('makes a certificate of its own for the server, and makes nothing twice', async () => {
    const { certFile, keyFile, ca } = await made({ hosts: ['Bus.example.org', '10.1.2.3', '2001:db8::1'] })
    const before = await contents()
    expect(await made({ hosts: ['bus.example.org'], nowMs: NOW + 300 * DAY_MS })).toEqual({ certFile, keyFile, ca })
    expect(await contents()).toEqual(before)

    const [authority, ...others] = certificates(ca) as [X509Certificate, ...X509Certificate[]]
    const certificate = new X509Certificate(before.serverCert)
    expect(others).toEqual([])
    expect([authority.ca, certificate.ca]).toEqual([true, false])
    expect(certificate.checkIssued(authority) && certificate.verify(authority.publicKey)).toBe(true)
    for (const { publicKey } of [authority, certificate])
      expect(publicKey.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' })
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
    for (const host of ['localhost', '127.0.0.1', '::1', 'bus.example.org', '10.1.2.3', '2001:db8::1'])
      expect([host, isNamed(certificate, host)]).toEqual([host, true])
    for (const host of ['example.org', 'a.bus.example.org', '127.0.0.2', 'SEMOPS nats-server'])
      expect([host, isNamed(certificate, host)]).toEqual([host, false])
    expect([Date.parse(certificate.validFrom) < NOW, Date.parse(certificate.validTo)]).toEqual([
      true,
      NOW + 365 * DAY_MS,
    ])
    expect(before.serverKey).not.toBe(before.caKey)
    expect(ca + before.serverCert).not.toContain('PRIVATE KEY')
  })

  test('keeps everything to its owner', async () => {
    await made()
    expect((await stat(dir)).mode & 0o077).toBe(0)
    for (const name of await readdir(dir))
      expect([name, (await stat(join(dir, name))).mode & 0o777]).toEqual([name, 0o600])
    expect(await readdir(dir)).toHaveLength(4)
  })

  test('renews the certificate near its end and for a new name, under the same authority', async () => {
    const { ca } = await made()
    const first = await contents()
    expect((await made({ nowMs: NOW + 306 * DAY_MS })).ca).toBe(ca)
    const second = await contents()
    expect((await made({ hosts: ['bus.example.org'], nowMs: NOW + 306 * DAY_MS })).ca).toBe(ca)
    const third = await contents()
    expect(new Set([first, second, third].map(({ serverCert }) => serverCert)).size).toBe(3)
    expect(new Set([first, second, third].map(({ caCert, caKey }) => caCert + caKey)).size).toBe(1)
  })

  test('an authority near its end is followed by another, and stays known until its end', async () => {
    const old = (await made()).ca
    const later = NOW + (10 * 365 - 400) * DAY_MS
    const both = certificates((await made({ nowMs: later })).ca)
    expect(both).toHaveLength(2)
    expect(both[1]?.fingerprint256).toBe(certificates(old)[0]?.fingerprint256)
    expect(both[0]?.subject).not.toBe(both[1]?.subject)
    expect(certificates((await made({ nowMs: NOW + 3651 * DAY_MS })).ca)).toHaveLength(1)
  })

  test('the key of the authority may be elsewhere until it is needed; then that is said', async () => {
    await made()
    const { caKey } = tlsFiles(dir)
    await rename(caKey, join(dir, 'away'))
    await made({ nowMs: NOW + 300 * DAY_MS })
    await expect(made({ hosts: ['bus.example.org'] })).rejects.toThrow(`${caKey} is not here: bring it back`)
    await rename(join(dir, 'away'), caKey)
    await made({ hosts: ['bus.example.org'] })
  })

  test('a crash between key and certificate leaves nothing that is used', async () => {
    const { certFile, keyFile } = await made()
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    await writeFile(keyFile, privateKey.export({ format: 'pem', type: 'pkcs8' }))
    await made()
    await checkListen({ tls: { certFile, keyFile } }, NOW)
  })

  test.each([
    ['a key that others can read', 'serverKey', async (path: string) => chmod(path, 0o640), 'can be read by others'],
    ['a key that is none', 'serverKey', async (path: string) => writeFile(path, 'nonsense'), 'no private key in PEM'],
    ['an authority that is none', 'caCert', async (path: string) => writeFile(path, ''), 'no certificate in PEM'],
  ] as const)('%s is refused in one line', async (_, file, spoil, message) => {
    await made()
    const path = tlsFiles(dir)[file]
    await spoil(path)
    const failure = await made().then(
      () => new Error('it was taken'),
      (error: Error) => error,
    )
    expect(failure.message).toContain(message)
    expect(failure.message).toContain(path)
    expect(failure.message).not.toContain('\n')
  })

  test("a key that is not the authority's own is refused when it is to sign", async () => {
    await made()
    const { caKey } = tlsFiles(dir)
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    await writeFile(caKey, privateKey.export({ format: 'pem', type: 'pkcs8' }))
    await expect(made({ hosts: ['a.example.org'] })).rejects.toThrow('is not the key of')
  })

  test.each(['', '0.0.0.0', '::', '*', '*.example.org', 'a b', '-a', '1.2.3', '256.1.1.1', 'a..b', 'http://a', 'a:1'])(
    '%j is no name for a certificate',
    async (host) => {
      expect(isHostName(host)).toBe(false)
      await expect(made({ hosts: [host] })).rejects.toThrow('a certificate cannot name')
    },
  )

  test.each([
    ['', true],
    ['0.0.0.0', true],
    ['::', true],
    ['0:0:0:0:0:0:0:0', true],
    ['::1', false],
    ['10.0.0.0', false],
  ])('every interface? %j', (host, expected) => expect(isWildcard(host)).toBe(expected))
})

describe('what a server may listen with', () => {
  const taken = async (listen: Parameters<typeof checkListen>[0], nowMs = NOW): Promise<string> =>
    checkListen(listen, nowMs).then(
      () => 'taken',
      (error: Error) => error.message,
    )

  test.each(['0.0.0.0', '::', '', '10.1.2.3', 'bus.example.org', '127.0.0.1.example.org'])(
    '%j without TLS is refused',
    async (host) => expect(await taken({ host })).toContain('without TLS'),
  )

  test('loopback without TLS is taken, and so is a name of the certificate with it', async () => {
    expect(await taken({})).toBe('taken')
    const tls = await made({ hosts: ['bus.example.org'] })
    for (const host of [undefined, 'localhost', '::1', 'bus.example.org', '0.0.0.0', '::'])
      expect([host, await taken({ ...(host === undefined ? {} : { host }), tls })]).toEqual([host, 'taken'])
    expect(await taken({ host: '10.1.2.3', tls })).toContain('does not name it')
  })

  test('every interface with a certificate that names nothing but loopback is refused', async () => {
    const tls = await made({ hosts: ['127.1.2.3'] })
    for (const host of ['0.0.0.0', '::', ''])
      expect([host, await taken({ host, tls })]).toEqual([host, expect.stringContaining('nothing but loopback')])
  })

  test('a key that others can read, or of another certificate, is refused', async () => {
    const tls = await made()
    await chmod(tls.keyFile, 0o604)
    expect(await taken({ tls })).toBe(`${tls.keyFile} can be read by others than its owner: chmod 600 it`)
    await expect(
      startServer({ dir: join(dir, 'run'), trust: await trustOf(createAuthority('t')), listen: { tls } }),
    ).rejects.toThrow('can be read by others')
    expect(await taken({ tls: { ...tls, keyFile: tlsFiles(dir).caKey } })).toContain('is not the key of')
  })

  test('a certificate that has ended or not begun is refused', async () => {
    const tls = await made()
    expect(await taken({ tls }, NOW + 366 * DAY_MS)).toContain('not now')
    expect(await taken({ tls }, NOW - DAY_MS)).toContain('not now')
  })
})

describe('a client', () => {
  test('asks for TLS wherever somebody else could listen, and wherever an authority is named', () => {
    const asks = (servers: readonly string[], ca?: string) =>
      clientTls(ca === undefined ? { servers } : { servers, ca }) !== undefined
    expect(asks(['nats://127.0.0.1:4222', 'nats://localhost:4222', 'nats://[::1]:4222', '127.0.0.1:4222'])).toBe(false)
    for (const server of [
      'tls://127.0.0.1:1',
      'nats://10.1.2.3:1',
      'nats://bus.example.org:1',
      '10.1.2.3:1',
      'nats://127.0.0.1.example.org:1',
    ])
      expect([server, asks(['nats://127.0.0.1:1', server])]).toEqual([server, true])
    expect(asks(['nats://127.0.0.1:1'], 'PEM')).toBe(true)
  })

  test('takes no TLS older than 1.3', () => expect(clientTls({ servers: ['tls://a:1'] })?.minVersion).toBe('TLSv1.3'))

  test('knows a server by one of the names of its login only', () => {
    const check = (servers: readonly string[], dialled: string, names: string) =>
      clientTls({ servers })?.checkServerIdentity?.(dialled, {
        subject: {},
        subjectaltname: names,
      } as PeerCertificate) === undefined
    expect(check(['tls://bus.example.org:1'], 'bus.example.org', 'DNS:bus.example.org')).toBe(true)
    expect(check(['tls://bus.example.org:1'], 'bus.example.org', 'DNS:localhost, DNS:example.org')).toBe(false)
    // Node says "localhost" for an address.
    expect(check(['tls://10.1.2.3:1'], 'localhost', 'IP Address:10.1.2.3')).toBe(true)
    expect(check(['tls://10.1.2.3:1'], 'localhost', 'DNS:localhost, IP Address:127.0.0.1')).toBe(false)
    expect(check(['tls://10.1.2.3:1', 'tls://10.1.2.4:1'], 'localhost', 'IP Address:10.1.2.4')).toBe(true)
    expect(check(['tls://10.1.2.3:1', 'tls://a.example.org:1'], 'a.example.org', 'IP Address:10.1.2.3')).toBe(false)
    expect(check(['tls://a.example.org:1'], 'b.example.org', 'DNS:b.example.org')).toBe(false)
    expect(check(['tls://Bus.Example.org:1'], 'Bus.Example.org', 'DNS:bus.example.org')).toBe(true)
  })
})
