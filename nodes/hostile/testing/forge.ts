/** Frames made with the real keys of the network's hosts and customers: what only a thief, or a broken program, would send. For tests only. */
import { toHex } from '../../../protocol/bytes.ts'
import { decodeBody, encodeBody } from '../../../protocol/codec.ts'
import { createSealer, makeCarrier } from '../../../protocol/confidential.ts'
import { makeContent } from '../../../protocol/envelope.ts'
import { ENVELOPE_VERSION, type Header } from '../../../protocol/header.ts'
import { failureCode } from '../../../protocol/failures.ts'
import { isGuestToken, realmOf } from '../../../protocol/ids.ts'
import { networkIdOf, signingKeyFromSeed, type SigningKey } from '../../../protocol/keys.ts'
import { kindRow, type Body, type KindName } from '../../../protocol/kinds.ts'
import type { KeyPair } from '../../../protocol/engines/engine.ts'
import { derivePinKeySync, pinProof } from '../../../protocol/pin.ts'
import { parseFrame, sealOne, type ParsedFrame } from '../../../protocol/seals.ts'
import { formatSubject, parseSubject } from '../../../protocol/subjects.ts'
import { deviceSeeds } from '../../customer/state.ts'
import { seededRandom } from '../../runtime/sim-network.ts'
import { CUSTOMERS, HOSTS, PIN, type Customer, type Sent, type World } from './world.ts'

export const ATTACKER = 'attacker'

export const parsed = (frame: Uint8Array): ParsedFrame => {
  const result = parseFrame(frame)
  if (!result.ok) throw new Error(`a captured frame does not parse: ${result.failure.code}`)
  return result.value
}
/** The body of a captured frame that travels in the clear. */
export const bodyOf = <K extends KindName>(kind: K, frame: Uint8Array): Body<K> => {
  const { header, bodyBytes } = parsed(frame)
  const body = decodeBody(kind, header.bodyVersion, bodyBytes)
  if (!body.ok) throw new Error(`a captured ${kind}: ${body.failure.code}`)
  return body.value
}
export const kindOf = ({ subject }: Pick<Sent, 'subject'>): KindName => {
  const found = parseSubject(subject)
  if (found === undefined) throw new Error(`not a subject: ${subject}`)
  return found.kind
}

/** Who has keys and credentials of its own, and no node behind it. */
export type Stranger = { readonly id: string; readonly signing: SigningKey; readonly sealing: KeyPair }

/** @param strangers parties beside the hosts of the world, whose keys frames may be sealed with */
type RequestOptions = {
  readonly prId?: Uint8Array
  readonly pin?: string
  readonly expiresAtMs?: number
  /** Default: the customer's own. */
  readonly cpp?: string
  readonly host?: string
  readonly key?: SigningKey
}
export type MadeRequest = {
  readonly prId: Uint8Array
  readonly cpp: string
  /** What the device sealed. */
  readonly inner: Uint8Array
  /** The carrier of its wallet host around it. */
  readonly frame: Uint8Array
}

export const forgery = (world: World, seed: string, strangers: readonly Stranger[] = []) => {
  const { sim } = world
  const party = (id: string): Stranger => strangers.find((one) => one.id === id) ?? sim.host(id).identity
  const random = seededRandom(`forgery ${seed}`)
  const sealer = createSealer(sim.engine, random.bytes)
  const id = (): Uint8Array => random.bytes(16)
  const pinKeys = new Map<string, Uint8Array>()

  const header = (kind: KindName, from: string, to: string, extra: Partial<Header> = {}): Header => ({
    version: ENVELOPE_VERSION,
    networkId: networkIdOf(sim.root.publicKey),
    kind,
    bodyVersion: 1,
    messageId: id(),
    from,
    to,
    sentAtMs: sim.now(),
    expiresAtMs: kindRow(kind).expires ? sim.now() + 60_000 : undefined,
    correlationId: undefined,
    bodyForm: 'plain',
    ...extra,
  })
  const keyOfHost = (host: string): SigningKey => party(host).signing

  /** A frame of the host `from`, over any bytes. `extra` may break the header's own rules. */
  const raw = (kind: KindName, from: string, to: string, bodyBytes: Uint8Array, extra?: Partial<Header>): Uint8Array =>
    sealOne(makeContent(header(kind, from, to, extra), bodyBytes), keyOfHost(from))
  const frame = <K extends KindName>(
    kind: K,
    from: string,
    to: string,
    body: Body<K>,
    extra?: Partial<Header>,
  ): Uint8Array => raw(kind, from, to, encodeBody(kind, body), extra)

  const device = (customer: string): SigningKey => {
    const row = sim.host(HOSTS.customer).host().read.get(deviceSeeds, customer)
    if (row === undefined) throw new Error(`${customer} has no device`)
    return signingKeyFromSeed(sim.engine, row.seed)
  }
  /** A carrier of `host` around a frame, encrypted to the host `to`. */
  const carry = (
    kind: KindName,
    host: string,
    to: string,
    innerFrame: Uint8Array,
    recipient: Uint8Array = party(to).sealing.publicKey,
    beside: Uint8Array | null = null,
  ): Uint8Array => {
    const { expiresAtMs } = parsed(innerFrame).header
    const carrier = header(kind, host, to, { bodyForm: 'encrypted', expiresAtMs })
    return sealOne(makeCarrier(sealer, carrier, { innerFrame, beside }, recipient), keyOfHost(host))
  }

  /** A payment request as the customer's wallet would make it, for any invoice. */
  const paymentRequest = (customer: Customer, trans: Uint8Array, options: RequestOptions = {}): MadeRequest => {
    const { prId = id(), pin = PIN, cpp = CUSTOMERS[customer], host = HOSTS.customer, key } = options
    const name = `${customer} ${cpp} ${pin}`
    const pinKey = pinKeys.get(name) ?? derivePinKeySync(pin, customer, cpp)
    pinKeys.set(name, pinKey)
    const invoice = parsed(trans)
    const body = { prId, trans, pinProof: pinProof(pinKey, invoice.digest, prId) }
    const extra = { expiresAtMs: options.expiresAtMs ?? sim.now() + 60_000 }
    const inner = sealOne(
      makeContent(header('payment-request', customer, cpp, extra), encodeBody('payment-request', body)),
      key ?? device(customer),
    )
    return { prId, cpp, inner, frame: carry('payment-request', host, cpp, inner) }
  }

  /** Puts a frame on the inbox of `toHost`, as if `fromHost` had published it, whatever the broker would say. */
  const put = (toHost: string, kind: KindName, fromHost: string, bytes: Uint8Array): void => {
    const toRole = isGuestToken(toHost) ? 'guest' : sim.host(toHost).identity.role
    sim.network.inject(ATTACKER, formatSubject({ toRole, toHost, kind, fromHost }), bytes)
  }
  return {
    id,
    header,
    raw,
    frame,
    carry,
    device,
    paymentRequest,
    put,
    request: (request: { readonly cpp: string; readonly frame: Uint8Array }): void =>
      put(request.cpp, 'payment-request', HOSTS.customer, request.frame),
    /** The same message as last sent by `from` to `to`, captured on the wire. */
    captured: (kind: KindName, from: string, since = 0): Sent => {
      const found = world.sent.slice(since).findLast((one) => one.from === from && kindOf(one) === kind)
      if (found === undefined) throw new Error(`${from} sent no ${kind}`)
      return found
    },
    replay: ({ subject, data }: Sent): void => sim.network.inject(ATTACKER, subject, data),
    /** An invoice that nobody has paid, for anybody to pay: the payee sent it as a request to pay. */
    invoice: async (
      payee: string,
      amountMinor: string,
      more: { readonly alias?: string; readonly lifetimeMs?: number } = {},
    ): Promise<Uint8Array> => {
      const since = world.sent.length
      const host = realmOf(payee) === 'hu' ? HOSTS.merchant : 'at-shop-1'
      await world.must(host, 'request-payment', { payee, alias: 'hu-alice-pays', amountMinor, ...more })
      const sent = world.sent.slice(since).find((one) => one.from === host && kindOf(one) === 'request-to-pay')
      if (sent === undefined) throw new Error('no request to pay')
      return bodyOf('request-to-pay', sent.data).trans
    },
  }
}
export type Forgery = ReturnType<typeof forgery>

/** The codes of the refusals that this host has sent. */
export const refusalsOf = (sent: readonly Sent[], host: string): readonly string[] =>
  sent
    .filter((one) => one.from === host && kindOf(one) === 'refusal')
    .map(({ data }) => failureCode(bodyOf('refusal', data).code) ?? '')

/** The frame with one bit of the byte at `at` flipped. */
export const flipped = (frame: Uint8Array, at: number): Uint8Array => {
  const copy = frame.slice()
  copy[at] = (copy[at] as number) ^ 1
  return copy
}
/** Where `part` begins in `whole`. */
export const placeOf = (whole: Uint8Array, part: Uint8Array): number => {
  const place = toHex(whole).indexOf(toHex(part)) / 2
  if (!Number.isInteger(place) || place < 0) throw new Error('not a part')
  return place
}
