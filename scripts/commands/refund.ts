/** `semops refund`: a payee gives back all or part of a payment. */
import type { Command } from 'commander'
import { formatAmount, parseAmount } from '../../protocol/amount.ts'
import { contextOf } from '../cli/context.ts'
import { CliError } from '../cli/errors.ts'
import { addExamples } from '../cli/help.ts'
import { givenPin, promptPin } from '../cli/pin.ts'
import type { ExitReason } from '../exit-codes.ts'
import { hostOf, withFleet, type Fleet } from '../fleet/client.ts'
import { HostRefusal } from '../fleet/host-client.ts'
import { paidBy, refund, type Refundable, type RefundOrder, type RefundResult } from '../fleet/refund.ts'

type RefundOptions = {
  readonly payee?: string
  readonly tx?: string
  readonly payment?: string
  readonly amount: string
  readonly pinFile?: string
  readonly timeout: string
}

export const register = (program: Command): void => {
  const command = program
    .command('refund')
    .description('give back all or part of a payment, as its payee; the exit code is the outcome')
    .option('--payment <id>', 'which payment, as `semops pay` printed it')
    .option('--payee <payee>', 'who was paid, such as bakery@hu, where --tx names the payment')
    .option('--tx <id>', 'which payment, as the payee knows it: its txId')
    .requiredOption('--amount <decimal>', 'how much, such as 1.20')
    .option(
      '--pin-file <file>',
      "a file that holds the merchant host's PIN for refunds (default: $SEMOPS_PIN, else what the fleet knows, else a prompt)",
    )
    .option('--timeout <seconds>', 'how long to wait for the end; the refund goes on', '60')
    .action(async (options: RefundOptions, self: Command) => {
      const { dir, output, progress, exit } = contextOf(self)
      const given = await givenPin(options.pinFile, process.env)
      const result = await withFleet(dir, async (fleet) => {
        const payment = await paymentOf(options, fleet)
        const host = hostOf(fleet.plan, payment.payee)
        const amountMinor = amountOf(options.amount, payment)
        const pin = given ?? (await fleet.pin(host)) ?? (await promptPin(host))
        const shown = progress(`refunding a payment to ${payment.payee}`)
        const done = await refundAt(fleet, host, { ...payment, amountMinor, pin }, timeoutOf(options.timeout)).catch(
          (error: unknown) => {
            shown.fail('not refunded')
            throw error
          },
        )
        shown.done(done.outcome)
        return done
      })
      output.fact(result, () => toldOf(result))
      exit(EXITS[result.outcome])
    })
  addExamples(command, [
    ['refund --payment b976b4201990faa8f54af020d4bdf7ee --amount 0.40', 'a part of it; the rest may follow'],
    ['refund --payee bakery@hu --tx 1c3d… --amount 1.20 --pin-file till-pin --json', 'for programs'],
  ])
}

const EXITS: Readonly<Record<RefundResult['outcome'], ExitReason>> = {
  confirmed: 'ok',
  refused: 'refused',
  undecided: 'undecided',
}

const ID = /^[0-9a-f]{32}$/i

const paymentOf = async ({ payee, tx, payment }: RefundOptions, fleet: Fleet): Promise<Refundable> => {
  if (payment !== undefined) {
    if (tx !== undefined) throw new CliError('usage', 'give --payment, or --payee and --tx, not both')
    if (!ID.test(payment)) throw new CliError('usage', `--payment ${payment} is no id: 32 hex digits`)
    return paidBy(fleet, payment.toLowerCase())
  }
  if (payee === undefined || tx === undefined)
    throw new CliError('usage', 'which payment? give --payment, or --payee and --tx')
  if (!ID.test(tx)) throw new CliError('usage', `--tx ${tx} is no id: 32 hex digits`)
  return { payee, txId: tx.toLowerCase(), currency: fleet.plan.currency }
}

const amountOf = (text: string, { currency }: Refundable): bigint => {
  const parsed = parseAmount(text, currency)
  if (!parsed.ok) throw new CliError('usage', `--amount ${text}: ${parsed.problem}; write it as 1.20`)
  return parsed.amountMinor
}

const timeoutOf = (text: string): number => {
  const seconds = Number(text)
  if (!/^\d{1,5}(\.\d+)?$/.test(text) || seconds <= 0)
    throw new CliError('usage', `--timeout ${text} is not a number of seconds`)
  return seconds * 1000
}

const refundAt = async (fleet: Fleet, host: string, order: RefundOrder, timeoutMs: number): Promise<RefundResult> => {
  try {
    return await refund(await fleet.host(host), order, timeoutMs)
  } catch (error) {
    if (!(error instanceof HostRefusal)) throw error
    const { code, detail } = error
    throw new CliError('refused', `the merchant host refused to refund: ${code}${detail === '' ? '' : `, ${detail}`}`)
  }
}

const toldOf = ({ outcome, payee, amountMinor, currency, code, detail, ms, txId }: RefundResult): string => {
  const why = code === undefined ? '' : `: ${code}${detail === undefined || detail === '' ? '' : `, ${detail}`}`
  const money = `${formatAmount(amountMinor, currency)} ${currency}`
  return `${outcome}${why}: ${money} back from ${payee} in ${ms} ms; semops trace ${txId}`
}
