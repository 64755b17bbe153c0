/**
 * The audit of an evidence bundle: what it proves to someone who trusts nothing but the root key, what is missing, and what is
 * wrong, in plain words. Pure: no clock, no network, no ledger.
 *
 * Order: structure, statement, network; each piece against its listed hash; credentials up to the root; the gatherer's seal and
 * the revocation list; each frame's seal, role and body; then how the pieces hang together (audit-payment.ts, audit-money.ts).
 * A finding names the piece that it is about. Invariant: nothing is called proved that rests on a piece with a finding.
 */
import { collectFindings, time, type Audit, type Exhibits, type Findings } from './audit-findings.ts'
import { judgeMoney } from './audit-money.ts'
import { judgePayment } from './audit-payment.ts'
import { judgeRefunds } from './audit-refunds.ts'
import { equalBytes, toHex } from './bytes.ts'
import { createTrust, readChain, verifyRevocationList, type KeyRecord, type Trust } from './credentials.ts'
import { signatureEngine, type Engine } from './engines/engine.ts'
import {
  CREDENTIAL_PIECE,
  evidenceInput,
  matchPieces,
  readBundle,
  readEvidenceStatement,
  REVOCATIONS_PIECE,
  type Bundle,
  type EvidencePiece,
  type EvidenceStatement,
  type MatchedPiece,
} from './evidence.ts'
import { FAILURES, type Failure } from './failures.ts'
import { isKindName, type KindName } from './kinds.ts'
import { openNested } from './open.ts'
import { parseFrame } from './seals.ts'
import { parseCredential, type EnrolmentStatement } from './statements.ts'
import type { Verified } from './verified.ts'

/** @throws TypeError when the root key is not a sound Ed25519 key; whatever the bytes are is a finding */
export const auditEvidence = (engine: Engine, rootKey: Uint8Array, bytes: Uint8Array): Audit => {
  const trust = createTrust(engine, rootKey)
  const { findings, result } = collectFindings()
  const bundle = readBundle(bytes)
  if (!bundle.ok) {
    findings.wrong('bundle', `this is no whole evidence bundle: ${words(bundle.failure)}`)
    return result(undefined)
  }
  const read = readEvidenceStatement(bundle.value.payload)
  if (!read.ok) {
    findings.wrong('statement', `the statement of what the bundle holds cannot be read: ${words(read.failure)}`)
    return result(undefined)
  }
  const statement = read.value
  if (!equalBytes(statement.networkId, trust.networkId)) {
    findings.wrong('statement', 'it is of another network than this root key')
    return result(statement)
  }
  const pieces = piecesOf(bundle.value, statement, findings)
  const keys = readCredentials(trust, pieces, findings)
  const isSealed = checkStatementSeal(bundle.value, statement, keys, trust, findings)
  const revoked = readRevocations(trust, pieces, statement, findings)
  const exhibits = openFrames(trust, keys, pieces, statement, revoked, isSealed, findings)
  if (isSealed) noteKey(keys.get(toHex(bundle.value.keyId)), revoked, statement, findings)
  const payment = judgePayment(exhibits, findings)
  judgeMoney(exhibits, payment, findings)
  judgeRefunds(exhibits, payment, findings)
  return result(statement)
}

const words = ({ code, detail }: Failure): string =>
  `${FAILURES[code].meaning} (${code}${detail === '' ? '' : `: ${detail}`})`

export const nameOf = ({ kind, of }: Pick<EvidencePiece, 'kind' | 'of'>): string =>
  of === undefined ? kind : `${kind} of ${of}`

/** Pieces that are there as they were put in; the others are named. */
const piecesOf = ({ pieces }: Bundle, statement: EvidenceStatement, findings: Findings): readonly Present[] => {
  const { matched, extra } = matchPieces(statement.pieces, pieces)
  for (const { listed, bytes, changed } of matched) {
    if (bytes === undefined) findings.miss(nameOf(listed), 'the statement lists it, and it is not here')
    else if (changed)
      findings.wrong(nameOf(listed), `its bytes are not those that ${statement.host} put in${strange(bytes, listed)}`)
  }
  for (const bytes of extra) findings.wrong(kindIn(bytes) ?? 'bundle', `it is not among what ${statement.host} put in`)
  return matched.filter((one): one is Present => one.bytes !== undefined && !one.changed)
}
type Present = MatchedPiece & { readonly bytes: Uint8Array }

const kindIn = (bytes: Uint8Array): string | undefined => {
  const frame = parseFrame(bytes)
  return frame.ok ? frame.value.header.kind : undefined
}
const strange = (bytes: Uint8Array, { kind }: EvidencePiece): string => {
  const found = kindIn(bytes)
  return found === undefined || found === kind ? '' : `: a ${found} stands in its place`
}

type Key = { readonly record: KeyRecord; readonly enrolment?: EnrolmentStatement; readonly issuer?: KeyRecord }
type Keys = ReadonlyMap<string, Key>

/** Processors first: what they certified is verified with them. */
const readCredentials = (trust: Trust, pieces: readonly Present[], findings: Findings): Keys => {
  const keys = new Map<string, Key>()
  const processors = new Map<string, Uint8Array>()
  const given = pieces.filter(({ listed }) => listed.kind === CREDENTIAL_PIECE)
  const later: Present[] = []
  for (const piece of given) {
    const credential = parseCredential(piece.bytes)
    if (credential.ok && !equalBytes(credential.value.keyId, trust.rootKeyId)) {
      later.push(piece)
      continue
    }
    const chain = readChain(trust, [piece.bytes])
    if (!chain.ok) {
      findings.wrong(nameOf(piece.listed), `it does not lead to the root key: ${words(chain.failure)}`)
      continue
    }
    const record = chain.value.processorKey
    processors.set(toHex(record.keyId), piece.bytes)
    keys.set(toHex(record.keyId), { record })
  }
  for (const piece of later) {
    const name = nameOf(piece.listed)
    const credential = parseCredential(piece.bytes)
    const signer = credential.ok ? processors.get(toHex(credential.value.keyId)) : undefined
    if (signer === undefined) {
      findings.miss(name, 'the credential of the processor that signed it is not here')
      continue
    }
    const chain = readChain(trust, [signer, piece.bytes])
    if (!chain.ok) {
      findings.wrong(name, `it does not lead to the root key: ${words(chain.failure)}`)
      continue
    }
    const { hostKey, enrolmentKey, enrolment, processorKey: issuer } = chain.value
    if (hostKey !== undefined) keys.set(toHex(hostKey.keyId), { record: hostKey, issuer })
    if (enrolmentKey !== undefined && enrolment !== undefined)
      keys.set(toHex(enrolmentKey.keyId), { record: enrolmentKey, enrolment, issuer })
  }
  return keys
}

const checkStatementSeal = (
  { payload, keyId, signature }: Bundle,
  { host, party, gatheredAtMs }: EvidenceStatement,
  keys: Keys,
  { engine }: Trust,
  findings: Findings,
): boolean => {
  const key = keys.get(toHex(keyId))
  if (key === undefined) {
    findings.miss('statement', `the credential of the key that it is sealed with is not here, so nobody stands by it`)
    return false
  }
  const { record } = key
  const fits = record.owner === host && record.role === party
  if (!fits || !signatureEngine(engine, record.algorithm).verify(signature, evidenceInput(payload), record.publicKey)) {
    findings.wrong(
      'statement',
      fits ? `${host} did not seal this: something in it was changed` : `${record.owner} is not ${host}`,
    )
    return false
  }
  findings.prove('statement', `${host} (${party}) gathered this at ${time(gatheredAtMs)} and sealed the list of it`)
  return true
}

type Revoked = { readonly keyIds: ReadonlySet<string>; readonly version: number; readonly issuedAtMs: number }

const readRevocations = (
  trust: Trust,
  pieces: readonly Present[],
  { host, revocationVersion }: EvidenceStatement,
  findings: Findings,
): Revoked => {
  const none: Revoked = { keyIds: new Set(), version: 0, issuedAtMs: 0 }
  const piece = pieces.find(({ listed }) => listed.kind === REVOCATIONS_PIECE)
  if (piece === undefined) {
    if (revocationVersion > 0) findings.miss(REVOCATIONS_PIECE, `${host} had version ${revocationVersion}`)
    else findings.note(REVOCATIONS_PIECE, `${host} knew of no revocation list`)
    return none
  }
  const list = verifyRevocationList(trust, piece.bytes)
  if (!list.ok) {
    findings.wrong(REVOCATIONS_PIECE, words(list.failure))
    return none
  }
  const { version, issuedAtMs, revoked } = list.value
  if (version !== revocationVersion) {
    findings.wrong(REVOCATIONS_PIECE, `it is version ${version}, and ${host} had version ${revocationVersion}`)
    return none
  }
  findings.note(REVOCATIONS_PIECE, `version ${version} of ${time(issuedAtMs)}: ${revoked.length} keys revoked`)
  return { keyIds: new Set(revoked.map(toHex)), version, issuedAtMs }
}

/** These carry the chain of a merchant host whose decision comes later. */
const FIRST: readonly string[] = ['transaction-details', 'payment-request', 'payment-notice']

const openFrames = (
  trust: Trust,
  keys: Keys,
  pieces: readonly Present[],
  statement: EvidenceStatement,
  revoked: Revoked,
  isSealed: boolean,
  findings: Findings,
): Exhibits => {
  const opened: Verified[] = []
  const context = { trust, lookupKey: (keyId: Uint8Array) => keys.get(toHex(keyId))?.record }
  const frames = pieces.filter(({ listed }) => listed.kind !== CREDENTIAL_PIECE && listed.kind !== REVOCATIONS_PIECE)
  const inOrder = [
    ...frames.filter(({ listed }) => FIRST.includes(listed.kind)),
    ...frames.filter(({ listed }) => !FIRST.includes(listed.kind)),
  ]
  for (const { listed, bytes } of inOrder) {
    const { kind } = listed
    if (!isKindName(kind)) {
      findings.wrong(kind, 'no such kind of message')
      continue
    }
    const one = openNested(bytes, [kind], context)
    if (!one.ok) {
      if (one.failure.code === 'UNKNOWN_KEY')
        findings.miss(kind, `the credential of the key that it is sealed with is not here`)
      else findings.wrong(kind, words(one.failure))
      continue
    }
    const message: Verified = one.value
    if (judgeKeys(message, listed, keys, revoked, isSealed, statement, findings)) opened.push(message)
  }
  const all = <K extends KindName>(kind: K): readonly Verified<K>[] =>
    opened.filter((message): message is Verified<K> => message.kind === kind)
  return {
    statement,
    all,
    one: (kind) => all(kind)[0],
    enrolmentOf: (keyId) => {
      const key = keys.get(toHex(keyId))
      return key?.enrolment === undefined || key.issuer === undefined
        ? undefined
        : { statement: key.enrolment, cpp: key.issuer.owner }
    },
  }
}

/**
 * A key that is revoked by now proves what it sealed only if that was there before: where the gatherer's journal took it in or
 * sent it earlier than the list was issued, and the gatherer stands by that under its own seal.
 */
const judgeKeys = (
  message: Verified,
  { kind, position }: EvidencePiece,
  keys: Keys,
  revoked: Revoked,
  isSealed: boolean,
  { host }: EvidenceStatement,
  findings: Findings,
): boolean => {
  const voided = keysBehind(message, keys).find(({ keyId }) => revoked.keyIds.has(toHex(keyId)))
  if (voided === undefined) return true
  if (!isSealed || position === undefined || position.atMs >= revoked.issuedAtMs) {
    findings.wrong(kind, `sealed with a key of ${voided.owner} that is revoked, and nothing shows that it was before`)
    return false
  }
  findings.note(
    kind,
    `a key of ${voided.owner} behind it has been revoked since (list ${revoked.version} of ${time(revoked.issuedAtMs)}); ` +
      `it stands in the journal of ${host} as entry ${position.seq} of ${time(position.atMs)}`,
  )
  return true
}

type Named = { readonly keyId: Uint8Array; readonly owner: string }

/**
 * Every key that a frame rests on: who sealed it, who certified that key, and the same of what is nested in it. `voucher`: the processor
 * that sealed the frame around this one; of those that it certified itself it says so again, under that seal.
 */
const keysBehind = (message: Verified, keys: Keys, voucher?: string): readonly Named[] => {
  const { sender, chain } = message
  const issuer = keys.get(toHex(sender.keyId))?.issuer
  const isVouchedFor = issuer !== undefined && issuer.owner === voucher
  const vouching = sender.operatorId === undefined ? undefined : sender.id
  const nested = Object.values(message.nested as Readonly<Record<string, unknown>>)
    .flat()
    .filter((one): one is { ok: true; value: Verified } => (one as { ok?: boolean } | undefined)?.ok === true)
  return [
    { keyId: sender.keyId, owner: sender.id },
    ...(issuer === undefined || isVouchedFor ? [] : [issuer]),
    ...(chain === undefined ? [] : [chain.processorKey]),
    ...nested.flatMap(({ value }) => keysBehind(value, keys, vouching)),
  ]
}

const noteKey = (key: Key | undefined, revoked: Revoked, { host }: EvidenceStatement, findings: Findings): void => {
  const all = key === undefined ? [] : [key.record, ...(key.issuer === undefined ? [] : [key.issuer])]
  if (all.some(({ keyId }) => revoked.keyIds.has(toHex(keyId))))
    findings.wrong('statement', `it is sealed with a key of ${host} that is revoked`)
}
