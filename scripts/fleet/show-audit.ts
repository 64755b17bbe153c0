/** An audit as lines for people: what is proved, what is to be known, what is missing, what is wrong. */
import type { Audit, Finding } from '../../protocol/audit-findings.ts'
import { payeeAddress, showId } from '../../protocol/ids.ts'
import type { Output } from '../cli/output.ts'

type Styled = Pick<Output, 'style'>

/** The first line is the verdict. */
export const auditLines = (
  { ok, about, proved, notes, missing, problems }: Audit,
  { style }: Styled,
): readonly string[] => {
  const group = (title: string, findings: readonly Finding[], show: (text: string) => string): readonly string[] =>
    findings.length === 0 ? [] : ['', title, ...findings.map(({ piece, text }) => `  ${show(piece)}: ${text}`)]
  const verdict = ok
    ? style('green', 'proved, and nothing is missing or wrong')
    : style('red', `not proved: ${problems.length} wrong, ${missing.length} missing`)
  const subject =
    about === undefined
      ? []
      : [`invoice ${showId(about.txId)} of ${payeeAddress(about.payee)}, as ${about.host} (${about.party}) shows it`]
  return [
    verdict,
    ...subject,
    ...group('Proved', proved, (text) => style('green', text)),
    ...group('To be known', notes, (text) => style('yellow', text)),
    ...group('Missing', missing, (text) => style('red', text)),
    ...group('Wrong', problems, (text) => style('red', text)),
  ]
}
