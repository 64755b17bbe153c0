/** Answers of a host to who asked it over the control socket or in its own process. */
import type { Answer } from './host-types.ts'
import type { Decision } from './node.ts'

export const OK = (value: unknown): Answer => ({ ok: true, value })
export const REFUSED = (code: string, detail: string): Answer => ({ ok: false, error: { code, detail } })

/** What a command's decision answers. */
export const answerOf = ({ refuse, reply }: Decision): Answer =>
  refuse === undefined ? OK(reply) : REFUSED(refuse.code, refuse.detail)
