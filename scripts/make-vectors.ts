/**
 * Writes `protocol/vectors/` from the sample network: `node .build/scripts/make-vectors.js` after a build. The files are frozen;
 * writing them again is a change of the protocol and belongs in SPEC's revision table. `ed25519.json` holds published
 * vectors and is not written.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadEngine } from '../protocol/engines/load.ts'
import { makeVectors, type RsaVector } from '../protocol/testing/make-vectors.ts'
import { projectRoot } from './cli/paths.ts'

const folder = join(projectRoot(), 'protocol', 'vectors')
const frozen = join(folder, 'frames.json')
const rsa = existsSync(frozen)
  ? (JSON.parse(readFileSync(frozen, 'utf8')) as { readonly rsa: RsaVector }).rsa
  : undefined
for (const [file, content] of Object.entries(makeVectors(loadEngine(), rsa))) {
  writeFileSync(join(folder, file), `${JSON.stringify(content, null, 2)}\n`)
  process.stdout.write(`${file}\n`)
}
