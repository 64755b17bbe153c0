/** Header fields at their extremes, and others' names in them. */
import { concat, utf8 } from '../bytes.ts'
import { KIND_NAMES, kindRow } from '../kinds.ts'
import type { SigningKey } from '../keys.ts'
import { BYTE_MUTATORS } from './mutate-bytes.ts'
import { BAD_KEYS, packBytes, packInt, packText, replaced, VALUE_MUTATORS } from './mutate-values.ts'
import type { Chance } from './random.ts'
import { readTree, type Value } from './tree.ts'

type Known = { readonly ids: readonly string[]; readonly insiders: readonly SigningKey[]; readonly now: () => number }

const NIL = Uint8Array.of(0xc0)
const int = (value: number | bigint): Uint8Array => packInt(BigInt(value), 'i64')
const STRANGE_NAMES = [
  '',
  '*',
  '>',
  'hu-*',
  'hu-otp.x',
  'HU-OTP',
  'hu-otp\n',
  'hu-dc',
  `hu-${'a'.repeat(54)}`,
  `hu-${'a'.repeat(55)}`,
  '__proto__',
  'a'.repeat(26),
]
const TIMES = [0, 1, -1, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53] as const

const FIELDS: readonly {
  readonly name: string
  readonly make: (chance: Chance, known: Known) => Uint8Array
}[] = [
  { name: 'version', make: (chance) => int(chance.pick([0, 2, 3, 255, 2 ** 53 - 1])) },
  { name: 'networkId', make: (chance) => packBytes(chance.bytes(chance.pick([0, 15, 16, 17, 32]))) },
  {
    name: 'kind',
    make: (chance) =>
      int(chance.percent(80) ? kindRow(chance.pick(KIND_NAMES)).number : chance.pick([0, 255, 65_536, 2 ** 53 - 1])),
  },
  { name: 'bodyVersion', make: (chance) => int(chance.pick([0, 2, 3, 65_536, 2 ** 53 - 1])) },
  { name: 'messageId', make: (chance) => packBytes(chance.bytes(chance.pick([0, 15, 16, 16, 16, 17]))) },
  {
    name: 'from',
    make: (chance, { ids, insiders }) =>
      chance.pick([
        () => packText(utf8(chance.pick(ids))),
        () => packText(utf8(chance.pick(STRANGE_NAMES))),
        () => packBytes(chance.pick(BAD_KEYS)),
        () => packBytes(chance.pick(insiders).publicKey),
        () => packBytes(chance.bytes(chance.pick([16, 31, 32, 33]))),
      ])(),
  },
  {
    name: 'to',
    make: (chance, { ids }) => packText(utf8(chance.percent(60) ? chance.pick(ids) : chance.pick(STRANGE_NAMES))),
  },
  {
    name: 'sentAtMs',
    make: (chance, { now }) =>
      int(chance.percent(50) ? chance.pick(TIMES) : now() + chance.pick([-1e11, -1e9, 29_000, 31_000, 1e9, 1e11])),
  },
  {
    name: 'expiresAtMs',
    make: (chance, { now }) =>
      chance.percent(20)
        ? NIL
        : int(chance.percent(50) ? chance.pick(TIMES) : now() + chance.pick([-1e9, -1, 0, 1, 1e9])),
  },
  {
    name: 'correlationId',
    make: (chance) => (chance.percent(30) ? NIL : packBytes(chance.bytes(chance.pick([0, 15, 16, 17])))),
  },
  { name: 'bodyForm', make: (chance) => int(chance.pick([0, 1, 2, 255])) },
]

/** → what was changed, and the header's new bytes. */
export const mutateHeader = (header: Uint8Array, known: Known, chance: Chance): readonly [string, Uint8Array] => {
  const root = readTree(header)
  if (root?.type === 'array' && root.children.length === FIELDS.length && chance.percent(75)) {
    const at = chance.below(FIELDS.length)
    const field = FIELDS[at] as (typeof FIELDS)[number]
    return [field.name, replaced(header, root.children[at] as Value, field.make(chance, known))]
  }
  for (let tries = 0; tries < 8; tries++) {
    const mutator = chance.pick([...VALUE_MUTATORS, ...BYTE_MUTATORS])
    const mutant = mutator.apply(header, chance, [])
    if (mutant !== undefined) return [mutator.name, mutant]
  }
  return ['bytes after the end', concat(header, NIL)]
}
