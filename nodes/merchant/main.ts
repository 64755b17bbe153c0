import { runNode } from '../runtime/run.ts'
import { defineMerchant } from './define.ts'

await runNode(defineMerchant)
