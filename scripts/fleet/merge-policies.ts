/** Policies as a network file writes them: settings of a role, and over them those of a node. */
export type Policy = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Policy =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** `over` before `base`, key by key at every depth. */
export const mergePolicies = (base: Policy, over: Policy): Policy =>
  Object.fromEntries(
    [...new Set([...Object.keys(base), ...Object.keys(over)])].map((key) => {
      const [below, above] = [base[key], over[key]]
      return [
        key,
        isObject(below) && isObject(above) ? mergePolicies(below, above) : Object.hasOwn(over, key) ? above : below,
      ]
    }),
  )
