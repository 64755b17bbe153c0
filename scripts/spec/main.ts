/** `npm run spec`: writes the generated tables of protocol/SPEC.md. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { projectRoot } from '../cli/paths.ts'
import { regenerate } from './generate.ts'

const file = join(projectRoot(), 'protocol', 'SPEC.md')
await writeFile(file, regenerate(await readFile(file, 'utf8')))
