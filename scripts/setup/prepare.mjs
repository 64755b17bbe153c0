// The step before `npm run demo` and `npm test`: everything a fresh clone lacks, or one line that says what to do.
import { ensureNatsServer } from './nats-server.mjs'
import { ensurePackages } from './packages.mjs'
import { runStep } from './project.mjs'

runStep(() => {
  ensurePackages()
  ensureNatsServer()
})
