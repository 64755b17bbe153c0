/** `network.yaml` read and checked: what is wrong with it is said line by line. `plan.ts` turns a checked file into processes. */
import { readFile } from 'node:fs/promises'
import { Value } from '@sinclair/typebox/value'
import { LineCounter, parseDocument, isMap, isSeq, isScalar, type Document } from 'yaml'
import type { Complaint } from './complaint.ts'
import { complaints, readable } from './network-rules.ts'
import { NetworkFile } from './network-schema.ts'

export type NetworkProblem = { readonly line: number; readonly path: string; readonly message: string }

export class NetworkFileError extends Error {
  readonly file: string
  readonly problems: readonly NetworkProblem[]
  constructor(file: string, problems: readonly NetworkProblem[]) {
    const first = problems[0]
    super(
      `${file}${first === undefined ? '' : `:${first.line}: ${first.path === '' ? '' : `${first.path}: `}${first.message}`}` +
        (problems.length > 1 ? ` (and ${problems.length - 1} more)` : ''),
    )
    this.name = 'NetworkFileError'
    this.file = file
    this.problems = problems
  }
}

const startOf = (node: unknown): number | undefined =>
  (node as { readonly range?: readonly [number, number, number] } | null | undefined)?.range?.[0]

/** JSON pointer → line, walking the document as far as the path exists. */
const lineOf = (document: Document, lines: LineCounter, pointer: string): number => {
  let node: unknown = document.contents
  let offset = 0
  for (const step of pointer.split('/').slice(1)) {
    let next: unknown
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === step)
      if (pair === undefined) break
      offset = startOf(pair.key) ?? offset
      next = pair.value
    } else if (isSeq(node)) {
      next = node.items[Number(step)]
      offset = startOf(next) ?? offset
    }
    if (next === undefined || next === null) break
    node = next
  }
  return lines.linePos(offset).line
}

/** Checks a file's text. @throws NetworkFileError with every problem and its line. */
export const parseNetwork = (text: string, file: string): NetworkFile => {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true })
  if (document.errors.length > 0)
    throw new NetworkFileError(
      file,
      document.errors.map((error) => ({
        line: error.linePos?.[0].line ?? 1,
        path: '',
        message: (error.message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:?$/, ''),
      })),
    )
  const value: unknown = document.toJS()
  const at = (complaint: Complaint): NetworkProblem => ({
    line: lineOf(document, lines, complaint.pointer),
    path: readable(complaint.pointer),
    message: complaint.message,
  })
  if (!Value.Check(NetworkFile, value)) {
    const problems = [...Value.Errors(NetworkFile, value)].map((error) => ({
      pointer: error.path,
      message:
        error.message === 'Unexpected property'
          ? 'no such setting'
          : error.schema.description !== undefined
            ? `expected ${error.schema.description}`
            : error.message,
    }))
    // The most specific complaint of a place says the most.
    throw new NetworkFileError(
      file,
      problems.filter((p, i) => problems.findIndex((q) => q.pointer === p.pointer) === i).map(at),
    )
  }
  const found = complaints(value)
  if (found.length > 0) throw new NetworkFileError(file, found.map(at))
  return value
}

export const readNetwork = async (file: string): Promise<NetworkFile> =>
  parseNetwork(await readFile(file, 'utf8'), file)
