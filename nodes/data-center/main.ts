/** A data-center host as a process: `--creds FILE --config FILE`. */
import { runNode } from '../runtime/run.ts'
import { dataCenter } from './definition.ts'

await runNode(dataCenter)
