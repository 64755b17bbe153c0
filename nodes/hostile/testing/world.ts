/**
 * Two realms with hosts of all six roles, for hostile input. The hosts bear the names, keys and root of the golden vectors, so
 * that a vector means here what it says; a wire that can be listened to and written to; every log line with a failure code.
 * For tests only.
 */
import { DELIVERED_AT_ONCE, type Fate } from '../../../bus/simulated-bus.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { seedOf, VALID_FROM, VALID_TO } from '../../../protocol/testing/sample-network.ts'
import { defineBank } from '../../bank/define.ts'
import { defineCpp } from '../../cpp/define.ts'
import { defineWallet } from '../../customer/define.ts'
import { dataCenter } from '../../data-center/definition.ts'
import { defineMerchant } from '../../merchant/define.ts'
import { mpp } from '../../mpp/definition.ts'
import type { Log } from '../../runtime/log.ts'
import type { Report } from '../../runtime/reports.ts'
import { createSimNetwork } from '../../runtime/sim-network.ts'
import { createSimPeople } from '../../runtime/sim-people.ts'

export const PIN = '4711'
export const NOTICE_LIFETIME_MS = 10_000
/** One host of each role, at home. */
export const HOSTS = {
  dc: 'hu-dc-1',
  cpp: 'hu-otp',
  mpp: 'hu-cosmo',
  bank: 'hu-kh',
  merchant: 'hu-shop-1',
  customer: 'hu-wallet-1',
} as const
/** A second CPP, whose customer is carol; alice and bob are at the first. */
export const OTHER_CPP = 'hu-erste'
export const CUSTOMERS = { 'hu-alice': HOSTS.cpp, 'hu-bob': HOSTS.cpp, 'hu-carol': OTHER_CPP } as const
export type Customer = keyof typeof CUSTOMERS
const RESERVE = 'at-reserve'
const BANKS = [HOSTS.bank, 'at-bank'] as const
export const account = (name: string, bank: string = HOSTS.bank): string => `${bank}:${name}`

/** A message as it went over the wire. */
export type Sent = { readonly from: string; readonly to: string; readonly subject: string; readonly data: Uint8Array }
export type LogLine = { readonly host: string; readonly text: string; readonly code: string }
export type World = Awaited<ReturnType<typeof hostileWorld>>

/** A network at rest, everybody enrolled, nothing paid yet. */
export const hostileWorld = async () => {
  const lines: LogLine[] = []
  const sent: Sent[] = []
  let fate: (message: Sent) => Fate = () => DELIVERED_AT_ONCE
  const log = (host: string): Log => {
    const keep = (text: string, fields: Readonly<Record<string, unknown>>): void => {
      const code = text === 'frame waits for a credential' ? 'UNKNOWN_KEY' : fields['code']
      if (typeof code === 'string') lines.push({ host, text, code })
    }
    return {
      write: (_level, text, fields = {}) => keep(text, fields),
      of: (_sender, _level, text, fields) => keep(text, fields),
    }
  }
  // With this seed the root key and the sealing keys are those of the vectors; the message keys are given.
  const sim = createSimNetwork({
    seed: 'semops sample',
    validity: { notBeforeMs: VALID_FROM, notAfterMs: VALID_TO },
    log,
    onSend: (message) => {
      const one = { from: message.from, to: message.to, subject: message.subject, data: message.data.slice() }
      sent.push(one)
      return fate(one)
    },
  })
  const keyed = (id: string) => ({ id, signingSeed: seedOf(id) })
  const settlement = { thresholdMinor: { EUR: '2000' }, maxAgeMs: 5_000, retryMs: 2_000 }
  for (const realm of ['hu', 'at'])
    await sim.add({
      ...keyed(`${realm}-dc-1`),
      role: 'dc',
      operatorId: `${realm}-dc`,
      define: dataCenter,
      policy: { peerRealms: [realm === 'hu' ? 'at' : 'hu'] },
    })
  const clearing = { settlementBank: RESERVE, clearing: { windowMs: 3_000 } }
  await sim.add({
    ...keyed(RESERVE),
    role: 'bank',
    define: defineBank,
    policy: { dataCenters: ['at-dc-1'], peers: BANKS, ...clearing },
  })
  const mpps = { [HOSTS.mpp]: account('cosmo'), 'at-mpp': account('mpp', 'at-bank') }
  const cpps = { [HOSTS.cpp]: account('otp'), [OTHER_CPP]: account('erste') }
  for (const [bank, other, dc] of [
    [...BANKS, 'hu-dc-1'],
    [...BANKS.toReversed(), 'at-dc-1'],
  ] as const)
    await sim.add({
      ...keyed(bank),
      role: 'bank',
      define: defineBank,
      policy: { dataCenters: [dc], peers: [other, RESERVE], ...clearing },
    })
  for (const [id, own] of Object.entries(cpps))
    await sim.add({
      ...keyed(id),
      role: 'cpp',
      define: defineCpp,
      policy: {
        dataCenters: [HOSTS.dc],
        operatorAccounts: { EUR: own },
        settlementAccounts: mpps,
        noticeLifetimeMs: NOTICE_LIFETIME_MS,
        settlement,
      },
    })
  for (const [id, own] of Object.entries(mpps))
    await sim.add({
      ...keyed(id),
      role: 'mpp',
      define: mpp,
      policy: {
        dataCenters: [id === 'at-mpp' ? 'at-dc-1' : HOSTS.dc],
        operatorAccounts: { EUR: own },
        settlementAccounts: cpps,
        payout: { thresholdMinor: { EUR: '500' }, maxAgeMs: 5_000, retryMs: 2_000 },
      },
    })
  await sim.add({ ...keyed(HOSTS.merchant), role: 'merchant', certifiedBy: [HOSTS.mpp], define: defineMerchant })
  await sim.add({ ...keyed('at-shop-1'), role: 'merchant', certifiedBy: ['at-mpp'], define: defineMerchant })
  await sim.add({
    ...keyed(HOSTS.customer),
    role: 'customer',
    certifiedBy: [HOSTS.cpp, OTHER_CPP],
    define: defineWallet,
  })
  await sim.run()
  await sim.advance(5_000)

  const { command, must, holder, mandate, open, ...people } = createSimPeople(sim)
  for (const bank of BANKS) await must(RESERVE, 'fund-reserve', { bank, currency: 'EUR', amountMinor: '10000000' })
  for (const [id, own] of Object.entries(cpps))
    await open(own, { operatorId: id, holderHost: { role: 'cpp', host: id } })
  for (const [id, own] of Object.entries(mpps))
    await open(own, { operatorId: id, holderHost: { role: 'mpp', host: id } })
  const enrolPayee = async (payee: string, host: string, by: string, bank: string, approval: object) => {
    const of = account(payee, bank)
    await open(of, { balanceMinor: '0', holderHost: { role: 'merchant', host } })
    await people.enrolPayee({ payee, host, mpp: by, account: of, approval })
  }
  await enrolPayee('hu-bakery', HOSTS.merchant, HOSTS.mpp, HOSTS.bank, { rule: 'approve' })
  await enrolPayee('hu-quiet', HOSTS.merchant, HOSTS.mpp, HOSTS.bank, { rule: 'silent' })
  await enrolPayee('hu-cheap', HOSTS.merchant, HOSTS.mpp, HOSTS.bank, { rule: 'reject-over', limitMinor: '100' })
  await enrolPayee('at-pub', 'at-shop-1', 'at-mpp', 'at-bank', { rule: 'approve' })
  const enrolCustomer = async (customer: string, host: string, cpp: string) => {
    const of = account(customer.slice(3))
    await open(of)
    await people.enrolCustomer({ customer, host, cpp, account: of, pin: PIN, alias: `${customer}-pays` })
  }
  for (const [customer, cpp] of Object.entries(CUSTOMERS)) await enrolCustomer(customer, HOSTS.customer, cpp)
  await sim.advance(2_000)

  return {
    sim,
    command,
    must,
    /** The key that an account of this world was opened with. */
    holder,
    mandate: (of: string, operatorId: string): string => toHex(mandate(of, operatorId)),
    /** Opens an account at its bank, with a balance. */
    open,
    enrolPayee,
    enrolCustomer,
    /** Everything that was sent, in order, whoever sent it. */
    sent: sent as readonly Sent[],
    /** Every log line with a failure code. */
    lines: lines as readonly LogLine[],
    setFate: (next: ((message: Sent) => Fate) | undefined): void => {
      fate = next ?? (() => DELIVERED_AT_ONCE)
    },
    pay: (customer: Customer, payee: string, amountMinor: string) =>
      command(HOSTS.customer, 'pay', { customer, payee, amountMinor, currency: 'EUR' }),
    report: (id: string): Report => {
      const answer = sim.host(id).host().ask('report', {})
      if (!answer.ok) throw new Error(answer.error.code)
      return answer.value as Report
    },
  }
}
