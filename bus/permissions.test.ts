import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ROLES } from '../protocol/ids.ts'
import { ALL_LEGS } from '../protocol/kinds.ts'
import { createAuthority, currentAccountJwt } from './authority.ts'
import {
  addressOf,
  grantedTo,
  hostSubscriptions,
  isLoginName,
  LOGIN_ROLES,
  mayPublish,
  maySubscribe,
  permissionsOf,
} from './permissions.ts'
import { checkLiteralSubject, checkPattern, covers, matches } from './subject-match.ts'

describe('permissions', () => {
  test.each(ROLES)('%s publishes to every leg of its role, under its own name', (role) => {
    const { publish } = permissionsOf(role)
    const legs = ALL_LEGS.filter(({ from }) => from === role)
    const expected = legs.map(
      ({ kind, to }) => `semops.v1.${to}.*.${kind}.${role === 'guest' ? '{{subject()}}' : '{{name()}}'}`,
    )
    expect([...publish].filter((subject) => subject.startsWith('semops.')).toSorted()).toEqual([...expected].toSorted())
    expect(legs.length).toBeGreaterThan(0)
  })

  test('only an observer publishes outside the protocol: it asks for services', () => {
    const outside = ROLES.flatMap((role) =>
      permissionsOf(role)
        .publish.filter((subject) => !subject.startsWith('semops.v1.'))
        .map((subject) => [role, subject]),
    )
    expect(outside).toEqual([['observer', '$SRV.>']])
  })

  test('no login may answer a reply subject, in the words that the broker is told', async () => {
    const [, claims = ''] = (await currentAccountJwt(createAuthority('test'))).split('.')
    const { nats } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as {
      readonly nats: { readonly signing_keys: readonly { readonly role: string; readonly template: object }[] }
    }
    expect(nats.signing_keys.map(({ role }) => role)).toEqual([...LOGIN_ROLES])
    for (const { template } of nats.signing_keys) expect(template).not.toHaveProperty('resp')
  })

  test.each(LOGIN_ROLES)('%s subscribes to something, and to nothing that 2.9.10 would widen', (role) => {
    const { subscribe } = permissionsOf(role)
    expect(subscribe.length).toBeGreaterThan(0)
    expect(subscribe.filter((pattern) => pattern.endsWith('*'))).toEqual([])
    // A wildcard stands only last, after a token that the login's name or tag decides.
    for (const pattern of subscribe) expect(pattern.replace(/\{\{[^}]+\}\}/g, 'x')).toMatch(/^[^*>]+(\.>)?$/)
    for (const pattern of subscribe.filter((one) => one.endsWith('>'))) expect(pattern).toMatch(/\}\}\.>$/)
  })

  test.each(['*', '>', 'hu-a.*', 'hu-*', 'hu', 'HU-a', 'hu-', '', 'hu-a b', '{{name()}}', `hu-${'a'.repeat(55)}`])(
    'no login is named %j',
    (name) => expect(LOGIN_ROLES.filter((role) => isLoginName(role, name))).toEqual([]),
  )

  test('a data center has the address of its own realm, nobody else has one', () => {
    expect(addressOf('dc', 'hu-dc-2')).toBe('hu-dc')
    expect(ROLES.filter((role) => addressOf(role, 'hu-x') !== undefined)).toEqual(['dc'])
  })

  test.each(ROLES.filter((role) => role !== 'guest'))('a host of role %s may make its subscriptions', (role) => {
    const granted = grantedTo(role, 'hu-dc-1')
    const subscriptions = hostSubscriptions(role, 'hu-dc-1')
    expect(subscriptions.every(({ subject }) => maySubscribe(granted, subject))).toBe(true)
    expect(subscriptions.length).toBeLessThan(granted.maxSubscriptions)
  })

  test('a data center named like its address hears each message once', () => {
    const subjects = hostSubscriptions('dc', 'hu-dc').map(({ subject }) => subject)
    for (const { kind } of ALL_LEGS.filter(({ to }) => to === 'dc'))
      expect(subjects.filter((pattern) => matches(pattern, `semops.v1.dc.hu-dc.${kind}.hu-x`)).length).toBe(1)
  })

  test('a name in a subject is not read as a pattern', () => {
    expect(mayPublish(grantedTo('cpp', 'hu-a'), 'semops.v1.bank.hu-b.transfer-order.hu-a')).toBe(true)
    expect(mayPublish(grantedTo('cpp', 'hu-a'), 'semops.v1.bank.hu-b.transfer-order.hu-b')).toBe(false)
    expect(mayPublish(grantedTo('cpp', 'hu-a'), 'semops.v1.bank.hu-b.x.transfer-order.hu-a')).toBe(false)
  })
})

describe('subjects', () => {
  const token = fc.constantFrom('a', 'b', 'c')
  const subject = fc.array(token, { minLength: 1, maxLength: 4 }).map((tokens) => tokens.join('.'))
  const pattern = fc
    .tuple(fc.array(fc.constantFrom('a', 'b', '*'), { minLength: 1, maxLength: 3 }), fc.boolean())
    .map(([tokens, rest]) => [...tokens, ...(rest ? ['>'] : [])].join('.'))

  test('what covers a pattern matches all that the pattern matches', () => {
    fc.assert(
      fc.property(pattern, pattern, subject, (outer, inner, one) => {
        fc.pre(covers(outer, inner) && matches(inner, one))
        expect(matches(outer, one)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  test('what does not cover a pattern misses something that the pattern matches', () => {
    const all = [1, 2, 3, 4, 5].reduce<string[][]>(
      (lists, length) => [
        ...lists,
        length === 1
          ? ['a', 'b', 'c']
          : (lists.at(-1) as string[]).flatMap((one) => ['a', 'b', 'c'].map((next) => `${one}.${next}`)),
      ],
      [],
    )
    fc.assert(
      fc.property(pattern, pattern, (outer, inner) => {
        fc.pre(!covers(outer, inner))
        expect(all.flat().some((one) => matches(inner, one) && !matches(outer, one))).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  test('every pattern and every subject passes its own check', () => {
    fc.assert(
      fc.property(pattern, (one) => {
        expect(() => checkPattern(one)).not.toThrow()
      }),
    )
    fc.assert(
      fc.property(subject, (one) => {
        expect(() => checkLiteralSubject(one)).not.toThrow()
      }),
    )
  })
})
