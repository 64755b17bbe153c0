/**
 * The broker's configuration, written as JSON, which nats-server reads as its own format.
 *
 * Invariant: operator mode, so every user belongs to an account (2.9.10 can be entered otherwise); no JetStream; nothing listens
 * beyond loopback without TLS, and nothing with a certificate that its clients must refuse.
 */
import { createPrivateKey } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BrokerTrust } from './authority.ts'
import { BUS_LIMITS } from './bus-limits.ts'
import { isLoopback } from './loopback.ts'
import { checkSecretFile, isNamed, isWildcard, readCertificates } from './tls-authority.ts'

export type ServerListen = {
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default -1: the system picks one. */
  readonly port?: number
  /** Paths of PEM files. Required for any host that is not loopback. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string }
}

/** One server's part in a cluster. Routes between servers are on loopback, where nobody else can listen, and ask for a password. */
export type ClusterListen = {
  /** The same at each of its servers. */
  readonly name: string
  readonly member: string
  /** Where the others reach this one. */
  readonly port: number
  readonly password: string
  /** Ports at which this one reaches the others. */
  readonly routes: readonly number[]
}

const ROUTE_USER = 'route'

const clusterConfig = ({ name, port, password, routes }: ClusterListen): object => ({
  name,
  host: '127.0.0.1',
  port,
  authorization: { user: ROUTE_USER, password, timeout: BUS_LIMITS.tlsHandshakeSeconds },
  routes: routes.map((to) => `nats-route://${ROUTE_USER}:${password}@127.0.0.1:${to}`),
  // A login's file says where its host may go: no server sends a client elsewhere.
  no_advertise: true,
  // Servers tell each other who else there is, and would go there past the routes that are given: nobody listens at port 1.
  advertise: '127.0.0.1:1',
})

/** Forward secrecy and authenticated encryption only. TLS 1.3 has no other suites, and no setting for them. */
const TLS_1_2_SUITES = ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384']

/**
 * Looks at what a server is to listen with, before it does.
 * @throws Error, with one line that says why, for what is unsafe or what every client would refuse: a host beyond loopback
 * without TLS; a key that others can read or that is not the certificate's; a certificate that is not valid now, that does not
 * name the host, or that names nothing but loopback for a server on every interface
 */
export const checkListen = async ({ host = '127.0.0.1', tls }: ServerListen, nowMs: number): Promise<void> => {
  if (tls === undefined) return checkInTheClear(host)
  await checkSecretFile(tls.keyFile)
  const [certificate] = readCertificates(await readFile(tls.certFile, 'utf8'), tls.certFile)
  if (certificate === undefined) throw new Error(`${tls.certFile} holds no certificate in PEM`)
  if (!certificate.checkPrivateKey(createPrivateKey(await readFile(tls.keyFile, 'utf8'))))
    throw new Error(`${tls.keyFile} is not the key of ${tls.certFile}`)
  if (nowMs < Date.parse(certificate.validFrom) || nowMs > Date.parse(certificate.validTo))
    throw new Error(`${tls.certFile} is valid from ${certificate.validFrom} to ${certificate.validTo}, not now`)
  if (isWildcard(host) ? !namesMoreThanLoopback(certificate.subjectAltName) : !isNamed(certificate, host))
    throw new Error(
      isWildcard(host)
        ? `refusing to listen on every interface: ${tls.certFile} names nothing but loopback, so no client could know the server`
        : `refusing to listen on ${host}: ${tls.certFile} does not name it, so no client could know the server`,
    )
}

const checkInTheClear = (host: string): void => {
  if (!isLoopback(host))
    throw new Error(`refusing to listen on ${host} without TLS: give a certificate, or listen on 127.0.0.1`)
}

/** `DNS:localhost, IP Address:127.0.0.1, DNS:bus.example.org` */
const namesMoreThanLoopback = (subjectAltName = ''): boolean =>
  subjectAltName
    .split(', ')
    .map((name) => name.replace(/^(DNS|IP Address):/, '').replace(/^0:0:0:0:0:0:0:1$/, '::1'))
    .some((name) => name !== '' && !isLoopback(name))

/**
 * @param dir where the server keeps the accounts it was told of, and says its ports
 * @throws Error for a host that is not loopback without TLS
 */
export const serverConfig = (
  dir: string,
  listen: ServerListen,
  trust: BrokerTrust,
  cluster?: ClusterListen,
): string => {
  const host = listen.host ?? '127.0.0.1'
  if (listen.tls === undefined) checkInTheClear(host)
  const config = {
    host,
    port: listen.port ?? -1,
    ...(listen.tls === undefined
      ? {}
      : {
          tls: {
            cert_file: listen.tls.certFile,
            key_file: listen.tls.keyFile,
            // Older than TLS 1.2 no server takes, and 2.9.10 has no setting for more: our clients ask for 1.3.
            cipher_suites: TLS_1_2_SUITES,
            curve_preferences: ['X25519', 'CurveP256'],
            timeout: BUS_LIMITS.tlsHandshakeSeconds,
          },
        }),
    ...(cluster === undefined ? {} : { server_name: cluster.member, cluster: clusterConfig(cluster) }),
    ports_file_dir: dir,
    operator: trust.operatorJwt,
    system_account: trust.systemAccount,
    // The memory resolver takes no updates, so a revocation could not be pushed.
    resolver: { type: 'full', dir: join(dir, 'accounts'), allow_delete: false, interval: '2m', limit: 100 },
    resolver_preload: trust.accounts,
    max_payload: BUS_LIMITS.maxBrokerPayloadBytes,
    ping_interval: '20s',
    ping_max: 2,
    write_deadline: '10s',
    lame_duck_duration: '30s',
    lame_duck_grace_period: '1s',
  }
  return `${JSON.stringify(config, undefined, 2)}\n`
}
