/** The linter keeps layers and purity; here each rule is shown to bite, and not to bite where the file may. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { projectRoot } from '../cli/paths.ts'

const IMPORTS = 'eslint(no-restricted-imports)'
const GLOBALS = 'eslint(no-restricted-globals)'
const PROPERTIES = 'eslint(no-restricted-properties)'
const CONSOLE = 'eslint(no-console)'
const PREFIX = 'unicorn(prefer-node-protocol)'
const FLOATING = 'typescript(no-floating-promises)'

const use = (what: string): string => `export const value = () => ${what}\n`
const from = (specifier: string): string => `import { thing } from '${specifier}'\n\n${use('thing')}`
const typeFrom = (specifier: string): string =>
  `import type { Thing } from '${specifier}'\n\nexport type Mine = Thing\n`
const reexport = (specifier: string): string => `export { thing } from '${specifier}'\n`

/** Path, source, and the one rule it breaks; null for what must pass. */
const CASES: readonly (readonly [string, string, string | null])[] = [
  // the direction of imports
  ['protocol/a1.ts', from('../bus/bus.ts'), IMPORTS],
  ['protocol/a2.ts', from('../nodes/runtime/store.ts'), IMPORTS],
  ['protocol/a3.ts', from('../scripts/semops.ts'), IMPORTS],
  ['protocol/messages/a4.ts', typeFrom('../../bus/bus.ts'), IMPORTS],
  ['protocol/a5.ts', reexport('../bus/bus.ts'), IMPORTS],
  ['protocol/a6.test.ts', from('../bus/bus.ts'), IMPORTS],
  ['protocol/engines/a7.ts', from('../../bus/bus.ts'), IMPORTS],
  ['protocol/pin.ts', from('../bus/bus.ts'), IMPORTS],
  ['protocol/a8.ts', from('./messages/a.ts'), null],
  ['bus/b1.ts', from('../nodes/runtime/store.ts'), IMPORTS],
  ['bus/b2.ts', from('../scripts/semops.ts'), IMPORTS],
  ['bus/b3.ts', from('../protocol/bytes.ts'), null],
  ['bus/b4.test.ts', from('../nodes/runtime/store.ts'), IMPORTS],
  ['nodes/runtime/c1.ts', from('../../scripts/semops.ts'), IMPORTS],
  ['nodes/cpp/main.ts', from('../../scripts/semops.ts'), IMPORTS],
  ['nodes/runtime/c2.ts', from('../../bus/bus.ts'), null],
  ['scripts/d1.ts', from('../nodes/runtime/store.ts'), null],
  // one file for the NATS client, few for the native engine
  ['protocol/e1.ts', from('nats'), IMPORTS],
  ['bus/e2.ts', from('nats'), IMPORTS],
  ['bus/e3.test.ts', typeFrom('nats'), IMPORTS],
  ['nodes/runtime/e4.ts', from('nats'), IMPORTS],
  ['nodes/runtime/e5.ts', from('@nats-io/transport-node'), IMPORTS],
  ['scripts/e6.ts', from('nats'), IMPORTS],
  ['bus/nats-bus.ts', from('nats'), null],
  ['protocol/f1.ts', from('sodium-native'), IMPORTS],
  ['protocol/pin-proof.ts', from('sodium-native'), IMPORTS],
  ['bus/f2.ts', from('sodium-native'), IMPORTS],
  ['nodes/runtime/f3.ts', from('sodium-native'), IMPORTS],
  ['scripts/f4.ts', from('sodium-native'), IMPORTS],
  ['protocol/engines/native.ts', from('sodium-native'), null],
  ['protocol/hash.ts', from('sodium-native'), null],
  ['protocol/confidential.ts', from('sodium-native'), null],
  // pure files
  ['protocol/g1.ts', from('node:crypto'), IMPORTS],
  ['protocol/g2.ts', from('crypto'), PREFIX],
  ['protocol/g3.ts', from('lmdb'), IMPORTS],
  ['protocol/g4.ts', use('Date.now()'), GLOBALS],
  ['protocol/g5.ts', use('new Date()'), GLOBALS],
  ['protocol/g6.ts', use('Math.random()'), PROPERTIES],
  ['protocol/g7.ts', use('setTimeout(() => undefined, 1)'), GLOBALS],
  ['protocol/g8.ts', use('setInterval(() => undefined, 1)'), GLOBALS],
  ['protocol/g9.ts', use("process.env['HOME']"), GLOBALS],
  ['protocol/g10.ts', use("console.log('x')"), GLOBALS],
  ['protocol/g11.ts', use('globalThis'), GLOBALS],
  ['protocol/g12.ts', use('performance.now()'), GLOBALS],
  ['protocol/g13.ts', use('crypto.randomUUID()'), GLOBALS],
  ['protocol/g14.ts', use('Buffer.alloc(1)'), GLOBALS],
  ['protocol/g17.ts', use("import('../bus/bus.ts')"), IMPORTS],
  ['protocol/g15.ts', use('Math.max(1, 2)'), null],
  ['protocol/pin-check.ts', from('node:crypto'), null],
  ['protocol/g16.test.ts', from('node:fs'), null],
  ['nodes/cpp/decide.ts', from('node:fs'), IMPORTS],
  ['nodes/mpp/load.ts', from('../../bus/bus.ts'), IMPORTS],
  ['nodes/bank/rules.ts', use('Date.now()'), GLOBALS],
  ['nodes/bank/decide-hold.ts', use('Math.random()'), PROPERTIES],
  ['nodes/customer/load-wallet.ts', use('setTimeout(() => undefined, 1)'), GLOBALS],
  ['nodes/merchant/catalogue.ts', use('process.pid'), GLOBALS],
  ['nodes/data-center/routing.ts', typeFrom('../../bus/bus.ts'), IMPORTS],
  ['nodes/runtime/decide.ts', use('Date.now()'), GLOBALS],
  ['nodes/cpp/aggregation.ts', from('pino'), IMPORTS],
  ['nodes/cpp/ledger.ts', from('../../protocol/amount.ts'), null],
  ['nodes/mpp/main.ts', `import { readFileSync } from 'node:fs'\n\n${use("readFileSync('x')")}`, null],
  ['nodes/runtime/clock.ts', use('Date.now()'), null],
  ['nodes/runtime/log.ts', use("console.log('x')"), CONSOLE],
  // types are read
  ['nodes/runtime/promise.ts', 'export const value = () => {\n  Promise.resolve(1)\n}\n', FLOATING],
]

type Diagnostic = { readonly code: string; readonly filename: string }

/** What an import needs to resolve to for the type-aware rules; what is not there is `any` and would be told twice. */
const AMBIENT = ['nats', 'sodium-native', '@nats-io/transport-node', 'lmdb', 'pino', 'crypto', 'node:crypto', 'node:fs']

let tree = ''
const broken = new Map<string, Set<string>>()

beforeAll(() => {
  tree = realpathSync(mkdtempSync(join(tmpdir(), 'semops-lint-')))
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(tree, path)), { recursive: true })
    writeFileSync(join(tree, path), text)
  }
  for (const [path, source] of CASES) write(path, source)
  const settings = {
    strict: true,
    module: 'nodenext',
    allowImportingTsExtensions: true,
    noEmit: true,
    skipLibCheck: true,
  }
  write('tsconfig.json', JSON.stringify({ compilerOptions: { ...settings, types: ['node'] } }))
  write(
    'ambient.d.ts',
    AMBIENT.map((name) => `declare module '${name}' { export const thing: number; export type Thing = number }\n`).join(
      '',
    ),
  )
  write('.oxlintrc.json', readFileSync(join(projectRoot(), '.oxlintrc.json'), 'utf8'))
  symlinkSync(join(projectRoot(), 'node_modules'), join(tree, 'node_modules'))
  const { stdout } = spawnSync(
    process.execPath,
    [join(projectRoot(), 'node_modules/oxlint/bin/oxlint'), '-f', 'json'],
    {
      cwd: tree,
      encoding: 'utf8',
    },
  )
  const { diagnostics } = JSON.parse(stdout) as { readonly diagnostics: readonly Diagnostic[] }
  for (const { filename, code } of diagnostics) broken.set(filename, (broken.get(filename) ?? new Set()).add(code))
})

afterAll(() => rmSync(tree, { recursive: true, force: true }))

/** The rules that these cases are about; a bare fixture may break others. */
const SHOWN = new Set([IMPORTS, GLOBALS, PROPERTIES, CONSOLE, PREFIX, FLOATING])

describe('the linter', () => {
  test.each(CASES.map(([path, , rule]) => [path, rule] as const))('%s: %s', (path, rule) => {
    const found = [...(broken.get(path) ?? [])].filter((code) => SHOWN.has(code))
    expect(found).toEqual(rule === null ? [] : [rule])
  })
})
