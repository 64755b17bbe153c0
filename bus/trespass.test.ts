/**
 * What a login may not do on a real server, tried by a client that keeps no rule itself: speak as another, listen to another, use
 * the server's own subjects, enter with what is not its own, or have somebody else publish for it.
 */
import { encodeUser, fromSeed } from '@nats-io/jwt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ROLES, type Role } from '../protocol/ids.ts'
import { ALL_LEGS } from '../protocol/kinds.ts'
import { inboxSubject } from '../protocol/subjects.ts'
import { createAuthority, issueLogin } from './authority.ts'
import { accountUserJwt, publicKeyOf, scopedUserJwt } from './jwt.ts'
import { loginName, mintGuest, type HostLogin, type Login } from './logins.ts'
import { openRequestReply } from './nats-bus.ts'
import { newSeed } from './nkeys.ts'
import { hostSubscriptions, LOGIN_ROLES, type LoginRole } from './permissions.ts'
import { answerDiscovery } from './services.ts'
import { startTestBroker, type TestBroker } from './test-broker.ts'
import { asLogin, openRaw, signNonce, type Credentials, type RawClient } from './testing/raw-client.ts'

const HOST_ROLES = ROLES.filter((role) => role !== 'guest')
const hostOf = (role: Role): string => (role === 'dc' ? 'hu-dc-1' : `hu-${role}`)

let broker: TestBroker
/** One login of every role, and a second one of each to be its victim. */
const own = new Map<LoginRole, Login>()
const victims = new Map<LoginRole, Login>()
/** Clients of `own`. */
const clients = new Map<LoginRole, RawClient>()
let foreignDataCenter: RawClient

const enter = (login: Login): Promise<RawClient> => openRaw(broker.servers[0] as string, asLogin(login))
const client = (role: LoginRole): RawClient => clients.get(role) as RawClient
const nameOf = (logins: ReadonlyMap<LoginRole, Login>, role: LoginRole): string => loginName(logins.get(role) as Login)

beforeAll(async () => {
  broker = await startTestBroker()
  for (const [logins, suffix] of [
    [own, ''],
    [victims, '-v'],
  ] as const) {
    let wallet: HostLogin | undefined
    for (const role of HOST_ROLES) {
      const login = await broker.login(role, `${hostOf(role)}${suffix}`)
      logins.set(role, login)
      if (role === 'customer') wallet = login
    }
    logins.set('guest', await mintGuest(wallet!.guestSigner!, new Uint8Array(32).fill(suffix.length + 1)))
    logins.set('service', await issueLogin(broker.state, { role: 'service', host: `hu-cpp${suffix}`, serves: 'cpp' }))
  }
  for (const role of LOGIN_ROLES) clients.set(role, await enter(own.get(role) as Login))
  foreignDataCenter = await enter(await issueLogin(broker.state, { role: 'dc', host: 'de-dc-1' }))
}, 60_000)

afterAll(async () => {
  for (const one of [...clients.values(), foreignDataCenter]) await one[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
}, 60_000)

const refusedPublish = (subject: string): string => `Permissions Violation for Publish to "${subject}"`
const refusedSubscribe = (pattern: string, queue?: string): string =>
  `Permissions Violation for Subscription to "${pattern}"${queue === undefined ? '' : ` using queue "${queue}"`}`

/** What belongs to the server, to JetStream and to discovery. */
const SERVER_SUBJECTS = [
  '$SYS.REQ.SERVER.PING',
  '$SYS.REQ.CLAIMS.UPDATE',
  '$SYS.REQ.USER.INFO',
  '$SYS.ACCOUNT.A.CONNECT',
  '$JS.API.INFO',
  '$JS.API.STREAM.CREATE.x',
  '$JS.ACK.x',
  '$SRV.PING',
  '$SRV.STATS.semops-cpp.hu-cpp-v',
  '$KV.x',
  '_INBOX.x',
  '_INBOX.authority.x',
  'semops',
  'semops.v1',
  'semops.v2.cpp.hu-cpp.receipt.hu-mpp',
]

describe('publishing', () => {
  test.each(LOGIN_ROLES)('as %s: its own legs under its own name, and nothing else', async (role) => {
    const me = nameOf(own, role)
    const names = [me, nameOf(victims, role), ...HOST_ROLES.filter((one) => one !== role).map(hostOf), '*', '>']
    const all = new Set(
      ALL_LEGS.flatMap(({ kind, to }) => names.map((name) => `semops.v1.${to}.hu-some-host.${kind}.${name}`)),
    )
    const mine = new Set(
      ALL_LEGS.filter(({ from }) => from === role).map(({ kind, to }) => `semops.v1.${to}.hu-some-host.${kind}.${me}`),
    )
    const errors = await client(role).refusals(() => all.forEach((subject) => client(role).publish(subject, 'x')))
    expect(errors.toSorted()).toEqual(
      [...all]
        .filter((subject) => !mine.has(subject))
        .map(refusedPublish)
        .toSorted(),
    )
  })

  test.each(LOGIN_ROLES)('as %s to what is not of the protocol', async (role) => {
    const allowed: Partial<Record<LoginRole, RegExp>> = { observer: /^\$SRV\./, service: /^_INBOX\./ }
    const refused = SERVER_SUBJECTS.filter((subject) => allowed[role]?.test(subject) !== true)
    const errors = await client(role).refusals(() =>
      SERVER_SUBJECTS.forEach((subject) => client(role).publish(subject, 'x')),
    )
    expect(errors).toEqual(refused.map(refusedPublish))
  })
})

const EVERYTHING = '> * *.> *.*.*.*.*.* semops.> semops.*.> semops.v1.>'
const NOT_THE_PROTOCOL =
  '_INBOX.> _INBOX.* _INBOX.*.> _INBOX.authority.> $SYS.> $SYS.ACCOUNT.*.> $SYS.REQ.> $SYS._INBOX.> $JS.> $JS.API.> $JS.ACK.> ' +
  '$SRV.> $SRV.* $SRV.PING.* $SRV.*.semops-cpp.hu-cpp-v $KV.> $O.> $G.> $MQTT.> _R_.> _GR_.>'

describe('listening', () => {
  test.each(LOGIN_ROLES)('as %s to anything but its own', async (role) => {
    const me = nameOf(own, role)
    const patterns = [
      ...LOGIN_ROLES.map((other) => inboxSubject(other as Role, nameOf(victims, other))),
      // Under its own name, but in another role.
      ...HOST_ROLES.filter((other) => other !== role).map((other) => inboxSubject(other, me)),
      ...[...ROLES, '*'].flatMap((other) => [
        `semops.v1.${other}.>`,
        `semops.v1.${other}.*.>`,
        `semops.v1.${other}.*.*.*`,
      ]),
      `semops.v1.*.*.*.${me}`,
      'semops.v1.*.*.payment-request.*',
      `semops.v1.cpp.*.payment-request.${me}`,
      `_INBOX.${nameOf(victims, 'observer')}.>`,
      ...EVERYTHING.split(' '),
      ...NOT_THE_PROTOCOL.split(' '),
    ]
    const tries = patterns.flatMap((pattern) => [undefined, 'dc', '>'].map((queue) => [pattern, queue] as const))
    const errors = await client(role).refusals(() =>
      tries.forEach(([pattern, queue]) => client(role).subscribe(pattern, queue)),
    )
    expect(errors).toEqual(tries.map(([pattern, queue]) => refusedSubscribe(pattern, queue)))
  })

  test("a realm's address is for the realm's data centers, whatever the queue group", async () => {
    const shared = hostSubscriptions('dc', 'hu-dc-1').map(({ subject }) => subject)
    const patterns = ['semops.v1.dc.hu-dc.>', 'semops.v1.dc.hu-dc.*.*', 'semops.v1.dc.hu-dc.*.>', ...shared]
    const strangers = [...LOGIN_ROLES.filter((role) => role !== 'dc').map(client), foreignDataCenter]
    for (const stranger of strangers)
      for (const queue of [undefined, 'dc', 'dc2', '*']) {
        const errors = await stranger.refusals(() => patterns.forEach((pattern) => stranger.subscribe(pattern, queue)))
        expect(errors).toEqual(patterns.map((pattern) => refusedSubscribe(pattern, queue)))
      }
    // The guard of the guard: a data center of the realm may.
    await using sibling = await enter(await issueLogin(broker.state, { role: 'dc', host: 'hu-dc-2' }))
    expect(await sibling.refusals(() => sibling.subscribe('semops.v1.dc.hu-dc.*.*', 'dc'))).toEqual([])
  })

  test('one message heard by its addressee, under a server full of listeners', async () => {
    await using victim = await enter(victims.get('cpp') as Login)
    const inbox = inboxSubject('cpp', nameOf(victims, 'cpp'))
    await victim.refusals(() => victim.subscribe(inbox))
    const strangers = [...clients.values(), foreignDataCenter]
    for (const stranger of strangers) {
      stranger.messages.splice(0)
      await stranger.refusals(() => ['>', inbox, 'semops.v1.cpp.>'].forEach((one) => stranger.subscribe(one, 'q')))
    }
    const subject = `semops.v1.cpp.${nameOf(victims, 'cpp')}.payment-request.${nameOf(own, 'customer')}`
    client('customer').publish(subject, 'for one pair of eyes')
    for (const one of [client('customer'), victim, ...strangers]) await one.sync()
    expect(victim.messages).toEqual([{ subject, reply: undefined, data: 'for one pair of eyes' }])
    expect(strangers.flatMap(({ messages }) => messages)).toEqual([])
  })

  test('guests of one host hear and speak each for itself', async () => {
    await using one = await enter(own.get('guest') as Login)
    await using other = await enter(victims.get('guest') as Login)
    const [mine, theirs] = [nameOf(own, 'guest'), nameOf(victims, 'guest')]
    one.subscribe(inboxSubject('guest', mine))
    other.subscribe(inboxSubject('guest', theirs))
    await other.sync()
    const asOther = `semops.v1.merchant.hu-merchant.offer-request.${theirs}`
    const toOther = `semops.v1.guest.${theirs}.transaction-details.${mine}`
    expect(await one.refusals(() => [asOther, toOther].forEach((subject) => one.publish(subject, 'x')))).toEqual(
      [asOther, toOther].map(refusedPublish),
    )
    client('merchant').publish(`semops.v1.guest.${mine}.transaction-details.${nameOf(own, 'merchant')}`, 'invoice')
    for (const each of [client('merchant'), one, other]) await each.sync()
    expect([one.messages.length, other.messages.length]).toEqual([1, 0])
  })
})

describe('entering', () => {
  const refusal = async (credentials: Credentials | undefined): Promise<string> => {
    try {
      await using _ = await openRaw(broker.servers[0] as string, credentials)
      return 'entered'
    } catch (error) {
      return (error as Error).message
    }
  }
  const DENIED = 'Authorization Violation'
  const seed = newSeed('U')
  const account = (): string => publicKeyOf(broker.state.accountSeed)
  const signedBy = (signerSeed: string, of = account()): Promise<string> =>
    scopedUserJwt('hu-x', seed, of, signerSeed, [], undefined)

  test('without credentials, or with credentials of another kind', async () => {
    const key = publicKeyOf(seed)
    const { jwt } = own.get('cpp') as Login
    const rows: readonly [string, Credentials][] = [
      ['nothing', () => ({})],
      ['a user and a password', () => ({ user: 'hu-cpp', pass: 'hu-cpp' })],
      ['the system account by name', () => ({ user: 'sys', pass: '', account: 'SYS' })],
      ['a token', () => ({ auth_token: 'x' })],
      ['a key without a JWT', (nonce) => ({ nkey: key, sig: signNonce(seed, nonce) })],
      ['a JWT without a signature', () => ({ jwt })],
      ['a JWT with an empty signature', () => ({ jwt, sig: '' })],
      [
        'a JWT with the signature of another nonce',
        () => ({ jwt, sig: signNonce((own.get('cpp') as Login).seed, 'x') }),
      ],
      ['a JWT with the signature of another key', (nonce) => ({ jwt, sig: signNonce(seed, nonce) })],
      ['a JWT and another key', (nonce) => ({ jwt, nkey: key, sig: signNonce(seed, nonce) })],
    ]
    for (const [name, credentials] of rows) expect([name, await refusal(credentials)]).toEqual([name, DENIED])
    expect(await refusal(asLogin(own.get('cpp') as Login))).toBe('entered')
  })

  test('a message before CONNECT is not taken', async () => {
    await using mute = await openRaw(broker.servers[0] as string, undefined).catch(() => undefined)
    expect(mute).toBeUndefined()
  })

  test('with a JWT that this authority did not sign', async () => {
    const foreign = createAuthority('foreign')
    const stranger = newSeed('A')
    const { jwt: good, seed: goodSeed } = own.get('mpp') as Login
    const [head, claims = '', signature] = good.split('.')
    const altered = (change: (text: string) => string): string =>
      [head, Buffer.from(change(Buffer.from(claims, 'base64url').toString())).toString('base64url'), signature].join(
        '.',
      )
    const unsigned = Buffer.from(JSON.stringify({ typ: 'JWT', alg: 'none' })).toString('base64url')
    const accountKey = fromSeed(new TextEncoder().encode(stranger))
    const rows: readonly [string, Login][] = [
      ["a foreign authority's", await issueLogin(foreign, { role: 'cpp', host: 'hu-x' })],
      ["a foreign role signer's, for this account", { seed, jwt: await signedBy(foreign.signerSeeds.cpp) }],
      ["a stranger's key, for this account", { seed, jwt: await signedBy(stranger) }],
      [
        "a role signer's of here, for the system account",
        {
          seed,
          jwt: await signedBy(broker.state.signerSeeds.cpp, publicKeyOf(broker.state.systemAccountSeed)),
        },
      ],
      ['an account of its own', { seed, jwt: await encodeUser('hu-x', publicKeyOf(seed), accountKey, {}, {}) }],
      [
        "a wallet's own key as signer of hosts",
        {
          seed,
          jwt: await encodeUser(
            'hu-x',
            publicKeyOf(seed),
            account(),
            {},
            { signer: fromSeed(new TextEncoder().encode((own.get('customer') as Login).seed)) },
          ).catch(() => 'none'),
        },
      ],
      ['an altered name', { seed: goodSeed, jwt: altered((text) => text.replace('"hu-mpp"', '"hu-mpx"')) }],
      [
        'an altered issuer',
        { seed: goodSeed, jwt: altered((text) => text.replace(/"iss":"[^"]+"/, `"iss":"${account()}"`)) },
      ],
      ['no algorithm', { seed: goodSeed, jwt: [unsigned, claims, ''].join('.') }],
      [
        'an expired one',
        {
          seed,
          jwt: await accountUserJwt('x', seed, broker.state.accountSeed, ['a'], ['b'], Date.now() - 60_000),
        },
      ],
    ]
    for (const [name, login] of rows) expect([name, await refusal(asLogin(login))]).toEqual([name, DENIED])
  })

  test("with a guest's JWT: expired, with another's key, or made wider than the role", async () => {
    const { guestSigner } = own.get('customer') as HostLogin
    const guest = await mintGuest(guestSigner!, new Uint8Array(32).fill(7))
    expect(await refusal(asLogin(guest))).toBe('entered')
    expect(await refusal(asLogin({ ...guest, seed }))).toBe(DENIED)
    expect(
      await refusal(asLogin(await mintGuest(guestSigner!, new Uint8Array(32).fill(7), Date.now() - 3_600_000))),
    ).toBe(DENIED)
    const signer = fromSeed(new TextEncoder().encode(guestSigner!.seed))
    for (const wider of [
      { pub: { allow: ['>'] } },
      { sub: { allow: ['>'] } },
      { resp: { max: 9, ttl: 9 } },
      { bearer_token: true },
    ])
      expect(
        await refusal(
          asLogin({
            seed,
            jwt: await encodeUser('*', publicKeyOf(seed), guestSigner!.accountPublicKey, wider as never, {
              signer,
              scopedUser: true,
            }),
          }),
        ),
      ).toBe(DENIED)
    // Tags make addresses and services for other roles; a guest's template reads none.
    const tags = ['address:hu-dc', 'service:semops-cpp']
    await using tagged = await enter({
      seed,
      jwt: await scopedUserJwt('hu-dc', seed, guestSigner!.accountPublicKey, guestSigner!.seed, tags, undefined),
    })
    const patterns = ['semops.v1.dc.hu-dc.>', '$SRV.PING.semops-cpp', inboxSubject('guest', 'hu-dc')]
    expect(await tagged.refusals(() => patterns.forEach((one) => tagged.subscribe(one)))).toEqual(
      patterns.map((one) => refusedSubscribe(one)),
    )
  })
})

describe("having another publish for one's own ends", () => {
  /** Where an attacker would like words to come from somebody else. */
  const TARGETS = [
    'semops.v1.cpp.hu-cpp-v.payment-request.hu-customer',
    'semops.v1.bank.hu-bank-v.transfer-order.hu-cpp-v',
    'semops.v1.mpp.hu-mpp-v.payment-notice.hu-dc-1',
    '$SYS.REQ.CLAIMS.UPDATE',
    '$JS.API.INFO',
    '$SRV.PING',
  ]

  /** Hears whatever is published in the account; only a test's key can make it. */
  const overhear = async (): Promise<RawClient> => {
    const seed = newSeed('U')
    const jwt = await accountUserJwt('tap', seed, broker.state.accountSeed, ['none'], ['>'], Date.now() + 60_000)
    const tap = await enter({ seed, jwt })
    await tap.refusals(() => tap.subscribe('>'))
    return tap
  }

  test.each(HOST_ROLES)('a %s that answers where a sender points is stopped by the broker', async (role) => {
    const leg = ALL_LEGS.find(({ to, from }) => to === role && from !== 'guest')!
    const me = nameOf(own, role)
    await using fool = await enter(own.get(role) as Login)
    fool.answer('as I was told')
    await fool.refusals(() => fool.subscribe(inboxSubject(role, me)))
    await using tap = await overhear()
    const sender = client(leg.from)
    const subject = `semops.v1.${role}.${me}.${leg.kind}.${nameOf(own, leg.from)}`
    const targets = TARGETS.filter((target) => !target.endsWith(`.${me}`))
    expect(await sender.refusals(() => targets.forEach((target) => sender.publish(subject, 'x', target)))).toEqual([])
    await fool.sync()
    await fool.sync()
    await tap.sync()
    expect(fool.messages.map(({ reply }) => reply)).toEqual(targets)
    const refused = role === 'observer' ? targets.filter((target) => !target.startsWith('$SRV.')) : targets
    expect(fool.errors).toEqual(refused.map(refusedPublish))
    expect(tap.messages.filter(({ data }) => data === 'as I was told').map(({ subject: to }) => to)).toEqual(
      targets.filter((target) => !refused.includes(target)),
    )
  })

  test('a dishonest service that answers an observer into a money subject is stopped by the broker', async () => {
    await using service = await enter(own.get('service') as Login)
    service.answer('as another host')
    await service.refusals(() => service.subscribe('$SRV.PING.semops-cpp.hu-cpp'))
    await using tap = await overhear()
    const observer = client('observer')
    for (const target of TARGETS) observer.publish('$SRV.PING.semops-cpp.hu-cpp', '', target)
    observer.publish('$SRV.PING.semops-cpp.hu-cpp', '', '_INBOX.hu-observer.1')
    for (const one of [observer, service, service, tap]) await one.sync()
    expect(service.errors).toEqual(TARGETS.map(refusedPublish))
    expect(tap.messages.filter(({ data }) => data === 'as another host').map(({ subject }) => subject)).toEqual([
      '_INBOX.hu-observer.1',
    ])
  })

  test('an honest service answers to the inboxes of tools alone', async () => {
    const login = await issueLogin(broker.state, { role: 'service', host: 'hu-honest', serves: 'cpp' })
    await using connection = await openRequestReply({ login, servers: broker.servers })
    await answerDiscovery(connection, {
      role: 'cpp',
      version: '1.0.0',
      description: '',
      metadata: () => ({}),
      stats: () => 0,
      startedAtMs: 0,
    })
    await using tap = await overhear()
    const observer = client('observer')
    const asked = '$SRV.PING.semops-cpp.hu-honest'
    for (const target of [...TARGETS, '_INBOX', '_INBOXES.x', '_INBOX.hu-observer.2'])
      observer.publish(asked, '', target)
    await observer.sync()
    // The connection's own round trip: it has answered what came before.
    await connection.collect(asked, new Uint8Array(0), { timeoutMs: 5_000, enough: (answers) => answers.length > 0 })
    await tap.sync()
    const answers = tap.messages.filter(({ data }) => data.includes('ping_response')).map(({ subject }) => subject)
    expect(answers.filter((subject) => !subject.startsWith('_INBOX.hu-honest.'))).toEqual(['_INBOX.hu-observer.2'])
  })
})

test('an observer sees what answers its own questions, and none of the traffic that passes', async () => {
  await using observer = await enter(victims.get('observer') as Login)
  const me = nameOf(victims, 'observer')
  const [inbox, answers] = [inboxSubject('observer', me), `_INBOX.${me}.>`]
  expect(await observer.refusals(() => [inbox, answers].forEach((one) => observer.subscribe(one)))).toEqual([])
  for (const { kind, from, to } of ALL_LEGS.filter((leg) => leg.to !== 'observer'))
    client(from).publish(
      `semops.v1.${to}.${to === 'guest' ? nameOf(own, 'guest') : hostOf(to)}.${kind}.${nameOf(own, from)}`,
      'x',
    )
  for (const one of [...clients.values(), observer]) await one.sync()
  expect(observer.messages).toEqual([])
})
