/**
 * The judge of what is said: it hears all that nodes publish, reads also what they encrypt, and sees every change of every ledger.
 * It knows the protocol (kinds, envelopes, seals) and none of the nodes' rules.
 *
 * Invariant of the network that it holds: everything said was on the speaker's disk before, is said once for all, reaches nobody
 * whom it does not concern, keeps what earlier words promised, and moves each ledger once; whatever nobody said moves none.
 */
import type { Observer, Wire } from './observed.ts'
import type { Overheard } from './overhear.ts'
import { createComplaints } from './wire/complaints.ts'
import { createLedgers } from './wire/ledgers.ts'
import { createOrderWords } from './wire/orders.ts'
import { createPaymentWords } from './wire/payments.ts'
import { createPinWords } from './wire/pins.ts'
import { createSecrets } from './wire/secrets.ts'
import { readSpeech } from './wire/speech.ts'
import { createWords } from './wire/words.ts'
import type { Topology } from './world.ts'

/**
 * @param overheard of the engine that every host of the network uses ({@link overhear})
 * @param pinKeys of customers that were enrolled before anybody listened; whose is unknown may prove what they like
 */
export const createWire = (
  topology: Topology,
  overheard: Overheard,
  pinKeys: ReadonlyMap<string, Uint8Array> = new Map(),
): Observer => {
  const { complain, take } = createComplaints()
  const ledgers = createLedgers(complain, (digest) => words.wasSaid(digest))
  const words = createWords(new Map(topology.hosts.map(({ id, role }) => [id, role])), ledgers, complain)
  const secrets = createSecrets(topology, complain)
  const pins = createPinWords(pinKeys, complain)
  const payments = createPaymentWords(topology, complain)
  const orders = createOrderWords(payments, complain)

  const published = (message: Wire): void => {
    // What the faults put there is nobody's word: what it must not move, the ledgers show.
    if (message.origin !== 'node') return
    const speech = readSpeech(message, overheard)
    if (typeof speech === 'string') {
      complain('said what can not be read', `${message.from}: ${speech}`)
      return
    }
    for (const utterance of words.said(speech)) {
      secrets.learn(utterance)
      pins.heard(utterance)
      payments.heard(utterance)
      orders.heard(utterance)
    }
    secrets.look(speech)
  }

  return {
    committed: ledgers.committed,
    flushed: ledgers.flushed,
    lost: ledgers.lost,
    published,
    started: (host) => {
      words.started(host)
      ledgers.started(host)
    },
    crashed: words.crashed,
    check: take,
    atRest: () => {
      ledgers.atRest()
      orders.atRest()
      return take()
    },
  }
}
