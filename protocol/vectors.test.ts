/** The golden bytes, read and judged with nothing but the files: what an implementation in another language would do. */
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Currency } from './amount.ts'
import { auditEvidence } from './audit.ts'
import { equalBytes, fromHex, toHex } from './bytes.ts'
import { decodeBody, encodeBody } from './codec.ts'
import { createOpener, createSealer, openCarrier } from './confidential.ts'
import {
  createTrust,
  verifyChain,
  verifyMandate,
  verifyMerchantChain,
  verifyRevocationList,
  type KeyRecord,
} from './credentials.ts'
import type { Engine } from './engines/engine.ts'
import { nativeEngine, portableEngine } from './engines/load.ts'
import { encodeHeader, parseHeader } from './envelope.ts'
import { FAILURES, type FailureCode } from './failures.ts'
import { hash } from './hash.ts'
import type { Role } from './ids.ts'
import { keyIdOf, networkIdOf } from './keys.ts'
import type { KindName } from './kinds.ts'
import {
  appendLeaf,
  batchHash,
  EMPTY_RANGE,
  pairEntryLeaf,
  rangeRoot,
  verifyLeaf,
  type PairEntryType,
} from './mountain-range.ts'
import { openFrame, type Arrival, type OpenContext } from './open.ts'
import { derivePinKeySync, deviceReplacementSubject, isPinProof, pinChangeSubject, pinProof } from './pin.ts'
import { parseFrame } from './seals.ts'
import { formatSubject, parseSubject, type Subject } from './subjects.ts'
import { show, type Json } from './testing/make-vectors.ts'

const folder = new URL('./vectors/', import.meta.url)
const read = (name: string): unknown => JSON.parse(readFileSync(new URL(name, folder), 'utf8'))

type Hex = string
type NetworkFile = {
  readonly rootKey: Hex
  readonly rootKeyId: Hex
  readonly networkId: Hex
  readonly nowMs: number
  readonly hosts: readonly {
    readonly id: string
    readonly role: Role
    readonly keyId: Hex
    readonly signingSeed: Hex
    readonly signingKey: Hex
    readonly chain: readonly Hex[]
  }[]
  readonly customers: readonly { readonly id: string; readonly keyId: Hex; readonly chain: readonly Hex[] }[]
  readonly receivers: {
    readonly [name: string]: {
      readonly role: Role
      readonly answersTo: readonly string[]
      readonly sealingSecrets: readonly Hex[]
    }
  }
}
type ValidFrame = {
  readonly name: string
  readonly as: string
  readonly arrival: Arrival
  readonly frame: Hex
  readonly innerFrame?: Hex
  readonly sealForm: number
  readonly digest: Hex
  readonly originator: Json
  readonly header: Json & { readonly kind: KindName }
  readonly body: Json
  readonly beside?: Json
}
type InvalidFrame = {
  readonly name: string
  readonly code: FailureCode
  readonly as: string
  readonly arrival: Arrival
  readonly frame?: Hex
  readonly zeros?: number
  readonly revoked?: readonly Hex[]
}

const file = read('network.json') as NetworkFile
const frames = read('frames.json') as {
  readonly frames: readonly ValidFrame[]
  readonly rsa: { readonly credential: Hex; readonly frame: Hex; readonly digest: Hex; readonly publicKey: Hex }
}
const invalid = (read('invalid.json') as { readonly frames: readonly InvalidFrame[] }).frames
const bytesOf = (list: readonly Hex[]): Uint8Array[] => list.map(fromHex)

const recordsOf = new Map<Engine, ReadonlyMap<Hex, KeyRecord>>()

/** Every key of network.json, from its chain. */
const knownKeys = (engine: Engine): ReadonlyMap<Hex, KeyRecord> => {
  const known = recordsOf.get(engine)
  if (known !== undefined) return known
  const reader = createTrust(engine, fromHex(file.rootKey))
  const records = new Map<Hex, KeyRecord>()
  for (const { chain } of [...file.hosts, ...file.customers, { chain: [frames.rsa.credential] }]) {
    const verified = verifyChain(reader, bytesOf(chain), file.nowMs)
    if (!verified.ok) throw new Error(verified.failure.code)
    const record = verified.value.enrolmentKey ?? verified.value.hostKey ?? verified.value.processorKey
    records.set(toHex(record.keyId), record)
  }
  recordsOf.set(engine, records)
  return records
}

/** A receiver of network.json; what it knows to be revoked it learned while that was good. */
const receiver = (engine: Engine, name: string, revoked: readonly Hex[] = []): OpenContext => {
  const trust = createTrust(engine, fromHex(file.rootKey), (keyId) => revoked.includes(toHex(keyId)))
  const records = knownKeys(engine)
  const self = file.receivers[name]
  if (self === undefined) throw new Error(name)
  const pairs = self.sealingSecrets
    .map(fromHex)
    .map((secretKey) => ({ secretKey, publicKey: engine.sealing.publicKeyOf(secretKey) }))
  return {
    trust,
    self: { role: self.role, isAddressee: (to) => self.answersTo.includes(to) },
    lookupKey: (keyId) => records.get(toHex(keyId)),
    roleOf: (id) => file.hosts.find((host) => host.id === id)?.role,
    opener: createOpener(engine),
    secretOf: (keyId) => pairs.find(({ publicKey }) => equalBytes(keyIdOf('x25519', publicKey), keyId)),
  }
}

test('every vector file is judged here or in the tests of the engines', () => {
  expect(
    readdirSync(folder)
      .filter((name) => name.endsWith('.json'))
      .toSorted(),
  ).toEqual([
    'confidential.json',
    'credentials.json',
    'ed25519.json',
    'evidence.json',
    'frames.json',
    'hashes.json',
    'invalid.json',
    'network.json',
    'pin.json',
    'settlement.json',
    'subjects.json',
  ])
})

const engines = [portableEngine, ...(nativeEngine === undefined ? [] : [nativeEngine])]

describe.each(engines.map((engine) => [engine.name, engine] as const))('%s engine', (_engineName, engine) => {
  test('evidence proves, lacks and names the same', () => {
    const { bundles } = read('evidence.json') as {
      readonly bundles: readonly (Readonly<Record<'proved' | 'missing' | 'problems', readonly string[]>> & {
        readonly name: string
        readonly bundle: Hex
        readonly ok: boolean
      })[]
    }
    for (const { name, bundle, ok, proved, missing, problems } of bundles) {
      const audit = auditEvidence(engine, fromHex(file.rootKey), fromHex(bundle))
      const pieces = (findings: readonly { readonly piece: string }[]) => [
        ...new Set(findings.map(({ piece }) => piece)),
      ]
      expect({
        name,
        ok: audit.ok,
        proved: pieces(audit.proved),
        missing: pieces(audit.missing),
        problems: pieces(audit.problems),
      }).toEqual({ name, ok, proved, missing, problems })
    }
    expect(bundles.filter(({ ok }) => ok).length).toBe(3)
    expect(bundles.length).toBe(7)
  })

  test('the network’s names follow from its keys', () => {
    expect(toHex(networkIdOf(fromHex(file.rootKey)))).toBe(file.networkId)
    for (const { signingSeed, signingKey, keyId } of file.hosts) {
      expect(toHex(engine.ed25519.keyPairFromSeed(fromHex(signingSeed)).publicKey)).toBe(signingKey)
      expect(toHex(keyIdOf('ed25519', fromHex(signingKey)))).toBe(keyId)
    }
  })

  test.each(frames.frames.map((row) => [row.name, row] as const))('opens %s', (_name, row) => {
    const frame = fromHex(row.frame)
    const opened = openFrame(frame, row.arrival, receiver(engine, row.as))
    if (!opened.ok) throw new Error(`${opened.failure.code} ${opened.failure.detail}`)
    const { header, body, digest, sender, beside } = opened.value
    expect(
      show({ header, body, digest, originator: { id: sender.id, role: sender.role, host: sender.host }, beside }),
    ).toEqual({
      header: row.header,
      body: row.body,
      digest: row.digest,
      originator: row.originator,
      ...(row.beside === undefined ? {} : { beside: row.beside }),
    })
    expect(toHex(opened.value.frame)).toBe(row.innerFrame ?? row.frame)
    const parsed = parseFrame(frame)
    expect(parsed.ok && parsed.value.seal.form).toBe(row.sealForm)
  })

  test.each(invalid.map((row) => [row.name, row.code, row] as const))('refuses %s: %s', (_name, code, row) => {
    const frame = row.frame === undefined ? new Uint8Array(row.zeros ?? 0) : fromHex(row.frame)
    expect(openFrame(frame, row.arrival, receiver(engine, row.as, row.revoked))).toMatchObject({
      ok: false,
      failure: { code },
    })
  })

  test('opens a frame under an RSA seal', () => {
    const arrival = { toRole: 'cpp', kind: 'receipt', fromHost: 'hu-dc-1' } as const
    const opened = openFrame(fromHex(frames.rsa.frame), arrival, receiver(engine, 'cpp'))
    expect(opened.ok && toHex(opened.value.digest)).toBe(frames.rsa.digest)
    expect(engine.rsa.checkPublicKey(fromHex(frames.rsa.publicKey))).toBe(true)
    const parsed = parseFrame(fromHex(frames.rsa.frame))
    expect(parsed.ok && parsed.value.seal.form).toBe(3)
  })

  test('judges each chain, mandate and revocation list', () => {
    const trust = createTrust(engine, fromHex(file.rootKey))
    type Row = { readonly name: string; readonly code: string; readonly atMs: number }
    const { chains, mandates, revocationLists } = read('credentials.json') as {
      readonly chains: readonly (Row & { readonly chain: readonly Hex[]; readonly payee?: string })[]
      readonly mandates: readonly (Row & { readonly mandate: Hex; readonly holderKey: Hex })[]
      readonly revocationLists: readonly { readonly name: string; readonly code: string; readonly list: Hex }[]
    }
    const code = (
      result: ReturnType<
        typeof verifyChain | typeof verifyMandate | typeof verifyMerchantChain | typeof verifyRevocationList
      >,
    ): string => (result.ok ? 'ok' : result.failure.code)
    for (const { name, code: expected, chain, atMs, payee } of chains) {
      const result =
        payee === undefined
          ? verifyChain(trust, bytesOf(chain), atMs)
          : verifyMerchantChain(trust, bytesOf(chain), payee, atMs)
      expect([name, code(result)]).toEqual([name, expected])
    }
    for (const { name, code: expected, mandate, holderKey, atMs } of mandates) {
      const holder = { algorithm: 'ed25519', publicKey: fromHex(holderKey) } as const
      expect([name, code(verifyMandate(trust, fromHex(mandate), holder, atMs))]).toEqual([name, expected])
    }
    for (const { name, code: expected, list } of revocationLists)
      expect([name, code(verifyRevocationList(trust, fromHex(list)))]).toEqual([name, expected])
  })

  test('encrypts and opens the confidential body byte for byte', () => {
    const vector = read('confidential.json') as Readonly<
      Record<
        | 'associatedData'
        | 'body'
        | 'recipientSecret'
        | 'recipientKey'
        | 'recipientKeyId'
        | 'ephemeralSecret'
        | 'ephemeralKey'
        | 'nonce'
        | 'innerFrame',
        Hex
      >
    >
    const pair = { secretKey: fromHex(vector.recipientSecret), publicKey: fromHex(vector.recipientKey) }
    const opener = createOpener(engine)
    const secretOf = (keyId: Uint8Array) => (toHex(keyId) === vector.recipientKeyId ? pair : undefined)
    const [associated, body] = [fromHex(vector.associatedData), fromHex(vector.body)]
    const cargo = openCarrier(opener, secretOf, associated, body)
    expect(cargo.ok && toHex(cargo.value.innerFrame)).toBe(vector.innerFrame)
    const plaintext = opener.decrypt(secretOf, associated, body)
    if (!plaintext.ok) throw new Error(plaintext.failure.code)
    const drawn = [fromHex(vector.ephemeralSecret), fromHex(vector.nonce)]
    const sealer = createSealer(engine, () => drawn.shift() as Uint8Array)
    expect(toHex(sealer.encrypt(pair.publicKey, associated, plaintext.value))).toBe(vector.body)
    expect(toHex(body.subarray(16, 48))).toBe(vector.ephemeralKey)
  })
})

test('what each valid frame says is encoded to the bytes it holds', () => {
  for (const row of frames.frames) {
    const parsed = parseFrame(fromHex(row.innerFrame ?? row.frame))
    if (!parsed.ok) throw new Error(row.name)
    const { headerBytes, bodyBytes, header } = parsed.value
    const kind = row.header.kind
    const body = decodeBody(kind, header.bodyVersion, bodyBytes)
    if (!body.ok) throw new Error(row.name)
    expect([row.name, toHex(encodeBody(kind, body.value as never))]).toEqual([row.name, toHex(bodyBytes)])
    expect([row.name, toHex(encodeHeader({ ...header, kind }))]).toEqual([row.name, toHex(headerBytes)])
    expect(parseHeader(headerBytes).ok).toBe(true)
  }
})

test('the invalid frames cover every code of bytes, trust and path that opening gives', () => {
  const codes = new Set(invalid.map(({ code }) => code))
  const expected = (Object.keys(FAILURES) as FailureCode[]).filter(
    (code) => FAILURES[code].number < 4_000 && code !== 'UNKNOWN_DESTINATION',
  )
  expect(expected.filter((code) => !codes.has(code))).toEqual([])
})

test('hashes and ids of keys', () => {
  const { hashes, networkIds, keyIds } = read('hashes.json') as {
    readonly hashes: readonly { readonly parts: readonly Hex[]; readonly hash: Hex }[]
    readonly networkIds: readonly { readonly rootKey: Hex; readonly networkId: Hex }[]
    readonly keyIds: readonly {
      readonly algorithm: 'ed25519' | 'rsa-pss-sha256' | 'x25519'
      readonly key: Hex
      readonly keyId: Hex
    }[]
  }
  for (const row of hashes) expect(toHex(hash(...bytesOf(row.parts)))).toBe(row.hash)
  for (const row of networkIds) expect(toHex(networkIdOf(fromHex(row.rootKey)))).toBe(row.networkId)
  for (const row of keyIds) expect(toHex(keyIdOf(row.algorithm, fromHex(row.key)))).toBe(row.keyId)
})

test('the PIN proof', () => {
  const vector = read('pin.json') as Readonly<
    Record<'pin' | 'customer' | 'cpp' | 'pinKey' | 'transDigest' | 'prId' | 'proof', string>
  >
  const pinKey = derivePinKeySync(vector.pin, vector.customer, vector.cpp)
  expect(toHex(pinKey)).toBe(vector.pinKey)
  expect(toHex(pinProof(pinKey, fromHex(vector.transDigest), fromHex(vector.prId)))).toBe(vector.proof)
  expect(isPinProof(pinKey, fromHex(vector.transDigest), fromHex(vector.prId), fromHex(vector.proof))).toBe(true)
  const { change, replacement } = read('pin.json') as Readonly<
    Record<'change' | 'replacement', Readonly<Record<string, string>>>
  >
  const bytes = (text: string | undefined): Uint8Array => fromHex(text ?? '')
  const subjects = [
    [change, pinChangeSubject(bytes(change['newPinKey']))],
    [replacement, deviceReplacementSubject(bytes(replacement['deviceKey']), bytes(replacement['authorization']))],
  ] as const
  for (const [{ subject, changeId, proof }, made] of subjects) {
    expect(toHex(made)).toBe(subject)
    expect(toHex(pinProof(pinKey, made, bytes(changeId)))).toBe(proof)
  }
})

test('settlement roots, proofs and batches', () => {
  const vector = read('settlement.json') as {
    readonly entries: readonly {
      readonly pairSeq: number
      readonly type: PairEntryType
      readonly pnId: Hex | null
      readonly payee: string | null
      readonly amountMinor: string
      readonly currency: Currency
    }[]
    readonly leaves: readonly Hex[]
    readonly roots: readonly Hex[]
    readonly peaks: readonly Hex[]
    readonly proofs: readonly {
      readonly index: number
      readonly count: number
      readonly siblings: readonly Hex[]
      readonly peaks: readonly Hex[]
    }[]
    readonly batches: readonly {
      readonly prevHash: Hex
      readonly hash: Hex
      readonly batch: {
        readonly cpp: string
        readonly mpp: string
        readonly currency: Currency
        readonly seq: number
        readonly fromSeq: number
        readonly toSeq: number
        readonly root: Hex
        readonly totalMinor: string
      }
    }[]
  }
  let range = EMPTY_RANGE
  expect(toHex(rangeRoot(range))).toBe(vector.roots[0])
  vector.entries.forEach((entry, i) => {
    const leaf = pairEntryLeaf({
      ...entry,
      pnId: entry.pnId === null ? null : fromHex(entry.pnId),
      amountMinor: BigInt(entry.amountMinor),
    })
    expect(toHex(leaf)).toBe(vector.leaves[i])
    range = appendLeaf(range, leaf)
    expect(toHex(rangeRoot(range))).toBe(vector.roots[i + 1])
  })
  expect(range.peaks.map(toHex)).toEqual(vector.peaks)
  vector.proofs.forEach((proof, i) => {
    const leaf = fromHex(vector.leaves[i] as Hex)
    expect(
      verifyLeaf(rangeRoot(range), leaf, { ...proof, siblings: bytesOf(proof.siblings), peaks: bytesOf(proof.peaks) }),
    ).toBe(true)
  })
  for (const { prevHash, batch, hash: expected } of vector.batches)
    expect(
      toHex(
        batchHash(fromHex(prevHash), { ...batch, root: fromHex(batch.root), totalMinor: BigInt(batch.totalMinor) }),
      ),
    ).toBe(expected)
})

test('subjects', () => {
  const { subjects, invalid: none } = read('subjects.json') as {
    readonly subjects: readonly { readonly subject: Subject; readonly text: string }[]
    readonly invalid: readonly string[]
  }
  for (const { subject, text } of subjects) {
    expect(formatSubject(subject)).toBe(text)
    expect(parseSubject(text)).toEqual(subject)
  }
  for (const text of none) expect([text, parseSubject(text)]).toEqual([text, undefined])
})
