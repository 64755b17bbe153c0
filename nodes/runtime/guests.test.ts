import { describe, expect, it } from 'vitest'
import { createSimulatedNetwork } from '../../bus/simulated-bus.ts'
import { loadKey, seedOf } from '../../bus/nkeys.ts'
import { utf8 } from '../../protocol/bytes.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { hash } from '../../protocol/hash.ts'
import { inboxSubject } from '../../protocol/subjects.ts'
import { createGuestDesk } from './guests.ts'
import { seededRandom } from './sim-network.ts'

const desk = async () => {
  const network = createSimulatedNetwork()
  const heard: string[] = []
  const guests = createGuestDesk(
    network.broker('customer', 'hu-wallets-1'),
    loadEngine(),
    seededRandom('g').bytes,
    (one) => heard.push(one.subject),
  )
  const open = async (name: string): Promise<string> => {
    const seed = hash(utf8(name))
    const token = loadKey(seedOf('U', seed)).publicKey
    await guests.open(token, seed)
    return token
  }
  const say = (token: string): void => {
    network.inject('hu-dc-1', inboxSubject('guest', token).replace('>', 'lookup-answer.hu-dc-1'), utf8('hi'))
    network.pump()
  }
  return { network, guests, heard, open, say }
}

describe('guests whose servers are gone', () => {
  it('enter anew under the same token and keys, hear what comes for it once, and leave the others alone', async () => {
    const { network, guests, heard, open, say } = await desk()
    const [gone, there] = [await open('gone'), await open('there')]
    const before = [guests.get(gone), guests.get(there)]
    network.disconnect(gone)
    say(gone)
    expect(heard).toEqual([])
    await guests.renewStranded()
    expect(guests.get(gone)?.bus.connected).toBe(true)
    expect(guests.get(gone)?.bus).not.toBe(before[0]?.bus)
    expect(guests.get(gone)?.signing).toBe(before[0]?.signing)
    expect(guests.get(there)).toBe(before[1])
    say(gone)
    say(there)
    expect(heard).toHaveLength(2)
    // The connection that was left is closed: it does not come back and hear everything twice.
    network.reconnect(gone)
    say(gone)
    expect(heard).toHaveLength(3)
  })

  it('stay away when they were closed meanwhile', async () => {
    const { network, guests, open } = await desk()
    const gone = await open('gone')
    network.disconnect(gone)
    const renewing = guests.renewStranded()
    await guests.close(gone)
    await renewing
    expect(guests.get(gone)).toBeUndefined()
  })
})
