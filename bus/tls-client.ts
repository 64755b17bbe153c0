/**
 * TLS as a client of the bus wants it: only the authority that its login names, only the server that it dialled, nothing in
 * the clear. Invariant: whoever cannot prove to be that server gets neither a login nor a byte of the protocol.
 */
import { isIP } from 'node:net'
import { checkServerIdentity, type ConnectionOptions as TlsConnectionOptions } from 'node:tls'
import { isLoopback } from './loopback.ts'
import { readCertificates } from './tls-authority.ts'

/** How a login reaches its servers: their URLs, and the authority that their certificates are of. */
export type ServerAddress = {
  /** `tls://127.0.0.1:4222`, or `nats://…` for a server in the clear on loopback. */
  readonly servers: readonly string[]
  /** PEM of the authority. Without it only the machine's own list of authorities is trusted. */
  readonly ca?: string
}

/** Host of a server's URL, without the brackets of an IPv6 address. */
const hostOf = (server: string): string =>
  new URL(server.replace(/^(?:nats|tls):\/\/|^(?![a-z]+:\/\/)/, 'http://')).hostname.replace(/^\[|\]$/g, '')

/** In the clear only where nobody else can listen, and where no authority says otherwise. */
const needsTls = ({ servers, ca }: ServerAddress): boolean =>
  ca !== undefined || servers.some((server) => server.startsWith('tls://') || !isLoopback(hostOf(server)))

type ClientTls = Pick<TlsConnectionOptions, 'checkServerIdentity' | 'minVersion'> & { readonly ca?: string }

/** What the NATS client needs; undefined for a connection in the clear. With it the client refuses a server without TLS. */
export const clientTls = (address: ServerAddress): ClientTls | undefined => {
  if (!needsTls(address)) return undefined
  const names = address.servers.map(hostOf)
  return {
    ...(address.ca === undefined ? {} : { ca: address.ca }),
    minVersion: 'TLSv1.3',
    checkServerIdentity: (host, certificate) => {
      // The NATS client upgrades a socket and says no address with it, so Node takes every address for "localhost".
      const dialled = host.toLowerCase()
      const wanted = names.includes(dialled) ? [dialled] : names.filter((name) => isIP(name) !== 0)
      const refusals = wanted.map((name) => checkServerIdentity(name, certificate))
      return refusals.includes(undefined) ? undefined : (refusals[0] ?? notOurs(host))
    },
  }
}

const notOurs = (host: string): Error =>
  Object.assign(new Error(`${host} is no server of this login`), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })

/** @throws TypeError for text that holds no certificate: Node would then trust the machine's own authorities instead */
export const checkCa = (ca: string): void => {
  try {
    readCertificates(ca, 'ca')
  } catch (error) {
    throw new TypeError('login: ca holds no certificate in PEM', { cause: error })
  }
}

/** The code of a connection on which somebody spoke in the clear, beside the server's one line. */
export const SPOKE_BEFORE_TLS = 'SPOKE_BEFORE_TLS'

const PROBLEMS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'its certificate has ended: `semops up` makes a new one',
  [SPOKE_BEFORE_TLS]: 'somebody put in messages before the TLS handshake',
  CERT_NOT_YET_VALID: "its certificate is not valid yet: one of the two machines' clocks is wrong",
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for other names than the one that this login calls it by',
}
/** Node's and OpenSSL's words for a chain that does not end at a trusted authority. */
const UNTRUSTED: ReadonlySet<string> = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_SIGNATURE_FAILURE',
])

/** Why a server was not entered, in one line; undefined when it has nothing to do with TLS. */
export const tlsProblem = (error: unknown, { servers, ca }: ServerAddress): string | undefined => {
  const { code, message } = error as { readonly code?: string; readonly message?: string }
  const server = `refusing to log in to ${servers.join(', ')}`
  if (code === undefined) return undefined
  if (code === 'SERVER_OPT_NA' && message === 'tls')
    return `${server}: it offers no TLS, and this login is not to be sent in the clear`
  if (PROBLEMS[code] !== undefined) return `${server}: ${PROBLEMS[code]}`
  if (UNTRUSTED.has(code))
    return ca === undefined
      ? `${server}: it has TLS, and this login names no authority (ca) to know it by`
      : `${server}: its certificate is not of the authority (ca) that this login names`
  return code.startsWith('ERR_SSL_') || code === 'TLS' ? `${server}: the TLS handshake failed (${code})` : undefined
}
