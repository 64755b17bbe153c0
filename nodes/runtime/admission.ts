/**
 * Which messages start something and may be refused when a host is full or paused, and which complete what was started and
 * never are (design §4).
 */
import type { Role } from '../../protocol/ids.ts'
import type { KindName } from '../../protocol/kinds.ts'

/** Starts of payments and enrolments: refused while the host drains, so that what is under way can end. */
const STARTS: ReadonlySet<KindName> = new Set<KindName>([
  'offer-request',
  'payment-request',
  'customer-enrolment',
  'payee-enrolment',
  'refund-request',
  'fx-quote-request',
])
/** Starts at this host of what has been started elsewhere: refused while it is paused. */
const STEPS: ReadonlySet<KindName> = new Set<KindName>(['request-to-pay', 'payment-notice', 'hold-order'])
/** Questions: refused only when the host is full. */
const QUESTIONS: ReadonlySet<KindName> = new Set<KindName>([
  'order-query',
  'payment-query',
  'notice-query',
  'payee-lookup',
  'credential-query',
  'revocation-query',
  'directory-query',
  'bank-order-query',
  'ledger-report-query',
  'host-registration',
])

/** A data center only routes most of what it gets: a route is the completion of somebody's send. */
export const isAdmission = (kind: KindName, here: Role): boolean =>
  QUESTIONS.has(kind) || (here !== 'dc' && (STARTS.has(kind) || STEPS.has(kind)))

export type Gate = 'open' | 'draining' | 'paused'

export const isBarred = (gate: Gate, kind: KindName, here: Role): boolean =>
  gate !== 'open' && here !== 'dc' && (STARTS.has(kind) || (gate === 'paused' && STEPS.has(kind)))
