/** One host as `verify`, `trace` and `statement` read it, running or not. */
import type { Hop } from '../../nodes/runtime/builtins.ts'
import type { HeardJson } from '../../nodes/runtime/heard.ts'
import type { Behind } from '../../nodes/runtime/ledger-age.ts'
import type { PaymentLine, PaymentsPage, Report } from '../../nodes/runtime/reports.ts'
import type { HostPlan } from './plan.ts'

/** `seq`: of the last journal entry. `inFlight`: events, messages not yet answered, commits, jobs. */
export type Standing = { readonly seq: number; readonly inFlight: number }
export type TraceQuery = { readonly ids: readonly string[]; readonly fromMs: number; readonly toMs: number }

export type NodeSource = {
  readonly id: string
  readonly role: HostPlan['role']
  readonly live: boolean
  readonly report: () => Promise<Report>
  /** All of them. None at banks and data centers. */
  readonly payments: () => Promise<readonly PaymentLine[]>
  /** A question to the node; money may come as text. @throws HostRefusal, or answers as the node does */
  readonly ask: (read: string, args: Readonly<Record<string, unknown>>) => Promise<unknown>
  readonly trace: (query: TraceQuery) => Promise<readonly Hop[]>
  readonly standing: () => Promise<Standing>
  /** The newest statement that it holds of each other host; of one alone when it is given. */
  readonly heard: (of?: string) => Promise<readonly HeardJson[]>
  /** Why its ledger is older than what it has said, by its mark and by what others hold; undefined when nothing says so. */
  readonly age: (heard: readonly HeardJson[]) => Promise<Behind | undefined>
  /** Takes nothing new on, without waiting for what is under way. Nothing for a ledger. */
  readonly drain: () => Promise<void>
  /** Undoes `drain`; a host that an operator had stopped before stays as it was. */
  readonly resume: () => Promise<void>
  readonly close: () => Promise<void>
}

/** Banks and data centers keep orders and routes, no payments. */
export const allPages = async (
  role: HostPlan['role'],
  page: (after: string | undefined) => Promise<PaymentsPage>,
): Promise<readonly PaymentLine[]> => {
  const lines: PaymentLine[] = []
  if (role === 'bank' || role === 'dc') return lines
  let after: string | undefined
  do {
    const { payments, next } = await page(after)
    lines.push(...payments)
    after = next
  } while (after !== undefined)
  return lines
}
