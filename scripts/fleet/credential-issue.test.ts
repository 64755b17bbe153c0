/** What `credential issue` makes and what it refuses, on a fleet's files alone. */
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readAuthority } from '../../bus/authority.ts'
import { grantedTo } from '../../bus/permissions.ts'
import { chainsOf, readHostCredentials } from '../../nodes/runtime/bundle.ts'
import { fromHex } from '../../protocol/bytes.ts'
import { createTrust, verifyChain } from '../../protocol/credentials.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { CliError } from '../cli/errors.ts'
import { provisionedFleet, type ProvisionedFleet } from '../testing/provisioned-fleet.ts'
import { issueCredential, type IssueOrder } from './credential-issue.ts'
import { listCredentials } from './credential-list.ts'
import { readRegister, withKeyRoom } from './key-room.ts'

const DAY_MS = 86_400_000
let fleet: ProvisionedFleet
beforeEach(async () => {
  fleet = await provisionedFleet()
})
afterEach(() => fleet[Symbol.asyncDispose]())

const path = (name: string): string => join(fleet.directory.root, name)
const issue = (order: Partial<IssueOrder>) =>
  issueCredential(
    fleet.directory,
    fleet.plan,
    {
      role: 'mpp',
      id: 'hu-acme',
      operatorId: undefined,
      certifiedBy: [],
      certifierFiles: [],
      bank: undefined,
      balanceMinor: 0n,
      days: 10,
      out: path('acme.creds'),
      again: false,
      ...order,
    },
    () => undefined,
  )
/** Each chain of a file, verified from the root that the file names. */
const verified = async (file: string, atMs: number) => {
  const credentials = await readHostCredentials(file)
  const trust = createTrust(loadEngine(), fromHex(credentials.rootKey))
  return chainsOf(credentials.chains).map((chain) => verifyChain(trust, chain, atMs))
}

describe('a file', () => {
  test('has all that a processor needs, for its owner only', async () => {
    const issued = await issue({ operatorId: 'hu-acme-group' })
    const file = await readHostCredentials(issued.file)
    const own = await readHostCredentials(fleet.directory.credentials('hu-cosmo'))
    expect((await stat(issued.file)).mode & 0o777).toBe(0o600)
    expect(file).toMatchObject({ host: 'hu-acme', role: 'mpp', realm: 'hu', operatorId: 'hu-acme-group' })
    for (const key of ['rootKey', 'networkName', 'trusted', 'dataCenters', 'realmAddress', 'peerRealms'] as const)
      expect(file[key]).toEqual(own[key])
    expect(file.login.servers).toEqual(own.login.servers)
    const { publish, subscribe } = grantedTo('mpp', 'hu-acme')
    expect(file.subjects).toEqual({ publish, subscribe })
    const [chain] = await verified(issued.file, Date.now())
    expect(chain).toMatchObject({ ok: true, value: { processor: { id: 'hu-acme', role: 'mpp', serial: 1 } } })
  })

  test('is valid for as long as was asked, and not a day longer', async () => {
    const { file, notAfterMs } = await issue({ days: 2 })
    expect((await verified(file, notAfterMs))[0]?.ok).toBe(true)
    expect((await verified(file, notAfterMs + 1))[0]).toMatchObject({ failure: { code: 'CREDENTIAL_EXPIRED' } })
    expect((await verified(file, Date.now() - DAY_MS))[0]).toMatchObject({
      failure: { code: 'CREDENTIAL_NOT_YET_VALID' },
    })
  })

  test('of a merchant host is certified by the MPP whose file is given', async () => {
    const acme = await issue({})
    const shop = await issue({ role: 'merchant', id: 'hu-shop', certifierFiles: [acme.file], out: path('shop.creds') })
    expect((await verified(shop.file, Date.now()))[0]).toMatchObject({
      ok: true,
      value: { processor: { id: 'hu-acme' }, host: { id: 'hu-shop', role: 'merchant' } },
    })
    const wallet = { role: 'customer', id: 'hu-purse', certifiedBy: ['hu-otp'], out: path('purse.creds') } as const
    const { file } = await issue(wallet)
    expect((await readHostCredentials(file)).login.guestSigner).toBeDefined()
    expect((await verified(file, Date.now()))[0]).toMatchObject({ value: { processor: { id: 'hu-otp' } } })
  })

  test('is never written over, nor is anything issued then', async () => {
    await writeFile(path('acme.creds'), 'mine')
    await expect(issue({})).rejects.toThrow(/is there already/)
    expect(await readFile(path('acme.creds'), 'utf8')).toBe('mine')
    expect((await readRegister(fleet.directory)).ids['hu-acme']).toBeUndefined()
  })
})

describe('refused before anything is signed', () => {
  test.each<[string, Partial<IssueOrder>, RegExp]>([
    ['a name that would hear everybody', { id: 'hu-*' }, /is no id/],
    ['a subject of its own', { id: 'hu-a.b' }, /is no id/],
    ['a realm without data center', { id: 'xx-acme' }, /no realm xx/],
    ['a host of the network file', { id: 'hu-otp' }, /rotate hu-otp/],
    ['a customer', { id: 'hu-alice' }, /customer or payee/],
    ['an alias', { id: 'hu-alice-pays' }, /customer or payee/],
    ['a payee', { id: 'hu-bakery' }, /customer or payee/],
    ['a name that the fleet gives', { id: 'hu-shops-7' }, /the fleet gives itself/],
    ["the data centers' address", { id: 'hu-dc' }, /the fleet gives itself/],
    ['a data center of another name', { role: 'dc', id: 'hu-acme' }, /is named hu-dc-<n>/],
    ['a merchant host that nobody certifies', { role: 'merchant' }, /needs --certified-by/],
    ['a processor that another certifies', { certifiedBy: ['hu-cosmo'] }, /certified by the root/],
    ['a merchant host under a CPP', { role: 'merchant', certifiedBy: ['hu-otp'] }, /is a cpp/],
    ['a certifier that nobody knows', { role: 'merchant', certifiedBy: ['hu-else'] }, /--certifier-creds/],
    ['an account of a merchant host', { role: 'merchant', certifiedBy: ['hu-cosmo'], bank: 'hu-kh' }, /cpp or mpp/],
    ['a bank that is none', { bank: 'hu-otp' }, /no such bank/],
    ['a bank that does not run', { bank: 'hu-kh' }, /hu-kh is not running/],
    ['an operator that is no id', { operatorId: 'Acme' }, /is no id/],
  ])('%s', async (_, order, message) => {
    const before = await readRegister(fleet.directory)
    const refusal = issue(order)
    await expect(refusal).rejects.toThrow(CliError)
    await expect(refusal).rejects.toThrow(message)
    expect(await readRegister(fleet.directory)).toEqual(before)
    await expect(stat(path('acme.creds'))).rejects.toThrow(/ENOENT/)
  })

  test('an id that was issued, unless asked for again in the same role', async () => {
    const first = await issue({})
    await expect(issue({ out: path('two.creds') })).rejects.toThrow(/was issued already.*--again/)
    await expect(issue({ role: 'cpp', out: path('two.creds'), again: true })).rejects.toThrow(/was issued as a mpp/)
    const second = await issue({ out: path('two.creds'), again: true })
    expect(second.serial).toBe(2)
    expect(second.keyId).not.toBe(first.keyId)
    const lines = (await listCredentials(fleet.directory, Date.now())).filter(({ id }) => id === 'hu-acme')
    expect(lines.map(({ serial, state }) => [serial, state])).toEqual([
      [2, 'valid'],
      [1, 'overlapping'],
    ])
  })
})

test('commands at once change the key files one after the other', async () => {
  const ids = Array.from({ length: 4 }, (_, i) => `hu-many${i}`)
  await Promise.all(ids.map((id) => issue({ id, out: path(`${id}.creds`) })))
  const register = await readRegister(fleet.directory)
  expect(ids.filter((id) => register.ids[id] === undefined)).toEqual([])
  let inside = 0
  let most = 0
  await Promise.all(
    ids.map(() =>
      withKeyRoom(fleet.directory, async () => {
        most = Math.max(most, ++inside)
        await readAuthority(fleet.directory.authorityFile)
        inside -= 1
      }),
    ),
  )
  expect(most).toBe(1)
})
