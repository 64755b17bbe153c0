import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { findServer, OLDEST_SERVER as OLDEST_OF_BUS } from '../../bus/nats-server.ts'
import { ensureNatsServer, findNatsServer, OLDEST_SERVER } from './nats-server.mjs'

let folder = ''
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'semops-nats-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const program = (name: string, script: string): string => {
  const file = join(folder, name)
  writeFileSync(file, `#!/bin/sh\n${script}\n`)
  chmodSync(file, 0o755)
  return file
}
const saysVersion = (version: string): string => `echo 'nats-server: v${version}'`
const machine = (over: { NATS_SERVER_BIN?: string; root?: boolean } = {}) => ({
  env: { PATH: folder, ...(over.NATS_SERVER_BIN !== undefined && { NATS_SERVER_BIN: over.NATS_SERVER_BIN }) },
  root: over.root ?? false,
  beside: [],
})

describe('finding nats-server', () => {
  test('the one that is named goes first', () => {
    program('nats-server', saysVersion('2.10.0'))
    const named = program('other', saysVersion('2.10.0'))
    expect(findNatsServer(machine({ NATS_SERVER_BIN: named }))).toBe(named)
  })

  test('a name that is no program is said, not passed over', () => {
    program('nats-server', saysVersion('2.10.0'))
    const wrong = { NATS_SERVER_BIN: join(folder, 'absent') }
    expect(() => findNatsServer(machine(wrong))).toThrow(/NATS_SERVER_BIN names .*absent.*correct or unset it/)
  })

  test('PATH, then the folders beside it', () => {
    const found = program('nats-server', saysVersion('2.10.0'))
    expect(findNatsServer(machine())).toBe(found)
    expect(findNatsServer({ env: { PATH: '' }, root: false, beside: [folder] })).toBe(found)
    expect(findNatsServer({ env: { PATH: '' }, root: false, beside: [] })).toBeUndefined()
  })

  test('finds what the bus finds, and wants what it wants', () => {
    expect(findNatsServer()).toBe(findServer())
    expect(OLDEST_SERVER).toEqual([...OLDEST_OF_BUS])
  })
})

describe('what a fresh machine lacks', () => {
  test.each(['2.9.10', '2.10.0', '3.0.0'])('version %s is accepted', (version) => {
    const file = program('nats-server', saysVersion(version))
    expect(ensureNatsServer(machine())).toBe(file)
  })

  test.each(['2.9.9', '2.8.99', '1.99.99'])('version %s is too old', (version) => {
    program('nats-server', saysVersion(version))
    expect(() => ensureNatsServer(machine())).toThrow(/is no nats-server 2\.9\.10 or newer/)
  })

  test('a program that is no nats-server is refused', () => {
    program('nats-server', 'echo hello')
    expect(() => ensureNatsServer(machine())).toThrow(/is no nats-server/)
  })

  test('root installs with apt-get: lists first, then the package', () => {
    const calls = join(folder, 'calls')
    const binary = join(folder, 'nats-server')
    // shell builtins only: PATH holds nothing else
    program(
      'apt-get',
      `echo "$1" >> '${calls}'
if [ "$1" = install ]; then printf '#!/bin/sh\\necho nats-server: v2.10.0\\n' > '${binary}'; /bin/chmod 755 '${binary}'; fi`,
    )
    expect(ensureNatsServer(machine({ root: true }))).toBe(binary)
    expect(readFileSync(calls, 'utf8')).toBe('update\ninstall\n')
  })

  test('lists that cannot be refreshed do not stop it, a failed installation does', () => {
    program('apt-get', 'echo "E: no such package" >&2; exit 100')
    expect(() => ensureNatsServer(machine({ root: true }))).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(/run `apt-get install nats-server`/),
        detail: 'E: no such package',
      }),
    )
  })

  test('without root it says the command and runs nothing', () => {
    const calls = join(folder, 'calls')
    program('apt-get', `echo ran > '${calls}'`)
    expect(() => ensureNatsServer(machine())).toThrow(/run `sudo apt-get install nats-server`, or set NATS_SERVER_BIN/)
    expect(() => readFileSync(calls)).toThrow('ENOENT')
  })

  test('without a package manager it says where to get it', () => {
    expect(() => ensureNatsServer(machine({ root: true }))).toThrow(
      /nats-server is missing on .*download it from https:/,
    )
  })
})
