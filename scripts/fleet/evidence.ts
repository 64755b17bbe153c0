/**
 * Evidence of a payment from one of its parties, as a person asks for it: which host that is, and by which of its ids that host
 * knows the payment, the journals of the network say. Running or not: a ledger answers as its host would.
 */
import type { EvidenceAnswer } from '../../nodes/runtime/evidence.ts'
import { fromHex } from '../../protocol/bytes.ts'
import type { EvidenceParty } from '../../protocol/evidence.ts'
import { readHostCredentials } from '../../nodes/runtime/bundle.ts'
import { CliError } from '../cli/errors.ts'
import type { FleetDirectory } from './directory.ts'
import type { NodeSource } from './node-source.ts'
import { tracePayment, type Trace } from './trace.ts'

export type FoundEvidence = {
  readonly host: string
  readonly party: EvidenceParty
  readonly paymentId: string
  readonly bundle: Uint8Array
}

/** The id by which a party knows it: the customer's side the request's, the payee's side the notice's. */
const idFor = (party: EvidenceParty, { paymentId, pnId }: Trace): string | undefined =>
  party === 'customer' ? paymentId : party === 'cpp' ? (paymentId ?? pnId) : pnId

/** @param id paymentId, pnId or txId as 32 hex digits. @throws CliError when nobody knows it, or the party has nothing to show */
export const evidenceOf = async (
  sources: readonly NodeSource[],
  id: string,
  party: EvidenceParty,
): Promise<FoundEvidence> => {
  const trace = await tracePayment(sources, id)
  if (trace.hops.length === 0) throw new CliError('usage', `no node of this network knows ${id}`)
  const host = trace.hops.find(({ role }) => role === party)?.node
  const source = sources.find((one) => one.id === host)
  const paymentId = idFor(party, trace)
  if (host === undefined || source === undefined || paymentId === undefined)
    throw new CliError('usage', `payment ${id} never came to a ${party}; its state is ${trace.state ?? 'unknown'}`)
  const answer = (await source.ask('evidence', { paymentId })) as EvidenceAnswer | JsonAnswer
  if (!answer.ok) throw new CliError('checkFailed', `${host} has no evidence of it: ${answer.detail} (${answer.code})`)
  const { bundle } = answer
  return { host, party, paymentId, bundle: typeof bundle === 'string' ? fromHex(bundle) : bundle }
}
/** As the control socket brings it. */
type JsonAnswer = { readonly ok: true; readonly bundle: string }

/** The root key that a host of this network was given, as hex. */
export const rootKeyOf = async (directory: FleetDirectory, host: string): Promise<string> =>
  (await readHostCredentials(directory.credentials(host))).rootKey
