/**
 * What an invoice would cost a customer whose account is in another currency: told to the customer alone, and promised until it expires.
 *
 * A request for a quote is checked in this order, and the first check that fails decides:
 *   CUSTOMER_UNKNOWN (not enrolled, or asking for another), ID_REUSED (a quote of this id was given to another customer),
 *   CURRENCY_UNSUPPORTED, AMOUNT_INVALID; then the quote is kept and told, and nothing can fail any more.
 */
import { decision, on, put, refuse, type Context, type Decision, type Incoming } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { quote } from './fx.ts'
import { loadAccount } from './load.ts'
import { quoteMessage } from './messages.ts'
import type { CppPolicy } from './policy.ts'
import { quotes } from './state-fx.ts'

type Ctx = Context<CppPolicy>

export const fxQuoteRequest = on(
  (read, { message }: Incoming<'fx-quote-request'>) => ({
    account: loadAccount(read, message.sender.id),
    given: read.get(quotes, message.body.quoteId),
  }),
  ({ account, given }, { message, ref }, context: Ctx): Decision => {
    const { quoteId, customer, currency, amountMinor } = message.body
    const { id, host } = message.sender
    if (account === undefined || customer !== id) return refuse('CUSTOMER_UNKNOWN')
    // The same request again never comes here: the runtime repeats its answer.
    if (given !== undefined) return refuse('ID_REUSED', 'quoteId')
    const made = quote({ customer, currency, amountMinor }, account.customer.currency, context)
    if (!made.ok) return refuse(made.failure.code, made.failure.detail)
    return decision({
      writes: [put(quotes, keyOf(quoteId), made.value)],
      sends: [quoteMessage(quoteId, made.value, host, ref)],
      record: { event: 'fx-quoted', ids: [quoteId], level: 'debug', fields: { currency, amountMinor } },
    })
  },
)
