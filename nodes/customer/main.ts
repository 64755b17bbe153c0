import { runNode } from '../runtime/run.ts'
import { defineWallet } from './define.ts'

await runNode(defineWallet)
