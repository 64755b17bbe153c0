/**
 * What those who are not the customer's see of a purchase, field by field, and whether any of it tells two purchases of one
 * customer from purchases of two. For tests only.
 */
import { toHex } from '../../../../protocol/bytes.ts'
import { decodeBody } from '../../../../protocol/codec.ts'
import { parseFrame } from '../../../../protocol/seals.ts'
import { parseSubject } from '../../../../protocol/subjects.ts'
import { randomBelow, type Random } from '../../../runtime/random.ts'
import type { Traffic } from './crowd.ts'

/** Path of a field → its value as text. Equal text is equal value. */
export type Features = ReadonlyMap<string, string>

/** Instants are left out: what is sent at the same time can be told by time alone. */
const isInstant = (name: string): boolean => name.endsWith('AtMs')

const add = (into: Map<string, string>, path: string, value: unknown): void => {
  if (value instanceof Uint8Array) {
    into.set(path, toHex(value))
    into.set(`${path} begins`, toHex(value.subarray(0, 4)))
    into.set(`${path} ends`, toHex(value.slice(-4)))
    into.set(`${path} length`, String(value.length))
    addFrame(into, `${path} >`, value)
  } else if (Array.isArray(value)) {
    into.set(`${path} length`, String(value.length))
    value.forEach((one, at) => add(into, `${path}[${at}]`, one))
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, field] of Object.entries(value)) if (!isInstant(name)) add(into, `${path}.${name}`, field)
  } else into.set(path, String(value))
}

const addFrame = (into: Map<string, string>, path: string, bytes: Uint8Array): void => {
  const parsed = parseFrame(bytes)
  if (!parsed.ok) return
  const { header, bodyBytes, seal } = parsed.value
  add(into, `${path} header`, header)
  if (header.expiresAtMs !== undefined)
    into.set(`${path} header lifetime`, String(header.expiresAtMs - header.sentAtMs))
  add(into, `${path} seal`, seal)
  if (header.bodyForm === 'encrypted' || header.kind === undefined) {
    into.set(`${path} encrypted length`, String(bodyBytes.length))
    return
  }
  const body = decodeBody(header.kind, header.bodyVersion, bodyBytes)
  if (!body.ok) throw new Error(`${header.kind}: ${body.failure.code}`)
  add(into, `${path} body`, body.value)
}

/** @param heard what came to merchants, MPPs and data centers while one purchase was made, in order */
export const featuresOf = (heard: readonly Traffic[]): Features => {
  const features = new Map<string, string>()
  const seen = new Map<string, number>()
  const order: string[] = []
  for (const { subject, data } of heard) {
    const to = parseSubject(subject)
    if (to === undefined) throw new Error(`not a subject: ${subject}`)
    const name = `${to.kind} to ${to.toRole}`
    const nth = (seen.get(name) ?? 0) + 1
    seen.set(name, nth)
    order.push(name)
    const path = `${name} ${nth}`
    features.set(`${path} from`, to.fromHost)
    features.set(`${path} to`, to.toHost)
    features.set(`${path} length`, String(data.length))
    addFrame(features, path, data)
  }
  features.set('messages', order.join(', '))
  return features
}

export type Purchase = { readonly customer: string; readonly features: Features }

/** Values of a field that two purchases share, though no other customer's purchase has them: `path = value`. */
export const sharedByOneAlone = (
  purchases: readonly Purchase[],
  ignored: (path: string) => boolean,
): readonly string[] => {
  const owners = new Map<string, { readonly customers: Set<string>; count: number }>()
  for (const { customer, features } of purchases)
    for (const [path, value] of features) {
      const name = `${path} = ${value}`
      const owner = owners.get(name) ?? { customers: new Set<string>(), count: 0 }
      owner.customers.add(customer)
      owner.count += 1
      owners.set(name, owner)
    }
  return [...owners]
    .filter(([name, { customers, count }]) => count > 1 && customers.size === 1 && !ignored(name))
    .map(([name]) => name)
}

type Statistic = (customers: readonly string[]) => number

/** How much more often a field is equal in two purchases of one customer than of two; and for numbers, how much nearer. */
const statisticsOf = (values: readonly (string | undefined)[]): readonly Statistic[] => {
  const compare =
    (distance: (a: number, b: number) => number): Statistic =>
    (customers) => {
      const sums = [0, 0]
      const counts = [0, 0]
      for (let i = 0; i < values.length; i++)
        for (let j = i + 1; j < values.length; j++) {
          const group = customers[i] === customers[j] ? 0 : 1
          sums[group] = (sums[group] as number) + distance(i, j)
          counts[group] = (counts[group] as number) + 1
        }
      return (sums[0] as number) / (counts[0] as number) - (sums[1] as number) / (counts[1] as number)
    }
  const equality = compare((i, j) => (values[i] === values[j] ? 1 : 0))
  if (!values.every((value) => value !== undefined && /^-?\d{1,15}$/.test(value))) return [equality]
  const numbers = values.map(Number)
  return [equality, compare((i, j) => Math.abs((numbers[i] as number) - (numbers[j] as number)))]
}

const SHUFFLES = 400

/**
 * Fields that tell who bought: the customers' names, put to the purchases in any other order, would seldom fit so well.
 * @param chance below which a fit is not taken for one by chance
 */
export const tellingFields = (purchases: readonly Purchase[], random: Random, chance: number): readonly string[] => {
  const paths = new Set(purchases.flatMap(({ features }) => [...features.keys()]))
  const names = purchases.map(({ customer }) => customer)
  const shuffles = Array.from({ length: SHUFFLES }, () => {
    const shuffled = [...names]
    for (let at = shuffled.length - 1; at > 0; at--) {
      const other = randomBelow(random, at + 1)
      const held = shuffled[at] as string
      shuffled[at] = shuffled[other] as string
      shuffled[other] = held
    }
    return shuffled
  })
  /** Fields that group the purchases alike tell alike. */
  const known = new Map<string, boolean>()
  return [...paths].filter((path) => {
    const values = purchases.map(({ features }) => features.get(path))
    const numbered = new Map<string | undefined, number>()
    const isNumber = values.every((value) => value !== undefined && /^-?\d{1,15}$/.test(value))
    const pattern = isNumber
      ? values.join()
      : values.map((value) => numbered.get(value) ?? (numbered.set(value, numbered.size), numbered.size - 1)).join()
    const before = known.get(pattern)
    if (before !== undefined) return before
    const tells = statisticsOf(values).some((statistic) => {
      const fit = Math.abs(statistic(names))
      if (fit < 1e-12) return false
      const asGood = shuffles.filter((shuffled) => Math.abs(statistic(shuffled)) >= fit - 1e-12).length
      return asGood / SHUFFLES < chance
    })
    known.set(pattern, tells)
    return tells
  })
}
