/**
 * Every secret of a crowd's customers with the hosts that have to know it, every place where its network could hold one, and what
 * stands where it should not. For tests only.
 */
import { Unpackr } from 'msgpackr'
import { utf8 } from '../../../../protocol/bytes.ts'
import { createOpener, openCarrier } from '../../../../protocol/confidential.ts'
import { keyIdOf } from '../../../../protocol/keys.ts'
import { derivePinKeySync } from '../../../../protocol/pin.ts'
import { parseFrame } from '../../../../protocol/seals.ts'
import { customers, deviceSeeds, enrolments, payments } from '../../../customer/state.ts'
import { toJson } from '../../../runtime/json.ts'
import type { PaymentsPage } from '../../../runtime/reports.ts'
import type { Crowd, CrowdCustomer } from './crowd.ts'
import { searchFor, type Secret } from './search.ts'

/** A secret, the hosts that have to know it, and those that may keep it: in a table, a log line, an answer. */
type Held = Secret & { readonly by: readonly string[]; readonly keptBy: readonly string[] }

const bankOf = (one: CrowdCustomer): string => one.account.slice(0, one.account.indexOf(':'))

/** @param told hosts that were given a customer's alias to send a request to pay to */
export const secretsOf = (crowd: Crowd, told: (customer: CrowdCustomer) => readonly string[]): readonly Held[] => {
  const held: Held[] = []
  const add = (name: string, bytes: Uint8Array, by: readonly string[], keptBy = by): void =>
    void held.push({ name, bytes, by, keptBy })
  for (const one of crowd.who) {
    const { read } = crowd.sim.host(one.host).host()
    const near = [one.host, ...one.cpps]
    const bank = bankOf(one)
    const of = (what: string): string => `${what} of ${one.id}`
    add(of('id'), utf8(one.id), near)
    // The part that is chosen: an id without its realm.
    add(of('name'), utf8(one.id.slice(3)), near)
    add(of('account'), utf8(one.account), [...near, bank])
    add(of('account name'), utf8(one.account.slice(one.account.indexOf(':') + 1)), [...near, bank])
    add(of('account holder key'), crowd.holder(one.account).publicKey, [...near, bank])
    add(of('PIN'), utf8(one.pin), [])
    const device = read.get(customers, one.id)?.deviceKey as Uint8Array
    add(of('device key'), device, near)
    add(of('device key id'), keyIdOf('ed25519', device), near)
    add(of('device seed'), read.get(deviceSeeds, one.id)?.seed as Uint8Array, [one.host])
    for (const cpp of one.cpps) {
      add(of(`PIN key at ${cpp}`), derivePinKeySync(one.pin, one.id, cpp), [cpp], [])
      add(of(`mandate for ${cpp}`), crowd.mandate(one.account, cpp), [one.host, cpp, bank])
      add(of(`mandate signature for ${cpp}`), crowd.mandate(one.account, cpp).slice(-64), [one.host, cpp, bank])
      add(of(`enrolment id at ${cpp}`), read.get(enrolments, one.id, cpp)?.enrolmentId as Uint8Array, [one.host, cpp])
    }
    add(of('alias'), utf8(one.alias), [...near, `${one.id.slice(0, 2)}-dc-1`, ...told(one)])
    for (const [, row] of read.scan(payments, []))
      if (row.customer === one.id) add(of('payment request id'), row.prId, [one.host, row.cpp])
  }
  for (const host of new Set(crowd.who.map((one) => one.host))) {
    const { signing, sealing } = crowd.sim.host(host).identity
    const cpps = crowd.who.filter((one) => one.host === host).flatMap((one) => one.cpps)
    // A host asks its data center for the revocation list under its own chain, by the clock; that leaves no trace there.
    const heard = [host, ...cpps, `${host.slice(0, 2)}-dc-1`]
    const kept = [host, ...cpps]
    add(`id of ${host}`, utf8(host), heard, kept)
    add(`message key of ${host}`, signing.publicKey, heard, kept)
    add(`message key id of ${host}`, keyIdOf('ed25519', signing.publicKey), heard, kept)
    add(`sealing key of ${host}`, sealing.publicKey, heard, kept)
    add(`sealing key id of ${host}`, keyIdOf('x25519', sealing.publicKey), [host, ...cpps])
  }
  return held
}

type Place = { readonly host: string; readonly where: string; readonly bytes: Uint8Array; readonly kept: boolean }

const unpackr = new Unpackr({ useRecords: false, int64AsType: 'bigint' })
const decoded = (bytes: Uint8Array): Uint8Array => {
  try {
    return utf8(toJson(unpackr.unpack(new Uint8Array(bytes)) as unknown))
  } catch {
    return new Uint8Array(0)
  }
}

/** Payments of each host whose evidence is looked through. */
const MAX_BUNDLES = 8

/** Reads of every role; a host answers those that it knows. */
const READS = [
  'report',
  'payments',
  'payees',
  'customers',
  'directory',
  'settlements',
  'registration',
  'journal',
  'requests',
]

/** All that every host has seen, said, kept, logged and answered, and what it can decrypt of anything that was on the bus. */
const placesOf = (crowd: Crowd): readonly Place[] => {
  const places: Place[] = []
  const { sim, traffic } = crowd
  // One for each host: an opener remembers the keys that it has agreed on.
  const openers = sim
    .hosts()
    .map(({ id, identity }) => ({ id, sealing: identity.sealing, opener: createOpener(sim.engine) }))
  const ids = new Set(sim.hosts().map(({ id }) => id))
  for (const { from, to, subject, data } of traffic) {
    const host = to ?? from
    const where = `${to === undefined ? 'published' : 'heard'} ${subject}`
    if (ids.has(host)) for (const bytes of [utf8(subject), data]) places.push({ host, where, bytes, kept: false })
    const frame = parseFrame(data)
    if (to !== undefined || !frame.ok || frame.value.header.bodyForm !== 'encrypted') continue
    for (const { id, sealing, opener } of openers) {
      const cargo = openCarrier(opener, () => sealing, frame.value.headerBytes, frame.value.bodyBytes)
      if (!cargo.ok) continue
      places.push({ host: id, where: `decrypted ${subject}`, bytes: cargo.value.innerFrame, kept: false })
      if (cargo.value.beside !== null)
        places.push({ host: id, where: `beside ${subject}`, bytes: cargo.value.beside, kept: false })
    }
  }
  for (const { id, store } of sim.hosts()) {
    for (const name of READS) crowd.ask(id, name)
    // What it would show of each payment to whoever it shows it to.
    const page = crowd.ask(id, 'payments') as PaymentsPage | undefined
    for (const { prId, pnId } of page?.payments.slice(0, MAX_BUNDLES) ?? [])
      crowd.ask(id, 'evidence', { paymentId: prId ?? pnId })
    for (const { table, key, value } of store().rows()) {
      const where = `table ${table}`
      for (const bytes of [Buffer.from(key, 'latin1'), value, decoded(value)])
        places.push({ host: id, where, bytes, kept: true })
    }
  }
  for (const { host, text } of crowd.lines)
    places.push({ host, where: `log ${text.slice(0, 60)}`, bytes: utf8(text), kept: true })
  for (const { host, text } of crowd.answers)
    places.push({ host, where: 'control answer', bytes: utf8(text), kept: true })
  return places
}

export type Leak = { readonly secret: string; readonly form: string; readonly host: string; readonly where: string }

export type Evidence = {
  readonly leaks: readonly Leak[]
  /** Secrets that were found where they belong. */
  readonly found: ReadonlySet<string>
  readonly bytes: number
}

export const evidenceOf = (crowd: Crowd, secrets: readonly Held[]): Evidence => {
  const held = new Map(secrets.map(({ name, by, keptBy }) => [name, { by: new Set(by), keptBy: new Set(keptBy) }]))
  const find = searchFor(secrets)
  const leaks = new Map<string, Leak>()
  const found = new Set<string>()
  let bytes = 0
  for (const { host, where, bytes: place, kept } of placesOf(crowd)) {
    bytes += place.length
    for (const { secret, form } of find(place)) {
      if (held.get(secret)?.[kept ? 'keptBy' : 'by'].has(host) === true) found.add(secret)
      else leaks.set(`${secret} ${form} ${host} ${where}`, { secret, form, host, where })
    }
  }
  return { leaks: [...leaks.values()], found, bytes }
}
