/**
 * The money behind a payment: a macro payment's booking at the banks; a micropayment's entry in the sequence of its CPP and MPP,
 * the batch that settles it, and what its customer was charged. What has not come to pass yet is a note, as the gatherer tells it;
 * what it says has come to pass must be shown.
 */
import { fits, time, type Exhibits, type Findings } from './audit-findings.ts'
import { money, type JudgedPayment } from './audit-payment.ts'
import { equalBytes } from './bytes.ts'
import { bankOf } from './ids.ts'
import type { KindName } from './kinds.ts'
import { batchHash, pairEntryLeaf, verifyLeaf } from './mountain-range.ts'
import type { Verified } from './verified.ts'

type Delayed = Verified<'delayed-transfer-confirmation'>
type Batch = Verified<'settlement-batch'>
type Transfer = Verified<'transfer-order'>

export const judgeMoney = (exhibits: Exhibits, payment: JudgedPayment, findings: Findings): void => {
  const { payeeEnd, isConfirmed } = payment
  const { party } = exhibits.statement
  judgeStrayOrders(exhibits, findings)
  if (!isConfirmed) return
  if (payeeEnd?.kind === 'transfer-confirmation') {
    if (party === 'cpp') judgeBooking(exhibits, payment, findings)
    if (party === 'merchant') judgeCredit(exhibits, payment, findings)
  }
  if (payeeEnd?.kind === 'delayed-transfer-confirmation') {
    if (party === 'cpp' || party === 'mpp') judgeSettlement(exhibits, payment, payeeEnd, findings)
    if (party === 'cpp') judgeCollection(exhibits, findings)
  }
}

const same = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a !== undefined && b !== undefined && equalBytes(a, b)

/** Is a piece of these kinds listed that is not here or does not hold? Then it has been named, and nothing else is missing. */
const isNamed = ({ statement, all }: Exhibits, ...kinds: readonly KindName[]): boolean =>
  kinds.some((kind) => statement.pieces.filter((piece) => piece.kind === kind).length > all(kind).length)

/** Was it the bank that the order was sent to that answered, and did it book? → the bank's word holds */
const isBooked = (
  exhibits: Exhibits,
  order: Verified<'post-order'> | Transfer,
  findings: Findings,
): Verified<'post-answer'> | Verified<'transfer-answer'> | undefined => {
  const kind = order.kind === 'post-order' ? 'post-answer' : 'transfer-answer'
  const answers: readonly (Verified<'post-answer'> | Verified<'transfer-answer'>)[] = exhibits.all(kind)
  const answer = answers.find(({ body }) => same(body.orderId, order.body.orderId))
  if (answer === undefined) {
    const orders = [...exhibits.all('transfer-order'), ...exhibits.all('post-order')]
    if (answers.some(({ body }) => !orders.some((one) => same(one.body.orderId, body.orderId))))
      findings.wrong(order.kind, 'the answer that is here is not to it: one of them is of another payment')
    else if (!isNamed(exhibits, kind)) findings.miss(kind, `${order.header.to} has not answered the order that is here`)
    return undefined
  }
  return fits(findings, kind, [
    [answer.sender.id === order.header.to, 'another bank answered'],
    [answer.body.result === 'booked', 'the bank refused'],
  ])
    ? answer
    : undefined
}

/** Orders of this bundle are for its settlement, its collection or its payment, and answers are to these. */
const judgeStrayOrders = (exhibits: Exhibits, findings: Findings): void => {
  const batch = exhibits.one('settlement-batch')
  for (const { body } of exhibits.all('transfer-order')) {
    const { purpose, id } = body.reference
    const isOurs =
      purpose === 'settlement'
        ? same(id, batch?.body.batchId)
        : purpose === 'collection'
          ? same(id, body.orderId) && exhibits.statement.collection !== 'none'
          : purpose === 'payment'
            ? same(id, exhibits.statement.txId)
            : purpose === 'exchange'
              ? same(id, body.orderId)
              : exhibits.all('refund-confirmation').some(({ body: refund }) => same(refund.refundId, id))
    if (!isOurs) findings.wrong('transfer-order', 'it is of another payment')
  }
  const orders = [...exhibits.all('transfer-order'), ...exhibits.all('post-order')]
  for (const answer of [...exhibits.all('transfer-answer'), ...exhibits.all('post-answer')])
    if (!orders.some(({ body }) => same(body.orderId, answer.body.orderId)))
      findings.wrong(answer.kind, 'it answers another order')
}

/** Macro, at the CPP: the hold, and the booking to the payee's account that the T speaks of. */
const judgeBooking = (exhibits: Exhibits, payment: JudgedPayment, findings: Findings): void => {
  const { trans, cpp } = payment
  const posts = exhibits.all('post-order')
  // A customer's account in another currency: the CPP pays the payee, and posts the hold to itself.
  const exchange = posts.find(({ body }) => body.reference.purpose === 'exchange')
  const post = posts.find((one) => one !== exchange)
  const order = post ?? exhibits.all('transfer-order').find(({ body }) => body.reference.purpose === 'payment')
  if (exchange !== undefined) judgeExchange(exhibits, payment, exchange, findings)
  if (order === undefined) {
    if (!isNamed(exhibits, 'post-order', 'transfer-order'))
      findings.miss('post-order', 'nothing shows what the CPP ordered its bank to book')
    return
  }
  const { body, sender } = order
  const good = fits(findings, order.kind, [
    [body.reference.purpose === 'payment' && same(body.reference.id, trans?.body.txId), 'it is of another payment'],
    [sender.id === cpp, 'another CPP ordered it'],
    [
      body.amountMinor === trans?.body.amountMinor && body.currency === trans.body.currency,
      'its amount is not that of the invoice',
    ],
    [body.creditAccount === trans?.merchant.payee.account, "it credits another account than the payee's"],
  ])
  if (post !== undefined) judgeHold(exhibits, post, findings)
  const answer = isBooked(exhibits, order, findings)
  if (good && answer !== undefined)
    findings.prove(
      answer.kind,
      `${answer.sender.id} booked ${money(body.amountMinor, body.currency)} to ${body.creditAccount} at ${time(answer.header.sentAtMs)}`,
    )
}

/** The customer is charged what was confirmed to them, in the currency of their account. */
const judgeExchange = (
  exhibits: Exhibits,
  { cpp, customerEnd }: JudgedPayment,
  exchange: Verified<'post-order'>,
  findings: Findings,
): void => {
  const charged = customerEnd?.kind === 'customer-transfer-confirmation' ? customerEnd.body : undefined
  const { body, sender } = exchange
  const good = fits(findings, 'post-order', [
    [sender.id === cpp, 'another CPP ordered it'],
    [
      body.amountMinor === charged?.accountAmountMinor && body.currency === charged.accountCurrency,
      'it charges another sum than the customer was told',
    ],
  ])
  judgeHold(exhibits, exchange, findings)
  const answer = exhibits.all('post-answer').find((one) => same(one.body.orderId, body.orderId))
  const sum = money(body.amountMinor, body.currency)
  if (answer?.body.result !== 'booked' || answer.sender.id !== exchange.header.to)
    findings.note('post-answer', `${exchange.header.to} has not booked the ${sum} that the customer was charged`)
  else if (good) findings.prove('post-answer', `${answer.sender.id} booked the ${sum} that the customer was charged`)
}

const judgeHold = (exhibits: Exhibits, post: Verified<'post-order'>, findings: Findings): void => {
  const order = exhibits.one('hold-order')
  const answer = exhibits.one('hold-answer')
  if (order === undefined && !isNamed(exhibits, 'hold-order'))
    findings.miss('hold-order', "nothing shows which of the customer's money was set aside")
  if (answer === undefined && !isNamed(exhibits, 'hold-answer'))
    findings.miss('hold-answer', 'nothing shows that the bank set the money aside')
  if (order !== undefined)
    fits(findings, 'hold-order', [[same(order.body.holdId, post.body.holdId), 'it is another hold']])
  if (order === undefined || answer === undefined) return
  const good = fits(findings, 'hold-answer', [
    [same(answer.body.holdId, post.body.holdId), 'it answers another hold'],
    [answer.sender.id === order.header.to, 'another bank answered'],
    [answer.body.result === 'held', 'the bank refused'],
  ])
  if (good)
    findings.prove(
      'hold-answer',
      `${answer.sender.id} set ${money(order.body.amountMinor, order.body.currency)} aside on ${order.body.account}`,
    )
}

/** Macro, at the merchant: its own bank's word that the money is there. */
const judgeCredit = (exhibits: Exhibits, { trans }: JudgedPayment, findings: Findings): void => {
  const notice = exhibits.one('account-notice')
  if (notice === undefined) {
    if (!isNamed(exhibits, 'account-notice'))
      findings.miss('account-notice', "the payee's bank has not said that it booked")
    return
  }
  const { body, sender } = notice
  const good = fits(findings, 'account-notice', [
    [body.reference.purpose === 'payment' && same(body.reference.id, trans?.body.txId), 'it is of another payment'],
    [body.account === trans?.merchant.payee.account, "it is of another account than the payee's"],
    [bankOf(body.account) === sender.id, 'another bank than the one that keeps the account says so'],
    [
      body.amountMinor === trans?.body.amountMinor && body.currency === trans.body.currency,
      'its amount is not that of the invoice',
    ],
  ])
  if (good)
    findings.prove(
      'account-notice',
      `${sender.id} booked ${money(body.amountMinor, body.currency)} from ${body.originatingBank} to ${body.account} at ${time(body.bookedAtMs)}`,
    )
}

// A micropayment's entry and its settlement

const judgeSettlement = (exhibits: Exhibits, payment: JudgedPayment, end: Delayed, findings: Findings): void => {
  const { settlement, host } = exhibits.statement
  if (settlement === undefined || settlement === 'none') {
    findings.note('settlement-batch', `${host} says that the entry is in no batch yet: it is owed and not settled`)
    return
  }
  const batch = exhibits.one('settlement-batch')
  if (batch === undefined) {
    if (!isNamed(exhibits, 'settlement-batch'))
      findings.miss('settlement-batch', `${host} says that the entry is ${settlement}, and shows no batch`)
    return
  }
  if (!isInBatch(exhibits, batch, end, findings)) return
  if (settlement === 'sent') {
    findings.note('settlement-batch', `${host} says that the batch is not answered yet`)
    return
  }
  const answered = isAnswered(exhibits, payment, batch, end, findings)
  if (settlement === 'answered') findings.note('settlement-batch', `${host} says that the batch is not paid yet`)
  else if (answered) judgePaid(exhibits, payment, batch, findings)
}

/** The batch is this CPP's for this MPP, and the proof leads from exactly this entry to its root. */
const isInBatch = ({ statement }: Exhibits, { body, sender }: Batch, end: Delayed, findings: Findings): boolean => {
  const { inclusion } = statement
  const { pnId, payee, amountMinor, currency, pairSeq, mpp } = end.body
  const good = fits(findings, 'settlement-batch', [
    [sender.id === end.sender.id && body.mpp === mpp && body.currency === currency, 'it is of another pair'],
    [body.fromSeq <= pairSeq && pairSeq <= body.toSeq, 'the entry of this payment is not in its range'],
  ])
  if (!good) return false
  if (inclusion === undefined) {
    findings.miss('inclusion', 'nothing leads from the entry to the root of the batch')
    return false
  }
  const leaf = pairEntryLeaf({ pairSeq, type: 'dt', pnId, payee, amountMinor, currency })
  const proven =
    fits(findings, 'inclusion', [
      [
        inclusion.index === pairSeq - body.fromSeq && inclusion.count === body.toSeq - body.fromSeq + 1,
        'it is of another place in the range',
      ],
    ]) &&
    fits(findings, 'settlement-batch', [
      [
        verifyLeaf(body.root, leaf, inclusion),
        'the inclusion proof does not lead from the entry of this payment to its root: one of them is of another payment',
      ],
    ])
  if (proven)
    findings.prove(
      'settlement-batch',
      `${sender.id} settles entries ${body.fromSeq} to ${body.toSeq} with ${mpp}, ${money(body.totalMinor, currency)} in all, ` +
        'and the entry of this payment is one of them',
    )
  return proven
}

const isAnswered = (
  exhibits: Exhibits,
  { trans }: JudgedPayment,
  batch: Batch,
  end: Delayed,
  findings: Findings,
): boolean => {
  const acceptance = exhibits.one('settlement-acceptance')
  const dispute = exhibits.one('settlement-dispute')
  const answer = acceptance ?? dispute
  if (answer === undefined) {
    if (!isNamed(exhibits, 'settlement-acceptance', 'settlement-dispute'))
      findings.miss('settlement-acceptance', `${batch.body.mpp} has not answered the batch`)
    return false
  }
  const good = fits(findings, answer.kind, [
    [same(answer.body.batchId, batch.body.batchId) && answer.body.seq === batch.body.seq, 'it answers another batch'],
    [same(answer.body.batchHash, hashOf(batch)), 'it answers another batch under this id'],
    [answer.sender.id === batch.body.mpp && answer.sender.id === trans?.merchant.mpp.id, 'another MPP answered'],
  ])
  if (!good) return false
  const named =
    answer.kind === 'settlement-dispute' && answer.body.items.some(({ pairSeq }) => pairSeq === end.body.pairSeq)
  if (answer.kind === 'settlement-acceptance')
    findings.prove(answer.kind, `${answer.sender.id} accepted the batch at ${time(answer.header.sentAtMs)}`)
  else if (named) findings.note(answer.kind, `${answer.sender.id} disputes this very entry`)
  else findings.prove(answer.kind, `${answer.sender.id} disputes other entries of the batch, and not this one`)
  return true
}

const hashOf = ({ body, sender }: Batch): Uint8Array => batchHash(body.prevHash, { ...body, cpp: sender.id })

/** One transfer for the whole batch: the payer shows its order and its bank's answer, the other its own bank's notice. */
const judgePaid = (exhibits: Exhibits, { trans }: JudgedPayment, batch: Batch, findings: Findings): void => {
  const { body, sender } = batch
  const sum = money(body.totalMinor < 0n ? -body.totalMinor : body.totalMinor, body.currency)
  if (body.totalMinor === 0n) {
    findings.prove('settlement-batch', 'its sum is zero: nothing is to be paid')
    return
  }
  if (sender.operatorId !== undefined && sender.operatorId === trans?.merchant.mpp.operatorId) {
    findings.prove(
      'settlement-batch',
      `${sender.id} and ${body.mpp} belong to ${sender.operatorId}: ${sum} is settled in its own books`,
    )
    return
  }
  const pays = body.totalMinor > 0n === (exhibits.statement.party === 'cpp')
  if (pays) {
    const order = exhibits.all('transfer-order').find(({ body: { reference } }) => same(reference.id, body.batchId))
    if (order === undefined) {
      if (!isNamed(exhibits, 'transfer-order')) findings.miss('transfer-order', 'nothing shows that the batch was paid')
      return
    }
    const good = fits(findings, 'transfer-order', [
      [order.sender.id === exhibits.statement.host, 'another party ordered it'],
      [
        order.body.amountMinor === (body.totalMinor < 0n ? -body.totalMinor : body.totalMinor),
        'its sum is not that of the batch',
      ],
      [order.body.currency === body.currency, 'its currency is not that of the batch'],
    ])
    const answer = isBooked(exhibits, order, findings)
    if (good && answer !== undefined)
      findings.prove(answer.kind, `${answer.sender.id} booked ${sum} for the batch at ${time(answer.header.sentAtMs)}`)
    return
  }
  const notice = exhibits.one('account-notice')
  if (notice === undefined) {
    if (!isNamed(exhibits, 'account-notice')) findings.miss('account-notice', 'no bank says that the batch was paid')
    return
  }
  const due = exhibits.statement.party === 'mpp' ? body.totalMinor : -body.totalMinor
  const good = fits(findings, 'account-notice', [
    [
      notice.body.reference.purpose === 'settlement' && same(notice.body.reference.id, body.batchId),
      'it is of another batch',
    ],
    [notice.body.amountMinor === due && notice.body.currency === body.currency, 'its sum is not that of the batch'],
    [bankOf(notice.body.account) === notice.sender.id, 'another bank than the one that keeps the account says so'],
  ])
  if (good)
    findings.prove(
      'account-notice',
      `${notice.sender.id} booked ${sum} for the batch to ${notice.body.account} at ${time(notice.body.bookedAtMs)}`,
    )
}

/** What the customer was charged: one transfer for all that was outstanding then. */
const judgeCollection = (exhibits: Exhibits, findings: Findings): void => {
  const { collection, host } = exhibits.statement
  const order = exhibits.all('transfer-order').find(({ body }) => body.reference.purpose === 'collection')
  if (collection === undefined || collection === 'none') {
    findings.note('transfer-order', `${host} says that it has not collected this from its customer yet`)
    return
  }
  if (collection === 'bulk') {
    findings.note(
      'transfer-order',
      `${host} says that it collects this in an order of many, which names other customers' accounts`,
    )
    return
  }
  if (order === undefined) {
    if (!isNamed(exhibits, 'transfer-order'))
      findings.miss('transfer-order', `${host} says that it collected this, and shows no order`)
    return
  }
  if (collection === 'ordered') {
    findings.note('transfer-order', `${host} says that its bank has not answered the collection yet`)
    return
  }
  const good = fits(findings, 'transfer-order', [[order.sender.id === host, 'another party ordered it']])
  if (collection === 'refused') {
    findings.note('transfer-answer', `${host} says that the bank refused the collection: the debt stands`)
    return
  }
  const answer = isBooked(exhibits, order, findings)
  if (good && answer !== undefined)
    findings.prove(
      answer.kind,
      `${answer.sender.id} booked ${money(order.body.amountMinor, order.body.currency)} from ${order.body.debitAccount} at ` +
        `${time(answer.header.sentAtMs)}: what the customer owed then, this payment in it`,
    )
}
