/**
 * What a snapshot says of itself: whose ledgers it holds, up to which journal entry, and what each file must hash to. Written last,
 * so a folder without one is a snapshot that was not finished. Everything in it is checked against the files before one of them
 * is put anywhere.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { Type, type Static } from '@sinclair/typebox'
import { Word } from '../../protocol/fields.ts'
import { NODE_ID_PATTERN } from '../../protocol/ids.ts'
import { fromJson } from '../../nodes/runtime/json.ts'
import { CliError } from '../cli/errors.ts'

const strict = { additionalProperties: false }
const hex = (bytes: number) => Type.String({ pattern: `^[0-9a-f]{${2 * bytes}}$` })

const SnapshotLedger = Type.Object(
  {
    id: Type.String({ pattern: NODE_ID_PATTERN, maxLength: 63 }),
    role: Word('customer', 'merchant', 'cpp', 'mpp', 'bank', 'dc'),
    /** Of the last journal entry. */
    seq: Type.Integer({ minimum: 0 }),
    hash: hex(32),
    bytes: Type.Integer({ minimum: 1 }),
    blake2b512: hex(64),
  },
  strict,
)
const SnapshotManifest = Type.Object(
  {
    version: Type.Literal(1),
    network: Type.String({ minLength: 1, maxLength: 120 }),
    networkId: hex(16),
    takenAtMs: Type.Integer({ minimum: 0 }),
    /** What it lacks: hosts of the network that never ran. */
    without: Type.Array(Type.String({ maxLength: 63 })),
    ledgers: Type.Array(SnapshotLedger, { minItems: 1 }),
  },
  strict,
)
export type SnapshotLedger = Static<typeof SnapshotLedger>
export type SnapshotManifest = Static<typeof SnapshotManifest>

export const manifestFile = (folder: string): string => join(folder, 'manifest.json')
export const ledgerFile = (folder: string, id: string): string => join(folder, `${id}.mdb`)

/** Length and BLAKE2b-512 of a file, of any size. */
export const checksumOf = async (path: string): Promise<{ readonly bytes: number; readonly blake2b512: string }> => {
  const hash = createHash('blake2b512')
  await pipeline(createReadStream(path), hash)
  return { bytes: (await stat(path)).size, blake2b512: hash.digest('hex') }
}

/** @throws CliError for a folder that holds no whole snapshot */
export const readManifest = async (folder: string): Promise<SnapshotManifest> => {
  const file = manifestFile(folder)
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error
    throw new CliError('usage', `${folder} holds no snapshot: ${file} is missing, so it is none, or was not finished`)
  })
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw new CliError('usage', `${file} is damaged: it is no JSON; nothing was restored`)
  }
  const manifest = fromJson<SnapshotManifest>(SnapshotManifest, json)
  if (!manifest.ok) throw new CliError('usage', `${file} is damaged: ${manifest.problem}; nothing was restored`)
  return manifest.value
}

/** Is each file there, and the one that was written? @throws CliError naming the first that is not */
export const checkFiles = async (
  folder: string,
  ledgers: readonly SnapshotLedger[],
  checked: (id: string) => void,
): Promise<void> => {
  for (const { id, bytes, blake2b512 } of ledgers) {
    const file = ledgerFile(folder, id)
    const found = await checksumOf(file).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      throw new CliError('usage', `the snapshot is partial: ${file} is missing; nothing was restored`)
    })
    if (found.bytes !== bytes)
      throw new CliError('usage', `${file} has ${found.bytes} bytes instead of ${bytes}; nothing was restored`)
    if (found.blake2b512 !== blake2b512)
      throw new CliError('usage', `${file} is damaged: its checksum is another; nothing was restored`)
    checked(id)
  }
}
