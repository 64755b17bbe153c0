/**
 * A hostile client of the broker for tests: NATS's own text protocol on a socket, with none of the checks that an honest client
 * makes. It says anything, in any order, and hands back what the server answers.
 */
import { connect, type Socket } from 'node:net'
import { loadKey } from '../nkeys.ts'
import type { Login } from '../logins.ts'

export type RawMessage = {
  readonly subject: string
  readonly reply: string | undefined
  readonly data: string
}

export type RawClient = AsyncDisposable & {
  readonly messages: RawMessage[]
  /** Every `-ERR` so far, without quotes. */
  readonly errors: string[]
  publish(subject: string, data: string, reply?: string): void
  subscribe(pattern: string, queue?: string): void
  /** Answers each message that has a reply subject, there. */
  answer(data: string): void
  /** The server has dealt with all that was said before, or has hung up. */
  sync(): Promise<void>
  /** The errors that an act brings. */
  refusals(act: () => void): Promise<readonly string[]>
}

/** What stands in CONNECT besides the usual; a function is given the server's nonce. */
export type Credentials = (nonce: string) => Readonly<Record<string, unknown>>

/** As an honest client logs in: the login's JWT, and its key's signature over the nonce. */
export const asLogin =
  ({ jwt, seed }: Login): Credentials =>
  (nonce) => ({ jwt, sig: signNonce(seed, nonce) })

export const signNonce = (seed: string, nonce: string): string =>
  Buffer.from(loadKey(seed).sign(new TextEncoder().encode(nonce))).toString('base64url')

/**
 * @param url `nats://host:port`
 * @throws Error with the server's words when it does not let the client in
 */
export const openRaw = async (url: string, credentials: Credentials | undefined): Promise<RawClient> => {
  const { hostname, port } = new URL(url)
  const socket: Socket = connect(Number(port), hostname)
  const messages: RawMessage[] = []
  const errors: string[] = []
  const waiting: (() => void)[] = []
  let answering: string | undefined
  let open = true
  let nextSid = 1
  let held = Buffer.alloc(0)
  let onInfo: (nonce: string) => void = () => undefined
  const info = new Promise<string>((resolve) => (onInfo = resolve))
  const say = (text: string): void => void (open && socket.write(text))
  const publish = (subject: string, data: string, reply?: string): void =>
    say(`PUB ${subject} ${reply === undefined ? '' : `${reply} `}${Buffer.byteLength(data)}\r\n${data}\r\n`)

  const take = (): boolean => {
    const end = held.indexOf('\r\n')
    if (end < 0) return false
    const line = held.subarray(0, end).toString()
    let rest = held.subarray(end + 2)
    if (line.startsWith('MSG ')) {
      const words = line.split(' ')
      const length = Number(words.at(-1))
      if (rest.length < length + 2) return false
      const reply = words.length === 5 ? words[3] : undefined
      messages.push({ subject: words[1] as string, reply, data: rest.subarray(0, length).toString() })
      if (answering !== undefined && reply !== undefined) publish(reply, answering)
      rest = rest.subarray(length + 2)
    } else if (line.startsWith('-ERR')) errors.push(line.slice(6, -1))
    else if (line === 'PONG') waiting.shift()?.()
    else if (line === 'PING') say('PONG\r\n')
    else if (line.startsWith('INFO ')) onInfo((JSON.parse(line.slice(5)) as { readonly nonce?: string }).nonce ?? '')
    held = rest
    return true
  }
  socket.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk])
    while (take());
  })
  socket.on('error', () => undefined)
  const closed = new Promise<void>((resolve) =>
    socket.on('close', () => {
      open = false
      for (const wake of waiting.splice(0)) wake()
      resolve()
    }),
  )
  const sync = (): Promise<void> =>
    new Promise((resolve) => {
      if (!open) return resolve()
      waiting.push(resolve)
      say('PING\r\n')
    })
  const nonce = await info
  if (credentials !== undefined) {
    const options = { verbose: false, pedantic: false, lang: 'raw', version: '0', protocol: 1, ...credentials(nonce) }
    say(`CONNECT ${JSON.stringify(options)}\r\n`)
  }
  await sync()
  if (!open) throw new Error(errors[0] ?? 'the server hung up')
  return {
    messages,
    errors,
    publish,
    subscribe: (pattern, queue) => say(`SUB ${pattern} ${queue === undefined ? '' : `${queue} `}${nextSid++}\r\n`),
    answer: (data) => void (answering = data),
    sync,
    async refusals(act) {
      const before = errors.length
      act()
      await sync()
      return errors.slice(before)
    },
    async [Symbol.asyncDispose]() {
      socket.destroy()
      await closed
    },
  }
}
