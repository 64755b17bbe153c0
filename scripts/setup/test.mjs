// `npm test`: the build, the checks and every test, then one plain line `N passed, N failed`. Each check counts as one
// test, so the line is never green when a check is not. Arguments go to vitest: `npm test -- protocol` runs one layer.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { projectRoot, say, seconds } from './project.mjs'

/** @param {string} script @param {string[]} args */
const node = (script, args) => [process.execPath, join(projectRoot, script), ...args]

const CHECKS = [
  { name: 'build', command: node('scripts/setup/build.mjs', []), vital: true },
  { name: 'types', command: node('node_modules/typescript/bin/tsc', ['-p', '.']) },
  { name: 'lint', command: node('node_modules/oxlint/bin/oxlint', []) },
  {
    name: 'format (npm run format mends it)',
    command: node('node_modules/prettier/bin/prettier.cjs', ['--check', '--log-level', 'warn', '.']),
  },
]

/** @param {string[]} command @param {NodeJS.ProcessEnv} [env] */
const run = ([program = '', ...args], env = process.env) =>
  spawnSync(program, args, { cwd: projectRoot, env, stdio: ['ignore', 'inherit', 'inherit'] }).status === 0

const total = { passed: 0, failed: 0 }
/** @param {string} name @param {boolean} passed @param {number} startedAt */
const record = (name, passed, startedAt) => {
  total[passed ? 'passed' : 'failed'] += 1
  say(`${passed ? 'ok    ' : 'FAILED'} ${name} (${seconds(startedAt)})`)
  return passed
}

const runTests = () => {
  const folder = mkdtempSync(join(tmpdir(), 'semops-test-'))
  const countFile = join(folder, 'count.json')
  const startedAt = performance.now()
  try {
    const args = ['run', '--config', '.vitest/config.ts', ...process.argv.slice(2)]
    const passed = run(node('node_modules/vitest/vitest.mjs', args), { ...process.env, SEMOPS_TEST_COUNT: countFile })
    const count = /** @type {{ passed: number, failed: number }} */ (JSON.parse(readFileSync(countFile, 'utf8')))
    total.passed += count.passed
    total.failed += count.failed
    // a runner that fails without a failed test still failed
    if (!passed && count.failed === 0) record('vitest', false, startedAt)
  } catch {
    record('vitest did not start', false, startedAt)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * One check, its output kept until it ends, so that checks side by side do not mix their lines.
 * @param {string[]} command @returns {Promise<{ passed: boolean, output: string }>}
 */
const runAside = ([program = '', ...args]) =>
  new Promise((resolve) => {
    const child = spawn(program, args, { cwd: projectRoot, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    child.stdout.on('data', (part) => (output += String(part)))
    child.stderr.on('data', (part) => (output += String(part)))
    child.once('error', (error) => resolve({ passed: false, output: error.message }))
    child.once('close', (code) => resolve({ passed: code === 0, output }))
  })

const startedAt = performance.now()
const vital = CHECKS.filter((check) => check.vital === true)
const able = vital.every(({ name, command }) => record(name, run(command), startedAt))
// Each uses about one core: side by side they take as long as the slowest.
await Promise.all(
  CHECKS.filter((check) => check.vital !== true).map(async ({ name, command }) => {
    const { passed, output } = await runAside(command)
    process.stdout.write(output)
    record(name, passed, startedAt)
  }),
)
if (able) runTests()

process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`)
process.exitCode = total.failed === 0 ? 0 : 1
