/** What stands on a wire between a client and a server, on loopback: a proxy that keeps every byte, and a server that is none. */
import { EventEmitter, once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

export type Wire = AsyncDisposable & {
  readonly port: number
  /** Everything that went through, both ways, as one character a byte. */
  readonly seen: () => string
}

const listen = async (
  server: Server,
  sockets: Set<Socket>,
  address = '127.0.0.1',
): Promise<Pick<Wire, 'port' | typeof Symbol.asyncDispose>> => {
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    // A client that refuses what it sees hangs up.
    socket.on('error', () => socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, address, resolve))
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => void server.close(resolve))
    },
  }
}

export type WireTapOptions = {
  /** Sees, and may change, what the server says first on a connection. */
  readonly greeting?: (data: Buffer, connection: number) => Buffer
}

export type WireTap = Wire & {
  /** Breaks every connection. */
  readonly cut: () => void
  /** Resolves when so many have been made. */
  readonly connections: (count: number) => Promise<void>
}

/** Passes every connection on to `target`, a port of loopback, and keeps a copy. */
export const tapWire = async (
  target: number,
  { greeting = (data) => data }: WireTapOptions = {},
  address?: string,
): Promise<WireTap> => {
  const chunks: Buffer[] = []
  const sockets = new Set<Socket>()
  const counted = new EventEmitter()
  let connections = 0
  const server = createServer((socket) => {
    const connection = ++connections
    counted.emit('connection')
    const onward = connect(target, '127.0.0.1')
    sockets.add(onward)
    let greeted = false
    onward.on('data', (data) => {
      const passed = greeted ? data : greeting(data, connection)
      greeted = true
      chunks.push(passed)
      socket.write(passed)
    })
    socket.on('data', (data) => {
      chunks.push(data)
      onward.write(data)
    })
    for (const [one, other] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
    }
  })
  return {
    ...(await listen(server, sockets, address)),
    seen: () => Buffer.concat(chunks).toString('latin1'),
    connections: async (count) => {
      while (connections < count) await once(counted, 'connection')
    },
    cut: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** A server that greets as nats-server does, with `info`, and keeps what it is told. It never takes a login. */
export const falseServer = async (info: Readonly<Record<string, unknown>>): Promise<Wire> => {
  const chunks: Buffer[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    socket.on('data', (data) => chunks.push(data))
    socket.write(`INFO ${JSON.stringify({ server_id: 'X', version: '2.9.10', proto: 1, nonce: 'n', ...info })}\r\n`)
  })
  return { ...(await listen(server, sockets)), seen: () => Buffer.concat(chunks).toString('latin1') }
}
