/**
 * One host outside the fleet's supervisor, from its credentials file alone: the rest of what a host needs is made from it. What a
 * policy file says goes over what the credentials imply.
 */
import { mkdirSync, openSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { BadBundle, readHostCredentials, type HostConfig, type HostCredentials } from '../../nodes/runtime/bundle.ts'
import { LedgerLocked } from '../../nodes/runtime/ledger-lock.ts'
import { pinoLog, type Log } from '../../nodes/runtime/log.ts'
import { AlreadyRunning, startHost, type RunningHost } from '../../nodes/runtime/run.ts'
import { CliError } from '../cli/errors.ts'
import { DEFINITIONS } from './definitions.ts'
import { readJson } from './directory.ts'
import { mergePolicies } from './merge-policies.ts'

export type NodeOrder = {
  readonly creds: string
  readonly policy: string | undefined
  /** Default: a folder named after the host, beside the credentials. */
  readonly ledger: string | undefined
  /** Default: the ledger's folder. */
  readonly socketDir: string | undefined
}

export type AttachedNode = {
  readonly credentials: HostCredentials
  readonly running: RunningHost
  readonly logFile: string
  readonly ledgerDir: string
  /** Resolves when it is registered and serves; false when it ended before. */
  readonly untilServing: () => Promise<boolean>
}

type Policy = Readonly<Record<string, unknown>>

/** What the credentials say of the policy: data centers of the realm, the operator's account, where counterparties are paid. */
export const impliedPolicy = ({ role, dataCenters, peerRealms, account }: HostCredentials): Policy => {
  if (role === 'customer' || role === 'merchant') return {}
  if (role === 'dc') return { peerRealms }
  if (role === 'bank' || account === undefined) return { dataCenters }
  return {
    dataCenters,
    operatorAccounts: { [account.currency]: account.account },
    settlementAccounts: account.settlementAccounts,
  }
}

/** Where a node that was told nothing else keeps its ledger and its socket. */
export const defaultLedger = (creds: string, host: string): string => join(dirname(creds), `${host}.node`)

const POLL_MS = 25

/** @param onTrouble told why the broker does not let it in yet; it goes on trying @throws CliError that says what to do */
export const startAttached = async (order: NodeOrder, onTrouble: (what: string) => void): Promise<AttachedNode> => {
  const credentials = await readHostCredentials(order.creds).catch((error: unknown) => {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') throw new CliError('usage', `no file ${order.creds}; \`semops credential issue\` makes one`)
    throw new CliError('usage', error instanceof BadBundle ? message : `${order.creds}: ${message}`, { cause: error })
  })
  const { host, role } = credentials
  const ledgerDir = order.ledger ?? defaultLedger(order.creds, host)
  const runDir = order.socketDir ?? ledgerDir
  const config: HostConfig = {
    version: 1,
    ledgerDir,
    runDir,
    durability: 'flushed',
    logLevel: 'info',
    policy: mergePolicies(impliedPolicy(credentials), await policyOf(order.policy)),
  }
  mkdirSync(ledgerDir, { recursive: true, mode: 0o700 })
  const logFile = join(ledgerDir, `${host}.log`)
  const file = pinoLog({ host, role, level: config.logLevel }, () => Date.now(), openSync(logFile, 'a', 0o600))
  const log: Log = {
    ...file,
    write: (level, message, fields) => {
      file.write(level, message, fields)
      if (message === 'waiting for the broker')
        onTrouble(
          fields?.['reason'] === 'unreachable'
            ? `no broker at ${credentials.login.servers.join(', ')}: ${String(fields['detail'])}`
            : 'the broker refuses its login: expired or revoked',
        )
    },
  }
  const running = await startHost(credentials, config, DEFINITIONS[role], log, () =>
    readHostCredentials(order.creds),
  ).catch((error: unknown) => {
    const { message } = error as Error
    if (error instanceof LedgerLocked || error instanceof AlreadyRunning) throw new CliError('environment', message)
    throw new CliError('usage', `${host} does not start: ${message}`, { cause: error })
  })
  let ended = false
  running.ended.then(
    () => (ended = true),
    () => (ended = true),
  )
  return {
    credentials,
    running,
    logFile,
    ledgerDir,
    untilServing: async () => {
      while (!ended && !running.host.ready()) await delay(POLL_MS)
      return !ended
    },
  }
}

const policyOf = async (file: string | undefined): Promise<Policy> => {
  if (file === undefined) return {}
  const policy = await readJson<unknown>(file).catch((error: unknown) => {
    throw new CliError('usage', `${file}: ${(error as Error).message}`, { cause: error })
  })
  if (typeof policy !== 'object' || policy === null || Array.isArray(policy))
    throw new CliError('usage', `${file} holds no policy: write a JSON object, such as {"noticeLifetimeMs": 20000}`)
  return policy as Policy
}
