import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { equalBytes } from '../../protocol/bytes.ts'
import { realmOf } from '../../protocol/ids.ts'
import { KIND_NAMES, kindRow } from '../../protocol/kinds.ts'
import type { Verified } from '../../protocol/verified.ts'
import { put } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { context, incoming, testBytes, testId, testLedger } from '../runtime/testing.ts'
import { route as routeUnless } from './routing.ts'
import { ALIASES, PAYEES, type AliasRow, type PayeeRow } from './state.ts'
import { processor } from './testing/rows.ts'

const route = routeUnless(() => false)

const payee = (name: string, mpp: string, state: 'active' | 'retired' = 'active') =>
  put<PayeeRow>(PAYEES, keyOf(name), {
    payee: name,
    mpp,
    host: `${realmOf(name)}-shops`,
    version: 1,
    state,
    chain: [],
    changedAtMs: 0,
  })
const alias = (name: string, cpp: string, state: 'active' | 'retired' = 'active') =>
  put<AliasRow>(ALIASES, keyOf(name), { alias: name, cpp, version: 1, state, changedAtMs: 0 })

const directory = (realm: string) =>
  testLedger(
    payee(`${realm}-bakery`, `${realm}-cosmo`),
    payee(`${realm}-left`, `${realm}-cosmo`, 'retired'),
    alias(`${realm}-anna`, `${realm}-otp`),
    alias(`${realm}-gone`, `${realm}-otp`, 'retired'),
    processor(`${realm}-otp`, 'cpp'),
    processor(`${realm}-cosmo`, 'mpp'),
    processor(`${realm}-kh`, 'bank'),
  )
const at = (realm: string, peerRealms: readonly string[] = ['hu', 'ro', 'at'].filter((one) => one !== realm)) =>
  context({ self: { id: `${realm}-dc-1`, role: 'dc' as const }, policy: { peerRealms } })

const outcome = (to: string, from = 'hu-otp', previousHop = from) =>
  incoming(
    'payment-outcome',
    { pnId: testId('pn'), payee: to, txId: testId('tx'), outcome: 'expired', code: 6015, decidedAtMs: 0 },
    { from, previousHop },
  ).message as Verified
const decided = (to: string, previousHop = 'hu-cosmo') =>
  incoming(
    'countersigned-decision',
    { pnId: testId('pn'), payee: 'hu-bakery', noticeDigest: testBytes('pn'), decision: 'reject' },
    { from: 'hu-cosmo', previousHop, header: { to } },
  ).message as Verified
const asked = (name: string, previousHop = 'hu-cosmo') =>
  incoming(
    'request-to-pay',
    { requestId: testId('request'), alias: name, description: '', salt: testId('salt') },
    { from: 'hu-shops', previousHop, nested: {} },
  ).message as Verified

describe('a message is routed', () => {
  test.each([
    ['by payee, to its MPP', outcome('hu-bakery'), { role: 'mpp', host: 'hu-cosmo' }],
    ['by a payee who has left, too: its payments end', outcome('hu-left'), { role: 'mpp', host: 'hu-cosmo' }],
    ['by payee, to the data center of a peer realm', outcome('ro-bakery'), { role: 'dc', host: 'ro-dc' }],
    [
      'by payee from a peer realm, to its MPP',
      outcome('hu-bakery', 'ro-otp', 'ro-dc-1'),
      { role: 'mpp', host: 'hu-cosmo' },
    ],
    ['by alias, to its CPP', asked('hu-anna'), { role: 'cpp', host: 'hu-otp' }],
    ['by alias, to the data center of a peer realm', asked('ro-anna'), { role: 'dc', host: 'ro-dc' }],
    ['by addressee', decided('hu-otp'), { role: 'cpp', host: 'hu-otp' }],
    ['by addressee, to the data center of a peer realm', decided('ro-otp'), { role: 'dc', host: 'ro-dc' }],
  ] as const)('%s', (_, message, hop) => {
    expect(route(directory('hu'), message, at('hu'))).toEqual(hop)
  })

  test.each([
    ['to an unknown payee', outcome('hu-nobody')],
    ['to an alias nobody has', asked('hu-nobody')],
    ['to an alias that was withdrawn', asked('hu-gone')],
    ['to an unknown processor', decided('hu-unknown')],
    ['to a processor of the wrong role', decided('hu-kh')],
    ['to a realm that is no peer', outcome('xx-bakery')],
    ['onward, when it came from a peer realm', outcome('at-bakery', 'ro-otp', 'ro-dc-1')],
    ['back where it came from', outcome('ro-bakery', 'ro-otp', 'ro-dc-1')],
  ])('nowhere %s', (_, message) => {
    expect(route(directory('hu'), message, at('hu'))).toBeUndefined()
  })

  test.each([
    ['by payee, to an MPP', 'hu-cosmo', outcome('hu-bakery')],
    ['by alias, to a CPP', 'hu-otp', asked('hu-anna')],
    ['by addressee', 'hu-otp', decided('hu-otp')],
  ] as const)('not %s whose key is revoked', (_, host, message) => {
    const revoked = routeUnless((keyId) => equalBytes(keyId, testId(host)))
    expect(revoked(directory('hu'), message, at('hu'))).toBeUndefined()
    const other = routeUnless((keyId) => equalBytes(keyId, testId('hu-kh')))
    expect(other(directory('hu'), message, at('hu'))).toMatchObject({ host })
  })

  test('by at most two data centers, whatever the name, the realms and where it began', () => {
    const realms = ['hu', 'ro', 'at', 'xx'] as const
    const names = ['bakery', 'left', 'nobody'] as const
    fc.assert(
      fc.property(
        fc.constantFrom(...realms),
        fc.constantFrom(...realms),
        fc.constantFrom(...names),
        fc.array(fc.constantFrom(...realms)),
        (start, target, name, peers) => {
          let here: string = start
          let previousHop = `${start}-otp`
          for (let centers = 1; ; centers++) {
            expect(centers).toBeLessThanOrEqual(2)
            const hop = route(
              directory(here),
              outcome(`${target}-${name}`, `${start}-otp`, previousHop),
              at(here, peers),
            )
            if (hop === undefined || hop.role !== 'dc') {
              if (hop !== undefined) expect([here, hop.host]).toEqual([target, `${target}-cosmo`])
              return
            }
            previousHop = `${here}-dc-1`
            here = realmOf(hop.host)
          }
        },
      ),
      { seed: 20_261_122 },
    )
  })
})

test('every kind that passes a data center by a name has that name in its body', () => {
  const named = KIND_NAMES.filter((name) => kindRow(name).routeBy !== 'to')
  expect(named.length).toBeGreaterThan(4)
  for (const name of named) {
    const { routeBy, bodies } = kindRow(name)
    expect(Object.keys((bodies[1] as unknown as { properties: object }).properties)).toContain(routeBy)
  }
})
