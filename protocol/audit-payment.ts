/**
 * How the messages of one payment hang together: TRANS ← PR, TRANS ← PN ← decision ← countersignature ← the CPP's T, DT or
 * outcome. Each piece is judged against the ids that the statement is about, against the invoice, and against the piece that it
 * answers, by digest; so a piece of another payment is named, however good its seal.
 */
import { fits, time, type Exhibits, type Findings } from './audit-findings.ts'
import { formatAmount, modeOf, type Currency } from './amount.ts'
import { equalBytes } from './bytes.ts'
import { payeeAddress } from './ids.ts'
import type { Verified } from './verified.ts'

type Trans = Verified<'transaction-details'>
type Approval = { readonly decision: 'approve' | 'reject' }
export type PayeeEnd =
  Verified<'transfer-confirmation'> | Verified<'delayed-transfer-confirmation'> | Verified<'payment-outcome'>
export type CustomerEnd =
  | Verified<'customer-transfer-confirmation'>
  | Verified<'customer-delayed-transfer-confirmation'>
  | Verified<'customer-payment-outcome'>

/** What holds together: a piece that does not fit is not here. */
export type JudgedPayment = {
  readonly trans: Trans | undefined
  readonly request: Verified<'payment-request'> | undefined
  readonly notice: Verified<'payment-notice'> | undefined
  /** The CPP that ends the payment, as far as the pieces say it. */
  readonly cpp: string | undefined
  readonly payeeEnd: PayeeEnd | undefined
  readonly customerEnd: CustomerEnd | undefined
  readonly isConfirmed: boolean
}

const same = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a !== undefined && b !== undefined && equalBytes(a, b)
export const money = (amountMinor: bigint, currency: Currency): string =>
  `${formatAmount(amountMinor, currency)} ${currency}`

const OTHER = 'it is of another payment'
const OTHER_INVOICE = 'the invoice inside is another one'

/** @returns the pieces that fit, for who judges the money behind them */
export const judgePayment = (exhibits: Exhibits, findings: Findings): JudgedPayment => {
  const trans = judgeInvoice(exhibits, findings)
  const request = judgeRequest(exhibits, trans, findings)
  const notice = judgeNotice(exhibits, trans, request, findings)
  const cpp = notice?.sender.id ?? request?.header.to
  const approval = judgeDecision(exhibits, trans, notice, findings)
  const payeeEnd = judgePayeeEnd(exhibits, trans, cpp, approval, findings)
  const customerEnd = judgeCustomerEnd(exhibits, trans, cpp, payeeEnd, findings)
  judgeQuote(exhibits, request, customerEnd, findings)
  const judged: JudgedPayment = {
    trans,
    request,
    notice,
    cpp: cpp ?? payeeEnd?.sender.id ?? customerEnd?.sender.id,
    payeeEnd,
    customerEnd,
    isConfirmed: isConfirmation(payeeEnd) || isConfirmation(customerEnd),
  }
  missPieces(exhibits, judged, findings)
  return judged
}

const isConfirmation = (end: PayeeEnd | CustomerEnd | undefined): boolean =>
  end !== undefined && end.kind !== 'payment-outcome' && end.kind !== 'customer-payment-outcome'

/** The invoice, by itself or inside the request or notice that carries it. */
const judgeInvoice = ({ statement, one }: Exhibits, findings: Findings): Trans | undefined => {
  const inRequest = one('payment-request')?.nested.trans
  const inNotice = one('payment-notice')?.nested.trans
  const found: readonly (readonly [string, Trans | undefined])[] = [
    ['transaction-details', one('transaction-details')],
    ['payment-request', inRequest?.ok === true ? inRequest.value : undefined],
    ['payment-notice', inNotice?.ok === true ? inNotice.value : undefined],
  ]
  let trans: Trans | undefined
  for (const [piece, candidate] of found) {
    if (candidate === undefined) continue
    const { txId, payee } = candidate.body
    const isThis = fits(findings, piece, [
      [payee === statement.payee && same(txId, statement.txId), OTHER],
      [trans === undefined || same(trans.digest, candidate.digest), OTHER_INVOICE],
    ])
    if (isThis) trans ??= candidate
  }
  if (trans === undefined) {
    findings.miss('transaction-details', 'no invoice of this payment is here, by itself or inside another piece')
    return undefined
  }
  const { payee, amountMinor, currency } = trans.body
  const { host, mpp } = trans.merchant
  findings.prove(
    'transaction-details',
    `${payeeAddress(payee)}, a payee of ${mpp.id} at ${host.id}, asked for ${money(amountMinor, currency)} at ` +
      time(trans.header.sentAtMs),
  )
  return trans
}

const judgeRequest = (
  { statement, one, enrolmentOf }: Exhibits,
  trans: Trans | undefined,
  findings: Findings,
): Verified<'payment-request'> | undefined => {
  const request = one('payment-request')
  if (request === undefined) return undefined
  const { body, nested, sender, header } = request
  const enrolment = enrolmentOf(sender.keyId)
  const good = fits(findings, 'payment-request', [
    [same(body.prId, statement.prId), OTHER],
    [nested.trans.ok, 'the invoice inside does not hold'],
    [trans !== undefined && nested.trans.ok && same(nested.trans.value.digest, trans.digest), OTHER_INVOICE],
    [enrolment?.cpp === header.to, `${header.to} has not enrolled the device that sealed it`],
  ])
  if (!good) return undefined
  findings.prove(
    'payment-request',
    `${sender.id} told ${header.to} to pay this invoice, at ${time(header.sentAtMs)}, with the device that ${header.to} enrolled`,
  )
  return request
}

const judgeNotice = (
  { statement, one }: Exhibits,
  trans: Trans | undefined,
  request: Verified<'payment-request'> | undefined,
  findings: Findings,
): Verified<'payment-notice'> | undefined => {
  const notice = one('payment-notice')
  if (notice === undefined) return undefined
  const { body, nested, sender, header } = notice
  const good = fits(findings, 'payment-notice', [
    [same(body.pnId, statement.pnId) && body.payee === statement.payee, OTHER],
    [nested.trans.ok, 'the invoice inside does not hold'],
    [trans !== undefined && nested.trans.ok && same(nested.trans.value.digest, trans.digest), OTHER_INVOICE],
    [
      trans !== undefined && modeOf(trans.body.amountMinor, trans.body.currency) === body.mode,
      'the mode does not fit the amount',
    ],
    [header.to === trans?.merchant.host.id, 'it is not addressed to the merchant host of the invoice'],
    [
      request === undefined || request.header.to === sender.id,
      'another CPP than the one that was asked to pay sent it',
    ],
  ])
  if (!good) return undefined
  findings.prove(
    'payment-notice',
    `${sender.id} noticed the payee's side of the payment (${body.mode}) at ${time(header.sentAtMs)}`,
  )
  return notice
}

/** The merchant's own decision, alone or under its MPP's countersignature, and the MPP's. */
const judgeDecision = (
  { statement, one }: Exhibits,
  trans: Trans | undefined,
  notice: Verified<'payment-notice'> | undefined,
  findings: Findings,
): Approval | undefined => {
  const countersigned = one('countersigned-decision')
  const alone = one('payment-decision')
  const inside = countersigned?.nested.merchantDecision
  const judgeOwn = (piece: string, decision: Verified<'payment-decision'>): boolean =>
    fits(findings, piece, [
      [same(decision.body.pnId, statement.pnId) && decision.body.payee === statement.payee, OTHER],
      [same(decision.body.txId, statement.txId), OTHER],
      [notice === undefined || same(decision.body.noticeDigest, notice.digest), 'it decides on another notice'],
      [decision.sender.id === trans?.merchant.host.id, 'another host than the one of the invoice decided'],
    ])
  let approval: Approval | undefined
  if (alone !== undefined && judgeOwn('payment-decision', alone)) approval = alone.body
  if (countersigned !== undefined) {
    const { body, sender, header } = countersigned
    const own = inside?.ok === true ? inside.value : undefined
    const good = fits(findings, 'countersigned-decision', [
      [same(body.pnId, statement.pnId) && body.payee === statement.payee, OTHER],
      [notice === undefined || same(body.noticeDigest, notice.digest), 'it answers another notice'],
      [sender.id === trans?.merchant.mpp.id, 'another MPP than the one of the invoice countersigned'],
      [notice === undefined || header.to === notice.sender.id, 'it is addressed to another CPP'],
      [inside === undefined || inside.ok, "the merchant's decision inside does not hold"],
      [body.decision === 'reject' || own?.body.decision === 'approve', 'it approves what the merchant did not'],
      [
        alone === undefined || own === undefined || same(alone.digest, own.digest),
        'the decision inside is another one',
      ],
    ])
    if (good && (own === undefined || judgeOwn('countersigned-decision', own))) {
      approval = body
      const who = own === undefined ? `${sender.id} itself` : `${own.sender.id}, countersigned by ${sender.id},`
      findings.prove('countersigned-decision', `${who} decided to ${body.decision} it at ${time(header.sentAtMs)}`)
    }
  } else if (approval !== undefined && alone !== undefined)
    findings.prove(
      'payment-decision',
      `${alone.sender.id} decided to ${approval.decision} it at ${time(alone.header.sentAtMs)}`,
    )
  return approval
}

const PAYEE_ENDS = ['transfer-confirmation', 'delayed-transfer-confirmation', 'payment-outcome'] as const
const CUSTOMER_ENDS = [
  'customer-transfer-confirmation',
  'customer-delayed-transfer-confirmation',
  'customer-payment-outcome',
] as const

const judgePayeeEnd = (
  { statement, all }: Exhibits,
  trans: Trans | undefined,
  cpp: string | undefined,
  approval: Approval | undefined,
  findings: Findings,
): PayeeEnd | undefined => {
  const ends = PAYEE_ENDS.flatMap((kind): readonly PayeeEnd[] => all(kind))
  let judged: PayeeEnd | undefined
  for (const end of ends) {
    const { body, sender } = end
    const good = fits(findings, end.kind, [
      [same(body.pnId, statement.pnId) && body.payee === statement.payee && same(body.txId, statement.txId), OTHER],
      [cpp === undefined || sender.id === cpp, 'another CPP than the one of this payment says so'],
      [judged === undefined, 'the CPP has said another end as well'],
      ...(end.kind === 'payment-outcome' ? [] : confirmationFits(end, trans)),
      [end.kind === 'payment-outcome' || approval?.decision !== 'reject', 'it confirms what was rejected'],
      [
        end.kind !== 'delayed-transfer-confirmation' || end.body.mpp === trans?.merchant.mpp.id,
        'it is owed to another MPP than the one of the invoice',
      ],
    ])
    if (!good) continue
    judged = end
    findings.prove(end.kind, endText(end, trans))
  }
  return judged
}

/** T for macro, DT for micro, over exactly what was asked for. */
const confirmationFits = (
  end: Exclude<PayeeEnd | CustomerEnd, { readonly kind: 'payment-outcome' | 'customer-payment-outcome' }>,
  trans: Trans | undefined,
): readonly (readonly [boolean, string])[] => {
  const { amountMinor, currency } = end.body
  const isDelayed = end.kind.endsWith('delayed-transfer-confirmation')
  return [
    [
      trans !== undefined && trans.body.amountMinor === amountMinor && trans.body.currency === currency,
      'its amount is not that of the invoice',
    ],
    [isDelayed === (modeOf(amountMinor, currency) === 'micro'), 'this confirmation does not fit the amount'],
  ]
}

const endText = (end: PayeeEnd | CustomerEnd, trans: Trans | undefined): string => {
  const { id } = end.sender
  switch (end.kind) {
    case 'payment-outcome':
    case 'customer-payment-outcome':
      return `${id} ended the payment at ${time(end.body.decidedAtMs)}: ${end.body.outcome}; nothing was charged for it`
    case 'transfer-confirmation':
      return `${id} confirmed at ${time(end.body.confirmedAtMs)} that ${amountOf(end)} is booked to the payee`
    case 'delayed-transfer-confirmation':
      return (
        `${id} confirmed at ${time(end.body.confirmedAtMs)} that it owes ${amountOf(end)} to ${end.body.mpp} ` +
        `for the payee, as entry ${end.body.pairSeq} of their sequence`
      )
    case 'customer-transfer-confirmation':
      return `${id} confirmed to its customer at ${time(end.body.confirmedAtMs)} that ${amountOf(end)} is transferred${to(trans)}`
    case 'customer-delayed-transfer-confirmation':
      return `${id} confirmed to its customer at ${time(end.body.confirmedAtMs)} that ${amountOf(end)} is paid${to(trans)} and will be collected later`
  }
}
const to = (trans: Trans | undefined): string => (trans === undefined ? '' : ` to ${payeeAddress(trans.body.payee)}`)
const amountOf = ({ body }: { readonly body: { readonly amountMinor: bigint; readonly currency: Currency } }): string =>
  money(body.amountMinor, body.currency)

const judgeCustomerEnd = (
  { statement, all }: Exhibits,
  trans: Trans | undefined,
  cpp: string | undefined,
  payeeEnd: PayeeEnd | undefined,
  findings: Findings,
): CustomerEnd | undefined => {
  let judged: CustomerEnd | undefined
  for (const end of CUSTOMER_ENDS.flatMap((kind): readonly CustomerEnd[] => all(kind))) {
    const { body, sender } = end
    const agrees =
      payeeEnd === undefined ||
      (end.kind === 'customer-payment-outcome'
        ? payeeEnd.kind === 'payment-outcome' && payeeEnd.body.outcome === end.body.outcome
        : payeeEnd.kind === end.kind.slice('customer-'.length))
    const good = fits(findings, end.kind, [
      [same(body.prId, statement.prId), OTHER],
      [cpp === undefined || sender.id === cpp, 'another CPP than the one that was asked to pay says so'],
      [judged === undefined, 'the CPP has said another end as well'],
      ...(end.kind === 'customer-payment-outcome'
        ? []
        : [
            [end.body.payee === statement.payee && same(end.body.txId, statement.txId), OTHER] as const,
            ...confirmationFits(end, trans),
          ]),
      [agrees, "the payee's side was told another end"],
    ])
    if (!good) continue
    judged = end
    findings.prove(end.kind, endText(end, trans))
  }
  return judged
}

/** What the customer was quoted, asked to pay by, and charged, where the account is in another currency than the invoice. */
const judgeQuote = (
  exhibits: Exhibits,
  request: Verified<'payment-request'> | undefined,
  end: CustomerEnd | undefined,
  findings: Findings,
): void => {
  const quote = exhibits.one('fx-quote')
  if (quote === undefined) {
    if (exhibits.statement.party === 'customer' && request?.body.quoteId !== undefined)
      findings.miss('fx-quote', 'nothing shows what the customer was quoted')
    return
  }
  const { body, sender } = quote
  const charged = end === undefined || end.kind === 'customer-payment-outcome' ? undefined : end.body
  const good = fits(findings, 'fx-quote', [
    [same(body.quoteId, request?.body.quoteId), 'it is not the quote that the request names'],
    [sender.id === request?.header.to, 'another CPP than the one that was asked to pay quoted it'],
    [
      charged === undefined ||
        (charged.accountAmountMinor === body.accountAmountMinor && charged.accountCurrency === body.accountCurrency),
      'the customer was charged another sum than was quoted',
    ],
  ])
  if (good)
    findings.prove(
      'fx-quote',
      `${sender.id} quoted ${money(body.accountAmountMinor, body.accountCurrency)} for ${money(body.amountMinor, body.currency)}`,
    )
}

/** What a party of this role holds of a payment that ended so. */
const missPieces = ({ statement }: Exhibits, judged: JudgedPayment, findings: Findings): void => {
  const { party, pnId } = statement
  const { payeeEnd, customerEnd, isConfirmed } = judged
  // What the statement lists and is not here, or does not hold, has been named.
  const need = (name: string, kinds: readonly string[], why: string): void => {
    if (!statement.pieces.some(({ kind }) => kinds.includes(kind))) findings.miss(name, why)
  }
  const outcome = [payeeEnd, customerEnd].flatMap((end) =>
    end?.kind === 'payment-outcome' || end?.kind === 'customer-payment-outcome' ? [end.body.outcome] : [],
  )[0]
  const isDecided = isConfirmed || outcome === 'rejected' || outcome === 'failed'
  if (party === 'customer' || party === 'cpp') {
    need('payment-request', ['payment-request'], 'nothing shows that the customer asked for this')
    need('customer confirmation or outcome', CUSTOMER_ENDS, 'the CPP has not told the customer the end')
  }
  if (party === 'customer') return
  // What ended before its notice went out never reached the payee's side.
  if (party === 'cpp' && pnId === undefined) return
  need('payment-notice', ['payment-notice'], "nothing shows that the payee's side was asked")
  need('confirmation or outcome', PAYEE_ENDS, "the CPP has not told the payee's side the end")
  if (!isDecided) return
  const decision = party === 'merchant' ? 'payment-decision' : 'countersigned-decision'
  need(decision, [decision], "nothing shows what the payee's side decided")
}
