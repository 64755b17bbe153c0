/**
 * Somebody has the keys that a host used before it exchanged them, and its login, and goes on speaking in its name after the root has
 * revoked them. Invariant: only to hosts whose ledger has the list on disk, so that whoever acts on such a word breaks the rule.
 */
import type { Published } from '../../bus/simulated-bus.ts'
import { decodeBody, encodeBody } from '../../protocol/codec.ts'
import { makeContent } from '../../protocol/envelope.ts'
import { KINDS } from '../../protocol/kinds.ts'
import type { SigningKey } from '../../protocol/keys.ts'
import { parseFrame, sealOne } from '../../protocol/seals.ts'
import { parseSubject } from '../../protocol/subjects.ts'
import { createStaged } from '../../nodes/runtime/staged.ts'
import { revocationTable } from '../../nodes/runtime/runtime-tables.ts'
import type { SimNetwork } from '../../nodes/runtime/sim-network.ts'
import type { Chance } from './chance.ts'
import type { Kernel } from './kernel.ts'
import type { Wire } from './observed.ts'

export type Thief = {
  /** Told of everything that the broker takes. */
  readonly onPublish: (message: Published, origin: Wire['origin']) => void
  /** The keys that this host used before are on the root's list from this version on. */
  readonly onRevoked: (host: string, keys: readonly SigningKey[], version: number) => void
}

/** One message for each subject is enough to make others of it. */
const KEPT_PER_HOST = 48
const WORDS = 12
const SPEAKS_WITHIN_MS = [200, 10_000] as const
const LIFETIME_MS = 10_000

export const createThief = (deps: {
  readonly kernel: Kernel
  readonly network: () => SimNetwork
  readonly chance: Chance
  readonly hosts: readonly string[]
  readonly inject: (message: Published) => void
}): Thief => {
  const { kernel, network, chance, inject } = deps
  const said = new Map(deps.hosts.map((host) => [host, new Map<string, Uint8Array>()]))

  const knowsOf = (host: string, version: number): boolean => {
    const store = network().host(host).store()
    return store.unflushed() === 0 && (createStaged(store).get(revocationTable, 'current')?.version ?? 0) >= version
  }

  /** What the host might say next: the same again, under ids that nobody has seen. */
  const forged = (host: string, subject: string, data: Uint8Array, key: SigningKey): Published | undefined => {
    const parsed = parseFrame(data)
    if (!parsed.ok) return undefined
    const { header, bodyBytes } = parsed.value
    const { kind, bodyVersion } = header
    if (kind === undefined || header.from !== host || header.bodyForm !== 'plain') return undefined
    const { id } = KINDS[kind]
    const body = decodeBody(kind, bodyVersion, bodyBytes)
    if (id === null || !body.ok) return undefined
    const other = { ...body.value, [id]: chance.bytes(16) }
    const nowMs = Math.floor(kernel.now())
    const content = makeContent(
      {
        ...header,
        kind,
        messageId: chance.bytes(16),
        sentAtMs: nowMs,
        expiresAtMs: header.expiresAtMs === undefined ? undefined : nowMs + LIFETIME_MS,
      },
      encodeBody(kind, other, bodyVersion),
    )
    return { from: host, subject, data: sealOne(content, key) }
  }

  const speak = (host: string, key: SigningKey, version: number): void => {
    const words = [...(said.get(host) ?? [])].flatMap(([subject, data]) => {
      const to = parseSubject(subject)?.toHost
      if (to === undefined || !said.has(to) || !knowsOf(to, version)) return []
      return forged(host, subject, data, key) ?? []
    })
    if (words.length > 0) inject(chance.pick(words))
  }

  return {
    onPublish: ({ from, subject, data }, origin) => {
      if (origin !== 'node') return
      const kept = said.get(from)
      if (kept === undefined || kept.size >= KEPT_PER_HOST || kept.has(subject)) return
      kept.set(subject, data.slice())
    },
    onRevoked: (host, keys, version) => {
      for (let words = 0; words < WORDS; words++)
        kernel.after(chance.between(...SPEAKS_WITHIN_MS), () => speak(host, chance.pick(keys), version))
    },
  }
}
