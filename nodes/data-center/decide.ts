/**
 * Registrations and questions (design §4 "The DC", §7 "Chain"). A registration is proved by the chain it shows and by its
 * seal, never by who passed it on; whoever trusts the root can check each row that this directory hands out.
 */
import { equalBytes } from '../../protocol/bytes.ts'
import type { FailureCode, Result } from '../../protocol/failures.ts'
import { isNewer, type KeyRecord } from '../../protocol/credentials.ts'
import { dataCenterAddress, realmOf } from '../../protocol/ids.ts'
import { acceptsOf } from '../../protocol/kinds.ts'
import type { HostStatement, PayeeStatement, ProcessorStatement } from '../../protocol/statements.ts'
import {
  combine,
  decision,
  on,
  put,
  refuse,
  type Context,
  type Decision,
  type Incoming,
  type Message,
  type Reader,
  type Write,
} from '../runtime/node.ts'
import { credentialIdTable, credentialTable } from '../runtime/runtime-tables.ts'
import { keyOf } from '../runtime/table.ts'
import type { DataCenterPolicy } from './policy.ts'
import {
  ALIASES,
  CREDENTIALS,
  CURRENT,
  PAYEES,
  PEERS,
  PROCESSORS,
  VERSIONS,
  type AliasRow,
  type CredentialRow,
  type CurrentRow,
  type PayeeRow,
  type PeerRow,
  type ProcessorRow,
  type VersionRow,
} from './state.ts'

type Context_ = Context<DataCenterPolicy>

const receipt = (to: string, digest: Uint8Array, ref: Uint8Array): Message<'receipt'> => ({
  kind: 'receipt',
  to,
  body: { digest },
  delivery: { answers: ref },
})

/** The chain of a key: what a query gets, and what the runtime verifies with from now on. */
const shown = (id: string, keyId: Uint8Array, chain: readonly Uint8Array[], nowMs: number): readonly Write[] => [
  put<CredentialRow>(CREDENTIALS, keyId, { id, chain, shownAtMs: nowMs }),
]
type Key = Pick<KeyRecord, 'keyId' | 'notBeforeMs' | 'serial'>
const asCurrent = (id: string, { keyId, notBeforeMs, serial }: Key): Write =>
  put<CurrentRow>(CURRENT, keyOf(id), { keyId, notBeforeMs, serial })
/** A payee may be shown by a chain of former keys after the newer ones were: those stay what they are. */
const isCurrent = (known: CurrentRow | undefined, key: Key): boolean =>
  known === undefined || !isNewer({ notBeforeMs: known.notBeforeMs ?? 0, serial: known.serial ?? 0 }, key)

const loadProcessor = (read: Reader, { message }: Incoming<'processor-registration'>): ProcessorRow | undefined =>
  read.get(PROCESSORS, message.sender.id)

/**
 * In this order: the chain is a processor's alone; of this realm (a data center or a bank may be of another, since banks
 * serve realms that have no bank); its role is what it was; its version is higher, or the same with the same key.
 */
const decideProcessor = (
  known: ProcessorRow | undefined,
  { message, ref }: Incoming<'processor-registration'>,
  { self, nowMs }: Context_,
): Decision => {
  const { sender, chain, body, digest } = message
  if (chain === undefined || chain.host !== undefined || chain.processor.id !== sender.id)
    return refuse('BROKEN_CHAIN', 'not the chain of a processor')
  const { id, role, realm, operatorId } = chain.processor
  if (realm !== self.realm && role !== 'dc' && role !== 'bank')
    return refuse('ENROLMENT_REFUSED', `this is the directory of realm ${self.realm}`)
  if (known !== undefined && known.role !== role) return refuse('NAME_TAKEN', `${id} is registered as ${known.role}`)
  const { keyId } = chain.processorKey
  const isSame = known?.version === body.version && equalBytes(known.keyId, keyId)
  if (known !== undefined && known.version >= body.version && !isSame)
    return refuse('REGISTRATION_STALE', `version ${known.version} is registered`)
  return decision({
    writes: [
      put<ProcessorRow>(PROCESSORS, keyOf(id), {
        id,
        role,
        operatorId,
        version: body.version,
        keyId,
        accepts: body.accepts.map(({ kind, versions }) => [kind, versions] as const),
        registeredAtMs: nowMs,
      }),
      ...shown(id, keyId, body.chain, nowMs),
      asCurrent(id, chain.processorKey),
    ],
    sends: [receipt(sender.id, digest, ref)],
    record: {
      event: 'processor-registered',
      ids: [body.registrationId],
      fields: { processor: id, role, version: body.version },
    },
  })
}

export const onProcessorRegistration = on(loadProcessor, decideProcessor)

/** A chain that leads from the root to a payee, verified. */
export type PayeeChain = {
  readonly mpp: ProcessorStatement
  readonly host: HostStatement
  readonly payee: PayeeStatement
  readonly mppKey: Key
  readonly hostKey: Key
}
export type VerifyPayeeChain = (chain: readonly Uint8Array[], payee: string, atMs: number) => Result<PayeeChain>

type NameSlice<Row> = { readonly row: Row | undefined; readonly seen: VersionRow | undefined }

type PayeeSlice = NameSlice<PayeeRow> & {
  readonly mppCurrent: CurrentRow | undefined
  readonly hostCurrent: CurrentRow | undefined
}

const loadPayee = (read: Reader, { message }: Incoming<'payee-registration'>): PayeeSlice => ({
  row: read.get(PAYEES, message.body.payee),
  seen: read.get(VERSIONS, 'payee', message.body.payee, message.sender.id),
  mppCurrent: read.get(CURRENT, message.sender.id),
  hostCurrent: read.get(CURRENT, message.body.host),
})

/** NAME_TAKEN while another owner's row is active; REGISTRATION_STALE unless the version is higher than all seen of this owner. */
const nameProblem = (
  name: string,
  owner: { readonly id: string; readonly state: 'active' | 'retired' } | undefined,
  sender: string,
  seen: VersionRow | undefined,
  version: number,
): { readonly code: FailureCode; readonly detail: string } | undefined => {
  if (owner !== undefined && owner.id !== sender && owner.state === 'active')
    return { code: 'NAME_TAKEN', detail: name }
  if (seen !== undefined && seen.version >= version)
    return { code: 'REGISTRATION_STALE', detail: `version ${seen.version} was registered` }
  return undefined
}

/**
 * In this order: the payee is of this realm; the chain leads to it, from the MPP that registers it to the host named; the
 * name is free or this MPP's; the version is new. `verify` checks signatures, and is pure but for its cache.
 */
export const onPayeeRegistration = (verify: VerifyPayeeChain) =>
  on(
    loadPayee,
    (
      { row, seen, mppCurrent, hostCurrent }: PayeeSlice,
      { message, ref }: Incoming<'payee-registration'>,
      { self, nowMs }: Context_,
    ): Decision => {
      const { body, sender, header, digest } = message
      const { payee, host, version, state, chain } = body
      if (realmOf(payee) !== self.realm)
        return refuse('ENROLMENT_REFUSED', `this is the directory of realm ${self.realm}`)
      const verified = verify(chain, payee, header.sentAtMs)
      if (!verified.ok) return refuse('BROKEN_CHAIN', `${verified.failure.code} ${verified.failure.detail}`)
      const { mpp, host: certified, mppKey, hostKey } = verified.value
      if (mpp.id !== sender.id || certified.id !== host)
        return refuse('BROKEN_CHAIN', 'the chain is of another MPP or host')
      const problem = nameProblem(payee, row && { id: row.mpp, state: row.state }, sender.id, seen, version)
      if (problem !== undefined) return refuse(problem.code, problem.detail)
      const hostChain = chain.slice(0, 2)
      return decision({
        writes: [
          // A name that another MPP has taken over stays there, whatever the former one says of it.
          ...(row !== undefined && row.mpp !== sender.id && state === 'retired'
            ? []
            : [
                put<PayeeRow>(PAYEES, keyOf(payee), {
                  payee,
                  mpp: mpp.id,
                  host,
                  version,
                  state,
                  chain,
                  changedAtMs: nowMs,
                }),
              ]),
          put<VersionRow>(VERSIONS, keyOf('payee', payee, sender.id), { version }),
          ...shown(mpp.id, mppKey.keyId, chain.slice(0, 1), nowMs),
          ...shown(host, hostKey.keyId, hostChain, nowMs),
          ...(isCurrent(mppCurrent, mppKey) ? [asCurrent(mpp.id, mppKey)] : []),
          // The runtime verifies requests to pay on their way with this key.
          put(credentialTable, hostKey.keyId, { id: host, chain: hostChain, learnedAtMs: header.sentAtMs }),
          ...(isCurrent(hostCurrent, hostKey)
            ? [asCurrent(host, hostKey), put(credentialIdTable, keyOf(host), { keyId: hostKey.keyId })]
            : []),
        ],
        sends: [receipt(sender.id, digest, ref)],
        record: {
          event: state === 'active' ? 'payee-registered' : 'payee-retired',
          ids: [body.registrationId],
          fields: { payee, mpp: mpp.id, version },
        },
      })
    },
  )

const loadAlias = (read: Reader, { message }: Incoming<'alias-registration'>): NameSlice<AliasRow> => ({
  row: read.get(ALIASES, message.body.alias),
  seen: read.get(VERSIONS, 'alias', message.body.alias, message.sender.id),
})

/** In this order: alias and CPP are of this realm; the name is free or this CPP's; the version is new. */
const decideAlias = (
  { row, seen }: NameSlice<AliasRow>,
  { message, ref }: Incoming<'alias-registration'>,
  { self, nowMs }: Context_,
): Decision => {
  const { body, sender, digest } = message
  const { alias, version, state } = body
  if (realmOf(alias) !== self.realm || realmOf(sender.id) !== self.realm)
    return refuse('ENROLMENT_REFUSED', `this is the directory of realm ${self.realm}`)
  const problem = nameProblem(alias, row && { id: row.cpp, state: row.state }, sender.id, seen, version)
  if (problem !== undefined) return refuse(problem.code, problem.detail)
  return decision({
    writes: [
      ...(row !== undefined && row.cpp !== sender.id && state === 'retired'
        ? []
        : [put<AliasRow>(ALIASES, keyOf(alias), { alias, cpp: sender.id, version, state, changedAtMs: nowMs })]),
      put<VersionRow>(VERSIONS, keyOf('alias', alias, sender.id), { version }),
    ],
    sends: [receipt(sender.id, digest, ref)],
    record: {
      event: state === 'active' ? 'alias-registered' : 'alias-retired',
      ids: [body.registrationId],
      fields: { alias, cpp: sender.id, version },
    },
  })
}

export const onAliasRegistration = on(loadAlias, decideAlias)

/** Is a key of the chain on the revocation list in force? */
export type IsChainRevoked = (chain: readonly Uint8Array[]) => boolean

/** Own rows only: a payee of another realm is asked of that realm's data center. A chain that is revoked leads to nobody. */
export const onPayeeLookup = (isRevoked: IsChainRevoked) =>
  on(
    (read: Reader, { message }: Incoming<'payee-lookup'>) => read.get(PAYEES, message.body.payee),
    (row, { message, ref }: Incoming<'payee-lookup'>): Decision => {
      if (row === undefined || row.state === 'retired' || isRevoked(row.chain))
        return refuse('NOT_FOUND', 'no such payee')
      const { payee, mpp, host, version, chain } = row
      return decision({
        sends: [
          {
            kind: 'payee-record',
            to: message.sender.host,
            body: { payee, mpp, host, version, chain: [...chain] },
            delivery: { answers: ref },
          },
        ],
      })
    },
  )

/**
 * What was shown here, else what the runtime has learned, a peer's answers among it. A key names itself: who asks for one that
 * sealed a frame nested in another's may know only the other's id.
 */
const loadCredential =
  (isRevoked: IsChainRevoked) =>
  (read: Reader, { message }: Incoming<'credential-query'>): readonly Uint8Array[] | undefined => {
    const { id } = message.body
    const keyId = message.body.keyId ?? read.get(CURRENT, id)?.keyId ?? read.get(credentialIdTable, id)?.keyId
    if (keyId === undefined) return undefined
    const chain = (read.get(CREDENTIALS, keyId) ?? read.get(credentialTable, keyId))?.chain
    return chain === undefined || isRevoked(chain) ? undefined : chain
  }

/**
 * A credential that is known is the answer. One of a peer realm that is not is asked of that realm's data center, and the
 * asker, who asks again with back-off, gets it then: nothing is kept for the question, so there is nothing to bound. What
 * another data center asks is answered from here alone, or a question could go round.
 */
const decideCredential =
  (own: () => readonly Uint8Array[]) =>
  (
    found: readonly Uint8Array[] | undefined,
    { message, ref }: Incoming<'credential-query'>,
    { self, policy }: Context_,
  ): Decision => {
    const { body, sender } = message
    if (found !== undefined)
      return decision({
        sends: [
          { kind: 'credential-record', to: sender.host, body: { chain: [...found] }, delivery: { answers: ref } },
        ],
      })
    const realm = realmOf(body.id)
    if (realm === self.realm || sender.role === 'dc' || !policy.peerRealms.includes(realm))
      return refuse('UNKNOWN_DESTINATION', 'no such credential')
    return decision({
      sends: [
        {
          kind: 'credential-query',
          to: dataCenterAddress(realm),
          body: { ...body, chain: [...own()] },
          delivery: { once: true },
        },
      ],
      record: { event: 'credential-asked-abroad', ids: [], level: 'debug', fields: { id: body.id } },
    })
  }

/** @param own this data center's chain, which it shows to a peer that it asks */
export const onCredentialQuery = (own: () => readonly Uint8Array[], isRevoked: IsChainRevoked) =>
  on(loadCredential(isRevoked), decideCredential(own))

const loadPeers = (read: Reader): ReadonlyMap<string, PeerRow> =>
  new Map([...read.scan(PEERS, [])].map(([, row]) => [row.realm, row]))

/** `of`: a peer realm, or a replica of this one. */
const registrationKey = (of: string) => ['registration', of] as const
type Peers = ReadonlyMap<string, PeerRow>

/** Shows this data center's credential at `to`, under a version that is at least the clock: newer than what a lost ledger had said. */
const registerAt = (
  of: string,
  to: string,
  peers: Peers,
  chain: readonly Uint8Array[],
  { nowMs, freshId }: Context_,
): Decision => {
  const registrationId = freshId()
  const version = Math.max((peers.get(of)?.version ?? 0) + 1, nowMs)
  return decision({
    writes: [put<PeerRow>(PEERS, keyOf(of), { realm: of, version, registrationId })],
    sends: [
      {
        kind: 'processor-registration',
        to,
        body: { registrationId, version, chain: [...chain], accepts: acceptsOf('dc') },
        delivery: { until: registrationKey(of) },
      },
    ],
  })
}

const registerAbroad = (chain: readonly Uint8Array[], peers: Peers, context: Context_): Partial<Decision> =>
  combine(
    ...context.policy.peerRealms
      .filter((realm) => realm !== context.self.realm)
      .map((realm) => registerAt(realm, dataCenterAddress(realm), peers, chain, context)),
  )

/** Shows this data center's credential to each peer realm, anew after each start. @param chain its own chain */
export const onStarted = (chain: () => readonly Uint8Array[]) =>
  on(loadPeers, (peers: Peers, _: Record<string, never>, context: Context_): Decision =>
    combine(registerAbroad(chain(), peers, context), { record: { event: 'started', ids: [] } }),
  )

/**
 * A new key: the peer realms are told, and the other replicas of this one, any of which may be asked for it by whoever meets it.
 * Processors and hosts learn it by asking.
 */
export const onRotated = (chain: () => readonly Uint8Array[], siblings: readonly string[]) =>
  on(loadPeers, (peers: Peers, _: Record<string, never>, context: Context_): Decision =>
    combine(
      registerAbroad(chain(), peers, context),
      ...siblings.map((sibling) => registerAt(sibling, sibling, peers, chain(), context)),
    ),
  )

const peerOf = (read: Reader, { key }: { readonly key: Uint8Array }): PeerRow | undefined => {
  for (const [, row] of read.scan(PEERS, [])) if (equalBytes(keyOf(...registrationKey(row.realm)), key)) return row
  return undefined
}

export const onReceipted = on(
  peerOf,
  (peer: PeerRow | undefined, _: { readonly key: Uint8Array }, { nowMs }: Context_): Decision =>
    peer === undefined
      ? decision()
      : decision({
          writes: [put<PeerRow>(PEERS, keyOf(peer.realm), { ...peer, receiptedAtMs: nowMs })],
          record: { event: 'registration-receipted', ids: [peer.registrationId], fields: { realm: peer.realm } },
        }),
)

export const onRefused = on(
  peerOf,
  (
    peer: PeerRow | undefined,
    { code, by }: { readonly key: Uint8Array; readonly code: FailureCode; readonly by: string },
  ): Decision =>
    decision({
      record: { event: 'registration-refused', ids: [], level: 'warn', fields: { realm: peer?.realm, code, by } },
    }),
)
