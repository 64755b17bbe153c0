/** A process that plays the seeds it is sent, one after the other, and answers what came of each. It goes with its parent. */
import { playSeed, type SeedOptions } from './seeds.ts'

process.on('disconnect', () => {
  process.exitCode = 0
  process.kill(process.pid)
})

process.on('message', ({ seed, options }: { readonly seed: string; readonly options: SeedOptions }) => {
  playSeed(seed, options).then(
    ({ payments, hash, violations }) => process.send?.({ seed, payments, hash, violations: violations.slice(0, 1) }),
    (error: unknown) =>
      process.send?.({ reason: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  )
})
