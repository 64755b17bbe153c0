/** What `semops credential list` shows, from the register alone. */
import type { FleetDirectory } from './directory.ts'
import { readRegister } from './key-room.ts'
import type { HostRole } from './plan.ts'

export type CredentialLine = {
  readonly id: string
  readonly role: HostRole
  readonly serial: number
  readonly keyId: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** Whole days; negative once it has expired. */
  readonly daysLeft: number
  readonly revoked: boolean
  /** The newest key of its id. */
  readonly inUse: boolean
  /** `overlapping`: replaced, and still valid until it is revoked or expires. */
  readonly state: 'valid' | 'overlapping' | 'revoked' | 'expired' | 'not yet valid'
}

const DAY_MS = 86_400_000

/** By id, newest key first. */
export const listCredentials = async (directory: FleetDirectory, nowMs: number): Promise<readonly CredentialLine[]> => {
  const { ids } = await readRegister(directory)
  return Object.values(ids)
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
    .flatMap(({ id, role, keys }) =>
      keys.toReversed().map(({ serial, keyId, notBeforeMs, notAfterMs, revokedAtMs }, at): CredentialLine => {
        const revoked = revokedAtMs !== undefined
        const inUse = at === 0
        return {
          id,
          role,
          serial,
          keyId,
          notBeforeMs,
          notAfterMs,
          daysLeft: Math.floor((notAfterMs - nowMs) / DAY_MS),
          revoked,
          inUse,
          state: revoked
            ? 'revoked'
            : nowMs > notAfterMs
              ? 'expired'
              : nowMs < notBeforeMs
                ? 'not yet valid'
                : inUse
                  ? 'valid'
                  : 'overlapping',
        }
      }),
    )
}
