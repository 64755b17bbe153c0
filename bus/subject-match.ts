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

/** Does `allowed` match every subject that `pattern` matches? */
export const covers = (allowed: string, pattern: string): boolean => {
  const outer = allowed.split('.')
  const inner = pattern.split('.')
  for (let i = 0; i < outer.length; i++) {
    if (outer[i] === '>') return inner.length > i
    if (i >= inner.length || inner[i] === '>') return false
    if (outer[i] === '*') continue
    if (outer[i] !== inner[i]) return false
  }
  return inner.length === outer.length
}
