/** An MPP host as a process: `--creds FILE --config FILE`. */
import { runNode } from '../runtime/run.ts'
import { mpp } from './definition.ts'

await runNode(mpp)
