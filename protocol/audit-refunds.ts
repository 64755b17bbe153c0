/**
 * Refunds of a payment: each asked for by the payee's own host, confirmed by the payment's CPP for exactly that sum, and all of
 * them together no more than the payment.
 */
import { fits, time, type Exhibits, type Findings } from './audit-findings.ts'
import { money, type JudgedPayment } from './audit-payment.ts'
import { equalBytes } from './bytes.ts'
import type { Verified } from './verified.ts'

type Request = Verified<'refund-request'>
type Confirmation = Verified<'refund-confirmation'>

const OTHER = 'it is of another payment'

const same = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a !== undefined && b !== undefined && equalBytes(a, b)

export const judgeRefunds = (exhibits: Exhibits, payment: JudgedPayment, findings: Findings): void => {
  const requests = judgeRequests(exhibits, payment, findings)
  const confirmations = judgeConfirmations(exhibits, payment, requests, findings)
  judgeNotices(exhibits, payment, confirmations, findings)
  judgeCredits(exhibits, confirmations, findings)
  const { party, host, refunds = 0 } = exhibits.statement
  const kind = party === 'customer' ? 'customer-refund-notice' : 'refund-confirmation'
  const shown = exhibits.statement.pieces.filter((piece) => piece.kind === kind).length
  if (shown < refunds) findings.miss(kind, `${host} says that there are ${refunds} refunds, and shows ${shown}`)
}

/** By itself, at the merchant; inside the MPP's countersignature elsewhere. */
const judgeRequests = (exhibits: Exhibits, { trans }: JudgedPayment, findings: Findings): readonly Request[] => {
  const { statement, all } = exhibits
  const good: Request[] = []
  const judge = (piece: string, request: Request): boolean => {
    const { body, sender } = request
    const holds = fits(findings, piece, [
      [same(body.pnId, statement.pnId) && body.payee === statement.payee && same(body.txId, statement.txId), OTHER],
      [sender.id === trans?.merchant.host.id, 'another host than the one of the invoice asked for it'],
    ])
    if (holds) good.push(request)
    return holds
  }
  for (const request of all('refund-request')) judge('refund-request', request)
  for (const { body, nested, sender } of all('countersigned-refund')) {
    const inside = nested.request.ok ? nested.request.value : undefined
    const holds = fits(findings, 'countersigned-refund', [
      [same(body.pnId, statement.pnId) && body.payee === statement.payee, OTHER],
      [sender.id === trans?.merchant.mpp.id, 'another MPP than the one of the invoice countersigned it'],
      [same(inside?.body.refundId, body.refundId), 'the request inside is of another refund, or does not hold'],
    ])
    if (holds && inside !== undefined) judge('countersigned-refund', inside)
  }
  return good
}

const judgeConfirmations = (
  { statement, all }: Exhibits,
  { trans, cpp }: JudgedPayment,
  requests: readonly Request[],
  findings: Findings,
): readonly Confirmation[] => {
  const good: Confirmation[] = []
  let leftMinor = trans?.body.amountMinor ?? 0n
  for (const confirmation of all('refund-confirmation')) {
    const { body, sender } = confirmation
    const asked = requests.find((request) => same(request.body.refundId, body.refundId))
    const holds = fits(findings, 'refund-confirmation', [
      [same(body.pnId, statement.pnId) && body.payee === statement.payee && same(body.txId, statement.txId), OTHER],
      [sender.id === cpp, 'another CPP than the one of this payment confirmed it'],
      [body.mpp === trans?.merchant.mpp.id, 'it names another MPP than the one of the invoice'],
      [body.currency === trans?.body.currency, 'its currency is not that of the payment'],
      [!good.some((one) => same(one.body.refundId, body.refundId)), 'this refund was confirmed twice'],
      [
        asked === undefined || asked.body.amountMinor === body.amountMinor,
        'its amount is not the one that was asked for',
      ],
      [body.amountMinor <= leftMinor, 'the refunds add up to more than the payment'],
    ])
    if (!holds) continue
    good.push(confirmation)
    leftMinor -= body.amountMinor
    if (asked === undefined) {
      const kind = statement.party === 'merchant' ? 'refund-request' : 'countersigned-refund'
      findings.miss(kind, 'nothing shows that the payee asked for a refund that is confirmed here')
      continue
    }
    findings.prove(
      'refund-confirmation',
      `${asked.sender.id} asked for a refund of ${money(body.amountMinor, body.currency)}, and ${sender.id} confirmed it at ${time(body.confirmedAtMs)}`,
    )
  }
  return good
}

const judgeNotices = (
  { statement, all }: Exhibits,
  { trans, cpp }: JudgedPayment,
  confirmations: readonly Confirmation[],
  findings: Findings,
): void => {
  let leftMinor = trans?.body.amountMinor ?? 0n
  const told: Uint8Array[] = []
  for (const { body, sender } of all('customer-refund-notice')) {
    const confirmed = confirmations.find((one) => same(one.body.refundId, body.refundId))
    const holds = fits(findings, 'customer-refund-notice', [
      [same(body.prId, statement.prId), OTHER],
      [sender.id === cpp, 'another CPP than the one of this payment says so'],
      [statement.party === 'customer' || confirmed !== undefined, 'nothing confirms this refund'],
      [
        confirmed === undefined || confirmed.body.amountMinor === body.amountMinor,
        "the payee's side was told another sum",
      ],
      [body.amountMinor <= leftMinor, 'the refunds add up to more than the payment'],
    ])
    if (!holds) continue
    leftMinor -= body.amountMinor
    told.push(body.refundId)
    findings.prove(
      'customer-refund-notice',
      `${sender.id} told its customer of a refund of ${money(body.amountMinor, body.currency)} at ${time(body.confirmedAtMs)}`,
    )
  }
  if (statement.party !== 'cpp') return
  if (confirmations.some(({ body }) => !told.some((refundId) => same(refundId, body.refundId))))
    findings.miss('customer-refund-notice', 'nothing shows that the customer was told of a refund')
}

/** What was not taken off the customer's debt is transferred to their account. */
const judgeCredits = (
  { statement, all }: Exhibits,
  confirmations: readonly Confirmation[],
  findings: Findings,
): void => {
  for (const { body, header } of all('transfer-order')) {
    if (body.reference.purpose !== 'refund') continue
    const refund = confirmations.find((one) => same(one.body.refundId, body.reference.id))
    if (refund === undefined) continue
    const holds = fits(findings, 'transfer-order', [[header.from === statement.host, 'another party ordered it']])
    if (!holds) continue
    const answer = all('transfer-answer').find((one) => same(one.body.orderId, body.orderId))
    const sum = money(body.amountMinor, body.currency)
    if (answer === undefined || answer.body.result !== 'booked')
      findings.note('transfer-answer', `${header.to} has not booked the ${sum} of a refund to ${body.creditAccount}`)
    else if (fits(findings, 'transfer-answer', [[answer.sender.id === header.to, 'another bank answered']]))
      findings.prove('transfer-answer', `${answer.sender.id} booked the ${sum} of a refund to ${body.creditAccount}`)
  }
}
