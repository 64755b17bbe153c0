/**
 * Insiders: parties with valid keys, credentials and logins of their own, and no node behind them, so that every ledger of the
 * world is an honest one. What they send goes onto the wire under their own name, past the broker's permissions: the second wall
 * is what is tested. For tests only.
 */
import { equalBytes, fromHex, utf8 } from '../../../../protocol/bytes.ts'
import { encodeBody } from '../../../../protocol/codec.ts'
import { failureCode, failureNumber } from '../../../../protocol/failures.ts'
import { modeOf } from '../../../../protocol/amount.ts'
import { hash } from '../../../../protocol/hash.ts'
import type { Header } from '../../../../protocol/header.ts'
import { dataCenterAddress, realmOf, type Role } from '../../../../protocol/ids.ts'
import { networkIdOf, signingKeyFromSeed, type SigningKey } from '../../../../protocol/keys.ts'
import type { Body, KindName } from '../../../../protocol/kinds.ts'
import { makeContent } from '../../../../protocol/envelope.ts'
import { derivePinKeySync } from '../../../../protocol/pin.ts'
import { inboxSubject } from '../../../../protocol/subjects.ts'
import { sealOne } from '../../../../protocol/seals.ts'
import { issueHost, issuePayee, issueProcessor, type ProcessorRole } from '../../../../protocol/statements.ts'
import { seedOf, VALID_FROM, VALID_TO } from '../../../../protocol/testing/sample-network.ts'
import { checkNetwork } from '../../../verify/check-network.ts'
import type { PaymentLine, PaymentsPage } from '../../../runtime/reports.ts'
import { bodyOf, forgery, kindOf, parsed, type Stranger } from '../../testing/forge.ts'
import type { Caused } from '../../testing/nothing-changed.ts'
import { account, HOSTS, hostileWorld, PIN, type Sent, type World } from '../../testing/world.ts'

/** One of each role that is not in the world. */
export const LIARS = {
  cpp: 'hu-sharp',
  mpp: 'hu-grab',
  bank: 'hu-till',
  dc: 'ro-dc-1',
  observer: 'hu-watch',
  /** Certified by the honest MPP, with a payee of its own. */
  merchant: 'hu-shop-9',
  /** Certified by the lying MPP. */
  accomplice: 'hu-shop-8',
  /** Certified by the honest CPP, with a customer of its own. */
  customer: 'hu-wallet-9',
} as const
/** The payee of `LIARS.merchant`, the payee of `LIARS.accomplice`, and the customer of `LIARS.customer`. */
export const FENCE = 'hu-fence'
export const TRAP = 'hu-trap'
export const MALLORY = 'hu-mallory'

export type Liar = Stranger & { readonly chain: readonly Uint8Array[] }
export type Insiders = Awaited<ReturnType<typeof insiders>>

export const insiders = async (seed: string) => {
  const world = await hostileWorld()
  const { sim } = world
  const networkId = networkIdOf(sim.root.publicKey)
  const validity = { notBeforeMs: VALID_FROM, notAfterMs: VALID_TO, serial: 1 }

  const keysOf = (id: string): Stranger => {
    const secretKey = hash(utf8(`sealing ${id}`))
    return {
      id,
      signing: signingKeyFromSeed(sim.engine, seedOf(id)),
      sealing: { secretKey, publicKey: sim.engine.sealing.publicKeyOf(secretKey) },
    }
  }
  const terms = ({ id, signing, sealing }: Stranger) => ({
    networkId,
    id,
    algorithm: 'ed25519' as const,
    signingKey: signing.publicKey,
    sealingKey: sealing.publicKey,
    ...validity,
  })
  const processor = (role: ProcessorRole, id: string): Liar => {
    const keys = keysOf(id)
    const realm = realmOf(id)
    const address = role === 'dc' ? { address: dataCenterAddress(realm) } : {}
    const statement = { ...terms(keys), ...address, role, realm, operatorId: id }
    return { ...keys, chain: [issueProcessor(sim.engine, statement, sim.root)] }
  }
  /** What a certifier may sign: a host of any name, with keys of the certifier's choice. */
  const hostOf = (
    role: 'customer' | 'merchant',
    keys: Stranger,
    by: Stranger & { readonly chain: readonly Uint8Array[] },
  ): Liar => ({
    ...keys,
    chain: [...by.chain, issueHost(sim.engine, { ...terms(keys), role }, by.signing)],
  })
  const honest = (id: string): Liar => {
    const { identity } = sim.host(id)
    return { ...identity, chain: identity.chains[0] ?? [] }
  }
  const payeeCredential = (payee: string, host: string, ofAccount: string, by: Stranger): Uint8Array =>
    issuePayee(
      sim.engine,
      {
        networkId,
        payee,
        host,
        account: ofAccount,
        currency: 'EUR',
        payeeKind: 'shop',
        displayName: payee,
        serial: 1,
      },
      by.signing,
    )

  const cpp = processor('cpp', LIARS.cpp)
  const mpp = processor('mpp', LIARS.mpp)
  const bank = processor('bank', LIARS.bank)
  const dc = processor('dc', LIARS.dc)
  const observer = processor('observer', LIARS.observer)
  const merchant = hostOf('merchant', keysOf(LIARS.merchant), honest(HOSTS.mpp))
  const accomplice = hostOf('merchant', keysOf(LIARS.accomplice), mpp)
  const wallet = hostOf('customer', keysOf(LIARS.customer), honest(HOSTS.cpp))
  const liars = { cpp, mpp, bank, dc, observer, merchant, accomplice, customer: wallet }
  const strangers: Liar[] = []
  const forge = forgery(world, seed, strangers)
  /** Gives a liar its login. It listens and says nothing by itself: what is sent to it can be seen. */
  const join = async (role: Role, liar: Liar): Promise<void> => {
    strangers.push(liar)
    const bus = await sim.network.broker(role, liar.id).openHost()
    await bus.subscribe(inboxSubject(role, liar.id), {}, () => undefined)
  }
  for (const [role, liar] of Object.entries(liars))
    await join(role === 'accomplice' ? 'merchant' : (role as Exclude<keyof typeof liars, 'accomplice'>), liar)
  const device = signingKeyFromSeed(sim.engine, hash(utf8(`device ${MALLORY}`)))

  /** A frame of `from`, put on the inbox of `via`: of the addressee itself, or of a data center on the way. */
  const say = <K extends KindName>(
    from: string,
    to: string,
    kind: K,
    body: Body<K>,
    options: { readonly via?: string; readonly extra?: Partial<Header>; readonly hop?: string } = {},
  ): Uint8Array => {
    const frame = forge.frame(kind, from, to, body, options.extra)
    forge.put(options.via ?? to, kind, options.hop ?? from, frame)
    return frame
  }
  /** Confidential, by a wallet host for itself. */
  const whisper = <K extends KindName>(host: string, to: string, kind: K, body: Body<K>): void => {
    const inner = forge.frame(kind, host, to, body)
    forge.put(to, kind, host, forge.carry(kind, host, to, inner))
  }
  const register = (liar: Liar, at: string = HOSTS.dc): void => {
    const body = { registrationId: forge.id(), version: 1, chain: [...liar.chain], accepts: [] }
    say(liar.id, at, 'processor-registration', body)
  }
  for (const liar of [cpp, mpp, bank]) register(liar)
  // A bank may serve several realms.
  register(bank, 'at-dc-1')
  /** One more lying CPP, whose pair with the MPP is new. */
  const newCpp = async (id: string) => {
    const liar = processor('cpp', id)
    await join('cpp', liar)
    register(liar)
    await sim.run()
    return cppNamed(id)
  }
  for (const [liar, at] of [
    [merchant, HOSTS.mpp],
    [wallet, HOSTS.cpp],
  ] as const)
    say(liar.id, at, 'host-registration', { registrationId: forge.id(), chain: [...liar.chain] })
  await sim.run()

  for (const name of ['fence', 'trap', 'mallory']) await world.open(account(name))
  await world.open(account('sharp'), { operatorId: cpp.id })
  await world.open(account('grab'), { operatorId: mpp.id })
  const mandateOf = (of: string, operatorId: string): Uint8Array => fromHex(world.mandate(of, operatorId))
  const enrolment = {
    enrolmentId: forge.id(),
    customer: MALLORY,
    deviceKey: device.publicKey,
    pinKey: derivePinKeySync(PIN, MALLORY, HOSTS.cpp),
    account: account('mallory'),
    currency: 'EUR',
    mandate: mandateOf(account('mallory'), HOSTS.cpp),
  } as const
  whisper(wallet.id, HOSTS.cpp, 'customer-enrolment', enrolment)
  const fence = {
    enrolmentId: forge.id(),
    payee: FENCE,
    payeeKind: 'shop',
    displayName: 'Fence',
    account: account('fence'),
    currency: 'EUR',
    mandate: mandateOf(account('fence'), HOSTS.mpp),
  } as const
  say(merchant.id, HOSTS.mpp, 'payee-enrolment', fence)
  await sim.advance(2_000)

  /** What the honest MPP certified for the lying merchant host's payee. */
  const fenceCredential = payeeCredential(FENCE, merchant.id, account('fence'), honest(HOSTS.mpp))
  const trapCredential = payeeCredential(TRAP, accomplice.id, account('trap'), mpp)
  say(mpp.id, HOSTS.dc, 'payee-registration', {
    registrationId: forge.id(),
    payee: TRAP,
    version: 1,
    state: 'active',
    host: accomplice.id,
    chain: [...accomplice.chain, trapCredential],
  })
  await sim.advance(1_000)

  /** An invoice that a merchant host seals, with any chain. */
  const invoice = (
    host: string,
    payee: string,
    chain: readonly Uint8Array[],
    amountMinor: bigint,
    more: Partial<Body<'transaction-details'>> = {},
    to = 'hu-guest',
  ): Uint8Array =>
    forge.frame(
      'transaction-details',
      host,
      to,
      {
        txId: forge.id(),
        payee,
        amountMinor,
        currency: 'EUR',
        descriptionHash: hash(utf8('a thing')),
        nonce: forge.id(),
        chain: [...chain],
        ...more,
      },
      { expiresAtMs: sim.now() + 60_000 },
    )
  const fenceInvoice = (amountMinor: bigint): Uint8Array =>
    invoice(merchant.id, FENCE, [...merchant.chain, fenceCredential], amountMinor)
  const trapInvoice = (amountMinor: bigint): Uint8Array =>
    invoice(accomplice.id, TRAP, [...accomplice.chain, trapCredential], amountMinor)

  /** What a lying CPP says to the payee's side, by way of the data center. */
  const cppNamed = (id: string) => {
    const merchantHostOf = (of: Body<'payment-notice'>): string => String(parsed(of.trans).header.from)
    const notice = (trans: Uint8Array, more: Partial<Body<'payment-notice'>> = {}): Body<'payment-notice'> => {
      const { payee, amountMinor, currency } = bodyOf('transaction-details', trans)
      return { pnId: forge.id(), payee, mode: modeOf(amountMinor, currency), operatorId: id, trans, ...more }
    }
    const tell = async <K extends 'transfer-confirmation' | 'delayed-transfer-confirmation' | 'payment-outcome'>(
      kind: K,
      of: Body<'payment-notice'>,
      body: Body<K>,
    ): Promise<Caused> => {
      const [sentBefore, linesBefore] = [world.sent.length, world.lines.length]
      say(id, merchantHostOf(of), kind, body, { via: HOSTS.dc })
      await sim.run()
      return { sent: world.sent.slice(sentBefore), lines: world.lines.slice(linesBefore) }
    }
    /** T or DT. `pairSeq` is there for DT alone. */
    const confirmation = (of: Body<'payment-notice'>, more: Partial<Body<'transfer-confirmation'>> = {}) => {
      const { payee, txId, amountMinor, currency } = bodyOf('transaction-details', of.trans)
      return { pnId: of.pnId, payee, txId, amountMinor, currency, confirmedAtMs: sim.now(), ...more }
    }
    const outcome = (
      of: Body<'payment-notice'>,
      more: Partial<Body<'payment-outcome'>> = {},
    ): Body<'payment-outcome'> => ({
      pnId: of.pnId,
      payee: of.payee,
      txId: bodyOf('transaction-details', of.trans).txId,
      outcome: 'expired',
      code: failureNumber('NOTICE_EXPIRED'),
      decidedAtMs: sim.now(),
      ...more,
    })
    return {
      id,
      notice,
      tell,
      confirmation,
      outcome,
      guarantee: (
        of: Body<'payment-notice'>,
        pairSeq: number,
        more: Partial<Body<'delayed-transfer-confirmation'>> = {},
      ): Body<'delayed-transfer-confirmation'> => ({ ...confirmation(of), mpp: HOSTS.mpp, pairSeq, ...more }),
      /** Notifies, and the payee's side decides. → what the MPP countersigned, undefined when nothing came. */
      notify: async (of: Body<'payment-notice'>): Promise<Body<'countersigned-decision'> | undefined> => {
        const since = world.sent.length
        say(id, merchantHostOf(of), 'payment-notice', of, { via: HOSTS.dc })
        await sim.run()
        const found = world.sent
          .slice(since)
          .filter((one) => kindOf(one) === 'countersigned-decision')
          .map(({ data }) => bodyOf('countersigned-decision', data))
        return found.find(({ pnId }) => equalBytes(pnId, of.pnId))
      },
      /** Says that it expired, which frees what it locked. */
      end: async (of: Body<'payment-notice'>): Promise<void> => void (await tell('payment-outcome', of, outcome(of))),
    }
  }

  /** A payment request of the lying wallet host's customer. */
  const mallorysRequest = (
    trans: Uint8Array,
    options: {
      readonly pin?: string
      readonly key?: SigningKey
      readonly host?: string
      readonly prId?: Uint8Array
    } = {},
  ) => forge.paymentRequest(MALLORY as never, trans, { cpp: HOSTS.cpp, host: wallet.id, key: device, ...options })

  return {
    world,
    sim,
    forge,
    liars,
    device,
    honest,
    keysOf,
    hostOf,
    processor,
    payeeCredential,
    mandateOf,
    say,
    whisper,
    invoice,
    fenceInvoice,
    trapInvoice,
    enrolment,
    cppNamed,
    newCpp,
    join,
    mallorysRequest,
    /** A frame around other bytes: what a party seals although its body is another's. */
    sealed: (
      kind: KindName,
      from: Stranger,
      header: Partial<Header> & { readonly to: string },
      body: Uint8Array,
    ): Uint8Array => sealOne(makeContent(forge.header(kind, from.id, header.to, header), body), from.signing),
    encode: encodeBody,
    networkId,
  }
}

/**
 * Lets the network come to rest and holds every ledger against the others. What speaks of a liar's own pair is not judged: it
 * gives no report. `seen`: checks that fail because of a lie, as they should. → what is wrong otherwise
 */
export const discord = async (world: World, seen: readonly string[] = []): Promise<readonly string[]> => {
  await world.sim.run()
  const hosts = world.sim.hosts()
  const payments = new Map<string, readonly PaymentLine[]>()
  for (const { id, host, identity } of hosts) {
    if (identity.role === 'bank' || identity.role === 'dc') continue
    const lines: PaymentLine[] = []
    for (let after: string | undefined; ;) {
      const answer = host().ask('payments', after === undefined ? {} : { after })
      if (!answer.ok) throw new Error(answer.error.code)
      const page = answer.value as PaymentsPage
      lines.push(...page.payments)
      if (page.next === undefined) break
      after = page.next
    }
    payments.set(id, lines)
  }
  const reports = hosts.map(({ id }) => world.report(id))
  const failing = checkNetwork(reports, payments, { quiet: true }).filter(({ ok }) => !ok)
  const liars: readonly string[] = Object.values(LIARS)
  const honest = failing.filter((check) => !liars.some((liar) => check.name.includes(liar)))
  const unseen = honest.filter(({ name }) => !seen.includes(name))
  return [
    ...unseen.map(({ name, left, right, detail = '' }) => `${name}: ${left} and ${right} ${detail}`),
    ...seen.filter((name) => !honest.some((check) => check.name === name)).map((name) => `not seen: ${name}`),
  ]
}

/** The codes with which this host refused. */
export const refusedBy = ({ sent }: Pick<Caused, 'sent'>, host: string): readonly string[] =>
  sent
    .filter((one) => one.from === host && kindOf(one) === 'refusal')
    .map(({ data }) => failureCode(bodyOf('refusal', data).code) ?? '')
/** What this host sent, by kind. */
export const kindsFrom = ({ sent }: { readonly sent: readonly Sent[] }, host: string): readonly KindName[] =>
  sent.filter(({ from }) => from === host).map(kindOf)
