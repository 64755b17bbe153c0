/** Refunds over the real nodes: every moment a refund may come at, at home and abroad, micro and macro. */
import { describe, expect, it } from 'vitest'
import { buildWholeNetwork, unrest, type WholeNetwork } from './whole-network.ts'
import type { PaymentLine, PaymentsPage } from './reports.ts'

const PIN = '482915'

const build = async (seed: string): Promise<WholeNetwork> => {
  const network = await buildWholeNetwork(seed)
  for (const realm of ['hu', 'ro']) await network.ok(`${realm}-shop-1`, 'set-refund-pin', { pin: PIN })
  return network
}
type Paid = { readonly txId: string; readonly paymentId: string }
const paid = async ({ pay }: WholeNetwork, payee: string, amountMinor: string): Promise<Paid> => {
  const answer = await pay('hu', payee, amountMinor)
  expect(answer).toMatchObject({ ok: true, value: { outcome: 'confirmed' } })
  return (answer as { readonly value: Paid }).value
}
const ask = async ({ sim }: WholeNetwork, payee: string, txId: string, amountMinor: string, pin = PIN) => {
  const answer = await sim.command(`${payee.slice(0, 2)}-shop-1`, 'refund', { payee, txId, amountMinor, pin })
  return (answer as { readonly value: { readonly ok: boolean; readonly refundId: string; readonly code?: string } })
    .value
}
const refund = async (network: WholeNetwork, payee: string, txId: string, amountMinor: string) => {
  const started = await ask(network, payee, txId, amountMinor)
  if (!started.ok) return started
  const answer = await network.sim.command(`${payee.slice(0, 2)}-shop-1`, 'refund-result', {
    refundId: started.refundId,
  })
  return (answer as { readonly value: unknown }).value
}
const lines = ({ sim }: WholeNetwork, id: string): readonly PaymentLine[] => {
  const answer = sim.host(id).host().ask('payments', {})
  if (!answer.ok) throw new Error(answer.error.code)
  return (answer.value as PaymentsPage).payments
}
const balance = ({ report }: WholeNetwork, account: string): bigint => {
  const row = report.bank(account.split(':')[0] as string).accounts.find((one) => one.account === account)
  if (row === undefined) throw new Error(`no account ${account}`)
  return row.balanceMinor
}

describe('refunds over the whole network', { timeout: 60_000 }, () => {
  it.each(['hu-bakery', 'ro-bakery'])(
    'a micropayment to %s is given back before anything is collected',
    async (payee) => {
      const network = await build(`first ${payee}`)
      const { report, sim } = network
      const { txId } = await paid(network, payee, '300')
      expect(await refund(network, payee, txId, '100')).toMatchObject({ ok: true, outcome: 'confirmed' })
      await sim.advance(60_000)
      expect(unrest(network)).toEqual([])
      expect(report.cpp('hu-cpp').totals).toMatchObject([
        { outstandingMinor: 200n, refundOffsetMinor: 100n, refundedMinor: 100n, refundDueMinor: 0n },
      ])
      for (const id of ['hu-wallet-1', 'hu-cpp', `${payee.slice(0, 2)}-mpp`, `${payee.slice(0, 2)}-shop-1`])
        expect([id, lines(network, id)[0]?.refunds]).toMatchObject([id, [{ amountMinor: 100n, state: 'confirmed' }]])
      expect(balance(network, `${payee.slice(0, 2)}-bank:shop`)).toBe(1_000_200n)
    },
  )
})
