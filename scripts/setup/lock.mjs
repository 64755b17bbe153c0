// One process at a time installs or builds. The lock is a file that names its owner, so that a lock whose owner was killed
// is taken over instead of waited for.
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { SetupError } from './project.mjs'

const POLL_MS = 50
const PATIENCE_MS = 10 * 60_000

/** @param {number} ms */
const pause = (ms) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

/** @param {unknown} error @param {string} code */
const hasCode = (error, code) => error instanceof Error && 'code' in error && error.code === code

/** The owner named in a lock file; undefined when the file is gone. @param {string} file */
const ownerOf = (file) => {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** @param {string} owner */
const isAlive = (owner) => {
  const pid = Number(owner)
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return hasCode(error, 'EPERM')
  }
}

/**
 * Takes the lock away from a dead owner. Renaming is atomic, so of two takers one gets the file; should that file turn out
 * to be a third process's fresh lock, it is put back.
 * @param {string} file @param {string} deadOwner
 */
const takeOver = (file, deadOwner) => {
  const aside = `${file}.${process.pid}`
  try {
    renameSync(file, aside)
    if (ownerOf(aside) !== deadOwner) linkSync(aside, file)
  } catch (error) {
    if (!hasCode(error, 'ENOENT') && !hasCode(error, 'EEXIST')) throw error
  } finally {
    rmSync(aside, { force: true })
  }
}

/**
 * Runs `work` while holding `file`. Waits for a living owner, at most ten minutes.
 * @template T
 * @param {string} file
 * @param {() => T} work
 * @returns {T}
 */
export const withLock = (file, work) => {
  mkdirSync(dirname(file), { recursive: true })
  // written aside and linked into place: a lock file is never seen without its owner
  const mine = `${file}.new.${process.pid}`
  writeFileSync(mine, String(process.pid))
  try {
    for (let waitedMs = 0; ; waitedMs += POLL_MS) {
      try {
        linkSync(mine, file)
        break
      } catch (error) {
        if (!hasCode(error, 'EEXIST')) throw error
      }
      const owner = ownerOf(file)
      if (owner !== undefined && !isAlive(owner)) takeOver(file, owner)
      else if (waitedMs >= PATIENCE_MS)
        throw new SetupError(`process ${owner} holds ${file}; end it or remove the file`)
      else pause(POLL_MS)
    }
  } finally {
    rmSync(mine, { force: true })
  }
  try {
    return work()
  } finally {
    rmSync(file, { force: true })
  }
}
