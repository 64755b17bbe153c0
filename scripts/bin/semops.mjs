#!/usr/bin/env node
// The `semops` command: installs and builds what is missing or stale, then runs the emitted shell in this process.
import { ensureBuild } from '../setup/build.mjs'
import { ensurePackages } from '../setup/packages.mjs'
import { runStep } from '../setup/project.mjs'

runStep(() => {
  ensurePackages()
  ensureBuild()
})
if (process.env['SEMOPS_DEBUG']) process.setSourceMapsEnabled(true)
/** @typedef {{ main: (argv: readonly string[]) => Promise<void> }} Shell */
const shell = /** @type {Shell} */ (await import(new URL('../../.build/scripts/semops.js', import.meta.url).href))
await shell.main(process.argv)
