/** The short run of the fuzz suite at the intake of every role; `npm run fuzz` is the long one. */
import { randomBytes } from 'node:crypto'
import { beforeAll, expect, test } from 'vitest'
import { toHex } from '../../../protocol/bytes.ts'
import { fuzzNetwork, type FuzzNetwork } from './network.ts'
import { fuzzNode, TARGETS } from './run.ts'

const FRAMES = 300

/** One host of every role by a fixed seed, and one of them by a fresh one. */
const fresh = toHex(randomBytes(4))
const turn = TARGETS[Number.parseInt(fresh.slice(0, 2), 16) % TARGETS.length] as (typeof TARGETS)[number]

let network: FuzzNetwork
beforeAll(async () => {
  network = await fuzzNetwork()
}, 120_000)

test.each([...TARGETS.map((target) => [target, 'short'] as const), [turn, fresh] as const])(
  'the intake of %s takes mutated frames, also of insiders, and honest payments go on (npm run fuzz -- --frames 0 --per-node 300 --seed %s)',
  async (target, seed) => {
    const run = await fuzzNode({ target, seed, frames: FRAMES, batch: 60, network })
    expect(run.problems).toEqual([])
    expect(run.obeyed).toBeGreaterThan(0)
    expect(run.tally.size).toBeGreaterThan(80)
  },
  120_000,
)
