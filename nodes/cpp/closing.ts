/**
 * The end of an account. A customer who closes it pays nothing new; what is under way ends as it would, what is owed is collected,
 * and then the account is closed for ever: its id is nobody else's, since its ledger stays.
 *
 * Invariant: an account is closed only while nothing is outstanding, pending or waiting.
 */
import { put, type Context } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { closures, type ClosureRow } from './aggregation-state.ts'
import { OUTBOX, receipt, toWallet, until } from './messages.ts'
import { combineParts, type Part } from './parts.ts'
import type { CppPolicy } from './policy.ts'
import {
  aliases,
  customers,
  registrations,
  type AliasRow,
  type CustomerRow,
  type RegistrationRow,
  type TotalRow,
} from './state.ts'

type Ctx = Context<CppPolicy>

/** The closure under way, and the alias that ends with it. */
export type Closing = { readonly closure: ClosureRow; readonly alias: AliasRow | undefined }

/** Is nothing under way that a closing account waits for, besides what is owed? */
export const isIdle = ({ pendingMinor, collectingMinor, waiting }: TotalRow): boolean =>
  pendingMinor === 0n && collectingMinor === 0n && waiting === 0

/** Nothing is owed: the account is closed, the wallet's request is answered, the alias is nobody's. */
export const closed = (customer: CustomerRow, { closure, alias }: Closing, context: Ctx): Part => {
  const { customer: id, walletHost } = customer
  return combineParts([
    {
      writes: [
        put<CustomerRow>(customers, keyOf(id), { ...customer, state: 'closed' }),
        put(closures, keyOf(id), { ...closure, closedAtMs: context.nowMs }),
      ],
      sends: [receipt(walletHost, toWallet(walletHost), closure.digest, closure.ref)],
      record: { event: 'account-closed', ids: [closure.closureId] },
    },
    customer.alias === undefined || alias === undefined || alias.state === 'refused'
      ? {}
      : aliasRegistration(customer.alias, alias, 'retired', context),
  ])
}

/** Tells every data-center host of the realm what an alias is from now on; which customer it means stays here. */
export const aliasRegistration = (alias: string, row: AliasRow, state: 'active' | 'retired', context: Ctx): Part => {
  const version = row.version + 1
  const sent = context.policy.dataCenters.map((host) => ({ host, registrationId: context.freshId() }))
  const next: AliasRow = { ...row, version, state: state === 'active' ? 'registering' : 'retired' }
  return {
    writes: [
      put(aliases, keyOf(alias), next),
      ...sent.map(({ registrationId }) =>
        put<RegistrationRow>(registrations, keyOf(registrationId), { purpose: 'alias', subject: alias }),
      ),
    ],
    sends: sent.map(({ host, registrationId }) => ({
      kind: 'alias-registration',
      to: host,
      body: { registrationId, alias, version, state },
      delivery: until(OUTBOX.registration, registrationId),
      nextHop: { role: 'dc', host },
    })),
  }
}
