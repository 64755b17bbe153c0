/**
 * Steps that no healthy fleet of the matrix takes, each with the reason: they stand in the coverage beside those that were hit, so that
 * nothing is skipped in silence. Invariant: a reason excuses only a step that was not taken; one that was taken must be hit.
 */
import type { StepName } from '../../nodes/runtime/steps.ts'
import type { HostRole } from '../fleet/plan.ts'

type Reason = { readonly roles: readonly HostRole[]; readonly steps: readonly StepName[]; readonly why: string }

const QUESTION = 'a question: answered from what is there, nothing is committed'
const FORGOTTEN = 'the receipt ends the resending and changes nothing else: no entry'
const HARMLESS = 'its end of the story changes no row here: nothing is committed'
const VOID =
  'another’s message becomes void only when its key is revoked while its addressee is away; the simulator revokes keys that are in use'
const VOIDED_BEFORE = 'a hold outlives its notice by five minutes, and its CPP voids it before'
const REFUSED_BY_NOBODY =
  'healthy peers refuse for good only what is wrong; the simulator and the hostile tests say wrong things'

const REASONS: readonly Reason[] = [
  { roles: ['bank'], steps: ['message bank-order-query'], why: QUESTION },
  { roles: ['dc'], steps: ['message payee-lookup', 'message credential-query'], why: QUESTION },
  { roles: ['merchant'], steps: ['message order-query', 'control refund-result'], why: QUESTION },
  { roles: ['customer'], steps: ['job close-guest', 'job release-change-keys', 'job lock-wallet'], why: HARMLESS },
  { roles: ['bank'], steps: ['receipted account-notice'], why: FORGOTTEN },
  {
    roles: ['cpp'],
    steps: [
      'receipted request-to-pay',
      'receipted payment-outcome',
      'receipted pair-adjustment',
      'receipted customer-refund-notice',
    ],
    why: FORGOTTEN,
  },
  { roles: ['mpp'], steps: ['receipted payment-outcome', 'receipted payout-advice'], why: FORGOTTEN },
  { roles: ['bank'], steps: ['deadline hold-expiry'], why: VOIDED_BEFORE },
  {
    roles: ['bank'],
    steps: ['revoked revocation-list'],
    why: 'it ends the mandates that a revoked key signed, and the matrix revokes no key of an account holder',
  },
  {
    roles: ['dc'],
    steps: ['revoked revocation-list'],
    why: 'it hands the list to its siblings once: nothing is committed',
  },
  {
    roles: ['bank'],
    steps: ['control resolve-credit'],
    why: 'an operator’s word on a credit that another bank’s protocol layer refused for good: no healthy bank does',
  },
  { roles: ['cpp'], steps: ['message notice-query', 'job seal-end'], why: VOID },
  { roles: ['mpp'], steps: ['message notice-record'], why: VOID },
  {
    roles: ['cpp'],
    steps: ['deadline exchange-retry', 'deadline refund-retry'],
    why: 'a bank would have to refuse a credit that it has room for, after the debit was booked; the tests of nodes/cpp let one do so',
  },
  {
    roles: ['customer'],
    steps: ['deadline session-end'],
    why: 'a guest login ends after ten minutes of use, and its host does not live that long here',
  },
]

/** Whole families of steps. */
const FAMILIES: readonly { readonly roles?: readonly HostRole[]; readonly step: RegExp; readonly why: string }[] = [
  { step: /^refused /, why: REFUSED_BY_NOBODY },
  { step: /^stale /, why: VOID },
]

/** Why nobody may have come to this step; undefined: somebody should have. */
export const reasonFor = (role: HostRole, step: StepName): string | undefined =>
  REASONS.find(({ roles, steps }) => roles.includes(role) && steps.includes(step))?.why ??
  FAMILIES.find((family) => family.step.test(step))?.why

/** Steps named above, for the test that each exists. */
export const excused = (): readonly { readonly role: HostRole; readonly step: StepName }[] =>
  REASONS.flatMap(({ roles, steps }) => roles.flatMap((role) => steps.map((step) => ({ role, step }))))
