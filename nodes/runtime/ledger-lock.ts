/**
 * A ledger directory has one owner. The lock is a file that names its owner's process; that of a process which is no more is
 * taken over. (pid, start time) identifies a process, since pids come again: in a container they always do.
 */
import { randomBytes } from 'node:crypto'
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LedgerError } from './ledger-error.ts'

export class LedgerLocked extends LedgerError {
  constructor(directory: string, pid: number) {
    super('LEDGER_LOCKED', `${directory} is in use by process ${pid}: stop that one first`)
    this.name = 'LedgerLocked'
  }
}

export type LedgerLock = { readonly release: () => void }

/** `<pid> <start time in clock ticks since boot, or ->`. */
const ownerText = (pid: number): string => `${pid} ${startTimeOf(pid)}`

/** Field 22 of Linux's /proc/<pid>/stat; `-` where there is none. The name before it may hold spaces and parentheses. */
const startTimeOf = (pid: number): string => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '-'
  } catch {
    return '-'
  }
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it lives, and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** The pid that holds the lock with this text, or undefined when its process is no more. */
const holderOf = (text: string): number | undefined => {
  const [pid, start] = text.trim().split(' ')
  const holder = Number(pid)
  if (!Number.isInteger(holder) || holder <= 0 || !isAlive(holder)) return undefined
  return start === '-' || start === startTimeOf(holder) ? holder : undefined
}

const readIfThere = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** @throws LedgerLocked */
export const lockLedger = (directory: string): LedgerLock => {
  const path = join(directory, 'lock')
  const own = join(directory, `lock.${process.pid}.${randomBytes(4).toString('hex')}`)
  writeFileSync(own, ownerText(process.pid), { mode: 0o600, flush: true })
  try {
    for (;;) {
      try {
        // A link appears whole or not at all, and never over another.
        linkSync(own, path)
        return { release: () => rmSync(path, { force: true }) }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
      const text = readIfThere(path)
      if (text === undefined) continue
      const holder = holderOf(text)
      if (holder !== undefined) throw new LedgerLocked(directory, holder)
      removeStale(path, `${own}.stale`, directory)
    }
  } finally {
    rmSync(own, { force: true })
  }
}

/** Moves the stale lock aside; puts it back if another process has taken over in between. */
const removeStale = (path: string, aside: string, directory: string): void => {
  try {
    renameSync(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  const holder = holderOf(readFileSync(aside, 'utf8'))
  if (holder !== undefined) {
    renameSync(aside, path)
    throw new LedgerLocked(directory, holder)
  }
  rmSync(aside, { force: true })
}
