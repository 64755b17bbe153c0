/** Which hosts are this machine itself, where nobody else can listen. In its own file: servers and clients of the bus ask it. */
import { isIP } from 'node:net'

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
