/**
 * Rules broken on purpose, one at a time: what the simulator's judges must find. A judge that lets one of these pass proves nothing by
 * finding nothing wrong with the real code.
 *
 * Each is a replacement of text that stands exactly once in its source file, so that a change of the rule makes its mutant fail
 * loudly instead of testing nothing. What several nodes guard is broken in all of them: `edits` has one for each.
 */
export type Edit = {
  /** From the project's root. */
  readonly file: string
  /** Stands exactly once in the file. */
  readonly find: string
  readonly replace: string
}
export type Mutant = {
  readonly name: string
  /** What breaks, and what must come of it. */
  readonly why: string
  readonly edits: readonly Edit[]
  /** Seeds 1 to this many find it: a round number, more than twice the seed that did when it was last hunted. */
  readonly foundWithin: number
}

const one = (name: string, why: string, foundWithin: number, ...edits: readonly Edit[]): Mutant => ({
  name,
  why,
  edits,
  foundWithin,
})
const edit = (file: string, find: string, replace: string): Edit => ({ file, find, replace })

export const MUTANTS: readonly Mutant[] = [
  // The runtime
  one(
    'dedupe-off',
    'a message that was seen is decided on again',
    10,
    edit(
      'nodes/runtime/inbox.ts',
      'const seen = staged.get(seenTable, ref) ?? recentAnswer(ref)\n    if',
      'const seen = undefined as ReturnType<typeof recentAnswer>\n    if',
    ),
  ),
  one(
    'published-before-commit',
    'what a batch says leaves before the batch is in the ledger',
    3,
    edit(
      'nodes/runtime/commits.ts',
      '      const committing = store.commit(mutations)',
      '      conclude()\n      const committing = store.commit(mutations)',
    ),
  ),
  one(
    'published-before-flush',
    'what a batch says leaves when it is committed and not yet on disk',
    3,
    edit('nodes/runtime/commits.ts', "if (deps.durability === 'flushed') await store.flushed()", ''),
  ),
  one(
    'outbox-lost-at-restart',
    'what waited in the outbox when the host died is never sent again',
    10,
    edit(
      'nodes/runtime/host.ts',
      'for (const [key, row] of committed.scan(outboxTable, []))',
      'for (const [key, row] of [...committed.scan(outboxTable, [])].slice(0, 0))',
    ),
  ),
  one(
    'timers-lost-at-restart',
    'a deadline that was due while the host was down never fires',
    10,
    edit(
      'nodes/runtime/sweeper.ts',
      'staged.scan(deadlineTable, [], { before: [nowMs + 1]',
      'staged.scan(deadlineTable, [], { from: [Math.max(0, nowMs - 3_000)], before: [nowMs + 1]',
    ),
  ),
  one(
    'resent-under-a-new-id',
    'each resend is another message, which no receiver can tell from a new one',
    10,
    edit(
      'nodes/runtime/publisher.ts',
      'outs.push({ send: row, outboxKey: key })',
      'outs.push({ send: row.relay ? row : { ...row, header: row.header.map((byte, at) => (at === 30 ? byte ^ 1 : byte)) }, outboxKey: key })',
    ),
  ),
  one(
    'answer-not-kept',
    'a request that comes again is answered anew: its first answer is not kept',
    10,
    edit(
      'nodes/runtime/apply.ts',
      'staged.write(put(seenTable, ref, { ...row, answer: outboxTable.encode(answer) }))',
      'void outboxTable.encode(answer)',
    ),
  ),
  one(
    'transient-refusal-kept',
    'BUSY is kept as the answer for ever',
    20,
    edit(
      'nodes/runtime/apply.ts',
      'const stored = refuse !== undefined && !isTransient(refuse.code) && !asked',
      'const stored = refuse !== undefined && !asked',
    ),
  ),
  one(
    'journal-chain-broken',
    'entries do not bear the hash of the one before',
    3,
    edit(
      'nodes/runtime/journal.ts',
      'const row: JournalRow = { ...entry, seq: last.seq + 1, prevHash: last.hash }',
      'const row: JournalRow = { ...entry, seq: last.seq + 1, prevHash: NO_HASH }',
    ),
  ),
  one(
    'time-goes-back',
    'after a restart with an older clock the ledger lives through the same time again',
    40,
    edit(
      'nodes/runtime/clock.ts',
      'let highest = Math.max(Math.floor(wall), highestPersistedMs)',
      'let highest = Math.floor(wall)',
    ),
    edit(
      'nodes/runtime/clock.ts',
      'let jumped = wall < highestPersistedMs - LIMITS.maxClockJumpMs',
      'let jumped = false',
    ),
  ),
  one(
    'audiences-mixed',
    "one batch seal covers a customer's receipt and a network notice, and links the two",
    10,
    edit(
      'nodes/runtime/dispatch.ts',
      'const audience = audienceOf(one.item.send.kind, one.item.toRole)',
      "const audience = 'network'",
    ),
  ),
  one(
    'signature-unchecked',
    'a message whose seal does not fit is believed',
    10,
    edit(
      'protocol/open.ts',
      `  const sealed = verifySeal(parsed, record, trust)
  if (!sealed.ok) return sealed
  if (isVoid`,
      '  if (isVoid',
    ),
  ),
  one(
    'revoked-key-accepted',
    'a key on the revocation list of this very ledger is believed',
    10,
    edit('protocol/open.ts', "if (isVoid(record, context)) return fail('CREDENTIAL_REVOKED', record.owner)", ''),
    edit('nodes/runtime/inbox.ts', "if (deps.trust.isRevoked(keyId)) return 'revoked'", ''),
  ),
  // A payment at the CPP
  one(
    'double-collection',
    'a second collection is ordered while one runs',
    10,
    edit(
      'nodes/cpp/aggregation.ts',
      'outstandingMinor > 0n && collectingMinor === 0n && worthwhile',
      'outstandingMinor > 0n && worthwhile',
    ),
    edit(
      'nodes/cpp/aggregation.ts',
      'if (standing.collectingMinor !== 0n || standing.outstandingMinor === 0n)',
      'if (standing.outstandingMinor === 0n)',
    ),
  ),
  one(
    'threshold-off-by-one-late',
    'a payment that brings the debt to exactly the threshold is admitted',
    20,
    edit('nodes/cpp/aggregation.ts', 'before + amountMinor >= thresholdMinor', 'before + amountMinor > thresholdMinor'),
  ),
  one(
    'threshold-off-by-one-early',
    'a payment that stays one minor unit below the threshold is collected for',
    10,
    edit(
      'nodes/cpp/aggregation.ts',
      'before + amountMinor >= thresholdMinor',
      'before + amountMinor >= thresholdMinor - 1n',
    ),
  ),
  one(
    'pending-not-counted',
    'payments in flight do not count towards the bound',
    10,
    edit(
      'nodes/cpp/aggregation.ts',
      'const before = outstandingMinor + pendingMinor',
      'const before = outstandingMinor',
    ),
  ),
  one(
    'collection-refused-forgives',
    'a collection that the bank refused is taken off the debt all the same',
    20,
    edit(
      'nodes/cpp/aggregation.ts',
      'checked({ ...standing, collectingMinor: 0n })',
      'checked({ ...standing, outstandingMinor: standing.outstandingMinor - standing.collectingMinor, collectingMinor: 0n })',
    ),
  ),
  one(
    'forgotten-void',
    'a macro payment ends and its hold is left at the bank',
    20,
    edit(
      'nodes/cpp/orders.ts',
      'if (holdId === undefined) return {}',
      'if (holdId === undefined || nowMs > 0) return {}',
    ),
  ),
  one(
    'expiry-ignored',
    'the CPP lets no notice expire: it confirms on an approval however late, and never ends what nobody approves',
    20,
    edit(
      'nodes/cpp/decide-decision.ts',
      '    if (payment.expiresAtMs <= context.nowMs)\n      return endNotified',
      '    if (payment.expiresAtMs < 0)\n      return endNotified',
    ),
    edit(
      'nodes/cpp/decide-decision.ts',
      'return endNotified(slice, end, until(OUTBOX.outcome, pnIdOf(payment)), context)',
      'return decision()',
    ),
  ),
  one(
    'late-approval-revives',
    'an approval that comes after the end confirms the payment',
    60,
    edit(
      'nodes/cpp/decide-decision.ts',
      "if (payment.state !== 'notified')",
      "if (payment.state !== 'notified' && payment.state !== 'expired')",
    ),
    edit(
      'nodes/cpp/decide-decision.ts',
      '    if (payment.expiresAtMs <= context.nowMs)\n      return endNotified',
      '    if (payment.expiresAtMs < 0)\n      return endNotified',
    ),
  ),
  one(
    'hold-posted-though-rejected',
    "the payee's rejection of a macro payment posts its hold",
    60,
    edit(
      'nodes/cpp/decide-decision.ts',
      "if (body.decision === 'reject') {",
      "if (body.decision === 'reject' && payment.mode === 'micro') {",
    ),
  ),
  one(
    'approval-of-nobody',
    'the MPP countersigns an approval where the payee rejected, and the CPP does not look',
    20,
    edit(
      'nodes/cpp/decide-decision.ts',
      "if (body.decision === 'approve' && approval?.decision !== 'approve')",
      "if (body.decision === 'approve' && approval === undefined)",
    ),
    edit(
      'nodes/mpp/decide-notice.ts',
      '          noticeDigest,\n          decision: body.decision,',
      "          noticeDigest,\n          decision: 'approve',",
    ),
  ),
  one(
    'pin-unchecked',
    'a payment with a wrong PIN is taken',
    60,
    edit(
      'nodes/cpp/decide-request.ts',
      'if (!vault.isProof(sender.id, sealedPinKey, trans.digest, prId, pinProof))',
      'if (pinProof.length === 0)',
    ),
  ),
  one(
    'suspended-served',
    'a customer whose collection failed pays on',
    60,
    edit(
      'nodes/cpp/decide-request.ts',
      "if (held.total.suspendedAtMs !== 0) return no('CUSTOMER_SUSPENDED', pinReset)",
      '',
    ),
  ),
  one(
    'queue-order',
    'of those who wait for a collection the last is served first',
    100,
    edit(
      'nodes/cpp/account.ts',
      'for (const queued of queue) {\n    const { payment } = queued',
      'for (const queued of queue.toReversed()) {\n    const { payment } = queued',
    ),
  ),
  one(
    'notice-bears-request-id',
    "the notice goes out under the customer's request id, which merchant, MPP and DC then know",
    3,
    edit('nodes/cpp/account.ts', 'const pnId = context.freshId()', 'const pnId = payment.prId'),
  ),
  one(
    'write-off-without-entry',
    "what is written off leaves the total and not the customer's entries",
    60,
    edit(
      'nodes/cpp/account.ts',
      'parts: [{ postings }, ...booked.parts, ...served.parts] }, amountMinor }',
      'parts: [...served.parts] }, amountMinor }',
    ),
  ),
  // Currencies
  one(
    'quote-rounded-down',
    'what a payment in another currency costs is rounded in favour of the customer',
    20,
    edit('protocol/exchange-rate.ts', 'return (dividend + divisor - 1n) / divisor', 'return dividend / divisor'),
  ),
  one(
    'charged-not-as-quoted',
    'the customer is charged a minor unit more than the quote said',
    20,
    edit(
      'nodes/cpp/decide-request.ts',
      'accountAmountMinor: quote.accountAmountMinor,',
      'accountAmountMinor: quote.accountAmountMinor + 1n,',
    ),
  ),
  // Settlement, payout, refund
  one(
    'settlement-gap',
    'an entry stands in no batch',
    20,
    edit('nodes/cpp/pair.ts', 'fromSeq: toSeq + 1,', 'fromSeq: toSeq + 2,'),
  ),
  one(
    'settlement-sum-off-by-one',
    'a batch totals a minor unit more than its entries',
    20,
    edit(
      'nodes/cpp/pair.ts',
      'rangeMinor: before.rangeMinor + amountMinor,',
      'rangeMinor: before.rangeMinor + amountMinor + 1n,',
    ),
  ),
  one(
    'payout-twice',
    'what is being paid out stays payable',
    20,
    edit(
      'nodes/mpp/payouts.ts',
      'payableMinor: sumMinor(row.payableMinor, -amountMinor),\n    payingMinor',
      'payableMinor: row.payableMinor,\n    payingMinor',
    ),
  ),
  one(
    'payee-credited-more',
    'a payee is credited a minor unit more than the invoice',
    3,
    edit(
      'nodes/mpp/entries.ts',
      'accruedMinor: sumMinor(row.accruedMinor, amountMinor) })\n  const surplusMinor',
      'accruedMinor: sumMinor(row.accruedMinor, amountMinor, 1n) })\n  const surplusMinor',
    ),
  ),
  one(
    'refund-over-the-amount',
    'refunds of a payment add up to more than it',
    30,
    edit(
      'nodes/merchant/decide-refund.ts',
      'if (refundedMinor + ask.amountMinor > payment.amountMinor)',
      'if (ask.amountMinor < 0n)',
    ),
    edit(
      'nodes/mpp/decide-refund.ts',
      'if (refundedMinor + body.amountMinor > amountMinor)',
      'if (body.amountMinor < 0n)',
    ),
    edit(
      'nodes/cpp/decide-refund.ts',
      'if (refundedMinor + request.amountMinor > payment.amountMinor)',
      'if (request.amountMinor < 0n)',
    ),
  ),
  one(
    'refund-twice',
    'earlier refunds of a payment are not counted',
    30,
    edit(
      'nodes/merchant/decide-refund.ts',
      'if (refundedMinor + ask.amountMinor > payment.amountMinor)',
      'if (ask.amountMinor > payment.amountMinor)',
    ),
    edit(
      'nodes/mpp/decide-refund.ts',
      'if (refundedMinor + body.amountMinor > amountMinor)',
      'if (body.amountMinor > amountMinor)',
    ),
    edit(
      'nodes/cpp/decide-refund.ts',
      'if (refundedMinor + request.amountMinor > payment.amountMinor)',
      'if (request.amountMinor > payment.amountMinor)',
    ),
  ),
  one(
    'refund-takes-what-is-collected',
    'a refund is taken off debt that a running collection brings in as well',
    100,
    edit(
      'nodes/cpp/aggregation.ts',
      'const freeMinor = standing.outstandingMinor - standing.collectingMinor\n  const offsetMinor',
      'const freeMinor = standing.outstandingMinor\n  const offsetMinor',
    ),
  ),
  // Banks
  one(
    'clearing-single-sided',
    'a credit to another bank debits the payer and credits no clearing account',
    40,
    edit(
      'nodes/bank/movement.ts',
      'legs: [debit, { account: clearingAccount(peer, currency), amountMinor }],',
      'legs: [debit],',
    ),
    edit(
      'nodes/bank/books.ts',
      'if (entry.legs.reduce((sum, leg) => sum + leg.amountMinor, 0n) !== 0n)',
      'if (entry.legs.length === 0)',
    ),
    edit('nodes/runtime/decision-check.ts', 'if (decision.postings.length > 0) assertBalanced(decision.postings)', ''),
  ),
  one(
    'void-without-tombstone',
    'a hold that its void has overtaken is held all the same',
    20,
    edit(
      'nodes/bank/decide-holds.ts',
      ": hold === undefined || hold.state === 'refused'",
      ": hold?.state === 'refused'",
    ),
  ),
  one(
    'returned-credit-kept',
    'a credit that the other bank returned is not given back to the payer',
    40,
    edit(
      'nodes/bank/decide-interbank.ts',
      "if (isReturned && order.kind !== 'bulk')",
      'if (isReturned && order.kind === undefined)',
    ),
  ),
  one(
    'hold-not-released',
    'a posted hold goes on being held',
    20,
    edit(
      'nodes/bank/decide-holds.ts',
      'books.hold(hold.order.account, -hold.order.amountMinor)',
      'books.hold(hold.order.account, 0n)',
    ),
  ),
]
