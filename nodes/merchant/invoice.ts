/** What merchant and wallet must compute alike of an invoice (SPEC "transaction-details"). */
import { utf8 } from '../../protocol/bytes.ts'
import { hash } from '../../protocol/hash.ts'

/** H(salt ‖ UTF-8 description): binds the text to the TRANS without showing it to a processor. */
export const descriptionHashOf = (salt: Uint8Array, description: string): Uint8Array => hash(salt, utf8(description))
