/** Chance for workloads: the same draws for the same name. Nothing here touches money but whole minor units that were drawn. */
import { seededRandom } from '../../nodes/runtime/sim-network.ts'

export type Draws = {
  /** In [0, 1). */
  readonly uniform: () => number
  /** Mean 0, standard deviation 1 (Box–Muller). */
  readonly normal: () => number
  /** Lognormal of this mean; `sigma` is that of the logarithm. */
  readonly lognormal: (mean: number, sigma: number) => number
  /** A whole number in [0, count). */
  readonly below: (count: number) => number
}

const BLOCK_BYTES = 4_096

export const createDraws = (name: string): Draws => {
  const random = seededRandom(`draws ${name}`)
  let block: DataView = new DataView(new ArrayBuffer(0))
  let at = 0
  const uniform = (): number => {
    if (at >= block.byteLength) {
      const bytes = random.bytes(BLOCK_BYTES)
      block = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      at = 0
    }
    const drawn = block.getUint32(at) / 2 ** 32
    at += 4
    return drawn
  }
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
  return {
    uniform,
    normal,
    lognormal: (mean, sigma) => mean * Math.exp(sigma * normal() - (sigma * sigma) / 2),
    below: (count) => Math.floor(uniform() * count),
  }
}
