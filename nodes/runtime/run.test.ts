import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loginPublicKey, writeSecretJson } from '../../bus/logins.ts'
import { revokeLogins } from '../../bus/revocation.ts'
import { startTestBroker, type TestBroker } from '../../bus/test-broker.ts'
import { toHex } from '../../protocol/bytes.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { networkIdOf, signingKeyFromSeed } from '../../protocol/keys.ts'
import { issueProcessor, type ProcessorRole } from '../../protocol/statements.ts'
import { bareDefinition } from './bare-definition.ts'
import { readHostConfig, readHostCredentials } from './bundle.ts'
import { ControlError, connectControl } from './control-client.ts'
import type { NodeServices } from './host-types.ts'
import { LedgerLocked } from './ledger-lock.ts'
import { silentLog } from './log.ts'
import { decision, put, type AnyNodeDefinition } from './node.ts'
import { startHost, type RunningHost } from './run.ts'
import { defineTable, keyOf } from './table.ts'
import { testBytes, testId } from './testing.ts'

type NoteRow = { readonly text: string }
const notes = defineTable<NoteRow>({ name: 'notes', version: 1, fields: ['text'] })

const bank = () =>
  bareDefinition('bank', {
    messages: {
      'hold-order': (_read, event) =>
        decision({
          writes: [put(notes, keyOf(event.message.body.holdId), { text: 'held' })],
          sends: [
            {
              kind: 'hold-answer',
              to: event.message.sender.host,
              body: { holdId: event.message.body.holdId, result: 'held' },
              delivery: { answers: event.ref },
            },
          ],
          record: {
            event: 'held',
            ids: [event.message.body.holdId],
            fields: { amountMinor: event.message.body.amountMinor },
          },
        }),
    },
    reads: { report: () => ({ role: 'bank', id: 'hu-kh', sum: 12n, bytes: new Uint8Array([1, 255]) }) },
  })
const cpp = () =>
  bareDefinition('cpp', {
    messages: {
      'hold-answer': (_read, { message }) =>
        decision({
          writes: [put(notes, keyOf(message.body.holdId), { text: message.body.result })],
          forget: [['hold', message.body.holdId]],
          announce: [
            { topic: `hold ${toHex(message.body.holdId)}`, value: { result: message.body.result, amountMinor: 100n } },
          ],
        }),
    },
    controls: {
      hold: (_read, { args }, { nowMs }) => {
        const holdId = testId(args['id'] as string)
        const body = {
          holdId,
          account: 'hu-kh:alice',
          amountMinor: 100n,
          currency: 'EUR',
          holdExpiresAtMs: nowMs + 600_000,
        } as const
        return decision({
          sends: [
            {
              kind: 'hold-order',
              to: 'hu-kh',
              body,
              delivery: { until: ['hold', holdId] },
              expiresAtMs: nowMs + 600_000,
            },
          ],
          replyOn: `hold ${toHex(holdId)}`,
        })
      },
    },
    admissions: ['hold'],
  })
/** Answers credential queries from what the test issued. */
const dataCenter = (chains: ReadonlyMap<string, readonly Uint8Array[]>) => () =>
  bareDefinition('dc', {
    messages: {
      'credential-query': (_read, { message }) => {
        const chain = chains.get(message.body.id)
        if (chain === undefined) return decision({ refuse: { code: 'NOT_FOUND', detail: message.body.id } })
        return decision({
          sends: [
            {
              kind: 'credential-record',
              to: message.sender.host,
              body: { chain: [...chain] },
              delivery: { once: true },
            },
          ],
        })
      },
    },
  })

describe('hosts over a real broker', { timeout: 60_000 }, () => {
  const engine = loadEngine()
  const root = signingKeyFromSeed(engine, testBytes('root'))
  const chains = new Map<string, readonly Uint8Array[]>()
  const notBeforeMs = Date.now() - 1_000
  let broker: TestBroker
  let home: string
  let running: RunningHost[] = []

  beforeEach(async () => {
    broker = await startTestBroker()
    home = mkdtempSync(join(tmpdir(), 'semops-run-'))
  })
  afterEach(async () => {
    await Promise.all(running.map((one) => one.stop().catch(() => undefined)))
    running = []
    await broker[Symbol.asyncDispose]()
    rmSync(home, { recursive: true, force: true })
  })

  const files = async (
    id: string,
    role: ProcessorRole,
    /** Of its keys: a higher one replaces them. */
    generation = 1,
    changes: object = {},
  ): Promise<{ readonly creds: string; readonly config: string }> => {
    const nowMs = Date.now()
    const seed = (what: string) => testBytes(generation === 1 ? `${id} ${what}` : `${id} ${what} ${generation}`)
    const signing = signingKeyFromSeed(engine, seed('signing'))
    const sealingKey = engine.sealing.publicKeyOf(seed('sealing'))
    const credential =
      (generation === 1 ? chains.get(id)?.[0] : undefined) ??
      issueProcessor(
        engine,
        {
          networkId: networkIdOf(root.publicKey),
          id,
          role,
          realm: 'hu',
          operatorId: id,
          algorithm: 'ed25519',
          signingKey: signing.publicKey,
          sealingKey,
          notBeforeMs,
          notAfterMs: nowMs + 86_400_000,
          serial: generation,
          ...(role === 'dc' ? { address: 'hu-dc' } : {}),
        },
        root,
      )
    chains.set(id, [credential])
    const creds = join(home, `${id}.creds`)
    const config = join(home, `${id}.json`)
    await writeSecretJson(creds, {
      version: 1,
      networkName: 'test',
      rootKey: toHex(root.publicKey),
      host: id,
      role,
      realm: 'hu',
      operatorId: id,
      login: await broker.login(role, id),
      signingSeed: toHex(seed('signing')),
      sealingSeed: toHex(seed('sealing')),
      localKey: toHex(testBytes(`${id} local`)),
      chains: [[toHex(credential)]],
      // A data center learns its processors by their registrations; these have none, so it knows them from the start.
      trusted: (role === 'dc' ? [...chains.keys()] : ['hu-dc-1']).map((other) => (chains.get(other) ?? []).map(toHex)),
      dataCenters: ['hu-dc-1'],
      realmAddress: 'hu-dc',
      peerRealms: [],
      ...changes,
    })
    writeFileSync(
      config,
      JSON.stringify({
        version: 1,
        ledgerDir: join(home, 'ledgers', id),
        runDir: join(home, 'run'),
        durability: 'flushed',
        logLevel: 'silent',
        policy: {},
      }),
    )
    return { creds, config }
  }
  const start = async (
    id: string,
    role: ProcessorRole,
    define: (services: NodeServices) => AnyNodeDefinition,
  ): Promise<RunningHost> => {
    const { creds, config } = await files(id, role)
    const reread = () => readHostCredentials(creds)
    const started = await startHost(await reread(), await readHostConfig(config), define, silentLog, reread)
    running.push(started)
    return started
  }
  const threeHosts = async () => {
    for (const [id, role] of [
      ['hu-dc-1', 'dc'],
      ['hu-kh', 'bank'],
      ['hu-otp', 'cpp'],
    ] as const)
      await files(id, role)
    return {
      dc: await start('hu-dc-1', 'dc', dataCenter(chains)),
      bank: await start('hu-kh', 'bank', bank),
      cpp: await start('hu-otp', 'cpp', cpp),
    }
  }

  it('learn each other’s keys and settle orders, told over the control socket', async () => {
    const hosts = await threeHosts()
    await using client = await connectControl(hosts.cpp.socket)
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => client.command('hold', { id: `order ${n}` })),
    )
    expect(answers).toEqual(Array.from({ length: 20 }, () => ({ result: 'held', amountMinor: '100' })))

    await using atBank = await connectControl(hosts.bank.socket)
    expect(await atBank.builtin('report')).toEqual({ role: 'bank', id: 'hu-kh', sum: '12', bytes: '01ff' })
    const { hops } = await atBank.builtin<{ hops: { event: string; from: string; sends: { kind: string }[] }[] }>(
      'trace',
      { ids: [toHex(testId('order 3'))] },
    )
    expect(hops).toMatchObject([
      {
        node: 'hu-kh',
        trigger: 'message',
        name: 'hold-order',
        event: 'held',
        from: 'hu-otp',
        sends: [{ kind: 'hold-answer', to: 'hu-otp' }],
      },
    ])
    expect(await client.builtin('status')).toMatchObject({
      id: 'hu-otp',
      state: 'ready',
      ready: true,
      inFlight: 0,
      connected: true,
    })
    expect(await client.builtin<object>('metrics')).toMatchObject({ commands: 20 })
    await expect(client.command('no-such')).rejects.toThrow(ControlError)
    await expect(client.builtin('trace', { ids: 3 })).rejects.toThrow('BAD_ARGUMENTS')
    expect(statSync(hosts.cpp.socket).mode & 0o777).toBe(0o600)
    expect(statSync(join(home, 'ledgers', 'hu-otp')).mode & 0o777).toBe(0o700)

    await client.builtin('pause')
    await expect(client.command('hold', { id: 'paused' })).rejects.toThrow('PAUSED')
    await client.builtin('resume')
    expect(await client.command('hold', { id: 'resumed' })).toMatchObject({ result: 'held' })
    expect(await client.builtin('drain', { timeoutMs: 5_000 })).toMatchObject({ inFlight: 0 })
  })

  it('go on after the broker was restarted, after a message was swallowed, and after a restart of their own', async () => {
    const hosts = await threeHosts()
    const client = await connectControl(hosts.cpp.socket)
    expect(await client.command('hold', { id: 'before' })).toMatchObject({ result: 'held' })
    await broker.start()
    expect(await client.command('hold', { id: 'after' })).toMatchObject({ result: 'held' })
    await client.builtin('fault', { 'drop-next': { kind: 'hold-order', count: 1 } })
    expect(await client.command('hold', { id: 'swallowed' })).toMatchObject({ result: 'held' })
    client.close()

    // The bank is away while the order is given; the order is kept over a restart of the CPP too.
    await hosts.bank.stop()
    const second = await connectControl(hosts.cpp.socket)
    const unanswered = second.command('hold', { id: 'kept' })
    const inOutbox = async (): Promise<number> =>
      (await second.builtin<{ depths: { outbox: number } }>('status')).depths.outbox
    while ((await inOutbox()) === 0);
    await expect(Promise.all([unanswered, hosts.cpp.stop()])).rejects.toThrow('DISCONNECTED')
    const again = await start('hu-otp', 'cpp', cpp)
    await start('hu-kh', 'bank', bank)
    await using third = await connectControl(again.socket)
    expect(await third.builtin('drain', { timeoutMs: 20_000 })).toMatchObject({ inFlight: 0 })
    expect(again.host.read.get(notes, testId('kept'))?.text).toBe('held')
    expect(again.host.read.get(notes, testId('before'))?.text).toBe('held')
  })

  it('take new keys and a new login from their file while orders are under way, and lose none', async () => {
    const hosts = await threeHosts()
    await using client = await connectControl(hosts.cpp.socket)
    const before = await client.builtin<{ signingKeyId: string; serial: number }>('status')
    expect(before.serial).toBe(1)
    const { creds } = await files('hu-otp', 'cpp', 1)
    const old = await readHostCredentials(creds)

    const orders = (name: string) =>
      Array.from({ length: 15 }, (_, n) => client.command('hold', { id: `${name} ${n}` }))
    const first = orders('before')
    await files('hu-otp', 'cpp', 2, {
      previous: [
        {
          signingKeyId: before.signingKeyId,
          sealingSeed: old.sealingSeed,
          chains: old.chains,
          untilMs: Date.now() + 60_000,
        },
      ],
    })
    const reloading = client.builtin<{ signingKeyId: string; serial: number; changed: string[] }>('reload')
    const second = orders('during')
    const reloaded = await reloading
    expect(reloaded).toMatchObject({ serial: 2, changed: ['identity', 'login', 'service'], atNextStart: [] })
    const now = await client.builtin<{ signingKeyId: string; serial: number; notAfterMs: number }>('status')
    expect(now).toMatchObject({ signingKeyId: reloaded.signingKeyId, serial: 2, connected: true })
    expect(now.signingKeyId).not.toBe(before.signingKeyId)
    // The login that was left is void, and nobody misses it.
    await revokeLogins(broker.state, [loginPublicKey(old.login)], { servers: broker.servers })
    const answers = await Promise.all([...first, ...second, ...orders('after')])
    expect(answers.map((answer) => (answer as { result: string }).result)).toEqual(
      Array.from({ length: 45 }, () => 'held'),
    )
    expect(await client.builtin('reload')).toMatchObject({ serial: 2, changed: [] })

    // What does not fit this host changes nothing, whatever does not fit.
    const refused = async (changes: object) => {
      await files('hu-otp', 'cpp', 3, changes)
      await expect(client.builtin('reload')).rejects.toThrow('BAD_CREDENTIALS')
    }
    await refused({ role: 'mpp' })
    await refused({ rootKey: toHex(signingKeyFromSeed(engine, testBytes('other root')).publicKey) })
    await refused({ chains: old.chains })
    await refused({ login: await broker.login('cpp', 'hu-other') })
    await refused({ login: old.login })
    await files('hu-otp', 'cpp', 3)
    await chmod(creds, 0o644)
    await expect(client.builtin('reload')).rejects.toThrow('BAD_CREDENTIALS')
    expect(await client.builtin('status')).toMatchObject({ signingKeyId: now.signingKeyId, serial: 2, connected: true })
    expect(await client.command('hold', { id: 'at last' })).toMatchObject({ result: 'held' })
  })

  it('refuse a ledger that has an owner, and credentials that others can read', async () => {
    await start('hu-dc-1', 'dc', dataCenter(chains))
    await expect(start('hu-dc-1', 'dc', dataCenter(chains))).rejects.toThrow(LedgerLocked)
    const { creds } = await files('hu-dc-1', 'dc')
    await chmod(creds, 0o644)
    await expect(readHostCredentials(creds)).rejects.toThrow('chmod 600')
    const other = join(home, 'bad.json')
    writeFileSync(
      other,
      JSON.stringify({
        version: 1,
        ledgerDir: 'x',
        runDir: 'y',
        durability: 'sometimes',
        logLevel: 'info',
        policy: {},
      }),
    )
    await expect(readHostConfig(other)).rejects.toThrow('/durability')
  })
})
