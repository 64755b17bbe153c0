/** What `credential revoke` and `rotate` write, on a fleet's files alone: nobody runs to be told. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readAuthority } from '../../bus/authority.ts'
import { loginPublicKey } from '../../bus/logins.ts'
import { chainsOf, readHostCredentials } from '../../nodes/runtime/bundle.ts'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { createTrust, verifyChain } from '../../protocol/credentials.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { provisionedFleet, type ProvisionedFleet } from '../testing/provisioned-fleet.ts'
import { listCredentials } from './credential-list.ts'
import { readRevocations, revokeCredential } from './credential-revoke.ts'
import { DEFAULT_OVERLAP_MS, rotateCredential, rotationOrder } from './credential-rotate.ts'
import { currentKey, readRegister } from './key-room.ts'

let fleet: ProvisionedFleet
beforeEach(async () => {
  fleet = await provisionedFleet()
})
afterEach(() => fleet[Symbol.asyncDispose]())

const quiet = (): void => undefined
const credentials = (id: string) => readHostCredentials(fleet.directory.credentials(id))
const keyOf = async (id: string): Promise<string> => {
  const issued = (await readRegister(fleet.directory)).ids[id]
  if (issued === undefined) throw new Error(`${id} is not in the register`)
  return currentKey(issued).keyId
}
const revoke = (target: Parameters<typeof revokeCredential>[2]) =>
  revokeCredential(fleet.directory, fleet.plan, target, quiet)
const rotate = (id: string) =>
  rotateCredential(fleet.directory, fleet.plan, id, { overlapMs: DEFAULT_OVERLAP_MS, days: 30 }, quiet)
const list = async () => {
  const { rootKey } = await credentials('hu-otp')
  return readRevocations(fleet.directory, fromHex(rootKey))
}
/** The chains of a host's file, judged with the list in force. */
const judged = async (id: string) => {
  const file = await credentials(id)
  const { revoked } = await list()
  const trust = createTrust(loadEngine(), fromHex(file.rootKey), (keyId) => revoked.includes(toHex(keyId)))
  return chainsOf(file.chains).map((chain) => {
    const verified = verifyChain(trust, chain, Date.now())
    return verified.ok ? 'ok' : verified.failure.code
  })
}

describe('a revocation', () => {
  test('is a list of a higher version each time, and the same for the same', async () => {
    expect((await list()).version).toBe(0)
    const first = await revoke({ id: 'hu-cosmo' })
    expect(first).toMatchObject({ version: 1, ids: ['hu-cosmo'], logins: 2, brokerTold: false, hosts: 0, late: [] })
    expect(await judged('hu-cosmo')).toEqual(['CREDENTIAL_REVOKED'])
    expect(await judged('hu-shops-1')).toEqual(['CREDENTIAL_REVOKED'])
    expect(await judged('hu-otp')).toEqual(['ok'])
    expect((await revoke({ id: 'hu-cosmo' })).version).toBe(1)
    expect(await revoke({ keyIds: [await keyOf('hu-kh')] })).toMatchObject({ version: 2, ids: ['hu-kh'] })
    expect((await list()).revoked).toHaveLength(2)
    const lines = await listCredentials(fleet.directory, Date.now())
    expect(lines.filter(({ state }) => state === 'revoked').map(({ id }) => id)).toEqual(['hu-cosmo', 'hu-kh'])
  })

  test('voids every login of the id at the broker, and for a wallet host the key that mints guests', async () => {
    const { login } = await credentials('hu-wallets-1')
    const before = await readAuthority(fleet.directory.authorityFile)
    await revoke({ id: 'hu-cosmo' })
    const other = await readAuthority(fleet.directory.authorityFile)
    expect(other.signerSeeds).toEqual(before.signerSeeds)
    await revoke({ id: 'hu-wallets-1' })
    const after = await readAuthority(fleet.directory.authorityFile)
    expect(Object.keys(after.revocations)).toContain(loginPublicKey(login))
    expect(after.signerSeeds.guest).not.toBe(before.signerSeeds.guest)
    expect(after.retiring).toBeUndefined()
  })

  test('of what was never issued is refused', async () => {
    await expect(revoke({ id: 'hu-nobody' })).rejects.toThrow(/never issued here/)
    await expect(revoke({ keyIds: ['f'.repeat(32)] })).rejects.toThrow(/no key f+/)
    expect((await list()).version).toBe(0)
  })
})

describe('a rotation', () => {
  test('gives new keys and a new login, keeps the local key, and lets the old key go on', async () => {
    const before = await credentials('hu-cosmo')
    const rotated = await rotate('hu-cosmo')
    const after = await credentials('hu-cosmo')
    expect(rotated).toMatchObject({ serial: 2, reloaded: false, certified: ['hu-shops-1'], withoutFile: [] })
    expect(after.localKey).toBe(before.localKey)
    for (const key of ['signingSeed', 'sealingSeed'] as const) expect(after[key]).not.toBe(before[key])
    expect(loginPublicKey(after.login)).not.toBe(loginPublicKey(before.login))
    expect(await judged('hu-cosmo')).toEqual(['ok'])
    expect(await judged('hu-shops-1')).toEqual(['ok'])
    expect(rotated.keyId).toBe(await keyOf('hu-cosmo'))
    const lines = await listCredentials(fleet.directory, Date.now())
    expect(lines.filter(({ id }) => id === 'hu-cosmo').map(({ state }) => state)).toEqual(['valid', 'overlapping'])
  })

  test('leaves nothing under the old key: revoked, it takes nobody with it', async () => {
    const { oldKeyId } = await rotate('hu-cosmo')
    expect(await revoke({ keyIds: [oldKeyId] })).toMatchObject({ ids: ['hu-cosmo'], keyIds: [oldKeyId] })
    for (const { id } of fleet.plan.hosts) expect([id, await judged(id)]).toEqual([id, ['ok']])
  })

  test('of all goes from those who certify to those who are certified, and all hold together', async () => {
    const order = rotationOrder(fleet.plan)
    expect(order[0]).toBe('hu-dc-1')
    for (const id of order) await rotate(id)
    const old = (await listCredentials(fleet.directory, Date.now())).filter(({ inUse }) => !inUse)
    expect(old).toHaveLength(order.length)
    await revoke({ keyIds: old.map(({ keyId }) => keyId) })
    for (const id of order) expect([id, await judged(id)]).toEqual([id, ['ok']])
    // What everybody believes of the data center is the key that it now has.
    const { chains } = await credentials('hu-dc-1')
    expect((await credentials('hu-otp')).trusted).toContainEqual(chains[0])
  })

  test('of what was never issued is refused', async () => {
    await expect(rotate('hu-nobody')).rejects.toThrow(/never issued here/)
  })
})
