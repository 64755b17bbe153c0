/** Whether a payee takes a payment: a rule of its own, looked at when the notice arrives (design §2 row 5). */
import { MAX_PAYMENT_MINOR } from '../../protocol/amount.ts'
import { fail, ok, type Result } from '../../protocol/failures.ts'
import { minorUnits } from '../customer/arguments.ts'

/**
 * approve      every payment of an order that is in order
 * reject-over  those above `limitMinor` are rejected
 * reject-all   every one is rejected
 * silent       no decision is sent, so that the notice expires
 */
export type Approval =
  | { readonly rule: 'approve' }
  | { readonly rule: 'reject-over'; readonly limitMinor: bigint }
  | { readonly rule: 'reject-all' }
  | { readonly rule: 'silent' }

export const APPROVAL_RULES = ['approve', 'reject-over', 'reject-all', 'silent'] as const

export type Verdict =
  | { readonly decision: 'approve' }
  | { readonly decision: 'reject'; readonly reason: string }
  | { readonly decision: 'none' }

export const judge = (approval: Approval, amountMinor: bigint): Verdict => {
  switch (approval.rule) {
    case 'approve':
      return { decision: 'approve' }
    case 'reject-over':
      return amountMinor > approval.limitMinor
        ? { decision: 'reject', reason: "over the payee's limit" }
        : { decision: 'approve' }
    case 'reject-all':
      return { decision: 'reject', reason: 'the payee takes no payments' }
    default:
      return { decision: 'none' }
  }
}

/** From a control's argument. SCHEMA_VIOLATION, or AMOUNT_INVALID for the limit. */
export const readApproval = (argument: unknown): Result<Approval> => {
  if (typeof argument !== 'object' || argument === null)
    return fail('SCHEMA_VIOLATION', 'argument approval: an object with a rule')
  const { rule, limitMinor } = argument as { rule?: unknown; limitMinor?: unknown }
  if (rule === 'reject-over') {
    const limit = minorUnits(limitMinor, 0n, MAX_PAYMENT_MINOR)
    return limit.ok ? ok({ rule, limitMinor: limit.value }) : limit
  }
  if (rule === 'approve' || rule === 'reject-all' || rule === 'silent') return ok({ rule })
  return fail('SCHEMA_VIOLATION', `argument approval.rule: one of ${APPROVAL_RULES.join(', ')}`)
}
