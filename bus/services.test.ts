import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Role } from '../protocol/ids.ts'
import { issueLogin } from './authority.ts'
import type { BusEvent } from './bus.ts'
import { openRequestReply } from './nats-bus.ts'
import type { RequestReply } from './request-reply.ts'
import { answerDiscovery, discover, serveDiscovery } from './services.ts'
import { startTestBroker, type TestBroker } from './test-broker.ts'

const STARTED = Date.UTC(2024, 0, 2, 3, 4, 5)

describe('service discovery', () => {
  let broker: TestBroker
  let tool: RequestReply
  const services: RequestReply[] = []

  const serve = async (role: Role, host: string): Promise<void> => {
    const service = {
      role,
      version: '1.2.3',
      description: `the ${role} ${host}`,
      metadata: () => ({ realm: 'hu', state: 'ready' }),
      stats: () => ({ payments: 7 }),
      startedAtMs: STARTED,
    }
    services.push(await serveDiscovery(await broker.login(role, host), service))
  }

  beforeAll(async () => {
    broker = await startTestBroker()
    await serve('cpp', 'hu-otp')
    await serve('cpp', 'hu-raiffeisen')
    await serve('mpp', 'hu-cosmo')
    const login = await issueLogin(broker.state, { role: 'observer', host: 'hu-ops' })
    tool = await openRequestReply({ login, servers: broker.servers })
  }, 60_000)
  afterAll(async () => {
    await Promise.all([tool, ...services].map((connection) => connection.close()))
    await broker[Symbol.asyncDispose]()
  }, 60_000)

  // Never waited out: each test says whom it expects.
  const timeoutMs = 20_000

  test('everybody answers a ping, in the shape of a micro service', async () => {
    const expected = ['hu-otp', 'hu-raiffeisen', 'hu-cosmo']
    const answers = await discover(tool, 'ping', { timeoutMs, expected })
    expect(answers.map(({ id }) => id)).toEqual(['hu-otp', 'hu-raiffeisen', 'hu-cosmo'])
    expect(answers[0]).toEqual({
      type: 'io.nats.micro.v1.ping_response',
      name: 'semops-cpp',
      id: 'hu-otp',
      version: '1.2.3',
      metadata: { realm: 'hu', state: 'ready' },
    })
  })

  test('by name, and by name and id', async () => {
    const cpps = await discover(tool, 'info', { timeoutMs, name: 'semops-cpp', expected: 2 })
    expect(cpps.map(({ id }) => id)).toEqual(['hu-otp', 'hu-raiffeisen'])
    const one = await discover(tool, 'info', { timeoutMs, name: 'semops-mpp', id: 'hu-cosmo', expected: 1 })
    expect(one).toEqual([
      {
        type: 'io.nats.micro.v1.info_response',
        name: 'semops-mpp',
        id: 'hu-cosmo',
        version: '1.2.3',
        metadata: { realm: 'hu', state: 'ready' },
        description: 'the mpp hu-cosmo',
        endpoints: [{ name: 'stats', subject: '$SRV.STATS.semops-mpp.hu-cosmo', queue_group: '', metadata: {} }],
      },
    ])
  })

  test("stats carry the host's own figures", async () => {
    const options = { timeoutMs, name: 'semops-cpp', id: 'hu-otp', expected: 1 }
    await discover(tool, 'stats', options)
    const [stats] = await discover(tool, 'stats', options)
    expect(stats).toMatchObject({
      type: 'io.nats.micro.v1.stats_response',
      name: 'semops-cpp',
      id: 'hu-otp',
      started: '2024-01-02T03:04:05.000Z',
      endpoints: [{ name: 'stats', num_requests: 2, num_errors: 0, last_error: '', data: { payments: 7 } }],
    })
    expect(stats!.endpoints[0]!.processing_time).toBeGreaterThan(0)
  })

  test('nobody there is known at once, without waiting', async () => {
    expect(await discover(tool, 'ping', { timeoutMs: 2 ** 30, name: 'semops-nobody' })).toEqual([])
  })

  test('who does not answer in time is left out', async () => {
    const answers = await discover(tool, 'ping', { timeoutMs: 300, expected: ['hu-otp', 'hu-gone'] })
    expect(answers.map(({ id }) => id)).not.toContain('hu-gone')
  })

  test('what is no answer is left out, and two answers of one instance are one', async () => {
    const good = JSON.stringify({ type: 'io.nats.micro.v1.ping_response', name: 'a', id: 'b', version: '1.0.0' })
    const odd = ['', '{', 'null', '[]', '7', '{"type":"io.nats.micro.v1.ping_response"}']
    const other = good.replace('ping_response', 'info_response')
    const answers = [...odd, other, good, good].map((one) => new TextEncoder().encode(one))
    const asked: string[] = []
    const fake: Pick<RequestReply, 'collect'> = {
      collect(subject) {
        asked.push(subject)
        return Promise.resolve(answers)
      },
    }
    expect(await discover(fake, 'ping', { timeoutMs })).toEqual([JSON.parse(good)])
    expect(asked).toEqual(['$SRV.PING'])
  })

  test('a version that is not semantic is refused', async () => {
    const service = {
      role: 'cpp',
      version: 'one',
      description: '',
      metadata: () => ({}),
      stats: () => 0,
      startedAtMs: 0,
    }
    await expect(answerDiscovery(services[0]!, service as never)).rejects.toThrow(TypeError)
  })

  const withService = async (role: Role, host: string) => {
    const events: BusEvent[] = []
    const login = await issueLogin(broker.state, { role: 'service', host, serves: role })
    const connection = await openRequestReply({
      login,
      servers: broker.servers,
      onEvent: (event) => events.push(event),
    })
    return { connection, events }
  }

  test.each([
    '$SRV.>',
    '$SRV.*.*',
    '$SRV.PING.semops-cpp',
    '$SRV.PING.semops-mpp.hu-other',
    'semops.v1.mpp.hu-one.>',
    '_INBOX.>',
  ])('a service login may not listen to %s', async (subject) => {
    const { connection } = await withService('mpp', 'hu-one')
    await expect(connection.answer(subject, () => undefined)).rejects.toMatchObject({ code: 'permission' })
    await connection.close()
  })

  test('a service login publishes nothing but answers to tools', async () => {
    const { connection } = await withService('mpp', 'hu-two')
    for (const subject of [
      'semops.v1.cpp.hu-otp.countersigned-decision.hu-two',
      '$SRV.PING',
      '$SRV.PING.semops-mpp.hu-one',
    ])
      await expect(
        connection.collect(subject, new Uint8Array(1), { timeoutMs, enough: () => true }),
      ).rejects.toMatchObject({ code: 'permission' })
    await connection.close()
  })

  test("a host does not ask: discovery is the observer's", async () => {
    const login = await issueLogin(broker.state, { role: 'cpp', host: 'hu-curious' })
    await using cpp = await openRequestReply({ login, servers: broker.servers })
    await expect(discover(cpp, 'ping', { timeoutMs })).rejects.toMatchObject({ code: 'permission' })
  })
})
