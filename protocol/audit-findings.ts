/** What an audit finds, and what its judges look at. */
import type { EvidenceStatement } from './evidence.ts'
import type { KindName } from './kinds.ts'
import type { EnrolmentStatement } from './statements.ts'
import type { Verified } from './verified.ts'

/** `piece`: a kind of message, `credential of <id>`, `revocation-list`, `statement`, `inclusion`, `bundle` or `payment`. */
export type Finding = { readonly piece: string; readonly text: string }

export type Audit = {
  /** Something is proved, nothing is missing and nothing is wrong. */
  readonly ok: boolean
  readonly about: Omit<EvidenceStatement, 'pieces' | 'inclusion'> | undefined
  readonly proved: readonly Finding[]
  readonly missing: readonly Finding[]
  readonly problems: readonly Finding[]
  /** What is to be known and is no fault: how far the payment has got, and what was revoked since. */
  readonly notes: readonly Finding[]
}

/** Where the judges put what they find. A piece that has a finding already is not called missing as well. */
export type Findings = {
  readonly prove: (piece: string, text: string) => void
  readonly miss: (piece: string, text: string) => void
  readonly wrong: (piece: string, text: string) => void
  readonly note: (piece: string, text: string) => void
}

/** What could be opened: every frame with a good seal by a key that leads to the root. */
export type Exhibits = {
  readonly statement: EvidenceStatement
  readonly all: <K extends KindName>(kind: K) => readonly Verified<K>[]
  readonly one: <K extends KindName>(kind: K) => Verified<K> | undefined
  /** The CPP's record of the customer whose device key this is, and which CPP signed it. */
  readonly enrolmentOf: (
    keyId: Uint8Array,
  ) => { readonly statement: EnrolmentStatement; readonly cpp: string } | undefined
}

export const collectFindings = () => {
  const proved: Finding[] = []
  const missing: Finding[] = []
  const problems: Finding[] = []
  const notes: Finding[] = []
  const isNamed = (piece: string): boolean => [...problems, ...missing].some((one) => one.piece === piece)
  const findings: Findings = {
    prove: (piece, text) => void proved.push({ piece, text }),
    miss: (piece, text) => {
      if (!isNamed(piece)) missing.push({ piece, text })
    },
    wrong: (piece, text) => void problems.push({ piece, text }),
    note: (piece, text) => void notes.push({ piece, text }),
  }
  const result = (statement: EvidenceStatement | undefined): Audit => {
    const ok = proved.length > 0 && missing.length === 0 && problems.length === 0
    if (statement === undefined) return { ok, about: undefined, proved, missing, problems, notes }
    const { pieces: _, inclusion: __, ...about } = statement
    return { ok, about, proved, missing, problems, notes }
  }
  return { findings, result }
}

/** The first condition that does not hold is the piece's problem. → do all hold? */
export const fits = (
  findings: Findings,
  piece: string,
  conditions: readonly (readonly [holds: boolean, otherwise: string])[],
): boolean => {
  const broken = conditions.find(([holds]) => !holds)
  if (broken !== undefined) findings.wrong(piece, broken[1])
  return broken === undefined
}

const DAY_MS = 86_400_000
const two = (value: number, width = 2): string => String(value).padStart(width, '0')

/** Milliseconds since 1970 as ISO 8601 in UTC; the calendar is Gregorian (civil-from-days, Howard Hinnant). */
export const time = (ms: number): string => {
  const days = Math.floor(ms / DAY_MS)
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1_460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const moved = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * moved + 2) / 5) + 1
  const month = moved < 10 ? moved + 3 : moved - 9
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  const rest = ms - days * DAY_MS
  const hours = two(Math.floor(rest / 3_600_000))
  const minutes = two(Math.floor(rest / 60_000) % 60)
  const seconds = two(Math.floor(rest / 1_000) % 60)
  return `${two(year, 4)}-${two(month)}-${two(day)}T${hours}:${minutes}:${seconds}.${two(rest % 1_000, 3)}Z`
}
