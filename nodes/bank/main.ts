/** A bank as one process. */
import { runNode } from '../runtime/run.ts'
import { defineBank } from './define.ts'

await runNode(defineBank)
