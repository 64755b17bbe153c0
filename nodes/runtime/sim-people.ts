/**
 * The people of a simulated network, for tests: accounts opened at their banks under keys made from their names, mandates by those
 * keys, payees and customers enrolled over the control sockets. Whatever is refused throws.
 */
import type { Currency } from '../../protocol/amount.ts'
import { toHex, utf8 } from '../../protocol/bytes.ts'
import { hash } from '../../protocol/hash.ts'
import { networkIdOf, signingKeyFromSeed, type SigningKey } from '../../protocol/keys.ts'
import type { PayeeKind } from '../../protocol/messages/enrolment.ts'
import { issueMandate } from '../../protocol/statements.ts'
import type { Answer } from './host-types.ts'
import { SIM_START_MS, type SimNetwork } from './sim-network.ts'

type Args = Readonly<Record<string, unknown>>
type Value = Readonly<Record<string, unknown>>

export type SimPeople = {
  /** The value of a command's answer. @throws Error for an answer that is none */
  readonly command: (id: string, name: string, args?: Args) => Promise<Value>
  /** The same. @throws Error also for a value that says `ok: false` */
  readonly must: (id: string, name: string, args?: Args) => Promise<Value>
  /** The key that an account is opened with. */
  readonly holder: (account: string) => SigningKey
  readonly mandate: (account: string, operatorId: string, currency?: Currency) => Uint8Array
  /** Opens an account at its bank, with a balance. */
  readonly open: (account: string, more?: object) => Promise<Value>
  readonly enrolPayee: (payee: {
    readonly payee: string
    readonly host: string
    readonly mpp: string
    /** That the mandate is for. Default: `mpp`. */
    readonly operatorId?: string
    readonly account: string
    readonly approval: object
    readonly payeeKind?: PayeeKind
    readonly displayName?: string
    readonly catalogue?: readonly object[]
  }) => Promise<Value>
  readonly enrolCustomer: (customer: {
    readonly customer: string
    readonly host: string
    readonly cpp: string
    /** That the mandate is for. Default: `cpp`. */
    readonly operatorId?: string
    readonly account: string
    readonly pin: string
    readonly alias?: string
    /** Of the account; EUR unless said otherwise. */
    readonly currency?: Currency
  }) => Promise<Value>
}

const BREAD = { item: 'bread', amountMinor: '120', goods: 'a loaf' } as const

/** @param onAnswer sees every answer of a control socket, refusals too */
export const createSimPeople = (
  sim: Pick<SimNetwork, 'engine' | 'root' | 'command'>,
  onAnswer: (host: string, answer: Answer) => void = () => {},
): SimPeople => {
  const command: SimPeople['command'] = async (id, name, args = {}) => {
    const answer = await sim.command(id, name, args)
    onAnswer(id, answer)
    if (!answer.ok) throw new Error(`${id} ${name}: ${answer.error.code} ${answer.error.detail}`)
    return answer.value as Value
  }
  const must: SimPeople['must'] = async (id, name, args) => {
    const value = await command(id, name, args)
    if ((value as { ok?: boolean } | null)?.ok === false) throw new Error(`${id} ${name}: ${JSON.stringify(value)}`)
    return value
  }
  const holder: SimPeople['holder'] = (account) => signingKeyFromSeed(sim.engine, hash(utf8(`holder ${account}`)))
  const mandate: SimPeople['mandate'] = (account, operatorId, currency = 'EUR') =>
    issueMandate(
      sim.engine,
      {
        networkId: networkIdOf(sim.root.publicKey),
        account,
        operatorId,
        limitMinor: 10_000_000n,
        currency,
        notBeforeMs: SIM_START_MS - 1_000,
        notAfterMs: SIM_START_MS + 300 * 86_400_000,
        serial: 1,
      },
      holder(account),
    )
  return {
    command,
    must,
    holder,
    mandate,
    open: (account, more = {}) =>
      must(account.split(':')[0] as string, 'open-account', {
        account,
        holderKey: toHex(holder(account).publicKey),
        currency: 'EUR',
        balanceMinor: '1000000',
        ...more,
      }),
    enrolPayee: ({ payee, host, mpp, account, approval, ...more }) =>
      must(host, 'enrol-payee', {
        payee,
        payeeKind: more.payeeKind ?? 'shop',
        displayName: more.displayName ?? payee,
        mpp,
        account,
        currency: 'EUR',
        mandate: toHex(mandate(account, more.operatorId ?? mpp)),
        catalogue: more.catalogue ?? [BREAD],
        approval,
      }),
    enrolCustomer: ({ customer, host, cpp, operatorId = cpp, account, pin, alias, currency = 'EUR' }) =>
      must(host, 'enrol', {
        customer,
        cpp,
        account,
        currency,
        pin,
        mandate: toHex(mandate(account, operatorId, currency)),
        ...(alias === undefined ? {} : { alias }),
      }),
  }
}
