/** The commands as people and scripts run them, each in a process of its own, on the default network. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exitCode } from '../exit-codes.ts'
import { fleetDirectory, readJson } from '../fleet/directory.ts'
import type { Trace } from '../fleet/trace.ts'
import { semops as run, type CommandEnd } from '../testing/test-fleet.ts'

let dir: string
const semops = (...words: readonly string[]): Promise<CommandEnd> => run(['--dir', dir, ...words])
const json = ({ out }: CommandEnd): unknown => JSON.parse(out)

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'semops-commands-'))
})
afterAll(async () => {
  await semops('down')
  await rm(dir, { recursive: true, force: true })
})

type Paid = {
  readonly paymentId: string
  readonly outcome: string
  readonly confirmation?: string
  readonly amountMinor: string
  readonly currency: string
  readonly code?: string
  readonly ms: number
}
const pay = (customer: string, to: string, amount: string, ...more: readonly string[]) =>
  semops('pay', '--customer', customer, '--to', to, '--amount', amount, '--json', ...more)
type Status = {
  readonly nodes: readonly {
    readonly id: string
    readonly role: string
    readonly state: string
    readonly host: string
  }[]
  readonly hosts: readonly {
    readonly id: string
    readonly state: string
    readonly restarts: number
    readonly customers?: readonly string[]
    readonly merchants?: readonly string[]
  }[]
}

describe('without a network', () => {
  test.each([
    ['status'],
    ['pay', '--customer', 'hu-anna', '--to', 'bakery@hu', '--amount', '1.20'],
    ['verify'],
    ['down'],
    ['logs'],
  ])('%s says in one line what to do', async (...words) => {
    const end = await semops(...words)
    expect(end.code).toBe(exitCode('environment'))
    expect(end.out).toBe('')
    expect(end.error.trimEnd().split('\n').at(-1)).toMatch(/semops up/)
  })

  test('up refuses a wrong file with its line, and starts nothing', async () => {
    const file = join(dir, 'wrong.yaml')
    await writeFile(file, 'network: wrong\ncurrency: EUR\ncolour: red\nbanks: [{ id: hu-kh }]\nrealms: {}\n')
    const end = await semops('up', file)
    expect(end).toMatchObject({ code: exitCode('usage'), out: '' })
    expect(end.error).toBe(`semops: ${file}:3: colour: no such setting\n`)
  })
})

describe('a network that others could listen to', () => {
  const rest = 'banks: [{ id: hu-kh }]\nrealms: { hu: { cpps: [], mpps: [], merchants: [], customers: [] } }\n'
  test.each([
    ['{ host: 10.1.2.3, tls: false }', 'nats.tls: refusing to listen on 10.1.2.3 without TLS: leave tls out, or host'],
    ['{ host: 0.0.0.0 }', 'nats.host: 0.0.0.0 is nothing to connect to: give names:, by which nodes reach it'],
  ])('up refuses nats: %s, says why, and starts nothing', async (nats, message) => {
    const file = join(dir, 'open.yaml')
    await writeFile(file, `network: open\ncurrency: EUR\nnats: ${nats}\n${rest}`)
    const end = await semops('up', file)
    expect(end).toMatchObject({ code: exitCode('usage'), out: '' })
    expect(end.error).toBe(`semops: ${file}:3: ${message}\n`)
  })
})

describe('a network in the background', () => {
  test('up prints exactly one fact', async () => {
    const end = await semops('up', '--detach', '--json')
    expect(end.code).toBe(0)
    expect(end.out).toMatch(/^\{"state":"ready","nodes":60,"readyMs":\d+\}\n$/)
  })

  test('up a second time says that it runs', async () => {
    const end = await semops('up', '--detach')
    expect(end.code).toBe(exitCode('environment'))
    expect(end.error).toMatch(/runs already/)
  })

  test('status lists every node, and what each host carries', async () => {
    const { nodes, hosts } = json(await semops('status', '--json')) as Status
    expect(nodes).toHaveLength(60)
    expect(new Set(nodes.map(({ state }) => state))).toEqual(new Set(['ready']))
    expect(new Set(nodes.map(({ role }) => role))).toEqual(
      new Set(['dc', 'cpp', 'mpp', 'bank', 'merchant', 'customer']),
    )
    const wallets = hosts.find(({ id }) => id === 'hu-wallets-1')
    expect(wallets?.customers).toHaveLength(20)
    expect(hosts.find(({ id }) => id === 'hu-shops-1')?.merchants).toContain('bakery@hu')
    expect(nodes.find(({ id }) => id === 'bakery@hu')?.host).toBe('hu-shops-1')
    expect((await semops('status')).out).toMatch(/60 of 60 nodes ready, broker tls:\/\/127\.0\.0\.1:\d+ \(pid \d+\)$/m)
  })

  test('pay prints what became of the payment; its exit code is the outcome', async () => {
    // The payee that never answers takes its time: the others pay meanwhile.
    const silent = pay('ro-c2', 'hotel@ro', '2.00')
    const late = pay('ro-c3', 'hotel@ro', '2.00', '--timeout', '1')
    const micro = await pay('hu-anna', 'bakery@hu', '1.20')
    expect(micro.code).toBe(0)
    expect(json(micro)).toMatchObject({ outcome: 'confirmed', confirmation: 'DT', amountMinor: '120', currency: 'EUR' })
    const macro = await pay('hu-anna', 'cafe@ro', '12.00')
    expect(json(macro)).toMatchObject({ outcome: 'confirmed', confirmation: 'T', amountMinor: '1200' })
    const rejected = await pay('ro-c1', 'museum@ro', '2.00')
    expect(rejected.code).toBe(exitCode('rejected'))
    expect(json(rejected)).toMatchObject({ outcome: 'rejected', code: 'REJECTED_BY_PAYEE' })
    const unknown = await pay('hu-c1', 'nobody@hu', '2.00')
    expect(unknown.code).toBe(exitCode('refused'))
    expect((await late).code).toBe(exitCode('undecided'))
    expect(json(await late)).toMatchObject({ outcome: 'undecided' })
    expect((await silent).code).toBe(exitCode('expired'))
    expect(json(await silent)).toMatchObject({ outcome: 'expired', code: 'NOTICE_EXPIRED' })
  })

  test.each([
    ['0', 'zero or negative'],
    ['-1.20', 'zero or negative'],
    ['1.205', 'too many decimals'],
    ['1e3', 'not a decimal number'],
    ['1,20', 'not a decimal number'],
    ['1000000000.01', 'over the limit'],
  ])('pay --amount %s is a wrong argument', async (amount, problem) => {
    const end = await semops('pay', '--customer', 'hu-anna', '--to', 'bakery@hu', `--amount=${amount}`)
    expect(end).toMatchObject({ code: exitCode('usage'), out: '' })
    expect(end.error).toContain(problem)
  })

  test('a wrong PIN is refused, the right one from a file pays', async () => {
    const pins = await readJson<Record<string, string>>(fleetDirectory(dir).pinsFile)
    const right = pins?.['hu-c5'] ?? ''
    const wrong = right === '0000' ? '1111' : '0000'
    const words = ['--dir', dir, 'pay', '--customer', 'hu-c5', '--to', 'bakery@hu', '--amount', '0.35', '--json']
    const refused = await run(words, { SEMOPS_PIN: wrong })
    expect(refused.code).toBe(exitCode('refused'))
    expect(json(refused)).toMatchObject({ outcome: 'refused', code: 'WRONG_PIN' })
    const file = join(dir, 'pin')
    await writeFile(file, `${right}\n`)
    expect((await run([...words, '--pin-file', file])).code).toBe(0)
    for (const { out, error } of [refused]) expect(out + error).not.toContain(wrong)
  })

  test('a PIN is changed and a lost device replaced, while the fleet runs', async () => {
    const change = ['--dir', dir, 'customer', 'change-pin', 'hu-c7', '--json']
    const changed = await run(change, { SEMOPS_NEW_PIN: '97531864' })
    expect(json(changed)).toMatchObject({ customer: 'hu-c7', changed: true })
    expect(changed.out + changed.error).not.toContain('97531864')
    expect((await readJson<Record<string, string>>(fleetDirectory(dir).pinsFile))?.['hu-c7']).toBe('97531864')
    expect(json(await semops('customer', 'replace-device', 'hu-c7', '--json'))).toMatchObject({ replaced: true })
    const pin = join(dir, 'pin-of-c7')
    await writeFile(pin, '97531864')
    expect((await pay('hu-c7', 'bakery@hu', '0.35', '--pin-file', pin)).code).toBe(0)
    expect((await semops('customer', 'unlock', 'hu-nobody')).code).toBe(exitCode('usage'))
    expect(json(await semops('customer', 'unlock', 'hu-c7', '--json'))).toMatchObject({
      unlocked: [{ wasLocked: false }],
    })
  })

  test('trace shows every hop, data centers included', async () => {
    const { paymentId } = json(await pay('ro-c4', 'bakery@hu', '0.80')) as Paid
    const trace = json(await semops('trace', paymentId, '--json')) as Trace
    expect(trace.state).toBe('confirmed')
    // A notice that was sent again passes again.
    const path = new Set(trace.hops.filter(({ kind }) => kind === 'payment-notice').map(({ node }) => node))
    expect([...path]).toEqual(['ro-dc-1', 'hu-dc-1', 'hu-cosmo', 'hu-shops-1'])
    const nodes = new Set(trace.hops.map(({ node }) => node))
    for (const node of ['ro-wallets-1', 'ro-libra', 'hu-shops-1']) expect(nodes).toContain(node)
    const times = trace.hops.map(({ atMs }) => atMs)
    expect(times).toEqual(times.toSorted((a, b) => a - b))
    const byNotice = json(await semops('trace', String(trace.pnId), '--json')) as Trace
    expect(byNotice).toMatchObject({ paymentId, pnId: trace.pnId, txId: trace.txId })
    expect(byNotice.hops.length).toBeGreaterThanOrEqual(trace.hops.length)
    expect((await semops('trace', 'f'.repeat(32))).code).toBe(exitCode('usage'))
  })

  test('a payment is given back in part, by its own id or as the payee knows it, and the trace shows it', async () => {
    const { paymentId } = json(await pay('hu-c8', 'kiosk@hu', '0.80')) as Paid
    const refund = (...words: readonly string[]) => semops('refund', '--json', ...words)
    const first = await refund('--payment', paymentId, '--amount', '0.30')
    expect(first.code).toBe(0)
    expect(json(first)).toMatchObject({ outcome: 'confirmed', payee: 'kiosk@hu', amountMinor: '30', currency: 'EUR' })
    const { txId } = json(first) as { readonly txId: string }
    const second = await refund('--payee', 'kiosk@hu', '--tx', txId, '--amount', '0.50')
    expect(json(second)).toMatchObject({ outcome: 'confirmed', amountMinor: '50' })
    const third = await refund('--payment', paymentId, '--amount', '0.01')
    expect([third.code, third.out]).toEqual([exitCode('refused'), ''])
    expect(third.error).toContain('REFUND_EXCEEDED')
    const wrong = await run(['--dir', dir, 'refund', '--payment', paymentId, '--amount', '0.01'], {
      SEMOPS_PIN: '0000',
    })
    expect(wrong.code).toBe(exitCode('refused'))
    expect(wrong.error).toMatch(/WRONG_PIN|REFUND_EXCEEDED/)
    expect((await refund('--amount', '0.01')).code).toBe(exitCode('usage'))
    const { hops } = json(await semops('trace', paymentId, '--json')) as Trace
    for (const kind of ['refund-request', 'countersigned-refund', 'refund-confirmation', 'customer-refund-notice'])
      expect(hops.map((hop) => hop.kind)).toContain(kind)
  })

  test('kill and restart change one host', async () => {
    expect(json(await semops('kill', 'bakery@hu', '--json'))).toMatchObject({ id: 'hu-shops-1', state: 'stopped' })
    const { nodes } = json(await semops('status', '--json')) as Status
    expect(nodes.find(({ id }) => id === 'kiosk@hu')?.state).toBe('stopped')
    expect(json(await semops('restart', 'hu-shops-1', '--json'))).toMatchObject({ state: 'ready' })
    expect((await pay('hu-c6', 'bakery@hu', '1.20')).code).toBe(0)
    const { hosts } = json(await semops('status', '--json')) as Status
    expect(hosts.find(({ id }) => id === 'hu-shops-1')?.restarts).toBe(1)
  })

  test('logs are lines of all hosts, in the order of time', async () => {
    const lines = (await semops('logs', '--json', '-n', '200', 'hu-otp', 'hu-cosmo')).out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { timeMs: number; host: string })
    expect(new Set(lines.map(({ host }) => host))).toEqual(new Set(['hu-otp', 'hu-cosmo']))
    const times = lines.map(({ timeMs }) => timeMs)
    expect(times).toEqual(times.toSorted((a, b) => a - b))
  })

  type Verified = {
    readonly ok: boolean
    readonly quiet: boolean
    readonly checks: readonly { name: string; ok: boolean; left: string; right: string }[]
  }
  const broken = ({ checks }: Verified) => checks.filter(({ ok }) => !ok)

  test('statements of every kind add up, for people, spreadsheets and programs', async () => {
    type Statement = { openingMinor: string; lines: { amountMinor: string }[]; closingMinor: string }
    for (const of of [
      ['customer', 'hu-anna'],
      ['merchant', 'bakery@hu'],
      ['pair', 'hu-otp', 'hu-cosmo'],
      ['pair', 'hu-otp', 'hu-cosmo', '--as', 'mpp'],
      ['account', 'hu-kh:hu-otp'],
    ]) {
      const end = await semops('statement', ...of, '--json')
      expect([of, end.code, end.error]).toEqual([of, 0, ''])
      const [{ openingMinor, lines, closingMinor }] = (json(end) as { statements: [Statement] }).statements
      expect(lines.length).toBeGreaterThan(0)
      const sum = lines.reduce((minor, { amountMinor }) => minor + BigInt(amountMinor), BigInt(openingMinor))
      expect(sum).toBe(BigInt(closingMinor))
    }
    const account = ['statement', 'account', 'hu-kh:payee-hu-bakery']
    expect((await semops(...account, '--format', 'csv')).out).toMatch(
      /^account,currency,time,what,with,id,amount,balance\n/,
    )
    expect((await semops(...account)).out).toMatch(/\n *closing +\d+\.\d\d\n$/)
    expect((await semops('statement', 'account', 'hu-kh:nobody')).code).toBe(exitCode('usage'))
    expect((await semops(...account, '--from', '2026-02-02', '--to', '2026-02-02')).code).toBe(exitCode('usage'))
  })

  test('evidence of a payment is gathered by each party, and audited elsewhere by the root key alone', async () => {
    const { paymentId } = json(await pay('hu-anna', 'bakery@hu', '0.40')) as Paid
    const file = join(dir, 'charge.evidence')
    for (const party of ['customer', 'merchant', 'cpp', 'mpp']) {
      const gathered = await semops('evidence', paymentId, '--as', party, '--out', file, '--json')
      expect([party, gathered.code, gathered.error]).toEqual([party, 0, ''])
      const { rootKey } = json(gathered) as { readonly rootKey: string }
      const audit = await run(['audit', file, '--root', rootKey, '--json'])
      expect([party, audit.code, json(audit)]).toMatchObject([party, 0, { ok: true, missing: [], problems: [] }])
      const bytes = await readFile(file)
      bytes[bytes.length - 40] = (bytes[bytes.length - 40] as number) ^ 1
      await writeFile(file, bytes)
      const spoilt = await run(['audit', file, '--root', rootKey])
      expect([party, spoilt.code]).toEqual([party, exitCode('checkFailed')])
      expect(spoilt.out).toMatch(/^not proved: /)
    }
    expect((await semops('evidence', '0'.repeat(32), '--as', 'cpp', '--out', file)).code).toBe(exitCode('usage'))
    expect((await run(['audit', file, '--root', 'nothing'])).code).toBe(exitCode('usage'))
  })

  test('verify holds at rest, on the stopped network too, and up goes on where down ended', async () => {
    const running = await semops('verify', '--quiesce', '--json')
    expect(broken(json(running) as Verified)).toEqual([])
    expect(json(running) as Verified).toMatchObject({ ok: true, quiet: true })
    expect(running.code).toBe(0)
    const statement = ['statement', 'merchant', 'bakery@hu', '--json']
    const paid = json(await semops(...statement))

    expect(json(await semops('down', '--json'))).toMatchObject({ state: 'stopped', hosts: 14 })
    const stopped = json(await semops('verify', '--json')) as Verified
    expect(broken(stopped)).toEqual([])
    expect(json(await semops(...statement))).toEqual(paid)
    const names = ({ checks }: Verified) => checks.map(({ name }) => name).toSorted()
    expect(names(stopped)).toEqual(names(json(running) as Verified))

    expect((await semops('up', '--detach', '--json')).code).toBe(0)
    expect((await pay('hu-anna', 'bakery@hu', '1.20')).code).toBe(0)
    expect(json(await semops('verify', '--quiesce', '--json')) as Verified).toMatchObject({ ok: true, quiet: true })
    expect((await semops('down')).code).toBe(0)
  })
})
