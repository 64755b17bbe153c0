/**
 * Credentials of a running network, with real processes: one more MPP and a merchant host under it join with a file each, a
 * processor that shares no code with the project attaches, and what another role's file is good for.
 */
import { randomBytes } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { BankReport } from '../../nodes/runtime/reports.ts'
import { readHostCredentials } from '../../nodes/runtime/bundle.ts'
import { connectControl } from '../../nodes/runtime/control-client.ts'
import { reportFromJson } from '../../nodes/verify/from-json.ts'
import { toHex } from '../../protocol/bytes.ts'
import { readAuthority } from '../../bus/authority.ts'
import { natsBroker } from '../../bus/nats-bus.ts'
import { issueCredential, type IssueOrder } from '../fleet/credential-issue.ts'
import type { HostClient } from '../fleet/host-client.ts'
import { createIssuer, freshSeed } from '../fleet/issuer.ts'
import { readJson } from '../fleet/directory.ts'
import type { HostRole } from '../fleet/plan.ts'
import type { Secrets } from '../fleet/provision.ts'
import { pay, payRequest } from '../fleet/pay.ts'
import { semops as run, useTestFleet, type CommandEnd } from '../testing/test-fleet.ts'
import { startScript, type Attached, type Line } from './attached.ts'

const NETWORK = `network: credentials
currency: EUR
policies:
  cpp: { noticeLifetimeMs: 8000, settlement: { thresholdMinor: { EUR: '100' }, maxAgeMs: 1000, retryMs: 500 } }
banks:
  - { id: hu-kh }
realms:
  hu:
    cpps: [{ id: hu-otp, bank: hu-kh }]
    mpps: [{ id: hu-cosmo, bank: hu-kh }]
    merchants: [{ payee: bakery@hu, bank: hu-kh }]
    customers:
      - { id: hu-alice, bank: hu-kh, alias: hu-alice-pays }
      - { id: hu-bob, bank: hu-kh }
`
const net = useTestFleet(NETWORK)
const path = (name: string): string => join(net().dir, name)
const semops = (...words: readonly string[]): Promise<CommandEnd> => run(['--dir', net().dir, ...words])
const issue = async (role: HostRole, id: string, file: string, more: Partial<IssueOrder> = {}): Promise<string> => {
  const { directory, plan } = net().fleet
  const nothing = { operatorId: undefined, certifiedBy: [], certifierFiles: [], bank: undefined, balanceMinor: 0n }
  const order = { ...nothing, role, id, days: 1, out: path(file), again: false, ...more }
  return (await issueCredential(directory, plan, order, () => undefined)).file
}
const node = (creds: string): Attached => startScript('scripts/bin/semops.mjs', ['node', '--creds', creds, '--json'])
const foreign = (...words: readonly string[]): Attached =>
  startScript('scripts/integrations/foreign-processor.mjs', words)
const event = (name: string) => (line: Readonly<Record<string, unknown>>) => line['event'] === name
const wallet = (): Promise<HostClient> => net().fleet.host('hu-wallets-1')

/** Opens a payee's account at the bank under a key of its own, and mandates its MPP with it. */
const payeeAccount = async (account: string, host: string, mpp: string): Promise<string> => {
  const { directory } = net().fleet
  const { rootSeed } = (await readJson<Secrets>(directory.secretsFile)) as Secrets
  const issuer = createIssuer(rootSeed, await readAuthority(directory.authorityFile), Date.now())
  const holder = freshSeed()
  const bank = await net().fleet.host('hu-kh')
  const holderHost = { role: 'merchant', host }
  const holderKey = toHex(issuer.publicKeyOf(holder))
  await bank.command('open-account', { account, holderKey, currency: 'EUR', balanceMinor: '0', holderHost })
  return toHex(issuer.mandate(holder, account, mpp, 1_000_000n, 'EUR'))
}
const balanceOf = async (account: string): Promise<bigint> => {
  const bank = await net().fleet.host('hu-kh')
  const report = reportFromJson(await bank.builtin('report')) as BankReport
  return report.accounts.find((one) => one.account === account)?.balanceMinor ?? -1n
}

describe('one more MPP, with a merchant host under it', () => {
  test('joins a running network with a file each, and is paid and settled', async () => {
    const before = await net().fleet.supervisor('status')
    const acme = path('acme.creds')
    const words = ['--role', 'mpp', '--id', 'hu-acme', '--bank', 'hu-kh', '--out', acme, '--json']
    const issued = await semops('credential', 'issue', ...words)
    expect(JSON.parse(issued.out)).toMatchObject({ account: 'hu-kh:hu-acme', told: ['hu-otp'], serial: 1 })
    expect((await stat(acme)).mode & 0o777).toBe(0o600)
    const shop = await issue('merchant', 'hu-acme-shop', 'shop.creds', { certifierFiles: [acme] })
    await using mpp = node(acme)
    await using merchant = node(shop)
    await mpp.line(({ state }) => state === 'ready')
    const { socket } = await merchant.line(({ state }) => state === 'ready')
    const mandate = await payeeAccount('hu-kh:payee-hu-stall', 'hu-acme-shop', 'hu-acme')
    await using control = await connectControl(String(socket))
    const enrolled = await control.command('enrol-payee', {
      payee: 'stall@hu',
      payeeKind: 'shop',
      displayName: 'Stall',
      mpp: 'hu-acme',
      account: 'hu-kh:payee-hu-stall',
      currency: 'EUR',
      mandate,
    })
    expect(enrolled).toMatchObject({ ok: true, payee: 'hu-stall', mpp: 'hu-acme' })
    const order = { customer: 'hu-bob', payee: 'stall@hu', amountMinor: 120n, currency: 'EUR' } as const
    expect(await pay(await wallet(), order, 30_000)).toMatchObject({ outcome: 'confirmed', confirmation: 'DT' })
    // Its CPP was told where it is settled, while it ran.
    while ((await balanceOf('hu-kh:hu-acme')) !== 120n) await delay(50)

    merchant.signal('SIGINT')
    expect(await merchant.ended).toBe(0)
    mpp.signal('SIGINT')
    expect(await mpp.ended).toBe(0)
    expect(mpp.lines.at(-1)).toEqual({ state: 'stopped', host: 'hu-acme' })
    const after = await net().fleet.supervisor('status')
    expect(after.natsPid).toBe(before.natsPid)
    expect(after.hosts.map(({ pid }) => pid)).toEqual(before.hosts.map(({ pid }) => pid))
  })
})

describe('a processor that shares no code with the project', () => {
  test('registers, certifies a payee of its own, gets a notice for it and takes the payment', async () => {
    const creds = await issue('mpp', 'hu-foreign', 'foreign.creds', { bank: 'hu-kh' })
    await using process = foreign('--creds', creds, '--alias', 'hu-alice-pays', '--amount', '250')
    expect(await process.line(event('registered'))).toMatchObject({ host: 'hu-foreign', at: 'hu-dc-1' })
    const { requestId } = await process.line(event('request-receipted'))
    const customer = await wallet()
    type Requests = readonly { readonly requestId: string; readonly payee: string }[]
    const arrived = async () => (await customer.read<Requests>('requests')).find((one) => one.requestId === requestId)
    while ((await arrived()) === undefined) await delay(25)
    const order = { customer: 'hu-alice', payee: 'hu-foreign-fruit', amountMinor: 250n, currency: 'EUR' } as const
    const paid = await payRequest(customer, order, { requestId: String(requestId), accept: true }, 30_000)
    expect(paid).toMatchObject({ outcome: 'confirmed', confirmation: 'DT' })
    expect(await process.line(event('notice'))).toMatchObject({ mode: 'micro', from: 'hu-otp' })
    expect(await process.line(event('confirmed'))).toMatchObject({ amountMinor: '250' })
    expect(await process.ended).toBe(0)
  })

  test("with another role's file it is refused by the broker, with another's key by the data center", async () => {
    const mallory = await issue('customer', 'hu-mallory', 'mallory.creds', { certifiedBy: ['hu-otp'] })
    await using asWallet = foreign('--creds', mallory)
    expect(await asWallet.line(event('broker-refused'))).toMatchObject({
      operation: 'publish',
      subject: 'semops.v1.dc.hu-dc-1.processor-registration.hu-mallory',
    })
    expect(await asWallet.ended).not.toBe(0)

    const bank = await issue('bank', 'hu-piggy', 'piggy.creds')
    await using asMpp = foreign('--creds', path('foreign.creds'), '--key-of', bank)
    // 3002: WRONG_PATH.
    expect(await asMpp.line(event('refused'))).toMatchObject({ code: 3002, by: 'hu-dc-1' })
    expect(await asMpp.ended).not.toBe(0)
    expect(asMpp.lines).toHaveLength(1)
  })
})

describe('rotation', () => {
  /** Payments one after another until told to stop; what became of each. */
  const paying = (customer: string, payee: string) => {
    const outcomes: string[] = []
    let stop = false
    const order = { customer, payee, amountMinor: 10n, currency: 'EUR' } as const
    const all = (async () => {
      while (!stop) outcomes.push((await pay(await wallet(), order, 30_000)).outcome)
    })()
    return async (): Promise<readonly string[]> => {
      stop = true
      await all
      return outcomes
    }
  }

  test('of a CPP and of an MPP while payments flow loses none, and the old keys are revoked', async () => {
    const ended = [paying('hu-alice', 'bakery@hu'), paying('hu-bob', 'bakery@hu')]
    const keysOf = (id: string) => readHostCredentials(net().fleet.directory.credentials(id))
    const rotate = async (id: string, certified: string, ...words: readonly string[]): Promise<readonly Line[]> => {
      const before = await keysOf(id)
      const end = await semops('credential', 'rotate', id, '--json', ...words)
      expect(end, end.error).toMatchObject({ code: 0 })
      const lines = end.out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Line)
      const rotated = { id, serial: 2, reloaded: true, certified: expect.arrayContaining([certified]) as unknown }
      expect(lines[0]).toMatchObject({ rotated: [rotated] })
      const after = await keysOf(id)
      expect(after.localKey).toBe(before.localKey)
      expect(after.signingSeed).not.toBe(before.signingSeed)
      expect(after.login.seed).not.toBe(before.login.seed)
      return lines
    }
    await rotate('hu-cosmo', 'hu-shops-1')
    const [, revoked] = await rotate('hu-otp', 'hu-wallets-1', '--overlap', '1', '--revoke-old')
    expect(revoked).toMatchObject({ ids: ['hu-otp'], logins: 2, late: [] })
    const outcomes = (await Promise.all(ended.map((end) => end()))).flat()
    expect(outcomes.length).toBeGreaterThan(10)
    expect(new Set(outcomes)).toEqual(new Set(['confirmed']))
  })

  test('of every host', async () => {
    const end = await semops('credential', 'rotate', '--all', '--json')
    expect(end, end.error).toMatchObject({ code: 0 })
    const { rotated } = JSON.parse(end.out) as { rotated: readonly { id: string; reloaded: boolean }[] }
    expect(rotated.map(({ id }) => id).toSorted()).toEqual(
      net()
        .fleet.plan.hosts.map(({ id }) => id)
        .toSorted(),
    )
    expect(rotated.filter(({ reloaded }) => !reloaded)).toEqual([])
    const order = { customer: 'hu-bob', payee: 'bakery@hu', amountMinor: 1_200n, currency: 'EUR' } as const
    expect(await pay(await wallet(), order, 30_000)).toMatchObject({ outcome: 'confirmed', confirmation: 'T' })
  })
})

describe('a revoked processor', () => {
  test('loses its connection, cannot come back, and its payees are paid by nobody', async () => {
    const creds = path('foreign.creds')
    const { login } = await readHostCredentials(creds)
    const events: string[] = []
    let tell = (): void => undefined
    const heard = new Promise<void>((resolve) => (tell = resolve))
    await using bus = await natsBroker(login).openHost({
      onEvent: ({ type }) => {
        events.push(type)
        if (type === 'login-refused') tell()
      },
    })
    const end = await semops('credential', 'revoke', 'hu-foreign', '--json')
    expect(end.code).toBe(0)
    const { plan } = net().fleet
    expect(JSON.parse(end.out)).toMatchObject({
      ids: ['hu-foreign'],
      logins: 2,
      brokerTold: true,
      hosts: plan.hosts.length,
      late: [],
    })
    await heard
    expect(bus.connected).toBe(false)
    const order = { customer: 'hu-bob', payee: 'hu-foreign-fruit', amountMinor: 100n, currency: 'EUR' } as const
    expect(await pay(await wallet(), order, 30_000)).toMatchObject({ outcome: 'refused', code: 'NOT_FOUND' })
    const list = JSON.parse((await semops('credential', 'list', '--json')).out) as { credentials: { id: string }[] }
    expect(list.credentials.find(({ id }) => id === 'hu-foreign')).toMatchObject({ revoked: true, state: 'revoked' })
  })
})

describe('a revoked wallet host', () => {
  test('takes the key with it that mints guests, and every guest it minted; the others have another', async () => {
    const mallory = await readHostCredentials(path('mallory.creds'))
    let tell = (): void => undefined
    const heard = new Promise<void>((resolve) => (tell = resolve))
    await using guest = await natsBroker(mallory.login).openGuest(randomBytes(32), {
      onEvent: ({ type }) => {
        if (type === 'login-refused') tell()
      },
    })
    const signer = async () => {
      const { login } = await readHostCredentials(net().fleet.directory.credentials('hu-wallets-1'))
      return login.guestSigner?.seed
    }
    expect(await signer()).toBe(mallory.login.guestSigner?.seed)
    const end = await semops('credential', 'revoke', 'hu-mallory', '--json')
    expect(end).toMatchObject({ code: 0 })
    expect(JSON.parse(end.out)).toMatchObject({ ids: ['hu-mallory'], walletsWithoutFile: [], late: [] })
    await heard
    expect(guest.connected).toBe(false)
    expect(await signer()).not.toBe(mallory.login.guestSigner?.seed)
    const order = { customer: 'hu-bob', payee: 'bakery@hu', amountMinor: 100n, currency: 'EUR' } as const
    expect(await pay(await wallet(), order, 30_000)).toMatchObject({ outcome: 'confirmed' })
  })
})
