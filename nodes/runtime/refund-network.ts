/** The whole network with refunds, for tests: who pays, who gives back, and everything that must hold of it at rest. */
import { checkNetwork } from '../verify/check-network.ts'
import type { PaymentLine, PaymentsPage, Report } from './reports.ts'
import { buildWholeNetwork, unrest, type WholeNetwork } from './whole-network.ts'

const PIN = '482915'

export const build = async (seed: string): Promise<WholeNetwork> => {
  const network = await buildWholeNetwork(seed)
  for (const realm of ['hu', 'ro']) await network.ok(`${realm}-shop-1`, 'set-refund-pin', { pin: PIN })
  return network
}
export type Paid = { readonly txId: string; readonly paymentId: string }
export const paid = async ({ pay }: WholeNetwork, payee: string, amountMinor: string): Promise<Paid> => {
  const answer = await pay('hu', payee, amountMinor)
  const value = answer.ok ? (answer.value as Paid & { readonly outcome: string }) : undefined
  if (value?.outcome !== 'confirmed') throw new Error(`the payment to ${payee} is ${value?.outcome ?? 'refused'}`)
  return value
}
export const ask = async ({ sim }: WholeNetwork, payee: string, txId: string, amountMinor: string, pin = PIN) => {
  const answer = await sim.command(`${payee.slice(0, 2)}-shop-1`, 'refund', { payee, txId, amountMinor, pin })
  return (answer as { readonly value: { readonly ok: boolean; readonly refundId: string; readonly code?: string } })
    .value
}
export const refund = async (network: WholeNetwork, payee: string, txId: string, amountMinor: string) => {
  const started = await ask(network, payee, txId, amountMinor)
  if (!started.ok) return started
  const answer = await network.sim.command(`${payee.slice(0, 2)}-shop-1`, 'refund-result', {
    refundId: started.refundId,
  })
  return (answer as { readonly value: unknown }).value
}
export const lines = ({ sim }: WholeNetwork, id: string): readonly PaymentLine[] => {
  const answer = sim.host(id).host().ask('payments', {})
  if (!answer.ok) throw new Error(answer.error.code)
  return (answer.value as PaymentsPage).payments
}
export const balance = ({ report }: WholeNetwork, account: string): bigint => {
  const row = report.bank(account.split(':')[0] as string).accounts.find((one) => one.account === account)
  if (row === undefined) throw new Error(`no account ${account}`)
  return row.balanceMinor
}

/** Everything that `verify` holds a quiet network to. */
export const problems = (network: WholeNetwork): readonly unknown[] => {
  const reports: Report[] = []
  const payments = new Map<string, readonly PaymentLine[]>()
  for (const { id, host } of network.sim.hosts()) {
    const answer = host().ask('report', {})
    if (!answer.ok) throw new Error(`${id}: ${answer.error.code}`)
    reports.push(answer.value as Report)
    if (/-(cpp|mpp|shop-1|wallet-\d)$/.test(id)) payments.set(id, lines(network, id))
  }
  return [...unrest(network), ...checkNetwork(reports, payments, { quiet: true }).filter(({ ok }) => !ok)]
}
export const ACCOUNTS = [
  'hu-bank:alice',
  'hu-bank:hu-cpp',
  'hu-bank:shop',
  'ro-bank:shop',
  'hu-bank:hu-mpp',
  'ro-bank:ro-mpp',
]
export const balances = (network: WholeNetwork) =>
  Object.fromEntries(ACCOUNTS.map((one) => [one, balance(network, one)]))
