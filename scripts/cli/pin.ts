/** Where a PIN comes from: a file, the environment, a prompt. Never an argument: those are everybody's to read. */
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { CliError } from './errors.ts'

const PIN = /^[0-9]{4,12}$/

const checked = (text: string, where: string): string => {
  const pin = text.trim()
  if (!PIN.test(pin)) throw new CliError('usage', `${where} holds no PIN of 4 to 12 digits`)
  return pin
}

/** `--pin-file`, else $SEMOPS_PIN; undefined when neither is given. @throws CliError */
export const givenPin = async (
  file: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string | undefined> => {
  if (file === undefined) return env['SEMOPS_PIN'] === undefined ? undefined : checked(env['SEMOPS_PIN'], '$SEMOPS_PIN')
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new CliError('usage', `cannot read the PIN file ${file}`, { cause: error })
  })
  return checked(text, file)
}

/** Asks on the terminal without showing what is typed. @throws CliError where there is no terminal */
export const promptPin = async (customer: string): Promise<string> => {
  if (!process.stdin.isTTY)
    throw new CliError('usage', `the PIN of ${customer} is not known here; give --pin-file or SEMOPS_PIN`)
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const reader = createInterface({ input: process.stdin, output: silent, terminal: true })
  process.stderr.write(`PIN of ${customer}: `)
  try {
    const text = await new Promise<string>((resolve, reject) => {
      reader.once('line', resolve)
      reader.once('close', () => reject(new CliError('usage', 'no PIN was given')))
    })
    return checked(text, 'the prompt')
  } finally {
    reader.close()
    process.stderr.write('\n')
  }
}
