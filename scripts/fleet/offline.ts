/**
 * The ledger of a host that does not run, read by the host's own code: its definition is made as for a start, from its two
 * files, and only its questions are asked. The ledger's lock is held meanwhile, so that no host starts on it.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createTrust } from '../../protocol/credentials.ts'
import { fromHex } from '../../protocol/bytes.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { hopOf } from '../../nodes/runtime/builtins.ts'
import { identityOf, readHostConfig, readHostCredentials, type HostCredentials } from '../../nodes/runtime/bundle.ts'
import { markFile, readMark } from '../../nodes/runtime/head-mark.ts'
import { heardFromJson, heardToJson } from '../../nodes/runtime/heard.ts'
import type { NodeServices } from '../../nodes/runtime/host-types.ts'
import { traceJournal } from '../../nodes/runtime/journal.ts'
import { forgottenOf, heardIn, judgeAge } from '../../nodes/runtime/ledger-age.ts'
import { ownKeyFinder } from '../../nodes/runtime/ledger-desk.ts'
import { LedgerLocked, lockLedger, type LedgerLock } from '../../nodes/runtime/ledger-lock.ts'
import { openHead, readPolicy } from '../../nodes/runtime/ledger-state.ts'
import { lmdbStore } from '../../nodes/runtime/lmdb-store.ts'
import type { Context } from '../../nodes/runtime/node.ts'
import type { PaymentsPage, Report } from '../../nodes/runtime/reports.ts'
import { outboxTable } from '../../nodes/runtime/runtime-tables.ts'
import { createStaged } from '../../nodes/runtime/staged.ts'
import { CliError } from '../cli/errors.ts'
import { DEFINITIONS } from './definitions.ts'
import type { FleetDirectory } from './directory.ts'
import type { HostPlan } from './plan.ts'
import { allPages, type NodeSource } from './node-source.ts'

const never = (): never => {
  throw new Error('a ledger that is only read does nothing')
}

/** @throws CliError when there is no ledger, or somebody has it open */
export const openLedger = async (directory: FleetDirectory, { id, role }: HostPlan): Promise<NodeSource> => {
  const ledgerDir = directory.ledger(id)
  const file = join(ledgerDir, 'ledger.mdb')
  if (!existsSync(file))
    throw new CliError('environment', `${id} has never run, so it has no ledger; start the network with \`semops up\``)
  const credentials = await readHostCredentials(directory.credentials(id))
  const config = await readHostConfig(directory.config(id))
  const lock = locked(ledgerDir, id)
  const store = lmdbStore(file)
  const close = async (): Promise<void> => {
    await store.close()
    lock.release()
  }
  try {
    const read = createStaged(store)
    const services = servicesOf(credentials)
    const definition = DEFINITIONS[role](services)
    const trust = createTrust(loadEngine(), fromHex(credentials.rootKey))
    const head = openHead(read, id, trust.networkId)
    const ownKeyOf = ownKeyFinder({ id }, trust, read, services.identity(), definition)
    const context: Context = {
      self: selfOf(credentials),
      nowMs: head.highestNowMs,
      policy: readPolicy(read, definition, config.policy).value,
      freshId: never,
      freshBytes: never,
    }
    const ask = (name: string, args: Readonly<Record<string, unknown>>): unknown =>
      definition.reads[name]?.(read, args, context)
    return {
      id,
      role,
      live: false,
      report: async () => ask('report', {}) as Report,
      payments: () => allPages(role, async (after) => ask('payments', { after }) as PaymentsPage),
      ask: async (name, args) => ask(name, args),
      trace: async (query) => traceJournal(read, head.seq, query).map((row) => hopOf({ id, role }, row)),
      standing: async () => ({ seq: head.seq, inFlight: [...read.scan(outboxTable, [])].length }),
      heard: async (of) => heardIn(read, id, of).map(heardToJson),
      age: async (heard) =>
        judgeAge(
          read,
          head,
          readMark(markFile(join(directory.marks, id))),
          forgottenOf({ read, trust, lastSeq: head.seq, ownKeyOf }, heard.map(heardFromJson)),
        ),
      drain: async () => undefined,
      resume: async () => undefined,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

const locked = (ledgerDir: string, id: string): LedgerLock => {
  try {
    return lockLedger(ledgerDir)
  } catch (error) {
    if (error instanceof LedgerLocked)
      throw new CliError('environment', `${id} is starting or stopping; try again in a moment`, { cause: error })
    throw error
  }
}

const selfOf = ({ host: id, role, realm, operatorId }: HostCredentials) => ({ id, role, realm, operatorId })

const servicesOf = (credentials: HostCredentials): NodeServices => {
  const engine = loadEngine()
  const identity = identityOf(engine, credentials)
  return {
    self: selfOf(credentials),
    trust: createTrust(engine, fromHex(credentials.rootKey)),
    identity: () => identity,
    guests: { open: never, close: never },
    localKey: fromHex(credentials.localKey),
    dataCenters: credentials.dataCenters,
    peerRealms: credentials.peerRealms,
    framesOf: never,
    seal: never,
  }
}
