/** What the bank's outbox tells it: the start, receipts, and permanent refusals of what it sent. */
import {
  combine,
  decision,
  on,
  put,
  remove,
  type Context,
  type Decision,
  type Reader,
  type Refused,
} from '../runtime/node.ts'
import type { KindName } from '../../protocol/kinds.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { keyOf } from '../runtime/table.ts'
import { clearingRefused, loadRefusedClearing, openWindow } from './decide-clearing.ts'
import { creditIdOf, creditRefused } from './decide-interbank.ts'
import type { BankPolicy } from './policy.ts'
import { loadRegistrations, registerAll, registerAt, registrationOf, type RegistrationSlice } from './registration.ts'
import {
  OUTGOING_CREDITS,
  PENDING_NOTICES,
  REGISTRATIONS,
  WINDOW,
  type OutgoingCreditRow,
  type PendingNoticeRow,
  type WindowRow,
} from './state.ts'

type StartSlice = RegistrationSlice & { readonly window: WindowRow | undefined }
/** Registers, and opens the first clearing window. Holds, credits and windows of before are deadlines and outbox. */
export const started = (chain: () => readonly Uint8Array[]) =>
  on(
    (read: Reader): StartSlice => ({
      ...loadRegistrations(read),
      window: read.get(WINDOW, 'window'),
    }),
    (slice, _event: Record<string, never>, context: Context<BankPolicy>): Decision =>
      combine(registerAll(slice, chain(), context), slice.window === undefined ? openWindow(undefined, context) : {}, {
        record: { event: 'bank-started', ids: [] },
      }),
  )

/** Registers its new key, under a higher version than that of the former one. */
export const rotated = (chain: () => readonly Uint8Array[]) =>
  on(
    (read: Reader): RegistrationSlice => loadRegistrations(read),
    (slice, _event: Record<string, never>, context: Context<BankPolicy>): Decision =>
      combine(registerAll(slice, chain(), context)),
  )

type Receipted = { readonly kind: KindName; readonly key: Uint8Array }
type ReceiptSlice = RegistrationSlice & { readonly notice: PendingNoticeRow | undefined }
export const receipted = on(
  (read: Reader, { key }: Receipted): ReceiptSlice => {
    const noticeId = key.slice(-16)
    const isNotice = equalBytes(key, keyOf('clearing-notice', noticeId))
    return { ...loadRegistrations(read), notice: isNotice ? read.get(PENDING_NOTICES, noticeId) : undefined }
  },
  (slice, { key }, { nowMs }: Context<BankPolicy>): Decision => {
    if (slice.notice !== undefined) return decision({ writes: [remove(PENDING_NOTICES, keyOf(slice.notice.noticeId))] })
    const registration = registrationOf(slice, key)
    if (registration === undefined) return decision()
    return decision({
      writes: [put(REGISTRATIONS, keyOf(registration.host), { ...registration, receiptedAtMs: nowMs })],
      record: { event: 'bank-registered', ids: [], fields: { host: registration.host } },
    })
  },
)

type RefusedSlice = RegistrationSlice & {
  readonly credit: OutgoingCreditRow | undefined
  readonly clearing: ReturnType<typeof loadRefusedClearing>
}
/** A stale registration is repeated under a higher version; a refused notice is lost to its holder, and logged. */
export const refused = (chain: () => readonly Uint8Array[]) =>
  on(
    (read: Reader, event: Refused): RefusedSlice => {
      const creditId = creditIdOf(event.key)
      return {
        ...loadRegistrations(read),
        credit: creditId === undefined ? undefined : read.get(OUTGOING_CREDITS, creditId),
        clearing: loadRefusedClearing(read, event),
      }
    },
    (slice, event, context: Context<BankPolicy>): Decision => {
      if (slice.credit !== undefined) return creditRefused(slice.credit, event, context.nowMs)
      if (slice.clearing !== undefined) return clearingRefused(slice.clearing, event, context)
      const registration = registrationOf(slice, event.key)
      const record = {
        event: 'message-refused',
        ids: [],
        level: 'warn',
        fields: { kind: event.kind, code: event.code, by: event.by, detail: event.detail },
      } as const
      return registration !== undefined && event.code === 'REGISTRATION_STALE'
        ? combine(registerAt(registration.host, registration, chain(), context), { record })
        : decision({ record })
    },
  )
