/**
 * The mark that a host leaves outside its ledger: how far its journal has been durable. Written after each flush and before
 * anything is published that depends on it, so a ledger that ends before its mark has lost what others may have been told. It is
 * written in place and not flushed: a power cut may leave an older mark, which proves less and nothing wrong.
 */
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { HASH_BYTES } from '../../protocol/hash.ts'
import type { Chain } from './journal.ts'

export type HeadMark = {
  readonly write: (head: Chain) => void
  readonly close: () => void
}

/** The mark of a host, and what others hold of it, from its marks folder joined with its id. */
export const markFile = (base: string): string => `${base}.mark`
export const heardFile = (base: string): string => `${base}.heard`

/** `<seq, 16 digits> <hash in hex>`: one length, so that a newer mark covers an older one. */
const SEQ_DIGITS = 16
const MARK = new RegExp(`^(\\d{${SEQ_DIGITS}}) ([0-9a-f]{${2 * HASH_BYTES}})\\n$`)

/** Undefined where there is none, or a torn one: both prove nothing. @throws Error when the file can not be read */
export const readMark = (path: string): Chain | undefined => {
  try {
    const [, seq, hash] = MARK.exec(readFileSync(path, 'latin1')) ?? []
    return seq === undefined || hash === undefined ? undefined : { seq: Number(seq), hash: fromHex(hash) }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** @throws Error when the file can not be written */
export const openMark = (path: string): HeadMark => {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  let file: number | undefined
  return {
    write: ({ seq, hash }) => {
      // Not before there is something to say: a host that is held leaves what it found.
      file ??= openSync(path, 'w', 0o600)
      writeSync(file, `${String(seq).padStart(SEQ_DIGITS, '0')} ${toHex(hash)}\n`, 0, 'latin1')
    },
    close: () => {
      if (file !== undefined) closeSync(file)
    },
  }
}
