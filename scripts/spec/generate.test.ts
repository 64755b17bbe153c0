import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { HostCredentialsFile } from '../../nodes/runtime/bundle.ts'
import { KIND_NAMES, kindRow } from '../../protocol/kinds.ts'
import { OBLIGATIONS } from '../../protocol/obligations.ts'
import { projectRoot } from '../cli/paths.ts'
import { regenerate } from './generate.ts'

test('SPEC.md says what the code says (npm run spec mends it)', async () => {
  const text = await readFile(join(projectRoot(), 'protocol', 'SPEC.md'), 'utf8')
  expect(regenerate(text)).toBe(text)
})

test('a marker that nothing generates is refused', async () => {
  const text = await readFile(join(projectRoot(), 'protocol', 'SPEC.md'), 'utf8')
  expect(() => regenerate(text.replaceAll(': limits -->', ': bounds -->'))).toThrow('no marker for limits')
})

test('every live kind names what its sender and its receiver must do', () => {
  const silent = KIND_NAMES.filter(
    (kind) => OBLIGATIONS[kind].sender.length === 0 || OBLIGATIONS[kind].receiver.length === 0,
  )
  expect(silent).toEqual([])
  expect(
    KIND_NAMES.filter((kind) => kindRow(kind).accepts.length === 0).every((kind) =>
      OBLIGATIONS[kind].receiver[0]?.includes('UNSUPPORTED_VERSION'),
    ),
  ).toBe(true)
})

test('the table of the credentials file names every field of it', async () => {
  const text = await readFile(join(projectRoot(), 'protocol', 'SPEC.md'), 'utf8')
  const section = text.slice(text.indexOf('### The credentials file'), text.indexOf('## 5. '))
  const fields = Object.keys(HostCredentialsFile.properties)
  expect(fields.filter((field) => !section.includes(`\`${field}\``))).toEqual([])
})
