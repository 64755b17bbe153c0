/** A CPP as one process. */
import { runNode } from '../runtime/run.ts'
import { defineCpp } from './define.ts'

await runNode(defineCpp)
