/** Reports come over sockets as JSON, where money is decimal text. This is the way back: every field whose name ends in Minor. */
export const reviveMoney = <T>(value: T): T => revived(value, '') as T

const revived = (value: unknown, name: string): unknown => {
  if (typeof value === 'string') return name.endsWith('Minor') && /^-?\d+$/.test(value) ? BigInt(value) : value
  if (Array.isArray(value)) return value.map((item) => revived(item, name))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, revived(field, key)]))
}
