/**
 * Opening what arrived: the one way from bytes to `Verified<K>`, the only message a decision accepts. The order of checks is
 * design §4.2 and SPEC "Order of checks": size and structure, network and subject, key, seal, credential, kind and version,
 * confidentiality, role, path, addressee, body. Pure: what a node knows arrives as `OpenContext`.
 */
import { equalBytes, toHex } from './bytes.ts'
import { acceptedVersions, decodeBeside, decodeBody } from './codec.ts'
import { openCarrier, type Cargo, type Opener, type SecretOf } from './confidential.ts'
import {
  checkValidity,
  verifyChain,
  verifyMerchantChain,
  type KeyRecord,
  type Trust,
  type VerifiedChain,
} from './credentials.ts'
import { fail, ok, type Failure, type Result } from './failures.ts'
import { isGuestToken, type Role } from './ids.ts'
import { keyIdOf } from './keys.ts'
import { isFinalHop, isHopAllowed, kindRow, type Body, type KINDS, type KindName } from './kinds.ts'
import { parseFrame, parseOwnFrame, verifySeal, type ParsedFrame } from './seals.ts'
import type { Subject } from './subjects.ts'
import type { Sender, Verified } from './verified.ts'
import {
  believing,
  isFallen,
  isVoid,
  remembering,
  voucherOf,
  type NestedContext,
  type VouchedContext,
} from './vouching.ts'

export type OpenContext = NestedContext & {
  readonly self: {
    readonly role: Role
    /** Is this one of the ids that this host answers to: itself, its customers, payees and aliases, its realm's address? */
    isAddressee(to: string): boolean
  }
  /** The role of a host by its id, for the previous hop; undefined when its credential is not known yet. */
  roleOf(host: string): Role | undefined
  readonly opener: Opener
  readonly secretOf: SecretOf
  /**
   * Was this very message taken before? Then its answer is due whether or not a key in it is still known: what it nests was judged when it
   * came, and will not be again. Default: nothing was.
   */
  wasTaken?(kind: KindName, frame: Pick<ParsedFrame, 'header' | 'digest'>, body: Body<KindName>): boolean
}

/** Where the frame came from: three tokens of its subject. */
export type Arrival = Pick<Subject, 'toRole' | 'kind' | 'fromHost'>

/** What is known of a frame that was refused, for the answer, the log, and the fetching of a credential. */
export type About = {
  /** Set once a seal was verified: nobody else is answered. */
  readonly authenticated: boolean
  /** The content that a refusal names: the inner one's as soon as it is readable. */
  readonly digest: Uint8Array | undefined
  readonly header: ParsedFrame['header'] | undefined
  /** With UNKNOWN_KEY: the key, or else the previous hop, whose credential is to be fetched. */
  readonly missing: Missing | undefined
}

/** Whose credential is to be fetched: the key's that sealed the frame, or one nested in it, or the previous hop's. */
export type Missing = {
  /** The frame's originator; undefined for a guest's frame, whose key is its name. */
  readonly id: string | undefined
  readonly keyId?: Uint8Array
}

export type OpenResult =
  | { readonly ok: true; readonly value: Verified }
  | { readonly ok: false; readonly failure: Failure; readonly about: About }

/** Carries the chain of its own key: the kinds that introduce one, and the invoice. */
const showsChain = (kind: KindName): boolean => kindRow(kind).introduces || kind === 'transaction-details'

/** Opens one frame. Failures: every 1xxx, 2xxx and 3xxx code but UNKNOWN_DESTINATION. */
export const openFrame = (bytes: Uint8Array, arrival: Arrival, context: OpenContext): OpenResult => {
  const outer = parseFrame(bytes)
  if (!outer.ok) return { ok: false, failure: outer.failure, about: NOTHING }
  const state: State = { frame: outer.value, authenticated: false, missing: undefined }
  const opened = openParsed(outer.value, arrival, context.self.role === 'guest' ? remembering(context) : context, state)
  if (opened.ok) return opened
  const { frame, authenticated, missing } = state
  return {
    ok: false,
    failure: opened.failure,
    about: { authenticated, digest: frame.digest, header: frame.header, missing },
  }
}

/** Many at once, in order; the frames of one batch share one signature check. */
export const openFrames = (
  items: readonly { readonly bytes: Uint8Array; readonly arrival: Arrival }[],
  context: OpenContext,
): OpenResult[] => items.map(({ bytes, arrival }) => openFrame(bytes, arrival, context))

const NOTHING: About = { authenticated: false, digest: undefined, header: undefined, missing: undefined }

/** How far an opening has come, for the report of its failure. */
type State = { frame: ParsedFrame; authenticated: boolean; missing: Missing | undefined }

type Authenticated = {
  readonly record: KeyRecord
  readonly chain: VerifiedChain | undefined
  /** Where the key stands in the body: the body, so that it is not decoded again. */
  readonly body?: object
}

const openParsed = (outer: ParsedFrame, arrival: Arrival, context: OpenContext, state: State): Result<Verified> => {
  const { trust, self } = context
  const { header } = outer
  if (!equalBytes(header.networkId, trust.networkId)) return fail('WRONG_NETWORK')
  if (arrival.toRole !== self.role) return fail('WRONG_SUBJECT', 'role')
  if (header.kind !== undefined && header.kind !== arrival.kind) return fail('WRONG_SUBJECT', 'kind')

  const late = header.bodyForm === 'encrypted' && header.kind !== undefined && showsChain(header.kind)
  let sender: Authenticated | undefined
  const direct = authenticate(outer, arrival.fromHost, context, state)
  if (direct.ok) {
    sender = direct.value
    state.authenticated = true
  } else if (!late || direct.failure.code !== 'UNKNOWN_KEY') return direct

  const checked = checkKind(outer)
  if (!checked.ok) return checked
  const kind = checked.value
  const { confidential } = kindRow(kind)
  if (confidential !== (header.bodyForm === 'encrypted')) return fail('NOT_CONFIDENTIAL', kind)

  let inner = outer
  let cargo: Cargo | undefined
  if (confidential) {
    const opened = openCarrier(context.opener, context.secretOf, outer.headerBytes, outer.bodyBytes)
    if (!opened.ok) return opened
    cargo = opened.value
    const parsed = parseOwnFrame(cargo.innerFrame)
    if (!parsed.ok) return parsed
    inner = parsed.value
    const original = openInner(inner, outer, kind, sender, context, state)
    if (!original.ok) return original
    sender = original.value
  }
  if (sender === undefined) return fail('UNKNOWN_KEY')
  const { record, chain } = sender

  const hop = checkPath(kind, record, inner, outer, arrival.fromHost, context, state)
  if (!hop.ok) return hop
  const body = bodyOf(kind, inner, sender)
  if (!body.ok) return body
  let beside: unknown
  if (cargo !== undefined && cargo.beside !== null) {
    const decoded = decodeBeside(kind, cargo.beside)
    if (!decoded.ok) return decoded
    beside = decoded.value
  }
  // A data center routes what it does not judge: nothing on its way there depends on what is nested in it.
  const nested =
    self.role === 'dc' && !isFinalHop(kind, record.role, 'dc')
      ? { fields: {}, missing: undefined }
      : openNestedFields(kind, body.value, record, context)
  if (nested.missing !== undefined && self.role !== 'dc' && context.wasTaken?.(kind, inner, body.value) !== true) {
    // Not a verdict on the message: once the credential is fetched, the resend opens.
    state.missing = nested.missing
    return fail('UNKNOWN_KEY', 'of a nested frame')
  }
  return ok(verifiedOf(kind, inner, record, chain, body.value, beside, hop.value.id, nested.fields))
}

const bodyOf = <K extends KindName>(kind: K, frame: ParsedFrame, sender: Authenticated): Result<Body<K>> =>
  sender.body === undefined ? decodeBody(kind, frame.header.bodyVersion, frame.bodyBytes) : ok(sender.body as Body<K>)

/** The one place where a `Verified` is made. */
const verifiedOf = <K extends KindName>(
  kind: K,
  { header, digest, frame }: ParsedFrame,
  record: KeyRecord,
  chain: VerifiedChain | undefined,
  body: Body<K>,
  beside: unknown,
  previousHop: string,
  nested: Readonly<Record<string, unknown>>,
): Verified<K> => {
  const id = typeof header.from === 'string' ? header.from : toHex(header.from)
  const sender: Sender = {
    id,
    role: record.role,
    keyId: record.keyId,
    operatorId: record.operatorId,
    host: record.host,
  }
  const merchant =
    kind === 'transaction-details' && chain !== undefined
      ? { mpp: chain.processor, host: chain.host, payee: chain.payee }
      : undefined
  return {
    kind,
    header: { ...header, kind },
    body,
    beside,
    nested,
    digest,
    frame,
    sender,
    previousHop,
    chain,
    merchant,
  } as unknown as Verified<K>
}

type NestedFields = {
  readonly fields: Readonly<Record<string, unknown>>
  /** The first key that sealed a nested frame and is not known yet. */
  readonly missing: Missing | undefined
}

/**
 * Opens the frames that the registry says a body nests. A bad one is a failure of its own field, not of the message. `sealer`: of the
 * message around them.
 */
const openNestedFields = (kind: KindName, body: object, sealer: KeyRecord, outer: NestedContext): NestedFields => {
  const fields: Record<string, unknown> = {}
  const state = { missing: undefined as Missing | undefined }
  const context: VouchedContext = { ...outer, voucher: voucherOf(sealer, body) }
  for (const [field, kinds] of Object.entries(kindRow(kind).nests)) {
    const value = (body as Readonly<Record<string, unknown>>)[field]
    const open = (frame: Uint8Array): Result<Verified> =>
      openNestedFrame(frame, kinds as readonly KindName[], context, state)
    if (value instanceof Uint8Array) fields[field] = open(value)
    else if (Array.isArray(value)) fields[field] = value.map(open)
  }
  return { fields, missing: state.missing }
}

/** The original message inside a carrier: of the same kind, in the clear, made by the carrier's host or one it carries. */
const openInner = (
  inner: ParsedFrame,
  outer: ParsedFrame,
  kind: KindName,
  carrier: Authenticated | undefined,
  context: OpenContext,
  state: State,
): Result<Authenticated> => {
  if (!equalBytes(inner.header.networkId, context.trust.networkId)) return fail('WRONG_NETWORK')
  if (inner.header.kind !== kind) return fail('WRONG_SUBJECT', 'carrier and inner frame differ in kind')
  if (inner.header.bodyForm !== 'plain') return fail('NOT_CONFIDENTIAL', 'a carrier inside a carrier')
  const checked = checkKind(inner)
  if (!checked.ok) return checked
  // A guest has no host that could carry it.
  if (typeof inner.header.from !== 'string') return fail('WRONG_ROLE', 'a guest sends nothing confidential')
  const original = authenticate(inner, inner.header.from, context, state)
  if (!original.ok) {
    // A customer's key stands in no directory: to ask for it would tell the data center who pays.
    if (inner.header.from !== outer.header.from) state.missing = undefined
    return original
  }
  state.frame = inner
  const { record } = original.value
  if (carrier === undefined) {
    // The carrier's key was unknown, but the body has just introduced its sender.
    if (!equalBytes(outer.seal.keyId, record.keyId)) {
      state.missing = missingOf(outer)
      return fail('UNKNOWN_KEY')
    }
    if (outer.header.from !== record.owner) return fail('KEY_NOT_OF_SENDER')
    const sealed = verifySeal(outer, record, context.trust)
    if (!sealed.ok) return sealed
    const valid = checkValidity(record, outer.header.sentAtMs)
    if (!valid.ok) return valid
    state.authenticated = true
  }
  return record.host === outer.header.from ? original : fail('KEY_NOT_OF_SENDER', 'the carrier is of another host')
}

const missingOf = ({ header, seal }: ParsedFrame): Missing => ({
  id: typeof header.from === 'string' ? header.from : undefined,
  keyId: seal.keyId,
})

/** Who sealed this: finds the key, then seal, revocation and validity. `guestHost` is where a guest's frame came from. */
const authenticate = (
  parsed: ParsedFrame,
  guestHost: string,
  context: VouchedContext,
  state: State | undefined,
): Result<Authenticated> => {
  const { trust } = context
  const { header } = parsed
  const found = findKey(parsed, guestHost, context)
  if (!found.ok) {
    if (found.failure.code === 'UNKNOWN_KEY' && state !== undefined) state.missing = missingOf(parsed)
    return found
  }
  const { record } = found.value
  if (typeof header.from === 'string' && record.owner !== header.from) return fail('KEY_NOT_OF_SENDER')
  const sealed = verifySeal(parsed, record, trust)
  if (!sealed.ok) return sealed
  if (isVoid(record, context)) return fail('CREDENTIAL_REVOKED', record.owner)
  const valid = trust.isPast(record.notAfterMs)
    ? fail('CREDENTIAL_EXPIRED', record.owner)
    : checkValidity(record, header.sentAtMs)
  if (!valid.ok) {
    // The seal did verify: its owner may be told that the credential is out of date.
    if (state !== undefined) state.authenticated = true
    return valid
  }
  return found
}

const findKey = (parsed: ParsedFrame, guestHost: string, context: VouchedContext): Result<Authenticated> => {
  const { header, seal } = parsed
  if (typeof header.from !== 'string') return guestKey(header.from, seal.keyId, guestHost, context.trust)
  if (header.kind !== undefined && header.bodyForm === 'plain' && showsChain(header.kind))
    return shownKey(parsed, header.kind, context)
  if (header.kind === 'request-to-pay' && header.bodyForm === 'plain') return requesterKey(parsed, context)
  const record = context.lookupKey(seal.keyId, header.from)
  if (record === undefined && header.kind === 'credential-record' && header.bodyForm === 'plain')
    return answeredKey(parsed, context)
  if (record === undefined) return fail('UNKNOWN_KEY')
  if (record === 'revoked') return fail('CREDENTIAL_REVOKED')
  // Only the key that certified it is revoked: it may have been certified anew, so its chain is asked for.
  if (isFallen(record, context)) return fail('UNKNOWN_KEY')
  return ok({ record, chain: undefined })
}

/** A guest's key is its name; it is used for one purchase or one batch of purchases. */
const guestKey = (publicKey: Uint8Array, keyId: Uint8Array, host: string, { engine }: Trust): Result<Authenticated> => {
  if (!engine.ed25519.checkPublicKey(publicKey)) return fail('BAD_KEY')
  if (!equalBytes(keyIdOf('ed25519', publicKey), keyId)) return fail('KEY_NOT_OF_SENDER')
  return ok({
    record: {
      keyId,
      algorithm: 'ed25519',
      publicKey,
      owner: '',
      role: 'guest',
      operatorId: undefined,
      host,
      sealingKey: null,
      notBeforeMs: 0,
      notAfterMs: Number.MAX_SAFE_INTEGER,
      issuerKeyId: undefined,
      issuer: undefined,
      serial: 0,
    },
    chain: undefined,
  })
}

/** The key that the body's own chain certifies; the seal is verified with it afterwards. */
const shownKey = (parsed: ParsedFrame, kind: KindName, { trust }: NestedContext): Result<Authenticated> => {
  const { header, seal } = parsed
  const versions = checkKind(parsed)
  if (!versions.ok) return versions
  const found =
    kind === 'transaction-details' ? invoiceKey(parsed, trust) : introducedKey(parsed, kind as Introducing, trust)
  if (!found.ok) return found
  if (!equalBytes(found.value.record.keyId, seal.keyId)) return fail('KEY_NOT_OF_SENDER', String(header.from))
  return found
}

/** A wallet host knows no merchant host and no directory knows a wallet host: the invoice inside shows the asker's chain. */
const requesterKey = (parsed: ParsedFrame, { trust, lookupKey }: NestedContext): Result<Authenticated> => {
  const versions = checkKind(parsed)
  if (!versions.ok) return versions
  const body = decodeBody('request-to-pay', parsed.header.bodyVersion, parsed.bodyBytes)
  if (!body.ok) return body
  const invoice = parseOwnFrame(body.value.trans)
  if (!invoice.ok) return invoice
  if (invoice.value.header.kind !== 'transaction-details') return fail('SCHEMA_VIOLATION', 'no invoice inside')
  const found = invoiceKey(invoice.value, trust)
  if (found.ok && equalBytes(found.value.record.keyId, parsed.seal.keyId))
    return ok({ record: found.value.record, chain: undefined })
  // The invoice is as it was made; the request around it is sealed anew at each send, after a rotation with another key.
  const record = lookupKey(parsed.seal.keyId, String(parsed.header.from))
  if (!found.ok) {
    // An invoice whose chain is no good any more is the asker's to be told of, where the asker is known without it.
    const isKnown = typeof record === 'object' && !trust.isRevoked(record.issuerKeyId ?? record.keyId)
    return isKnown ? ok({ record, chain: undefined }) : found
  }
  if (record === 'revoked') return fail('CREDENTIAL_REVOKED')
  if (record !== undefined && record.owner !== found.value.record.owner)
    return fail('KEY_NOT_OF_SENDER', String(parsed.header.from))
  return record === undefined ? fail('UNKNOWN_KEY') : ok({ record, chain: undefined })
}

/**
 * A data center that has a new key is asked for that key's credential, and its answer is sealed with it: the chain in the body
 * is as good there as in an introduction. Any other chain leaves the key unknown.
 */
const answeredKey = (parsed: ParsedFrame, { trust }: NestedContext): Result<Authenticated> => {
  const { header, seal, bodyBytes } = parsed
  const versions = checkKind(parsed)
  const body = versions.ok ? decodeBody('credential-record', header.bodyVersion, bodyBytes) : versions
  const chain = body.ok ? verifyChain(trust, body.value.chain, header.sentAtMs) : body
  if (!chain.ok || chain.value.hostKey !== undefined) return fail('UNKNOWN_KEY')
  const { processorKey } = chain.value
  return equalBytes(processorKey.keyId, seal.keyId)
    ? ok({ record: processorKey, chain: chain.value })
    : fail('UNKNOWN_KEY')
}

const invoiceKey = ({ header, bodyBytes }: ParsedFrame, trust: Trust): Result<Authenticated> => {
  const body = decodeBody('transaction-details', header.bodyVersion, bodyBytes)
  if (!body.ok) return body
  const merchant = verifyMerchantChain(trust, body.value.chain, body.value.payee, header.sentAtMs)
  if (!merchant.ok) return merchant
  const { hostKey, chain } = merchant.value
  return ok({ record: hostKey, chain, body: body.value })
}

type Introducing = { [K in KindName]: (typeof KINDS)[K]['introduces'] extends true ? K : never }[KindName]

const introducedKey = ({ header, bodyBytes }: ParsedFrame, kind: Introducing, trust: Trust): Result<Authenticated> => {
  const body = decodeBody(kind, header.bodyVersion, bodyBytes)
  if (!body.ok) return body
  const chain = verifyChain(trust, body.value.chain, header.sentAtMs)
  if (!chain.ok) return chain
  const { processorKey, hostKey } = chain.value
  const record =
    kind === 'host-registration'
      ? hostKey
      : kind === 'processor-registration'
        ? processorKey
        : (hostKey ?? processorKey)
  return record === undefined
    ? fail('BROKEN_CHAIN', 'the host credential is missing')
    : ok({ record, chain: chain.value, body: body.value })
}

/** UNKNOWN_KIND, or UNSUPPORTED_VERSION with the list of those accepted. */
const checkKind = ({ header }: ParsedFrame): Result<KindName> => {
  const { kind, kindNumber, bodyVersion } = header
  if (kind === undefined) return fail('UNKNOWN_KIND', String(kindNumber))
  const accepted = acceptedVersions(kind)
  return accepted.includes(bodyVersion)
    ? ok(kind)
    : fail('UNSUPPORTED_VERSION', `${kind} body version ${bodyVersion}; accepted: ${accepted.join(' ')}`)
}

/** WRONG_ROLE, WRONG_PATH, WRONG_ADDRESSEE; UNKNOWN_KEY when the previous hop is not known yet. → the previous hop. */
const checkPath = (
  kind: KindName,
  record: KeyRecord,
  inner: ParsedFrame,
  outer: ParsedFrame,
  fromHost: string,
  { self, roleOf }: OpenContext,
  state: State,
): Result<{ readonly id: string; readonly role: Role }> => {
  if (!mayOriginate(kind, record.role)) return fail('WRONG_ROLE', `${record.role} may not send ${kind}`)
  const role = fromHost === record.host ? record.role : isGuestToken(fromHost) ? 'guest' : roleOf(fromHost)
  if (role === undefined) {
    state.missing = { id: fromHost }
    return fail('UNKNOWN_KEY', 'of the previous hop')
  }
  // A login of role guest is a token, and nothing else is.
  if ((record.role === 'guest') !== isGuestToken(fromHost)) return fail('WRONG_PATH', 'guest')
  if (!isHopAllowed(kind, record.role, role, self.role))
    return fail('WRONG_PATH', `${kind} from ${role} to ${self.role}`)
  // No path comes back to its originator's role, so a hop of that role can only be the originator itself.
  if (role === record.role && fromHost !== record.host) return fail('WRONG_PATH', 'not from the originator')
  if (
    isFinalHop(kind, record.role, self.role) &&
    !(self.isAddressee(inner.header.to) && self.isAddressee(outer.header.to))
  )
    return fail('WRONG_ADDRESSEE')
  return ok({ id: fromHost, role })
}

const mayOriginate = (kind: KindName, role: Role): boolean => kindRow(kind).paths.some((path) => path[0] === role)

/**
 * Opens a frame that is nested in a body: structure, network, kind, key, seal, credential, role and body; not path and not
 * addressee. Keys that the surrounding message names but the node does not hold are given by {@link withKeys}.
 */
export const openNested = <K extends KindName>(
  bytes: Uint8Array,
  expected: readonly K[],
  context: NestedContext,
): Result<Verified<K>> => openNestedFrame(new Uint8Array(bytes), expected, context, { missing: undefined })

const openNestedFrame = <K extends KindName>(
  bytes: Uint8Array,
  expected: readonly K[],
  context: VouchedContext,
  state: { missing: Missing | undefined },
): Result<Verified<K>> => {
  const parsed = parseOwnFrame(bytes)
  if (!parsed.ok) return parsed
  const frame = parsed.value
  if (!equalBytes(frame.header.networkId, context.trust.networkId)) return fail('WRONG_NETWORK', 'nested')
  const kind = expected.find((one) => one === frame.header.kind)
  if (kind === undefined) return fail('SCHEMA_VIOLATION', `the nested frame is no ${expected.join(' or ')}`)
  if (frame.header.bodyForm !== 'plain') return fail('NOT_CONFIDENTIAL', 'a nested frame is in the clear')
  const sender = authenticate(frame, '', believing(remembering(context), frame.header.sentAtMs), undefined)
  if (!sender.ok) {
    if (sender.failure.code === 'UNKNOWN_KEY') state.missing ??= missingOf(frame)
    return sender
  }
  const checked = checkKind(frame)
  if (!checked.ok) return checked
  const { record, chain } = sender.value
  if (!mayOriginate(kind, record.role)) return fail('WRONG_ROLE', `${record.role} may not send ${kind}`)
  const body = bodyOf(kind, frame, sender.value)
  if (!body.ok) return body
  const nested = openNestedFields(kind, body.value, record, context)
  state.missing ??= nested.missing
  return ok(verifiedOf(kind, frame, record, chain, body.value, undefined, record.host, nested.fields))
}
