/** Policies over each other, as plain JSON: a node's over its role's, an operator's change over what is in force. */
export type PlainPolicy = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is PlainPolicy =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Settings told apart by `policy`, such as those of the aggregation: another one has settings of its own. */
const isOther = (below: PlainPolicy, above: PlainPolicy): boolean =>
  typeof above['policy'] === 'string' && above['policy'] !== below['policy']

/** `over` before `base`, key by key at every depth. */
export const mergePolicies = (base: PlainPolicy, over: PlainPolicy): PlainPolicy =>
  Object.fromEntries(
    [...new Set([...Object.keys(base), ...Object.keys(over)])].map((key) => {
      const [below, above] = [base[key], over[key]]
      const merged = isObject(below) && isObject(above) && !isOther(below, above)
      return [key, merged ? mergePolicies(below, above) : Object.hasOwn(over, key) ? above : below]
    }),
  )
