/**
 * What the data centers of the realm are told: this MPP's own credential, and each payee's chain and host. Every host of the
 * directory gets every registration, under a version that only rises, until it is receipted (design §4 "The DC").
 */
import { acceptsOf } from '../../protocol/kinds.ts'
import { haveSameIssuer } from '../../protocol/statements.ts'
import { put, remove, type Context, type Decision, type Message, type Reader, type Write } from '../runtime/node.ts'
import { keyOf, type KeyPart } from '../runtime/table.ts'
import type { MppPolicy } from './policy.ts'
import {
  LISTINGS,
  outboxKey,
  REGISTRATIONS,
  type HostRow,
  type ListingRow,
  type PayeeRow,
  type RegistrationRow,
} from './state.ts'

/** Versions rise at least with the clock, so that what a restored ledger says is still newer than what it had said. */
export const nextVersion = (version: number, nowMs: number): number => Math.max(version + 1, nowMs)

/** Data center → what it was told of one subject. */
export type Listings = ReadonlyMap<string, ListingRow>
export const loadListings = (read: Reader, subject: string): Listings => {
  const listings = new Map<string, ListingRow>()
  for (const [, row] of read.scan(LISTINGS, [subject])) listings.set(row.dataCenter, row)
  return listings
}

type Parts = Pick<Decision, 'writes' | 'sends' | 'forget'>
type Registration = (
  registrationId: Uint8Array,
  dataCenter: string,
) => Message<'processor-registration'> | Message<'payee-registration'>

/** Tells `dataCenters`; what they were told before and have not receipted is forgotten. */
const tell = (
  subject: string,
  version: number,
  dataCenters: readonly string[],
  listings: Listings,
  context: Context<MppPolicy>,
  message: Registration,
): Parts => {
  const writes: Write[] = []
  const sends: Message[] = []
  const forget: (readonly KeyPart[])[] = []
  for (const dataCenter of dataCenters) {
    const before = listings.get(dataCenter)
    if (before?.state === 'sent') {
      forget.push(outboxKey('registration', before.registrationId))
      writes.push(remove(REGISTRATIONS, before.registrationId))
    }
    const registrationId = context.freshId()
    writes.push(
      put<ListingRow>(LISTINGS, keyOf(subject, dataCenter), {
        dataCenter,
        subject,
        version,
        state: 'sent',
        registrationId,
        changedAtMs: context.nowMs,
      }),
      put<RegistrationRow>(REGISTRATIONS, registrationId, { dataCenter, subject }),
    )
    sends.push(message(registrationId, dataCenter))
  }
  return { writes, sends, forget }
}

/** Shows this MPP's credential to every data center, anew after each start. */
export const registerSelf = (chain: readonly Uint8Array[], listings: Listings, context: Context<MppPolicy>): Parts => {
  const version = nextVersion(Math.max(0, ...[...listings.values()].map((listing) => listing.version)), context.nowMs)
  return tell(
    context.self.id,
    version,
    context.policy.dataCenters,
    listings,
    context,
    (registrationId, dataCenter) => ({
      kind: 'processor-registration',
      to: dataCenter,
      body: { registrationId, version, chain: [...chain], accepts: acceptsOf('mpp') },
      delivery: { until: outboxKey('registration', registrationId) },
    }),
  )
}

/** The host's chain under the MPP key that signed this payee's credential: MPP credential, host credential. */
export const hostChainOf = ({ chain, former = [] }: HostRow, { credential }: PayeeRow): readonly Uint8Array[] =>
  [chain, ...former].find((one) => haveSameIssuer(one[1], credential)) ?? chain

/** Shows a payee's row, active or retired, at its present version. */
export const registerPayee = (
  row: PayeeRow,
  hostRow: HostRow,
  listings: Listings,
  context: Context<MppPolicy>,
  dataCenters: readonly string[] = context.policy.dataCenters,
): Parts => {
  const { payee, host, version, credential } = row
  if (credential === undefined) return { writes: [], sends: [], forget: [] }
  return tell(payee, version, dataCenters, listings, context, (registrationId, dataCenter) => ({
    kind: 'payee-registration',
    to: dataCenter,
    body: {
      registrationId,
      payee,
      version,
      state: row.state === 'retired' ? 'retired' : 'active',
      host,
      chain: [...hostChainOf(hostRow, row), credential],
    },
    delivery: { until: outboxKey('registration', registrationId) },
  }))
}

/** Data centers that were not told this version, nor are being told. */
export const untold = (version: number, listings: Listings, dataCenters: readonly string[]): readonly string[] =>
  dataCenters.filter((dataCenter) => (listings.get(dataCenter)?.version ?? 0) < version)

/** Is every data center's row of this subject at `version` or newer? */
export const isListed = (version: number, listings: Listings, dataCenters: readonly string[]): boolean =>
  dataCenters.every((dataCenter) => {
    const listing = listings.get(dataCenter)
    return listing !== undefined && listing.state === 'listed' && listing.version >= version
  })
