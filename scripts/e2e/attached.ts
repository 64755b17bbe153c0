/** Processes beside a test's fleet: nodes run from a credentials file, and the foreign processor. Each is ended by its own pid. */
import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { projectRoot } from '../cli/paths.ts'

export type Line = Readonly<Record<string, unknown>>
export type Attached = AsyncDisposable & {
  /** The first line for which `holds`, of those that came and those that come. @throws Error with what it said when it ends first */
  readonly line: (holds: (line: Line) => boolean) => Promise<Line>
  readonly lines: readonly Line[]
  /** Resolves with its exit code. */
  readonly ended: Promise<number>
  readonly signal: (name: NodeJS.Signals) => void
}

/** Runs a script of the project whose standard output is one JSON value a line. */
export const startScript = (script: string, words: readonly string[]): Attached => {
  const child: ChildProcess = spawn(process.execPath, [join(projectRoot(), script), ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const lines: Line[] = []
  let listeners: (() => void)[] = []
  let errors = ''
  let code: number | undefined
  const tell = (): void => {
    for (const listener of listeners.splice(0)) listener()
    listeners = []
  }
  child.stderr?.on('data', (part) => (errors += String(part)))
  if (child.stdout !== null)
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(JSON.parse(line) as Line)
      tell()
    })
  const ended = new Promise<number>((resolve) => {
    child.once('close', (exit) => {
      code = exit ?? 255
      tell()
      resolve(code)
    })
  })
  return {
    lines,
    ended,
    signal: (name) => void child.kill(name),
    line: async (holds) => {
      for (;;) {
        const found = lines.find(holds)
        if (found !== undefined) return found
        if (code !== undefined) throw new Error(`${script} ended with ${code}: ${errors}${JSON.stringify(lines)}`)
        await new Promise<void>((resolve) => listeners.push(resolve))
      }
    },
    [Symbol.asyncDispose]: async () => {
      if (code === undefined) child.kill('SIGTERM')
      await ended
    },
  }
}
