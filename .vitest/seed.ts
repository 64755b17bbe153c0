/**
 * Property tests draw from one seed, so that a commit passes or fails the same way everywhere. `PROPERTY_SEED=N npm test` draws
 * anew: a finding of such a run becomes a named test. The long random runs are scripts of their own.
 */
import fc from 'fast-check'

fc.configureGlobal({ seed: Number(process.env['PROPERTY_SEED'] ?? 1) })
