/**
 * Progress of anything over a second, on stderr. On a terminal one line that is redrawn; elsewhere (a log, CI) a line at
 * the start, at each quarter and at the end. The last line always stays, so that a log shows what was done.
 */
import type { Write } from './output.ts'

export type Progress = {
  /** Adds to what is done; `note` replaces the remark behind the count. */
  readonly advance: (count?: number, note?: string) => void
  /** Ends with what was achieved. */
  readonly done: (text?: string) => void
  /** Ends with why it stopped. */
  readonly fail: (text: string) => void
}

export type ProgressOptions = {
  readonly write: Write
  readonly terminal: boolean
  /** Columns of the terminal. */
  readonly columns: number
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number
}

const REDRAW_MS = 100
const BAR = 24

const bar = (share: number): string => {
  const full = Math.round(share * BAR)
  return `${'█'.repeat(full)}${'░'.repeat(BAR - full)}`
}

const inSeconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

/**
 * @param label what is being done, e.g. `payments`
 * @param total how many steps it takes; without it only the count is shown
 */
export const startProgress = (options: ProgressOptions, label: string, total?: number): Progress => {
  const { write, terminal, columns, now } = options
  const startedAt = now()
  let count = 0
  let note = ''
  let drawnAt = Number.NEGATIVE_INFINITY
  let quarter = 0
  let ended = false

  const state = (): string => {
    const remark = note === '' ? '' : ` · ${note}`
    if (total === undefined || total <= 0) return `${label}${count > 0 ? ` ${count}` : ' …'}${remark}`
    return `${label} ${bar(Math.min(1, count / total))} ${count}/${total}${remark}`
  }
  const draw = (): void => {
    if (now() - drawnAt < REDRAW_MS) return
    drawnAt = now()
    write(
      `\r\u001b[2K${Array.from(state())
        .slice(0, Math.max(1, columns - 1))
        .join('')}`,
    )
  }
  const end = (text: string): void => {
    if (ended) return
    ended = true
    write(`${terminal ? '\r\u001b[2K' : ''}${text}\n`)
  }

  if (terminal) draw()
  else write(`${label} …\n`)
  return {
    advance: (by = 1, remark = note) => {
      if (ended) return
      count += by
      note = remark
      if (terminal) return draw()
      const reached = total === undefined || total <= 0 ? 0 : Math.floor((4 * count) / total)
      // the last quarter is told by `done`
      if (reached <= quarter || reached >= 4) return
      quarter = reached
      write(`${label} ${count}/${total ?? ''}\n`)
    },
    done: (text) =>
      end(`${label}: ${text ?? (count > 0 ? `${count} done` : 'done')} in ${inSeconds(now() - startedAt)}`),
    fail: (text) => end(`${label}: ${text}`),
  }
}
