import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { NetworkFileError, parseNetwork } from './network.ts'
import { NetworkFile } from './network-schema.ts'
import { natsUrl, planNetwork } from './plan.ts'

const DEFAULT_FILE = new URL('./default-network.yaml', import.meta.url)
const SCHEMA_FILE = new URL('./network.schema.json', import.meta.url)

const GOOD = `network: test
currency: EUR
banks:
  - { id: hu-kh }
  - { id: hu-reserve, settlement: true }
realms:
  hu:
    cpps:
      - { id: hu-otp, bank: hu-kh }
    mpps:
      - { id: hu-cosmo, bank: hu-kh }
    merchants:
      - { payee: bakery@hu, bank: hu-kh, catalogue: { bread: '1.20' } }
    customers:
      - { id: hu-anna, bank: hu-kh }
      - { pattern: 'hu-c{n}', count: 3, bank: hu-kh }
`

/** GOOD with one line replaced by others; lines count from one. */
const withLine = (line: number, ...text: readonly string[]): string =>
  GOOD.split('\n')
    .flatMap((old, i) => (i === line - 1 ? text : [old]))
    .join('\n')

const problemsOf = (text: string) => {
  try {
    parseNetwork(text, 'network.yaml')
  } catch (error) {
    if (!(error instanceof NetworkFileError)) throw error
    return error
  }
  throw new Error('the file was accepted')
}

describe('a network file', () => {
  test('that is right is read as it stands', () => {
    const file = parseNetwork(GOOD, 'network.yaml')
    expect(file.realms['hu']?.customers).toHaveLength(2)
    expect(planNetwork(file).customers.map(({ customer }) => customer)).toEqual(['hu-anna', 'hu-c1', 'hu-c2', 'hu-c3'])
  })

  const exchanging = (customer: string, cpp = 'bank: hu-kh'): string =>
    withLine(9, `      - { id: hu-otp, ${cpp} }`).replace(
      '- { id: hu-anna, bank: hu-kh }',
      `- { id: hu-anna, bank: hu-kh, ${customer} }`,
    )

  test('may give a customer an account in a currency that their CPP exchanges', () => {
    const fx =
      'bank: hu-kh, policy: { fx: { rates: { EUR HUF: { numerator: 400, denominator: 1 } }, marginBps: 0, quoteLifetimeMs: 1000, retryMs: 1000 } }'
    const file = parseNetwork(exchanging("currency: HUF, balance: '400000.00'", fx), 'network.yaml')
    expect(planNetwork(file).accounts.find(({ account }) => account === 'hu-kh:cust-hu-anna')).toMatchObject({
      currency: 'HUF',
      balanceMinor: 40_000_000n,
    })
  })

  const BAD: readonly (readonly [what: string, text: string, line: number, message: RegExp])[] = [
    ['is empty', '', 1, /object/],
    [
      'has an account in a currency that the CPP does not exchange',
      exchanging('currency: HUF'),
      15,
      /customers\[1\]\.currency: hu-otp exchanges no EUR HUF: give policies\.cpp\.fx/,
    ],
    ['has an account in no currency', exchanging('currency: XXX'), 15, /expected one of EUR/],
    [
      'has a balance with decimals that its currency has not',
      exchanging("currency: JPY, balance: '1.50'"),
      15,
      /too many decimals/,
    ],
    ...(
      [
        [
          'listens beyond loopback in the clear',
          '{ host: 10.1.2.3, tls: false }',
          /^[^ ]+ nats\.tls: refusing to listen on 10\.1\.2\.3 without TLS/,
        ],
        [
          'listens everywhere in the clear',
          "{ host: '', tls: false }",
          /refusing to listen on every interface without TLS/,
        ],
        [
          'listens on a name in the clear',
          '{ host: bus.example.org, tls: false }',
          /refusing to listen on bus\.example\.org without TLS/,
        ],
        [
          'listens everywhere under no name',
          '{ host: 0.0.0.0 }',
          /nats\.host: 0\.0\.0\.0 is nothing to connect to: give names:/,
        ],
        [
          'names another machine in the clear',
          '{ tls: false, names: [bus.example.org] }',
          /nats\.tls: nodes are not to reach bus\.example\.org without TLS/,
        ],
        ['listens on what is no address', "{ host: 'a b' }", /nats\.host: a b is no host name/],
        [
          'names what no certificate can',
          "{ names: [localhost, '*.example.org'] }",
          /nats\.names\[2\]: \*\.example\.org is no host name/,
        ],
        ['has a port that is none', '{ port: 70000 }', /nats\.port: expected a port/],
        ['has TLS by another word', '{ tls: maybe }', /nats\.tls: expected true or false/],
        ['has a setting of NATS that there is not', '{ user: anna }', /nats\.user: no such setting/],
      ] as const
    ).map(([what, nats, message]) => [what, withLine(2, 'currency: EUR', `nats: ${nats}`), 3, message] as const),
    ['is no YAML', withLine(3, 'banks: ['), 4, /./],
    ['says a key twice', withLine(2, 'currency: EUR', 'currency: USD'), 3, /unique/],
    ['has an unknown setting', withLine(2, 'currency: EUR', 'colour: red'), 3, /colour: no such setting/],
    ['has an unknown currency', withLine(2, 'currency: XYZ'), 2, /currency: expected one of EUR/],
    ['lacks the currency', withLine(2), 1, /currency: expected one of EUR/],
    ['has an id outside the grammar', withLine(4, '  - { id: HU_KH }'), 4, /banks\[1\]\.id: expected <realm>-<name>/],
    [
      'has no settlement bank',
      withLine(5, '  - { id: hu-reserve }'),
      3,
      /exactly one bank must have settlement: true, 0/,
    ],
    ['has a bank of no realm', withLine(4, '  - { id: ro-kh }'), 4, /no realm ro/],
    [
      'uses an id twice',
      withLine(11, '      - { id: hu-otp, bank: hu-kh }'),
      11,
      /hu-otp is used already, at realms.hu.cpps/,
    ],
    [
      'names a missing bank',
      withLine(9, '      - { id: hu-otp, bank: hu-xx }'),
      9,
      /no bank hu-xx; the banks are hu-kh/,
    ],
    ['has a processor of another realm', withLine(9, '      - { id: ro-otp, bank: hu-kh }'), 9, /not of realm hu/],
    ['takes a name of the fleet', withLine(9, '      - { id: hu-dc, bank: hu-kh }'), 9, /the fleet gives itself/],
    [
      'has an amount as a number',
      withLine(9, '      - { id: hu-otp, bank: hu-kh, balance: 1.2 }'),
      9,
      /decimal text in quotes/,
    ],
    [
      'has an amount too fine',
      withLine(9, "      - { id: hu-otp, bank: hu-kh, balance: '1.205' }"),
      9,
      /too many decimals/,
    ],
    ['has a payee of another realm', withLine(13, '      - { payee: bakery@ro, bank: hu-kh }'), 13, /not of realm hu/],
    [
      'prices an item too fine',
      withLine(13, "      - { payee: bakery@hu, bank: hu-kh, catalogue: { bread: '0.001' } }"),
      13,
      /bread: 0.001 EUR is too many/,
    ],
    ['has a payee without a name', withLine(13, '      - { bank: hu-kh }'), 13, /give either payee/],
    [
      'counts without a pattern',
      withLine(13, '      - { payee: a@hu, count: 2, bank: hu-kh }'),
      13,
      /pattern: and count:/,
    ],
    [
      'has an unknown rule',
      withLine(13, '      - { payee: a@hu, bank: hu-kh, approval: { rule: maybe } }'),
      13,
      /approval: expected/,
    ],
    ['has too long a payee', withLine(13, `      - { payee: ${'a'.repeat(54)}@hu, bank: hu-kh }`), 13, /too long/],
    [
      'names a missing CPP',
      withLine(15, '      - { id: hu-anna, bank: hu-kh, cpps: [hu-otp, ro-libra] }'),
      15,
      /cpps\[2\]: no CPP ro-libra/,
    ],
    ['has a customer of another realm', withLine(15, '      - { id: ro-anna, bank: hu-kh }'), 15, /not of realm hu/],
    ['counts into a name in use', withLine(15, '      - { id: hu-c2, bank: hu-kh }'), 16, /hu-c2 is used already/],
    [
      'has a pattern of another realm',
      withLine(16, "      - { pattern: 'c{n}', count: 3, bank: hu-kh }"),
      16,
      /c1 is not of realm hu/,
    ],
    [
      'has an alias twice',
      withLine(15, '      - { id: hu-a, alias: hu-x, bank: hu-kh }', '      - { id: hu-b, alias: hu-x, bank: hu-kh }'),
      16,
      /hu-x is used already/,
    ],
    [
      'has an alias of another realm',
      withLine(15, '      - { id: hu-a, alias: ro-x, bank: hu-kh }'),
      15,
      /alias at hu-otp must begin with hu-/,
    ],
    [
      'gives many one alias',
      withLine(16, "      - { pattern: 'hu-c{n}', count: 3, alias: hu-x, bank: hu-kh }"),
      16,
      /one customer's/,
    ],
  ]
  test.each(BAD)('that %s is refused, with its line', (_, text, line, message) => {
    const error = problemsOf(text)
    expect(error.problems[0]?.line).toBe(line)
    expect(error.message).toMatch(message)
    expect(error.message).toMatch(new RegExp(`^network\\.yaml:${line}: `))
    expect(error.message).not.toContain('\n')
  })

  test.each([
    ['nothing', '{}', { host: '127.0.0.1', port: undefined, tls: true, names: ['127.0.0.1'] }, 'tls://127.0.0.1:7'],
    ['no TLS on loopback', '{ tls: false }', { tls: false, names: ['127.0.0.1'] }, 'nats://127.0.0.1:7'],
    [
      'a host and a port',
      '{ host: bus.example.org, port: 4222 }',
      { port: 4222, tls: true },
      'tls://bus.example.org:7',
    ],
    [
      'every interface',
      '{ host: 0.0.0.0, names: [bus.example.org, 10.1.2.3] }',
      { host: '0.0.0.0' },
      'tls://bus.example.org:7',
    ],
    ['an IPv6 address', "{ host: '::1' }", { host: '::1' }, 'tls://[::1]:7'],
  ])('that says %s of the broker is taken', (_, nats, plan, url) => {
    const planned = planNetwork(parseNetwork(withLine(2, 'currency: EUR', `nats: ${nats}`), 'network.yaml')).nats
    expect(planned).toMatchObject(plan)
    expect(natsUrl(planned, 7)).toBe(url)
  })

  test('with many mistakes tells all of them', () => {
    const error = problemsOf(withLine(9, "      - { id: ro-otp, bank: hu-xx, balance: '1.2345' }"))
    expect(error.problems.map(({ path }) => path)).toEqual([
      'realms.hu.cpps[1].id',
      'realms.hu.cpps[1].bank',
      'realms.hu.cpps[1].balance',
    ])
    expect(error.message).toMatch(/\(and 2 more\)$/)
  })

  test('gives a CPP its policy, by role and by node: a node of another policy has settings of its own', () => {
    const text = withLine(
      2,
      'currency: EUR',
      "policies: { cpp: { aggregation: { policy: bulk, windowMs: 3600000, lowWaterMinor: { EUR: '250' } } } }",
    )
      .replace(
        'bank: hu-kh }\n    mpps',
        'bank: hu-kh, policy: { aggregation: { policy: window, windowMs: 60000 } } }\n    mpps',
      )
      .replace('    mpps:', '      - { id: hu-new, bank: hu-kh }\n    mpps:')
    const { hosts } = planNetwork(parseNetwork(text, 'network.yaml'))
    expect(hosts.filter(({ role }) => role === 'cpp').map(({ policy }) => policy['aggregation'])).toEqual([
      { policy: 'window', windowMs: 60_000 },
      { policy: 'bulk', windowMs: 3_600_000, lowWaterMinor: { EUR: '250' } },
    ])
  })

  test.each([
    [
      'an aggregation that nobody knows',
      'policies: { cpp: { aggregation: { policy: hourly } } }',
      3,
      'policies.cpp.aggregation.policy: one of threshold, window, bulk, kmeans',
    ],
    [
      'a setting of another policy',
      'policies: { cpp: { aggregation: { policy: window, lowWaterMinor: {} } } }',
      3,
      'policies.cpp.aggregation.lowWaterMinor: no such setting',
    ],
    [
      'money that is no number of minor units',
      "policies: { cpp: { aggregation: { policy: bulk, lowWaterMinor: { EUR: '2.50' } } } }",
      3,
      'policies.cpp.aggregation.lowWaterMinor.EUR: ',
    ],
    [
      'a retry of nothing',
      'policies: { cpp: { collectionRetry: { firstMs: 0, maxMs: 5, maxRetries: 1 } } }',
      3,
      'policies.cpp.collectionRetry.firstMs: ',
    ],
  ])('with %s is refused with its line', (_, line, at, message) => {
    const error = problemsOf(withLine(2, 'currency: EUR', line))
    expect(error.problems[0]?.line).toBe(at)
    expect(error.message).toContain(message)
  })

  test("with a node's policy that does not fit is refused with its line", () => {
    const error = problemsOf(
      withLine(
        9,
        '      - id: hu-otp',
        '        bank: hu-kh',
        '        policy:',
        '          aggregation: { policy: kmeans, maxK: 1 }',
      ),
    )
    expect(error.message).toContain('network.yaml:12: realms.hu.cpps[1].policy.aggregation.maxK: ')
  })

  test('has a published schema that is the one it is checked against', () => {
    const published: unknown = JSON.parse(readFileSync(SCHEMA_FILE, 'utf8'))
    expect(published).toEqual(JSON.parse(JSON.stringify(NetworkFile)))
  })

  test('of the default network makes what the README says', () => {
    const plan = planNetwork(parseNetwork(readFileSync(DEFAULT_FILE, 'utf8'), 'default-network.yaml'))
    const count = (role: string): number => plan.hosts.filter((host) => host.role === role).length
    expect([count('dc'), count('cpp'), count('mpp'), count('bank')]).toEqual([2, 2, 2, 4])
    for (const realm of ['hu', 'ro']) {
      expect(plan.payees.filter(({ payee }) => payee.startsWith(`${realm}-`))).toHaveLength(5)
      expect(plan.customers.filter(({ customer }) => customer.startsWith(`${realm}-`))).toHaveLength(20)
    }
    expect(plan.payees.map(({ payee }) => payee)).toContain('hu-bakery')
    expect(plan.customers.some(({ cpps }) => cpps.length === 2)).toBe(true)
  })
})
