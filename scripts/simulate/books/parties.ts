/**
 * Those who learn of a payment: merchant and wallet hosts. What they hold final, its CPP has decided, on disk, and in the same way
 * (design §8.9); what a payee approves and gives back is its own word.
 */
import { payments as shopPayments, refunds as shopRefunds } from '../../../nodes/merchant/state.ts'
import { payments as walletPayments, refunds as walletRefunds } from '../../../nodes/customer/state.ts'
import { FINAL, type Facts } from './facts.ts'
import { hex, moved, reading, type Auditor, type Desk, type Edges } from './rows.ts'

const ENDS = ['confirmed', 'refused', 'rejected', 'expired', 'failed'] as const
const SHOP_EDGES: Edges = {
  none: ['noticed', 'approved', 'declined', ...ENDS],
  noticed: ['approved', 'declined', ...ENDS],
  approved: ENDS,
  declined: ENDS.slice(1),
}
const GUEST = ['opening', 'looking-up', 'offering', 'quoting'] as const
const WALLET_EDGES: Edges = {
  none: [...GUEST, 'requested', 'refused'],
  opening: ['looking-up', 'offering', 'quoting', 'requested', 'refused'],
  'looking-up': ['offering', 'quoting', 'requested', 'refused'],
  offering: ['quoting', 'requested', 'refused'],
  quoting: ['requested', 'refused'],
  requested: ENDS,
}
const REFUND_EDGES: Edges = { none: ['requested'], requested: ['confirmed', 'refused'], refused: ['confirmed'] }

/** Of another ledger's final state: its CPP has it, on disk, and the same. */
export const checkFinal = (
  { host, broken }: Desk,
  facts: Facts,
  prId: string | undefined,
  id: string,
  row: { readonly state: string; readonly amountMinor?: bigint },
): void => {
  const final = prId === undefined ? undefined : facts.finals.get(prId)
  if (final === undefined) broken('final before its CPP', `${host}: ${id} is ${row.state}`, prId)
  else if (final.state !== row.state)
    broken('two final states', `${host}: ${row.state}, ${final.cpp}: ${final.state}`, prId)
  else if (row.state === 'confirmed' && row.amountMinor !== final.row?.amountMinor)
    broken('a payment of two sums', `${host}: ${row.amountMinor}, ${final.cpp}: ${final.row?.amountMinor}`, prId)
}

const watch = (desk: Desk, facts: Facts, id: string, after: { readonly state: string } | undefined): void => {
  const key = `${desk.host} ${id}`
  if (after === undefined || FINAL.has(after.state)) facts.undecided.delete(key)
  else facts.undecided.set(key, after.state)
}

export const auditMerchant = (desk: Desk, facts: Facts): Auditor => ({
  readings: [
    reading(shopPayments, (change) => {
      const { after, judge } = change
      const id = hex(change.key)
      watch(desk, facts, id, after)
      if (after?.state === 'approved') desk.later(() => facts.merchantApproved.add(id))
      if (after?.state === 'confirmed') desk.later(() => facts.confirmedAt.add(`merchant ${facts.paymentOf.get(id)}`))
      if (!judge || !moved(desk, 'a payment at its payee', SHOP_EDGES, change, () => id) || after === undefined) return
      if (FINAL.has(after.state)) checkFinal(desk, facts, facts.paymentOf.get(id), id, after)
    }),
    reading(shopRefunds, (change) => {
      const { key, after, judge } = change
      const id = hex(key)
      if (after?.state === 'requested') desk.later(() => facts.refundsRequested.set(id, after.amountMinor))
      if (!judge || !moved(desk, 'a refund at its payee', REFUND_EDGES, change, () => id)) return
      if (after?.state === 'confirmed' && facts.refundsConfirmed.get(id) !== after.amountMinor)
        desk.broken(
          'a refund that its CPP did not make',
          `${desk.host}: ${after.amountMinor}`,
          facts.paymentOf.get(hex(after.pnId)),
        )
    }),
  ],
  settle: () => {},
  clear: () => {},
  atRest: () => {},
})

export const auditWallet = (desk: Desk, facts: Facts): Auditor => ({
  readings: [
    reading(walletPayments, (change) => {
      const { key, before, after, judge } = change
      const id = hex(key)
      watch(desk, facts, id, after)
      if (after?.state === 'confirmed') desk.later(() => facts.confirmedAt.add(`customer ${id}`))
      if (!judge || !moved(desk, 'a payment at its wallet', WALLET_EDGES, change, () => id) || after === undefined)
        return
      // What never was asked for, its CPP never heard of.
      if (FINAL.has(after.state) && before?.state === 'requested') checkFinal(desk, facts, id, id, after)
    }),
    reading(walletRefunds, ({ key, before, after, judge }) => {
      if (!judge || after === undefined) return
      const prId = hex(key.subarray(0, 16))
      if (before !== undefined) desk.broken('the terms of a refund changed', desk.host, prId)
      if (facts.refundsConfirmed.get(hex(after.refundId)) !== after.amountMinor)
        desk.broken('a refund that its CPP did not make', `${desk.host}: ${after.amountMinor}`, prId)
    }),
  ],
  settle: () => {},
  clear: () => {},
  atRest: () => {},
})
