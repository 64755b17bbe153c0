/**
 * Processors, each by its own sums, each pair against each other, and both against banks and merchants: design §8.2 to §8.7.
 * While things move, a figure is held against its cause only in the direction that reading effects before causes leaves.
 */
import type { CppReport, MppReport } from '../runtime/reports.ts'
import { atMost, countOf, equal, failed, follows, shown, sumOf, type Check, type Network } from './check.ts'

const ofCpp = ({ id, totals, positions, boundBreaches, pairs }: CppReport): readonly Check[] => [
  ...totals.flatMap((total) => {
    const who = `${id} ${total.currency}`
    const { confirmedMicroMinor, collectedMinor, refundOffsetMinor, writtenOffMinor } = total
    return [
      equal(
        '§8.2',
        `outstanding is confirmed less collected, offset and written off: ${who}`,
        total.outstandingMinor,
        confirmedMicroMinor - collectedMinor - refundOffsetMinor - writtenOffMinor,
      ),
      equal(
        '§8.2',
        `refunds are offset, credited or due: ${who}`,
        total.refundedMinor,
        refundOffsetMinor + total.refundCreditedMinor + total.refundDueMinor,
      ),
      atMost(
        '§8.6',
        `a collection under way is part of what is outstanding: ${who}`,
        total.collectingMinor,
        total.outstandingMinor,
      ),
    ]
  }),
  ...positions.flatMap(
    ({ currency, positionMinor, boughtMinor, soldMinor, refundedMinor, exchangedMinor, owedMinor }) => {
      const who = `${id} ${currency}`
      return [
        equal('§8.2', `position is bought less sold: ${who}`, positionMinor, boughtMinor - soldMinor + refundedMinor),
        atMost(
          '§8.2',
          `exchanged and owed are part of what was bought: ${who}`,
          exchangedMinor + owedMinor,
          boughtMinor,
        ),
      ]
    },
  ),
  equal('§8.6', `customers over their bound: ${id}`, BigInt(boundBreaches), 0n),
  ...pairs.map(({ mpp, currency, payableMinor, entriesMinor, settledMinor }) =>
    equal(
      '§8.3',
      `payable is entries less settled: ${id} to ${mpp} ${currency}`,
      payableMinor,
      entriesMinor - settledMinor,
    ),
  ),
]

const ofMpp = ({ id, payees, pairs }: MppReport): readonly Check[] => [
  ...payees.map(
    ({
      payee,
      currency,
      accruedMinor,
      payableMinor,
      refundingMinor,
      payingMinor,
      confirmedMicroMinor,
      paidMinor,
      paidInMinor,
      reversedMinor,
    }) =>
      equal(
        '§8.4',
        `what the payee is owed is confirmed and paid in less paid and reversed: ${payee} at ${id} ${currency}`,
        accruedMinor + payableMinor + refundingMinor + payingMinor,
        confirmedMicroMinor + paidInMinor - paidMinor - reversedMinor,
      ),
  ),
  ...pairs.map(({ cpp, currency, receivableMinor, entriesMinor, settledMinor }) =>
    equal(
      '§8.3',
      `receivable is entries less settled: ${id} from ${cpp} ${currency}`,
      receivableMinor,
      entriesMinor - settledMinor,
    ),
  ),
]

type CppPair = CppReport['pairs'][number]
type MppPair = MppReport['pairs'][number]

/** payable − receivable = Σ entries the MPP lacks ± settlements booked on one side only. */
const pair = (quiet: boolean, name: string, cpp: CppPair, mpp: MppPair | undefined): readonly Check[] => {
  const { entriesMinor = 0n, settledMinor = 0n, receivableMinor = 0n, contiguousSeq = 0, highestSeq = 0 } = mpp ?? {}
  const lackedMinor = cpp.entriesMinor - entriesMinor
  const oneSidedMinor = cpp.settledMinor - settledMinor
  const difference = cpp.payableMinor - receivableMinor
  const holdsAll = contiguousSeq === cpp.lastSeq && highestSeq === cpp.lastSeq
  const held = contiguousSeq === highestSeq ? `1 to ${highestSeq}` : `1 to ${contiguousSeq} and some to ${highestSeq}`
  const detail = `entries 1 to ${cpp.lastSeq}, MPP holds ${held}: lacks ${lackedMinor}; settled on one side ${oneSidedMinor}`
  const sequence = `entries of the pair's sequence: ${name}`
  return [
    // Without an entry lacking or a settlement one-sided the two sums must be the same at any time.
    equal('§8.3', `payable and receivable: ${name}`, difference, quiet ? 0n : lackedMinor - oneSidedMinor, detail),
    quiet
      ? equal(
          '§8.3',
          sequence,
          BigInt(contiguousSeq === cpp.lastSeq ? highestSeq : contiguousSeq),
          BigInt(cpp.lastSeq),
          detail,
        )
      : atMost('§8.3', sequence, BigInt(highestSeq), BigInt(cpp.lastSeq), detail),
    holdsAll || quiet
      ? equal('§8.3', `sum of the pair's entries: ${name}`, entriesMinor, cpp.entriesMinor)
      : shown('§8.3', `sum of the pair's entries: ${name}`, entriesMinor, cpp.entriesMinor, `moving: ${detail}`),
  ]
}

const pairs = ({ quiet, cpps, mpps }: Network): readonly Check[] => [
  ...cpps.flatMap((cpp) =>
    cpp.pairs.flatMap((row) => {
      const name = `${cpp.id} and ${row.mpp} ${row.currency}`
      const mpp = mpps.find(({ id }) => id === row.mpp)
      if (mpp === undefined) return [failed('§8.3', `payable and receivable: ${name}`, `no report of ${row.mpp}`)]
      return pair(
        quiet,
        name,
        row,
        mpp.pairs.find(({ cpp: id, currency }) => id === cpp.id && currency === row.currency),
      )
    }),
  ),
  // A pair that only the MPP knows: it would hold entries that no CPP made.
  ...mpps.flatMap((mpp) =>
    mpp.pairs
      .filter(
        (row) =>
          !cpps.some(
            ({ id, pairs: known }) =>
              id === row.cpp && known.some((one) => one.mpp === mpp.id && one.currency === row.currency),
          ),
      )
      .map((row) => {
        const name = `payable and receivable: ${row.cpp} and ${mpp.id} ${row.currency}`
        return cpps.some(({ id }) => id === row.cpp)
          ? equal('§8.3', name, 0n, BigInt(row.highestSeq), 'the CPP knows no such pair')
          : failed('§8.3', name, `no report of ${row.cpp}`)
      }),
  ),
]

/** Booked orders of one processor for one purpose, over all banks. */
const booked = ({ banks }: Network, from: string, purpose: string, currency: string) => {
  const rows = banks
    .flatMap(({ orders }) => orders)
    .filter((row) => row.from === from && row.purpose === purpose && row.currency === currency)
  return {
    count: sumOf(rows, ({ count }) => BigInt(count)),
    amountMinor: sumOf(rows, ({ amountMinor }) => amountMinor),
  }
}

/** Every collection, macro payment, payout, refund's credit and refund's funding is one bank transfer, and nothing else is. */
const transfers = (network: Network): readonly Check[] => {
  const { quiet, cpps, mpps, payments } = network
  return [
    // A hold that the CPP took, or what the customer's account paid in its place.
    ...cpps.flatMap(({ id, positions }) =>
      positions.map(({ currency, exchangedMinor }) =>
        follows(
          quiet,
          '§8.7',
          `exchanged is what banks booked to it: ${id} ${currency}`,
          exchangedMinor,
          booked(network, id, 'exchange', currency).amountMinor,
        ),
      ),
    ),
    ...cpps.flatMap(({ id, totals }) =>
      totals.flatMap(({ currency, collections, collectedMinor, confirmedMacroMinor, refundCreditedMinor }) => {
        const who = `${id} ${currency}`
        const collected = booked(network, id, 'collection', currency)
        const paid = booked(network, id, 'payment', currency)
        const macro = countOf(
          payments.get(id) ?? [],
          (line) => line.mode === 'macro' && line.state === 'confirmed' && line.currency === currency,
        )
        return [
          follows(quiet, '§8.6', `collections are the banks': ${who}`, BigInt(collections), collected.count),
          follows(quiet, '§8.6', `collected is what banks transferred: ${who}`, collectedMinor, collected.amountMinor),
          follows(quiet, '§8.7', `macro payments are what banks posted: ${who}`, confirmedMacroMinor, paid.amountMinor),
          follows(
            quiet,
            '§8.2',
            `refunds credited are what banks transferred: ${who}`,
            refundCreditedMinor,
            booked(network, id, 'refund', currency).amountMinor,
          ),
          ...(payments.has(id)
            ? [follows(quiet, '§8.7', `only macro payments reach a bank: ${who}`, macro, paid.count)]
            : []),
        ]
      }),
    ),
    ...mpps.flatMap(({ id, payees }) =>
      [...new Set(payees.map(({ currency }) => currency))].flatMap((currency) => {
        const rows = payees.filter((row) => row.currency === currency)
        return [
          follows(
            quiet,
            '§8.4',
            `paid out is what banks transferred: ${id} ${currency}`,
            sumOf(rows, ({ paidMinor }) => paidMinor),
            booked(network, id, 'payout', currency).amountMinor,
          ),
          follows(
            quiet,
            '§8.4',
            `paid in for refunds is what banks transferred: ${id} ${currency}`,
            sumOf(rows, ({ paidInMinor, macroRefundedMinor }) => paidInMinor + macroRefundedMinor),
            booked(network, id, 'refund', currency).amountMinor,
          ),
        ]
      }),
    ),
  ]
}

/** A payee is credited exactly what was confirmed, at the MPP, by the bank and in its own books. */
const payeesOf = ({ quiet, merchants, mpps }: Network): readonly Check[] =>
  merchants.flatMap(({ id, payees }) =>
    payees.flatMap((row) => {
      const { payee, currency, confirmedMicroMinor, confirmedMacroMinor, macroBookedMinor, paidOutMinor } = row
      const who = `${payee} ${currency}`
      const mpp = mpps.find((one) => one.id === row.mpp)
      if (mpp === undefined) return [failed('§8.5', `credited what was confirmed: ${who}`, `no report of ${row.mpp}`)]
      const account = mpp.payees.find((one) => one.payee === payee && one.currency === currency)
      const credited = account?.confirmedMicroMinor ?? 0n
      const paid = account?.paidMinor ?? 0n
      return [
        follows(
          quiet,
          '§8.5',
          `micropayments confirmed to ${id} are credited at ${row.mpp}: ${who}`,
          confirmedMicroMinor,
          credited,
        ),
        ...(quiet
          ? [
              equal(
                '§8.5',
                `macro payments confirmed are booked at the bank: ${who}`,
                confirmedMacroMinor,
                macroBookedMinor,
              ),
              equal('§8.5', `payouts booked at the bank are what ${row.mpp} paid: ${who}`, paidOutMinor, paid),
            ]
          : [
              shown(
                '§8.5',
                `macro payments confirmed are booked at the bank: ${who}`,
                confirmedMacroMinor,
                macroBookedMinor,
                "moving: the bank's notice and the confirmation come in either order",
              ),
              shown(
                '§8.5',
                `payouts booked at the bank are what ${row.mpp} paid: ${who}`,
                paidOutMinor,
                paid,
                "moving: the bank's notice and its answer come in either order",
              ),
            ]),
      ]
    }),
  )

export const checkProcessors = (network: Network): readonly Check[] => [
  ...network.cpps.flatMap(ofCpp),
  ...network.mpps.flatMap(ofMpp),
  ...pairs(network),
  ...transfers(network),
  ...payeesOf(network),
]
