/** What the operator of a data center decides: a journalled row, changed by operator events only. */
import { Type } from '../../protocol/fields.ts'
import { REALM_PATTERN } from '../../protocol/ids.ts'

export const DataCenterPolicySchema = Type.Object(
  {
    /** Realms whose data centers this one hands messages to and asks for credentials. */
    peerRealms: Type.Array(Type.String({ pattern: REALM_PATTERN }), { maxItems: 1_024 }),
  },
  { additionalProperties: false },
)
export type DataCenterPolicy = { readonly peerRealms: readonly string[] }
