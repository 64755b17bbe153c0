/**
 * The project's own test authority for TLS: one certificate authority, and from it the certificate that a nats-server shows.
 *
 * Invariant: the authority's key never leaves its directory. The server gets its own key and certificate, a host gets the
 * authority's certificate (`HostLogin.ca`) and nothing else, so whoever lacks the key can make no server that a host logs in to.
 */
import { createPrivateKey, randomBytes, webcrypto, X509Certificate, type KeyObject } from 'node:crypto'
import { chmod, mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** A certificate is valid a little before it was made: clocks differ. */
const HEAD_START_MS = HOUR_MS
const AUTHORITY_LIFETIME_MS = 10 * 365 * DAY_MS
const SERVER_LIFETIME_MS = 365 * DAY_MS
/** Each `up` looks; a certificate that ends within this is made anew. */
const RENEW_BEFORE_MS = 60 * DAY_MS
/** Always in the certificate: what runs beside the server reaches it so. */
const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '::1'] as const

/** Files of the server, and what its clients know it by. */
export type ServerTls = {
  readonly certFile: string
  readonly keyFile: string
  /** PEM of the authority's certificate; two of them for as long as an older one is still in use. */
  readonly ca: string
}

export type TlsAuthorityOptions = {
  /** Of the network: people read it in the certificates. */
  readonly name: string
  /** Names and addresses by which clients reach the server, beside those of loopback. */
  readonly hosts?: readonly string[]
  /** Milliseconds since 1970. */
  readonly nowMs: number
}

/** Where an authority keeps what it has. `caKey` is the fleet's own: nobody else ever needs it, also not the server. */
export const tlsFiles = (dir: string) => ({
  caKey: join(dir, 'ca.key'),
  caCert: join(dir, 'ca.crt'),
  serverKey: join(dir, 'server.key'),
  serverCert: join(dir, 'server.crt'),
})

/**
 * The authority and the server's certificate of a directory: made at the first call, the certificate renewed when it is near its
 * end or when a name is missing in it. Running it again changes nothing that is still good.
 * @throws Error, with one line that says what to do, for files that others can read or that do not belong together
 */
export const serverTls = async (dir: string, { name, hosts = [], nowMs }: TlsAuthorityOptions): Promise<ServerTls> => {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const files = tlsFiles(dir)
  const names = [...new Set([...LOOPBACK_NAMES, ...hosts.map((host) => host.toLowerCase())])]
  for (const host of names) checkHostName(host)
  const authority = await readAuthority(files, nowMs)
  const certificate = await readCertificate(files.serverCert)
  const key = await readKey(files.serverKey)
  const made =
    authority !== undefined &&
    certificate !== undefined &&
    key !== undefined &&
    isGoodFor(certificate, key, authority.current, names, nowMs)
  if (!made) {
    const issuer = authority ?? (await createAuthority(files, name, nowMs))
    const issued = await issueServer(issuer, files, names, nowMs)
    // The key first: a certificate without its key is made anew at the next call, so a crash between the two costs nothing.
    await writeSecret(files.serverKey, issued.key)
    await writeSecret(files.serverCert, issued.certificate)
    return { certFile: files.serverCert, keyFile: files.serverKey, ca: issuer.bundle }
  }
  return { certFile: files.serverCert, keyFile: files.serverKey, ca: authority.bundle }
}

type Files = ReturnType<typeof tlsFiles>
type Authority = {
  readonly current: X509Certificate
  /** Every certificate that hosts may still need, the current one first. */
  readonly bundle: string
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT'

const readText = async (path: string): Promise<string | undefined> => {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/** @throws Error when others than its owner can read the key, or when it is none */
const readKey = async (path: string): Promise<KeyObject | undefined> => {
  const text = await readText(path)
  if (text === undefined) return undefined
  await checkSecretFile(path)
  try {
    return createPrivateKey(text)
  } catch (error) {
    throw new Error(`${path} holds no private key in PEM: move it away, and a new one is made`, { cause: error })
  }
}

/** @throws Error when others than the owner can read the file */
export const checkSecretFile = async (path: string): Promise<void> => {
  const { mode } = await stat(path)
  if (process.platform !== 'win32' && (mode & 0o077) !== 0)
    throw new Error(`${path} can be read by others than its owner: chmod 600 it`)
}

const PEM = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g

/** @throws Error when the text holds no certificate, or one that cannot be read */
export const readCertificates = (text: string, where: string): readonly X509Certificate[] => {
  const blocks = text.match(PEM) ?? []
  try {
    if (blocks.length > 0) return blocks.map((block) => new X509Certificate(block))
  } catch (error) {
    throw new Error(`${where} holds a certificate that cannot be read`, { cause: error })
  }
  throw new Error(`${where} holds no certificate in PEM`)
}

const readCertificate = async (path: string): Promise<X509Certificate | undefined> => {
  const text = await readText(path)
  return text === undefined ? undefined : readCertificates(text, path)[0]
}

const startOf = (certificate: X509Certificate): number => Date.parse(certificate.validFrom)
const endOf = (certificate: X509Certificate): number => Date.parse(certificate.validTo)

/** @returns undefined when there is none yet, or the one that is there is near its end and its key is here to follow it */
const readAuthority = async (files: Files, nowMs: number): Promise<Authority | undefined> => {
  const text = await readText(files.caCert)
  if (text === undefined) return undefined
  const certificates = readCertificates(text, files.caCert)
  const current = certificates[0] as X509Certificate
  // What it signs must not outlive it.
  if (endOf(current) < nowMs + SERVER_LIFETIME_MS + RENEW_BEFORE_MS) return undefined
  return { current, bundle: bundleOf(certificates, nowMs) }
}

const bundleOf = (certificates: readonly X509Certificate[], nowMs: number): string =>
  certificates
    .filter((certificate, i) => i === 0 || endOf(certificate) > nowMs)
    .map((certificate) => certificate.toString())
    .join('')

const isGoodFor = (
  certificate: X509Certificate,
  key: KeyObject,
  authority: X509Certificate,
  names: readonly string[],
  nowMs: number,
): boolean =>
  certificate.checkPrivateKey(key) &&
  certificate.checkIssued(authority) &&
  certificate.verify(authority.publicKey) &&
  startOf(certificate) <= nowMs &&
  endOf(certificate) > nowMs + RENEW_BEFORE_MS &&
  names.every((host) => isNamed(certificate, host))

/** Does the certificate's list of names hold this one? Its common name is never looked at, as clients do not either. */
export const isNamed = (certificate: X509Certificate, host: string): boolean =>
  (isIP(host) === 0 ? certificate.checkHost(host, { subject: 'never' }) : certificate.checkIP(host)) !== undefined

const HOST_NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/

/** Can a certificate carry it, and a client reach a server by it? Not a wildcard, and not the address of "every interface". */
export const isHostName = (host: string): boolean =>
  isIP(host) === 0 ? HOST_NAME.test(host) && !/^[\d.]+$/.test(host) : !isWildcard(host)

/** An address to listen on that stands for all of a machine's. */
export const isWildcard = (host: string): boolean => host === '' || host === '0.0.0.0' || /^[0:]+$/.test(host)

const checkHostName = (host: string): void => {
  if (!isHostName(host))
    throw new Error(`a certificate cannot name ${JSON.stringify(host)}: give a host name or address`)
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/** Loaded when something is to be issued: hosts, which never issue, do not carry it. */
const issuing = async () => {
  await import('reflect-metadata')
  return import('@peculiar/x509')
}

/** Positive, and no two alike. */
const serialNumber = (): string => (BigInt(`0x${randomBytes(16).toString('hex')}`) >> 1n).toString(16).padStart(32, '0')

const newKeys = async (): Promise<{ readonly keys: webcrypto.CryptoKeyPair; readonly pem: string }> => {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey))
  const pem = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' })
  return { keys, pem: pem as string }
}

const validity = (nowMs: number, lifetimeMs: number) => ({
  notBefore: new Date(nowMs - HEAD_START_MS),
  notAfter: new Date(nowMs + lifetimeMs),
})

/** A new authority. One that was there before, and not yet at its end, stays known to the hosts beside it. */
const createAuthority = async (files: Files, name: string, nowMs: number): Promise<Authority> => {
  const before = await readText(files.caCert)
  const x509 = await issuing()
  const { keys, pem } = await newKeys()
  const serial = serialNumber()
  const made = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial,
    // Two authorities of one network differ in name: a chain is looked for by name first.
    name: [{ CN: [`SEMOPS test authority of ${name} ${serial.slice(0, 8)}`] }],
    ...validity(nowMs, AUTHORITY_LIFETIME_MS),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  const current = new X509Certificate(made.toString('pem'))
  const bundle = bundleOf([current, ...(before === undefined ? [] : readCertificates(before, files.caCert))], nowMs)
  await writeSecret(files.caKey, pem)
  await writeSecret(files.caCert, bundle)
  return { current, bundle }
}

const issueServer = async (
  { current }: Authority,
  files: Files,
  names: readonly string[],
  nowMs: number,
): Promise<{ readonly certificate: string; readonly key: string }> => {
  const key = await readKey(files.caKey)
  if (key === undefined)
    throw new Error(
      `the server needs a new certificate and ${files.caKey} is not here: bring it back, or move ${files.caCert} away to begin anew`,
    )
  if (!current.checkPrivateKey(key)) throw new Error(`${files.caKey} is not the key of ${files.caCert}`)
  const x509 = await issuing()
  const signingKey = await webcrypto.subtle.importKey(
    'pkcs8',
    key.export({ format: 'der', type: 'pkcs8' }),
    ALGORITHM,
    false,
    ['sign'],
  )
  const { keys, pem } = await newKeys()
  const issuer = new x509.X509Certificate(current.toString())
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [{ CN: ['SEMOPS nats-server'] }],
    issuer: issuer.subjectName,
    ...validity(nowMs, SERVER_LIFETIME_MS),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value })),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { certificate: made.toString('pem'), key: pem }
}

/** Replaces the file as a whole, readable by its owner only. */
const writeSecret = async (path: string, text: string): Promise<void> => {
  const fresh = `${path}.${process.pid}.new`
  await writeFile(fresh, text.endsWith('\n') ? text : `${text}\n`, { mode: 0o600 })
  await chmod(fresh, 0o600)
  await rename(fresh, path)
}
