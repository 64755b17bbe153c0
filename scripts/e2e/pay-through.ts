/**
 * A network of two realms that pays throughout a disaster, and what must have become of the payments when it is over: every
 * payment ended in time, nobody takes back what a customer was told, and every ledger agrees with the others.
 */
import { LIMITS } from '../../protocol/limits.ts'
import type { PayOrder } from '../fleet/pay.ts'
import { eventually, type FaultFleet } from './fault-fleet.ts'
import { judgePayments, type CppPayment } from './payment-judge.ts'
import { startStream, type PaymentStream } from './payment-stream.ts'
import { twoRealms, twoRealmsOrder, type Lives } from './two-realms.ts'

const CUSTOMERS = 5

/** Every path within and across two realms, and a payee that never answers. */
export const faultNetwork = (name: string, lives?: Lives): string =>
  twoRealms({
    name,
    ...(lives === undefined ? {} : { lives }),
    customers: CUSTOMERS,
    balance: '9000.00',
    settlementMinor: 2_000,
    payoutMinor: 500,
    mostAgeMs: 2_000,
    clearingMs: 1_000,
    payees: { hu: '{ payee: hotel@hu, bank: hu-kh, approval: { rule: silent } }' },
  })

const IN_FLIGHT = 8
/** Payments that end before a fault, and again after it: it hits a busy network, and the network serves afterwards. */
const AROUND = 8
/** For a network that has everything again: expiry, back-off and a slow machine together stay far below. */
export const RECOVERY_MS = 60_000
/** How late a sweep may come on a machine that is busy with other things. */
const STALL_MS = 5_000

/** Micro and macro, within a realm and across: every kind within twelve orders, a crossing of the threshold now and then. */
const orderOf = (i: number): PayOrder =>
  twoRealmsOrder(i, CUSTOMERS, i % 3 === 0 ? 1_200n + BigInt(i) : BigInt(90 + ((i * 37) % 300)))

/** Resolves when payments go on: so many more have ended. */
const more = (stream: PaymentStream): Promise<void> => {
  const from = stream.ended()
  return eventually(`${AROUND} more payments`, RECOVERY_MS, () => stream.ended() >= from + AROUND)
}

/** The later of a payment's expiry and its CPP's return, plus one sweep. What was being posted waits for the bank instead. */
export const latestAfter =
  (returnedAtMs: ReadonlyMap<string, number>) =>
  (cpp: string, { expiresAtMs, postingAtMs }: CppPayment): number | undefined =>
    postingAtMs === undefined
      ? Math.max(expiresAtMs, returnedAtMs.get(cpp) ?? 0) + LIMITS.sweepEveryMs + STALL_MS
      : undefined

/** When CPPs that were out served again; none was. */
export const NONE_DOWN: ReadonlyMap<string, number> = new Map()

/** What must have become of the payments around a fault. */
export const SOUND = { confirmed: 'most', toldWrongly: [], decidedLate: [], failedChecks: [], quiet: true } as const

/**
 * Pays throughout `fault`, and examines what became of it all: {@link SOUND}, or what is not.
 * @param fault gets what resolves when payments go on, and answers when CPPs that it took down served again
 */
export const payThrough = async (
  net: FaultFleet,
  fault: (payOn: () => Promise<void>) => Promise<ReadonlyMap<string, number>>,
): Promise<unknown> => {
  const judge = judgePayments(net)
  const stream = startStream(net, IN_FLIGHT, orderOf)
  let returnedAtMs: ReadonlyMap<string, number>
  try {
    await more(stream)
    returnedAtMs = await fault(() => more(stream))
    await more(stream)
  } catch (error) {
    // What failed says more than payments that then do not end either.
    await stream.stop().catch(() => undefined)
    throw error
  }
  const made = await stream.stop()
  await judge.untilDecidedEverywhere(RECOVERY_MS)
  const confirmed = [...made.values()].filter(({ result }) => result.outcome === 'confirmed').length
  const told = await judge.toldWrongly(made)
  const late = await judge.decidedLate(made, latestAfter(returnedAtMs))
  const { quiet, checks } = await net.verify()
  return {
    confirmed: confirmed > made.size / 2 ? 'most' : `${confirmed} of ${made.size}`,
    toldWrongly: told,
    decidedLate: late,
    failedChecks: checks.filter(({ ok }) => !ok),
    quiet,
  }
}
