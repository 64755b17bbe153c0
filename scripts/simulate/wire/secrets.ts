/**
 * Customer's anonymity on the wire (design §7): no frame bears in clear what names a customer, an account of theirs or a request of
 * theirs, and the secrets of one leg stand on no other. Learned as it is said, from the plaintexts of confidential messages.
 *
 * Text is searched for as it stands; ids and keys where msgpack writes byte strings of their length, also in frames within frames.
 */
import { utf8 } from '../../../protocol/bytes.ts'
import { KINDS, type Body, type KindName } from '../../../protocol/kinds.ts'
import { keyText } from '../../../nodes/runtime/sorted-map.ts'
import type { Topology } from '../world.ts'
import type { Complain } from './complaints.ts'
import type { Speech } from './speech.ts'
import type { Utterance } from './words.ts'

export type Secrets = {
  /** Looks at what everybody on the way sees of a published message. */
  readonly look: (speech: Speech) => void
  /** Learns what a confidential message between a customer and a CPP says. */
  readonly learn: (utterance: Utterance) => void
}

type Text = { readonly what: string; readonly bytes: Buffer }

const BIN_8 = '\xc4'
/** Between a customer's host and its CPP nobody else's eyes come: but what is confidential is not said in clear there either. */
const CUSTOMER_KINDS: ReadonlySet<KindName> = new Set(
  (Object.keys(KINDS) as KindName[]).filter((kind) => {
    const { confidential, audience } = KINDS[kind]
    return confidential && audience === 'customer'
  }),
)
/** Fields of confidential bodies that tell of a customer; a refund's id, a transaction's and a payee are known to others too. */
const SECRET_FIELDS = [
  'prId',
  'quoteId',
  'enrolmentId',
  'changeId',
  'closureId',
  'pinKey',
  'pinProof',
  'deviceKey',
] as const

export const createSecrets = (topology: Topology, complain: Complain): Secrets => {
  const shownAccounts = new Set(topology.payees.map(({ account }) => account))
  const names: Text[] = []
  const accounts: Text[] = []
  const aliases: Buffer[] = []
  const hosts = topology.hosts
    .filter(({ role }) => role === 'customer')
    .map(({ id }) => ({ id, what: `the wallet host ${id}`, bytes: Buffer.from(id) }))
  /** Ids and keys that stand nowhere in clear. */
  const ids = new Map<string, string>()
  /** Digests and message ids of the messages that bear them: in clear only between the customer's host and the CPP. */
  const traces = new Map<string, string>()
  const payees = new Set(topology.payees.map(({ id }) => id))
  const customers = new Set<string>()

  /** Any name or account, looked for in one pass: hardly a message bears one. Undefined until it is made of those known now. */
  let suspects: RegExp | undefined
  const mayName = (text: string): boolean =>
    (suspects ??= anyOf([...names, ...accounts].map(({ bytes }) => keyText(bytes)))).test(text)

  const nameCustomer = (id: string): void => {
    if (customers.has(id)) return
    customers.add(id)
    suspects = undefined
    if (!payees.has(id)) names.push({ what: `the customer ${id}`, bytes: Buffer.from(utf8(id)) })
  }
  const learnCustomer = (id: string, account: string, alias: string | undefined): void => {
    nameCustomer(id)
    suspects = undefined
    if (!shownAccounts.has(account) && !accounts.some(({ what }) => what === `the account ${account}`))
      accounts.push({ what: `the account ${account}`, bytes: Buffer.from(utf8(account)) })
    if (alias !== undefined) aliases.push(Buffer.from(utf8(alias)))
  }
  for (const { id, account, alias } of topology.customers) learnCustomer(id, account, alias)

  /** Every place where it stands, but inside an alias: a customer chooses to show that. */
  const stands = (data: Buffer, bytes: Buffer): boolean => {
    for (let at = data.indexOf(bytes); at >= 0; at = data.indexOf(bytes, at + 1)) {
      const place = at
      const shown = aliases.some((alias) => {
        const inside = alias.indexOf(bytes)
        return (
          inside >= 0 && place >= inside && alias.equals(data.subarray(place - inside, place - inside + alias.length))
        )
      })
      if (!shown) return true
    }
    return false
  }

  const look: Secrets['look'] = ({ subject, data, login }) => {
    const { toRole, kind, fromHost, toHost } = subject
    const text = keyText(data)
    const where = (what: string): string => `${what} in ${kind} from ${login} to ${toHost}`
    if (mayName(text)) {
      const said = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
      for (const { what, bytes } of names)
        if (stands(said, bytes)) complain('a customer is named in clear', where(what))
      // Only a customer's own CPP and bank speak of their account, in orders.
      if (KINDS[kind].audience !== 'bank')
        for (const { what, bytes } of accounts)
          if (stands(said, bytes)) complain('a customer is named in clear', where(what))
    }
    const isGuests = KINDS[kind].audience === 'guest'
    if (isGuests)
      for (const { id, what, bytes } of hosts)
        if (text.includes(keyText(bytes)) || fromHost === id || toHost === id) complain('a guest is named', where(what))
    const between = toRole === 'customer' || CUSTOMER_KINDS.has(kind) || isCustomerHost(login)
    for (let at = text.indexOf(BIN_8); at >= 0; at = text.indexOf(BIN_8, at + 1)) {
      const length = data[at + 1]
      if (length !== 16 && length !== 32) continue
      const bin = text.slice(at + 2, at + 2 + length)
      const id = ids.get(bin) ?? (between ? undefined : traces.get(bin))
      if (id !== undefined) complain('a secret of a customer in clear', where(id))
    }
  }
  const customerHosts = new Set(topology.hosts.filter(({ role }) => role === 'customer').map(({ id }) => id))
  const isCustomerHost = (login: string): boolean => customerHosts.has(login)

  return {
    look,
    learn: ({ kind, body, inner, digest, originator, host }) => {
      if (!CUSTOMER_KINDS.has(kind)) return
      traces.set(digest, `the digest of a ${kind}`)
      traces.set(keyText(inner.header.messageId), `the message id of a ${kind}`)
      const fields = body as Readonly<Record<string, unknown>>
      for (const field of SECRET_FIELDS) {
        const value = fields[field]
        if (value instanceof Uint8Array) ids.set(keyText(value), `${field} of a ${kind}`)
      }
      if (kind === 'customer-enrolment') {
        const { customer, account, alias } = body as Body<'customer-enrolment'>
        learnCustomer(customer, account, alias)
      } else if (customerHosts.has(host) && !customerHosts.has(originator)) nameCustomer(originator)
    },
  }
}

/** Matches where one of these stands; nowhere, when there is none. */
const anyOf = (texts: readonly string[]): RegExp =>
  texts.length === 0 ? /(?!)/ : new RegExp(texts.map((text) => text.replace(/[^\w-]/g, escaped)).join('|'))
const escaped = (unit: string): string => `\\x${unit.charCodeAt(0).toString(16).padStart(2, '0')}`
