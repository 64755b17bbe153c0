/** Deadlines of a customer's debt: too old to wait for a crossing, or refused and to be collected again. */
import { decision, on, type Context, type Decision, type DeadlineEvent, type Reader } from '../runtime/node.ts'
import { account, ageDebt, retryCollection, type Account } from './account.ts'
import { loadAccount, loadTroubled } from './load.ts'
import { combineParts } from './parts.ts'
import type { CppPolicy } from './policy.ts'
import { customerOfKey } from './schedule.ts'

type Ctx = Context<CppPolicy>

/** The deadline `debt-age`: debt that never crossed θ. */
export const debtAge = on(
  (read, { key }: DeadlineEvent) => loadAccount(read, customerOfKey(key)),
  (before, { atMs }, context: Ctx): Decision =>
    before === undefined || before.total.debtAgeAtMs !== atMs
      ? decision()
      : combineParts([account(before.customer.customer, ageDebt(before, context))]),
)

/** The deadline `collection-retry`. One that a later refusal replaced does nothing. */
export const collectionRetry = on(
  (read: Reader, { key }: DeadlineEvent): Account | undefined => loadTroubled(read, customerOfKey(key)),
  (before, { atMs }, context: Ctx): Decision =>
    before === undefined || before.trouble?.retryAtMs !== atMs
      ? decision()
      : combineParts([account(before.customer.customer, retryCollection(before, context))]),
)
