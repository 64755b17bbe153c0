// An MPP that shares no code with this project: plain JavaScript, the NATS client, node:crypto, and BLAKE2b-256 from a library,
// since node:crypto has it at 64 bytes only. Written from protocol/SPEC.md and given one credentials file, it registers, certifies
// a merchant host and a payee with its own key, sends an invoice to an alias, and takes the payment. One JSON line an event.
//
//   node foreign-processor.mjs --creds acme.creds [--alias hu-alice-pays --amount 120] [--key-of other.creds]
//
// `--key-of` logs in with one file and seals with the key of the other: nobody must believe it.
import { createPrivateKey, createPublicKey, randomBytes, sign, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { blake2b } from '@noble/hashes/blake2.js'
import { connect, jwtAuthenticator } from 'nats'

// --- bytes and msgpack (SPEC 3): the types that frames use, and no others ---

/** @typedef {null | number | bigint | string | Uint8Array | Value[] | { [field: string]: Value }} Value */
/** @typedef {{ [field: string]: any }} Fields Decoded; whoever reads it checks. */

const hex = (/** @type {Uint8Array} */ bytes) => Buffer.from(bytes).toString('hex')
const unhex = (/** @type {string} */ text) => new Uint8Array(Buffer.from(text, 'hex'))
const utf8 = (/** @type {string} */ text) => new TextEncoder().encode(text)
const concat = (/** @type {(Uint8Array | number[])[]} */ ...parts) =>
  new Uint8Array(Buffer.concat(parts.map((part) => Uint8Array.from(part))))
const same = (/** @type {Uint8Array} */ a, /** @type {Uint8Array} */ b) => Buffer.compare(a, b) === 0
const u32be = (/** @type {number} */ value) => concat(Buffer.from([value >>> 24, value >>> 16, value >>> 8, value]))
const u64be = (/** @type {bigint} */ value) => unhex(value.toString(16).padStart(16, '0'))

/** @type {(value: Value) => Uint8Array} */
const pack = (value) => {
  if (value === null) return concat([0xc0])
  if (typeof value === 'number' && value < 0x1_0000_0000)
    return value < 128 ? new Uint8Array([value]) : concat([0xce], u32be(value))
  if (typeof value === 'number' || typeof value === 'bigint') return concat([0xcf], u64be(BigInt(value)))
  if (typeof value === 'string') {
    const text = utf8(value)
    if (text.length < 256) return concat(text.length < 32 ? [0xa0 | text.length] : [0xd9, text.length], text)
    return concat([0xdb], u32be(text.length), text)
  }
  if (value instanceof Uint8Array) return concat([0xc6], u32be(value.length), value)
  if (Array.isArray(value)) return concat([0xdd], u32be(value.length), ...value.map(pack))
  const fields = Object.entries(value)
  return concat([0xdf], u32be(fields.length), ...fields.flatMap(([key, item]) => [pack(key), pack(item)]))
}

/** @type {(bytes: Uint8Array) => any} */
const unpack = (bytes) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 0
  const size = (/** @type {1 | 2 | 4} */ width) => {
    const value = width === 1 ? view.getUint8(at) : width === 2 ? view.getUint16(at) : view.getUint32(at)
    at += width
    return value
  }
  const take = (/** @type {number} */ length) => bytes.slice(at, (at += length))
  const text = (/** @type {number} */ length) => new TextDecoder('utf-8', { fatal: true }).decode(take(length))
  const list = (/** @type {number} */ length) => Array.from({ length }, () => read())
  const map = (/** @type {number} */ length) => Object.fromEntries(Array.from({ length }, () => [read(), read()]))
  const big = (/** @type {bigint} */ value) => ((at += 8), value)
  /** @returns {Value} */
  const read = () => {
    const tag = size(1)
    if (tag < 0x80) return tag
    if (tag < 0x90) return map(tag & 15)
    if (tag < 0xa0) return list(tag & 15)
    if (tag < 0xc0) return text(tag & 31)
    if (tag >= 0xe0) return tag - 256
    const width = /** @type {const} */ ([1, 2, 4])[tag - (tag >= 0xd9 ? 0xd9 : tag >= 0xcc ? 0xcc : 0xc4)] ?? 4
    if (tag === 0xc0) return null
    if (tag >= 0xc4 && tag <= 0xc6) return take(size(width))
    if (tag >= 0xcc && tag <= 0xce) return size(width)
    if (tag === 0xcf) return big(view.getBigUint64(at))
    if (tag === 0xd3) return big(view.getBigInt64(at))
    if (tag >= 0xd9 && tag <= 0xdb) return text(size(width))
    if (tag === 0xdc || tag === 0xdd) return list(size(tag === 0xdc ? 2 : 4))
    if (tag === 0xde || tag === 0xdf) return map(size(tag === 0xde ? 2 : 4))
    throw new Error(`msgpack tag ${tag}`)
  }
  const value = read()
  if (at !== bytes.length) throw new Error('bytes after the end')
  return value
}

// --- keys, credentials, seals (SPEC 3 and 4) ---

const H = (/** @type {(Uint8Array | number[])[]} */ ...parts) => blake2b(concat(...parts), { dkLen: 32 })
const der = {
  private: '302e020100300506032b657004220420',
  public: '302a300506032b6570032100',
  x: '302e020100300506032b656e04220420',
}
const privateKey = (/** @type {Uint8Array} */ seed, prefix = der.private) =>
  createPrivateKey({ key: Buffer.concat([Buffer.from(prefix, 'hex'), seed]), format: 'der', type: 'pkcs8' })
const publicOf = (/** @type {Uint8Array} */ seed, prefix = der.private) =>
  new Uint8Array(createPublicKey(privateKey(seed, prefix)).export({ format: 'der', type: 'spki' }).subarray(-32))
const keyIdOf = (/** @type {Uint8Array} */ key) => H(utf8('ed25519'), key).slice(0, 16)
const domain = (/** @type {string} */ text) => concat([0xff], utf8(text), [0])

/** @typedef {{ keyId: Uint8Array, publicKey: Uint8Array, sign: (message: Uint8Array) => Uint8Array }} Key */
/** @type {(seed: Uint8Array) => Key} */
const keyOf = (seed) => {
  const publicKey = publicOf(seed)
  return {
    publicKey,
    keyId: keyIdOf(publicKey),
    sign: (message) => new Uint8Array(sign(null, message, privateKey(seed))),
  }
}
/** Every key comes from a chain whose issuer has checked it, so the signature alone is judged here. */
const verifies = (
  /** @type {Uint8Array} */ signature,
  /** @type {Uint8Array} */ message,
  /** @type {Uint8Array} */ key,
) =>
  verify(
    null,
    message,
    createPublicKey({ key: Buffer.concat([Buffer.from(der.public, 'hex'), key]), format: 'der', type: 'spki' }),
    signature,
  )

const CREDENTIAL = domain('semops/1 credential')
const SEAL_1 = domain('semops/1 seal-1')
const CTX = concat(utf8('semops/1 seal-2'), [0])

/** @type {(statement: { [field: string]: Value }, key: Key) => Uint8Array} */
const certify = (statement, key) => {
  const payload = pack(statement)
  return pack([payload, key.keyId, key.sign(concat(CREDENTIAL, payload))])
}
/** The statement of a processor's credential, if the root signed it. @type {(bytes: Uint8Array, rootKey: Uint8Array) => Fields} */
const processorOf = (bytes, rootKey) => {
  const [payload, keyId, signature] = unpack(bytes)
  if (!same(keyId, keyIdOf(rootKey)) || !verifies(signature, concat(CREDENTIAL, payload), rootKey))
    throw new Error('a credential that the root did not sign')
  return unpack(payload)
}

const contentOf = (/** @type {Uint8Array} */ header, /** @type {Uint8Array} */ body) =>
  concat(u32be(header.length), header, u32be(body.length), body)

/** @type {(seal: any[], content: Uint8Array, key: Uint8Array) => boolean} */
const sealHolds = (seal, content, key) => {
  if (seal[0] === 1) return verifies(seal[2], concat(SEAL_1, content), key)
  const [form, keyId, batchId, index, count, salt, path, signature] = seal
  if (form !== 2 || index >= count || count > 1024) return false
  let node = H([0], CTX, batchId, u32be(index), salt, H(content))
  let at = 0
  let place = index
  let width = count
  for (let level = 1; width > 1; level++, place >>= 1, width = (width + 1) >> 1) {
    // The last of an odd level rises as it is.
    if (place === width - 1 && width % 2 === 1) continue
    const sibling = path.subarray(at, (at += 32))
    const pair = place % 2 === 0 ? [node, sibling] : [sibling, node]
    node = H([1], CTX, batchId, [level], u32be(place >> 1), ...pair)
  }
  const signed = concat([0xff], CTX, batchId, u32be(count), keyId, node)
  return at === path.length && verifies(signature, signed, key)
}

// --- what was given ---

const { values: options } = parseArgs({
  options: {
    creds: { type: 'string' },
    alias: { type: 'string' },
    amount: { type: 'string' },
    'key-of': { type: 'string' },
  },
})
const readCreds = (/** @type {string} */ path) => JSON.parse(readFileSync(path, 'utf8'))
const creds = readCreds(options.creds ?? '')
const sealer = options['key-of'] === undefined ? creds : readCreds(options['key-of'])
const rootKey = unhex(creds.rootKey)
const networkId = H(rootKey).slice(0, 16)
const own = keyOf(unhex(sealer.signingSeed))
const ownChain = sealer.chains[0].map(unhex)
const self = creds.host
const say = (/** @type {string} */ event, /** @type {object} */ facts = {}) =>
  process.stdout.write(`${JSON.stringify({ event, ...facts })}\n`)

// Numbers of kinds (SPEC 8).
const KIND = {
  'transaction-details': 2,
  'request-to-pay': 5,
  'payment-notice': 11,
  'payment-decision': 12,
  'countersigned-decision': 13,
  'delayed-transfer-confirmation': 18,
  'payment-outcome': 19,
  'processor-registration': 40,
  'payee-registration': 41,
  'credential-query': 45,
  'credential-record': 46,
  receipt: 100,
  refusal: 101,
}
const TRANSIENT = new Set([2002, 3005, 4003, 5001, 5002, 5003, 8001])
/** @typedef {keyof typeof KIND} Kind */

/** @typedef {{ frame: Uint8Array, digest: Uint8Array }} Made */
/** @type {(kind: Kind, to: string, body: { [field: string]: Value }, options?: { from?: string, key?: Key, expiresAtMs?: number }) => Made} */
const make = (kind, to, body, { from = self, key = own, expiresAtMs } = {}) => {
  const expiry = expiresAtMs ?? null
  const header = pack([1, networkId, KIND[kind], 1, randomBytes(16), from, to, Date.now(), expiry, null, 0])
  const packed = pack(body)
  const content = contentOf(header, packed)
  return { frame: pack([header, packed, [1, key.keyId, key.sign(concat(SEAL_1, content))]]), digest: H(content) }
}

// --- the bus (SPEC 5) ---

const nc = await connect({
  servers: creds.login.servers,
  authenticator: jwtAuthenticator(creds.login.jwt, utf8(creds.login.seed)),
  ...(creds.login.ca === undefined ? {} : { tls: { ca: creds.login.ca } }),
})
const watchErrors = async () => {
  for await (const { type, permissionContext } of /** @type {AsyncIterable<Fields>} */ (nc.status()))
    if (type === 'error' && permissionContext !== undefined) {
      say('broker-refused', { operation: permissionContext.operation, subject: permissionContext.subject })
      process.exit(3)
    }
}
void watchErrors()

const realmAddress = creds.realmAddress
const publish = (/** @type {Kind} */ kind, /** @type {string} */ toHost, /** @type {Made} */ { frame }) =>
  nc.publish(`semops.v1.dc.${toHost}.${kind}.${self}`, frame)

/** keyId → the processor whose key it is: the data centers from the start, others as they are learned. @type {Map<string, Fields>} */
const known = new Map()
const learn = (/** @type {Uint8Array} */ credential) => {
  const processor = processorOf(credential, rootKey)
  known.set(hex(keyIdOf(processor.signingKey)), processor)
}
for (const chain of creds.trusted) learn(unhex(chain[0]))
if (options['key-of'] === undefined) learn(ownChain[0])

/** @typedef {{ kind: number, from: string, body: Fields, digest: Uint8Array, frame: Uint8Array }} Opened */
/** Opens a frame, or asks who its key is: then it is sent again. @type {(data: Uint8Array) => Opened | undefined} */
const openFrame = (data) => {
  const [header, body, seal] = unpack(data)
  const [version, network, kind, bodyVersion, , from] = unpack(header)
  if (version !== 1 || bodyVersion !== 1 || !same(network, networkId)) return undefined
  const sender = known.get(hex(seal[1]))
  if (sender === undefined) {
    const query = { id: from, keyId: seal[1], chain: ownChain }
    publish('credential-query', realmAddress, make('credential-query', realmAddress, query))
    return undefined
  }
  const content = contentOf(header, body)
  if (sender.id !== from || !sealHolds(seal, content, sender.signingKey)) return undefined
  return { kind, from, body: unpack(body), digest: H(content), frame: data }
}

/** @type {Map<string, (opened: Opened) => void>} */
const waiting = new Map()
/** Sends, again every second, until what answers it has come. @type {(send: () => void, answer: string) => Promise<Opened>} */
const until = async (send, answer) => {
  const answered = new Promise((/** @type {(opened: Opened) => void} */ resolve) => waiting.set(answer, resolve))
  send()
  const again = setInterval(send, 1_000)
  const opened = await answered
  clearInterval(again)
  waiting.delete(answer)
  return opened
}
const onFrame = (/** @type {Opened} */ opened) => {
  const { kind, body, from } = opened
  if (kind === KIND['credential-record']) return learn(body.chain[0])
  if (kind === KIND.refusal) {
    say('refused', { code: body.code, detail: body.detail, by: from })
    // What is transient (SPEC 9) ends nothing: the message is sent again.
    return TRANSIENT.has(body.code) ? undefined : process.exit(4)
  }
  if (kind === KIND.receipt) return waiting.get(`receipt ${hex(body.digest)}`)?.(opened)
  if (kind === KIND['payment-notice']) return waiting.get('notice')?.(opened)
  if (kind === KIND['delayed-transfer-confirmation'] || kind === KIND['payment-outcome'])
    return waiting.get(`end ${hex(body.pnId)}`)?.(opened)
}
for (const subject of creds.subjects.subscribe)
  nc.subscribe(subject, {
    callback: (error, message) => {
      const opened = error === null ? openFrame(message.data) : undefined
      if (opened !== undefined) onFrame(opened)
    },
  })
await nc.flush()

// --- registration (kind 40) ---

const accepts = [KIND['payment-notice'], KIND['delayed-transfer-confirmation'], KIND.receipt].map((kind) => ({
  kind,
  versions: [1],
}))
for (const dc of creds.dataCenters) {
  const body = { registrationId: randomBytes(16), version: Date.now(), chain: ownChain, accepts }
  const registration = make('processor-registration', dc, body, { from: sealer.host })
  const send = () => publish('processor-registration', dc, registration)
  const receipt = await until(send, `receipt ${hex(registration.digest)}`)
  say('registered', { host: sealer.host, at: receipt.from })
}

// --- a merchant host and a payee of its own (kinds 41, 2, 5), then the payment (kinds 11, 12, 13, 18) ---

if (options.alias !== undefined) {
  const { alias } = options
  const amountMinor = BigInt(options.amount ?? '100')
  const stand = keyOf(randomBytes(32))
  const host = `${self}-stand`
  const payee = `${self}-fruit`
  const day = 86_400_000
  const hostCredential = certify(
    {
      type: 'host',
      networkId,
      id: host,
      role: 'merchant',
      algorithm: 'ed25519',
      signingKey: stand.publicKey,
      sealingKey: publicOf(randomBytes(32), der.x),
      notBeforeMs: Date.now() - day,
      notAfterMs: Date.now() + day,
      serial: 1,
    },
    own,
  )
  const { account, currency } = creds.account
  const payeeCredential = certify(
    { type: 'payee', networkId, payee, host, account, currency, payeeKind: 'shop', displayName: 'Fruit', serial: 1 },
    own,
  )
  const chain = [ownChain[0], hostCredential, payeeCredential]
  for (const dc of creds.dataCenters) {
    const body = { registrationId: randomBytes(16), payee, version: Date.now(), state: 'active', host, chain }
    const listing = make('payee-registration', dc, body)
    await until(() => publish('payee-registration', dc, listing), `receipt ${hex(listing.digest)}`)
    say('payee-registered', { payee, at: dc })
  }

  const description = 'a kilo of apples'
  const salt = randomBytes(16)
  const txId = randomBytes(16)
  const invoice = {
    txId,
    payee,
    amountMinor,
    currency,
    descriptionHash: H(salt, utf8(description)),
    nonce: randomBytes(16),
    chain,
  }
  const merchant = { from: host, key: stand }
  const trans = make('transaction-details', alias, invoice, { ...merchant, expiresAtMs: Date.now() + 120_000 })
  const asked = { requestId: randomBytes(16), alias, trans: trans.frame, description, salt }
  const request = make('request-to-pay', alias, asked, merchant)
  const notices = new Promise((/** @type {(opened: Opened) => void} */ resolve) => waiting.set('notice', resolve))
  await until(() => publish('request-to-pay', realmAddress, request), `receipt ${hex(request.digest)}`)
  say('request-receipted', { txId: hex(txId), requestId: hex(asked.requestId) })

  const notice = await notices
  const { pnId, mode } = notice.body
  if (!same(notice.body.trans, trans.frame) || notice.body.payee !== payee)
    throw new Error('a notice of something else')
  say('notice', { pnId: hex(pnId), txId: hex(txId), mode, from: notice.from })

  const noticeDigest = notice.digest
  const approve = { pnId, payee, noticeDigest, decision: 'approve' }
  const decision = make('payment-decision', self, { ...approve, txId }, merchant)
  const counter = make('countersigned-decision', notice.from, { ...approve, merchantDecision: decision.frame })
  const end = await until(() => publish('countersigned-decision', realmAddress, counter), `end ${hex(pnId)}`)
  if (end.kind !== KIND['delayed-transfer-confirmation'] || end.from !== notice.from) throw new Error('not confirmed')
  say('confirmed', { pnId: hex(pnId), amountMinor: String(end.body.amountMinor), pairSeq: end.body.pairSeq })
}
await nc.drain()
