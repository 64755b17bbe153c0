/** What an MPP keeps of requests to pay. */
import { defineTable } from '../runtime/table.ts'

/** A request to pay on its way to an alias. Key [requestToPayKey]. */
export type AskRow = {
  readonly requestId: Uint8Array
  readonly payee: string
  readonly host: string
  readonly expiresAtMs: number
}
export const ASKS = defineTable<AskRow>({
  name: 'asks',
  version: 1,
  fields: ['requestId', 'payee', 'host', 'expiresAtMs'],
})
