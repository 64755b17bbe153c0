/**
 * What an operator asks of a host's ledger as a whole: what it holds of others, what it has forgotten of itself, a copy of it, and to
 * go on with it although it is old. A host whose ledger is known to be old is held: it answers questions and does nothing.
 */
import { chmodSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import type { Trust } from '../../protocol/credentials.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { keyIdOf, signingKeyFromSeed } from '../../protocol/keys.ts'
import { createCredentialStore } from './credential-store.ts'
import type { Answer, Host } from './host-types.ts'
import type { Identity } from './identity.ts'
import { NO_HASH, type Chain } from './journal.ts'
import { acceptance, forgottenOf, heardIn, judgeAge, type Behind, type OwnKeyOf } from './ledger-age.ts'
import { heardFromJson, heardToJson, isHeardJson, type Heard } from './heard.ts'
import type { AnyNodeDefinition, Decision, Reader } from './node.ts'
import { headTable } from './runtime-tables.ts'

type Args = Readonly<Record<string, unknown>>

/** What a held host still answers, beside reads: nothing that would change its ledger. */
const ANSWERED_WHILE_HELD: ReadonlySet<string> = new Set([
  'status',
  'metrics',
  'memory',
  'report',
  'payments',
  'trace',
  'policy',
  'heard',
  'age',
  'hold',
  'release',
  'copy-ledger',
  'accept-ledger',
  'pause',
  'resume',
  'drain',
  'quiesce',
  'fault',
])
export const isAnsweredWhileHeld = (form: 'command' | 'read' | 'builtin', name: string): boolean =>
  form === 'read' || (form === 'builtin' && ANSWERED_WHILE_HELD.has(name))

const ok = (value: unknown): Answer => ({ ok: true, value })
const refused = (code: string, detail: string): Answer => ({ ok: false, error: { code, detail } })

/** Keys of this host as its ledger and its operator know them, those of before a rotation among them. */
export const ownKeyFinder = (
  self: { readonly id: string },
  trust: Trust,
  read: Reader,
  identity: Identity,
  definition: Pick<AnyNodeDefinition, 'deviceSeed'>,
): OwnKeyOf => {
  // A chain that has expired since is its key's all the same.
  const credentials = createCredentialStore(trust, read, [], 0, self.id)
  return (keyId, from) => {
    if (from !== self.id) {
      const seed = definition.deviceSeed?.(read, from)
      const device = seed === undefined ? undefined : signingKeyFromSeed(trust.engine, seed)
      return device !== undefined && equalBytes(keyIdOf('ed25519', device.publicKey), keyId)
        ? { algorithm: 'ed25519', publicKey: device.publicKey }
        : undefined
    }
    const { signing } = identity
    if (equalBytes(signing.keyId, keyId)) return signing
    const known = credentials.byKeyId(keyId)
    return known?.owner === self.id ? known : undefined
  }
}

export const headOf = (read: Reader): Chain => {
  const head = read.get(headTable, 'head')
  return { seq: head?.seq ?? 0, hash: head?.hash ?? NO_HASH }
}

export type LedgerDeskDeps = {
  readonly host: Pick<Host, 'self' | 'read' | 'settled' | 'nowMs' | 'identity'>
  readonly trust: Trust
  readonly definition: Pick<AnyNodeDefinition, 'deviceSeed'>
  readonly hold: (ms: number) => void
  readonly release: () => boolean
  readonly flushed: () => Promise<void>
  readonly copyTo: (path: string) => Promise<void>
  /** Lets the host begin; one that was held, with what the operator said. */
  readonly begin: (accepted: Decision | undefined) => Promise<void>
}

export type LedgerDesk = {
  /** By what the mark and others said before the host began. Held, when it answers something. */
  readonly begin: (mark: Chain | undefined, heard: readonly Heard[]) => Promise<Behind | undefined>
  /** Why this host is held; undefined when it is not. */
  readonly behind: () => Behind | undefined
  readonly builtins: Readonly<Record<string, (args: Args) => Promise<Answer> | Answer>>
}

export const createLedgerDesk = (deps: LedgerDeskDeps): LedgerDesk => {
  const { host, trust } = deps
  let behind: Behind | undefined
  let mark: Chain | undefined
  const forgotten = (heard: readonly Pick<Heard, 'by' | 'frame'>[]) => {
    const ownKeyOf = ownKeyFinder(host.self, trust, host.read, host.identity(), deps.definition)
    return forgottenOf({ read: host.read, trust, lastSeq: headOf(host.read).seq, ownKeyOf }, heard)
  }
  const judge = (heard: readonly Pick<Heard, 'by' | 'frame'>[]) =>
    judgeAge(host.read, headOf(host.read), mark, forgotten(heard))
  const copyLedger = async ({ path }: Args): Promise<Answer> => {
    if (typeof path !== 'string' || !isAbsolute(path)) return refused('BAD_ARGUMENTS', 'path: an absolute path')
    try {
      await deps.copyTo(path)
      chmodSync(path, 0o600)
    } catch (error) {
      return refused('NOT_COPIED', (error as Error).message)
    }
    return ok(null)
  }
  return {
    behind: () => behind,
    begin: async (found, heard) => {
      mark = found
      behind = judge(heard)
      if (behind === undefined) await deps.begin(undefined)
      return behind
    },
    builtins: {
      heard: ({ of }) =>
        of !== undefined && typeof of !== 'string'
          ? refused('BAD_ARGUMENTS', 'of: a host')
          : ok({ heard: heardIn(host.read, host.self.id, of).map(heardToJson) }),
      age: ({ heard }) => {
        if (!Array.isArray(heard) || !heard.every(isHeardJson))
          return refused('BAD_ARGUMENTS', 'heard: a list of { by, host, sentAtMs, frame }')
        return ok({ behind: judge(heard.map(heardFromJson)) ?? behind ?? null })
      },
      hold: async ({ ms }) => {
        if (typeof ms !== 'number' || !(ms > 0 && ms <= LIMITS.maxHoldMs))
          return refused('BAD_ARGUMENTS', `ms: 1 to ${LIMITS.maxHoldMs}`)
        deps.hold(ms)
        await host.settled()
        await deps.flushed()
        const { seq, hash } = headOf(host.read)
        return ok({ seq, hash: toHex(hash), nowMs: host.nowMs() })
      },
      release: () => ok({ held: deps.release() }),
      'copy-ledger': copyLedger,
      'accept-ledger': async () => {
        if (behind === undefined) return refused('NOT_HELD', 'nobody has shown this ledger to be old')
        const accepted = acceptance(behind, host.nowMs())
        behind = undefined
        mark = undefined
        await deps.begin(accepted)
        return ok(null)
      },
    },
  }
}
