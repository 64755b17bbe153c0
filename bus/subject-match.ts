/**
 * Subjects and wildcards as NATS reads them: tokens between dots, `*` stands for one token, a final `>` for one or more.
 * The simulated bus delivers and refuses by these rules; `nats-bus.test.ts` holds them to the real server.
 */
import { BUS_LIMITS } from './bus-limits.ts'

/** Visible ASCII in non-empty tokens. A space or a line break in a subject would be read as the next protocol word. */
const LITERAL = /^[!-)+-\-/-=?-~]+(\.[!-)+-\-/-=?-~]+)*$/
const PATTERN = /^([!-)+-\-/-=?-~]+|\*)(\.([!-)+-\-/-=?-~]+|\*))*(\.>)?$|^>$/

/** @throws TypeError unless `subject` is one that can be published to. */
export const checkLiteralSubject = (subject: string): void => {
  if (subject.length > BUS_LIMITS.maxSubjectLength || !LITERAL.test(subject))
    throw new TypeError(`not a literal subject: ${JSON.stringify(subject.slice(0, 80))}`)
}

/** @throws TypeError unless `pattern` is a subject that can be subscribed to. */
export const checkPattern = (pattern: string): void => {
  if (pattern.length > BUS_LIMITS.maxSubjectLength || !PATTERN.test(pattern))
    throw new TypeError(`not a subject pattern: ${JSON.stringify(pattern.slice(0, 80))}`)
}

/** Does `pattern` match the literal `subject`? */
export const matches = (pattern: string, subject: string): boolean => covers(pattern, subject)

/** Does `allowed` match every subject that `pattern` matches? Walks both without cutting them: asked for every message and login. */
export const covers = (allowed: string, pattern: string): boolean => {
  let a = 0
  let p = 0
  for (;;) {
    const allowedEnd = endOfToken(allowed, a)
    const patternEnd = endOfToken(pattern, p)
    if (isToken(allowed, a, allowedEnd, '>')) return true
    if (isToken(pattern, p, patternEnd, '>')) return false
    if (!isToken(allowed, a, allowedEnd, '*')) {
      const length = allowedEnd - a
      if (patternEnd - p !== length) return false
      for (let i = 0; i < length; i++) if (allowed.charCodeAt(a + i) !== pattern.charCodeAt(p + i)) return false
    }
    if (allowedEnd === allowed.length || patternEnd === pattern.length)
      return allowedEnd === allowed.length && patternEnd === pattern.length
    a = allowedEnd + 1
    p = patternEnd + 1
  }
}

const endOfToken = (text: string, from: number): number => {
  const at = text.indexOf('.', from)
  return at < 0 ? text.length : at
}
const isToken = (text: string, from: number, end: number, token: string): boolean =>
  end - from === 1 && text[from] === token

/** What patterns of one address have in common: the first four tokens; undefined where fewer, or a wildcard stands among them. */
export const addressPart = (pattern: string): string | undefined => {
  let end = -1
  for (let token = 0; token < 4; token++) {
    const next = pattern.indexOf('.', end + 1)
    if (next < 0) return undefined
    const first = pattern[end + 1]
    if (next === end + 2 && (first === '*' || first === '>')) return undefined
    end = next
  }
  return pattern.slice(0, end)
}
