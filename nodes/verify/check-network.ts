/**
 * What must always hold (design §8), as one pure function over the nodes' own figures: `semops verify`, the tests and the
 * simulator share it. Invariant: a node that another's figures speak of and that gave no report fails the check; nothing is
 * proved by absence.
 */
import type { PaymentLine, Report } from '../runtime/reports.ts'
import { checkBanks } from './banks.ts'
import { networkOf, type Check } from './check.ts'
import { checkPayments } from './payments.ts'
import { checkProcessors } from './processors.ts'

export type { Check } from './check.ts'

/**
 * The order to read reports in on a moving network: effects before their causes. Banks book before processors do, a CPP
 * confirms before its MPP, wallets and merchants hear of it; so what was read first can only be behind.
 */
export const READING_ORDER = [
  'customer',
  'merchant',
  'mpp',
  'cpp',
  'bank',
  'dc',
] as const satisfies readonly Report['role'][]

export type CheckOptions = {
  /** Nothing moves: admissions are stopped and every node has drained. Otherwise in-transit terms are listed, not judged. */
  readonly quiet: boolean
}

/**
 * @param reports of every node, read in {@link READING_ORDER}
 * @param payments each node's payment lines, by node id, all pages
 */
export const checkNetwork = (
  reports: readonly Report[],
  payments: ReadonlyMap<string, readonly PaymentLine[]>,
  { quiet }: CheckOptions,
): readonly Check[] => {
  const network = networkOf(reports, payments, quiet)
  return [...checkBanks(network), ...checkProcessors(network), ...checkPayments(network)]
}
