/**
 * The broker's configuration, written as JSON, which nats-server reads as its own format.
 *
 * Invariant: operator mode, so every user belongs to an account (2.9.10 can be entered otherwise); no JetStream; nothing listens
 * beyond loopback without TLS.
 */
import { join } from 'node:path'
import type { BrokerTrust } from './authority.ts'
import { BUS_LIMITS } from './bus-limits.ts'

export type ServerListen = {
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default -1: the system picks one. */
  readonly port?: number
  /** Paths of PEM files. Required for any host that is not loopback. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string; readonly caFile?: string }
}

export const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)

/**
 * @param dir where the server keeps the accounts it was told of, and says its ports
 * @throws Error for a host that is not loopback without TLS
 */
export const serverConfig = (dir: string, listen: ServerListen, trust: BrokerTrust): string => {
  const host = listen.host ?? '127.0.0.1'
  if (listen.tls === undefined && !isLoopback(host))
    throw new Error(`refusing to listen on ${host} without TLS: give a certificate, or listen on 127.0.0.1`)
  const config = {
    host,
    port: listen.port ?? -1,
    ...(listen.tls === undefined
      ? {}
      : {
          tls: {
            cert_file: listen.tls.certFile,
            key_file: listen.tls.keyFile,
            ...(listen.tls.caFile === undefined ? {} : { ca_file: listen.tls.caFile }),
            timeout: 5,
          },
        }),
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
