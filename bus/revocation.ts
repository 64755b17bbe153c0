/**
 * Telling a running broker what the SEMOPS account now is. A login revoked in it loses its live connection at once and
 * cannot come back; this needs the broker's full resolver.
 */
import { currentAccountJwt, systemLogin, withRevoked, type AuthorityState } from './authority.ts'
import { BusError } from './bus.ts'
import { openRequestReply } from './nats-bus.ts'
import type { ServerAddress } from './tls-client.ts'

const UPDATE_TIMEOUT_MS = 5_000

type UpdateAnswer = { readonly data?: { readonly code?: number }; readonly error?: { readonly description?: string } }

/**
 * Pushes the account as `state` has it. Every server of a cluster hears it; the first answer is waited for.
 * @throws BusError `refused-by-broker` with the broker's own words, or `timeout`.
 */
export const pushAccount = async (state: AuthorityState, broker: ServerAddress): Promise<void> => {
  const login = await systemLogin(state, Date.now())
  await using connection = await openRequestReply({ ...broker, login, signal: AbortSignal.timeout(UPDATE_TIMEOUT_MS) })
  const request = new TextEncoder().encode(await currentAccountJwt(state))
  const answers = await connection.collect('$SYS.REQ.CLAIMS.UPDATE', request, {
    timeoutMs: UPDATE_TIMEOUT_MS,
    enough: (some) => some.length > 0,
  })
  const first = answers[0]
  if (first === undefined) throw new BusError('timeout', 'the broker did not answer the account update')
  const answer = JSON.parse(new TextDecoder().decode(first)) as UpdateAnswer
  if (answer.data?.code !== 200)
    throw new BusError('refused-by-broker', answer.error?.description ?? 'the broker refused the account update')
}

/**
 * Voids the logins of these public keys (`loginPublicKey`) and drops their connections. The returned state must be saved: it
 * is what the broker is started with next time.
 */
export const revokeLogins = async (
  state: AuthorityState,
  publicKeys: readonly string[],
  broker: ServerAddress,
): Promise<AuthorityState> => {
  const revoked = withRevoked(state, publicKeys, Date.now())
  await pushAccount(revoked, broker)
  return revoked
}
