/** Arguments and refusals of the control commands. */
import { Value } from '@sinclair/typebox/value'
import { Fields, Type } from '../../protocol/fields.ts'
import type { FailureCode } from '../../protocol/failures.ts'
import { isNodeId, payeeToken } from '../../protocol/ids.ts'
import { decision, type Decision } from '../runtime/node.ts'

const PayeeArgs = Fields({ payee: Type.String({ maxLength: 64 }) })

/** `{payee}` as address `bakery@hu` or token `hu-bakery` → the token; undefined when it is neither. */
export const readPayeeArgs = (args: Readonly<Record<string, unknown>>): string | undefined => {
  if (!Value.Check(PayeeArgs, args)) return undefined
  return payeeToken(args.payee) ?? (isNodeId(args.payee) ? args.payee : undefined)
}

export const refusedReply = (code: FailureCode, detail: string): Decision =>
  decision({ reply: { ok: false, code, detail } })
