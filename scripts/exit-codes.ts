/** What `semops` says to the shell that called it. Scripts rely on these numbers, so they never change. */
export const EXIT_CODES = {
  ok: { number: 0, meaning: 'done; for a payment: confirmed' },
  checkFailed: { number: 1, meaning: 'it ran, and what it checked does not hold' },
  usage: { number: 2, meaning: 'a wrong command, option, argument or input file' },
  environment: { number: 3, meaning: 'something is missing or not running; the message says what' },
  refused: { number: 10, meaning: 'the payment was refused by the customer side' },
  rejected: { number: 11, meaning: 'the payment was rejected by the payee side' },
  expired: { number: 12, meaning: 'the payment expired before it was decided' },
  failed: { number: 13, meaning: 'the payment failed at the bank' },
  undecided: { number: 14, meaning: 'the payment was not decided in time; ask again with `semops trace`' },
  defect: { number: 70, meaning: 'a defect of semops itself' },
} as const

export type ExitReason = keyof typeof EXIT_CODES

export const exitCode = (reason: ExitReason): number => EXIT_CODES[reason].number
