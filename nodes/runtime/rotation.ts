/**
 * A host takes new keys between two events: checked whole before anything changes, journalled, and told to the node, whose
 * business it is to show them to those who verify what it seals.
 */
import { verifyChain, type Trust } from '../../protocol/credentials.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { Applier, Batch } from './apply.ts'
import type { CredentialStore } from './credential-store.ts'
import type { Answer, NewIdentity } from './host-types.ts'
import { identityProblem, identityStatus, isSameIdentity, type IdentityStatus, type Keyring } from './identity.ts'
import { toJson } from './json.ts'
import type { Log } from './log.ts'
import { decision, type AnyNodeDefinition, type Context, type Self } from './node.ts'
import type { Outbox } from './outbox.ts'
import type { Staged } from './staged.ts'

export type RotationDeps = {
  readonly self: Self
  readonly trust: Trust
  readonly keyring: Keyring
  readonly credentials: CredentialStore
  readonly definition: AnyNodeDefinition
  readonly staged: Staged
  readonly applier: Applier
  readonly outbox: Outbox
  readonly log: Log
  readonly contextAt: (nowMs: number) => Context
}

export type Rotation = {
  readonly status: (nowMs: number) => IdentityStatus
  /** Why `next` would be refused; undefined when it would be taken. */
  readonly problem: (next: NewIdentity, nowMs: number) => string | undefined
  /** Answers {@link IdentityStatus} and `changed` after the flush; BAD_CREDENTIALS, with nothing changed, at once. */
  readonly adopt: (batch: Batch, next: NewIdentity, nowMs: number, answer: (answer: Answer) => void) => void
}

export const createRotation = (deps: RotationDeps): Rotation => {
  const { self, trust, keyring, credentials, definition, staged, applier } = deps

  const problem: Rotation['problem'] = ({ identity, trusted }, nowMs) => {
    const own = identityProblem(trust, self, identity, keyring.identity(), nowMs)
    if (own !== undefined) return own
    for (const given of trusted) {
      const verified = verifyChain(trust, given, nowMs)
      if (!verified.ok) return `a trusted chain: ${verified.failure.code} ${verified.failure.detail}`
    }
    return undefined
  }

  return {
    problem,
    status: (nowMs) => identityStatus(trust, keyring.identity(), nowMs),
    adopt: (batch, next, nowMs, answer) => {
      const wrong = problem(next, nowMs)
      if (wrong !== undefined) {
        answer({ ok: false, error: { code: 'BAD_CREDENTIALS', detail: wrong } })
        return
      }
      const { identity, former, trusted } = next
      const before = keyring.identity()
      const from = identityStatus(trust, before, nowMs).signingKeyId
      credentials.trustChains([...identity.chains, ...trusted], nowMs).forEach(staged.write)
      keyring.adopt(identity, former)
      const status = identityStatus(trust, keyring.identity(), nowMs)
      const changed = !isSameIdentity(before, keyring.identity())
      if (changed) {
        const fields = { from, to: status.signingKeyId, serial: status.serial }
        applier.journal({
          atMs: nowMs,
          trigger: 'identity',
          name: 'rotate',
          ids: [],
          sends: [],
          postings: [],
          event: 'identity-rotated',
          fields: toJson(fields),
        })
        const told = definition.rotated?.(staged, {}, deps.contextAt(nowMs)) ?? decision()
        applier.apply(batch, told, { trigger: 'rotated', name: self.id, ids: [] }, nowMs)
        // What waits under the former key need not wait for its back-off.
        deps.outbox.hasten(nowMs, LIMITS.reconnectSpreadMs)
        batch.after.push(() => deps.log.write('info', 'identity-rotated', fields))
      }
      batch.after.push(() => answer({ ok: true, value: { ...status, changed } }))
    },
  }
}
