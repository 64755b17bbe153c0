/** `semops pay`: one payment, as the customer's wallet makes it. */
import type { Command } from 'commander'
import { formatAmount, parseAmount, type Currency } from '../../protocol/amount.ts'
import { contextOf } from '../cli/context.ts'
import { CliError } from '../cli/errors.ts'
import { addExamples } from '../cli/help.ts'
import { givenPin, promptPin } from '../cli/pin.ts'
import type { ExitReason } from '../exit-codes.ts'
import { hostOf, withFleet, type Fleet } from '../fleet/client.ts'
import { HostRefusal } from '../fleet/host-client.ts'
import { pay, type PayOrder, type PayResult } from '../fleet/pay.ts'
import { unlock } from '../fleet/unlock.ts'

type PayOptions = {
  readonly customer: string
  readonly to: string
  readonly amount: string
  readonly cpp?: string
  readonly item?: string
  readonly maxCost?: string
  readonly pinFile?: string
  readonly timeout: string
}

export const register = (program: Command): void => {
  const command = program
    .command('pay')
    .description('make one payment; the exit code is its outcome')
    .requiredOption('--customer <id>', 'who pays, such as hu-anna')
    .requiredOption('--to <payee>', 'who is paid, such as bakery@hu')
    .requiredOption('--amount <decimal>', 'how much, such as 1.20')
    .option('--cpp <id>', 'the processor that pays, for a customer who has several')
    .option('--max-cost <decimal>', "the most to be charged, in the account's currency, where that is another")
    .option('--item <name>', "what is bought, of the payee's catalogue")
    .option(
      '--pin-file <file>',
      'a file that holds the PIN (default: $SEMOPS_PIN, else what the fleet knows, else a prompt)',
    )
    .option('--timeout <seconds>', 'how long to wait for the end; the payment goes on', '60')
    .action(async (options: PayOptions, self: Command) => {
      const { dir, output, progress, exit } = contextOf(self)
      const pin = await givenPin(options.pinFile, process.env)
      const result = await withFleet(dir, async (fleet) => {
        const order = orderOf(options, fleet)
        const shown = progress(`paying ${options.to}`)
        const paid = await payWith(fleet, order, pin, timeoutOf(options.timeout)).catch((error: unknown) => {
          shown.fail('not paid')
          throw error
        })
        shown.done(paid.outcome)
        return paid
      })
      output.fact(result, () => toldOf(result))
      exit(EXITS[result.outcome])
    })
  addExamples(command, [
    ['pay --customer hu-anna --to bakery@hu --amount 1.20', 'a micropayment: confirmed at once, settled later'],
    ['pay --customer hu-bela --cpp ro-libra --to cafe@ro --amount 12.00', 'a macropayment by the second processor'],
    [
      'pay --customer hu-eva --to bakery@hu --amount 1.20 --max-cost 500',
      'from an account in HUF, for at most 500.00 HUF',
    ],
    ['pay --customer hu-anna --to bakery@hu --amount 1.20 --item bread --json', 'for programs'],
  ])
}

const EXITS: Readonly<Record<PayResult['outcome'], ExitReason>> = {
  confirmed: 'ok',
  refused: 'refused',
  rejected: 'rejected',
  expired: 'expired',
  failed: 'failed',
  undecided: 'undecided',
}

const orderOf = ({ customer, to, amount, cpp, item, maxCost }: PayOptions, { plan }: Fleet): PayOrder => {
  const parsed = parseAmount(amount, plan.currency)
  if (!parsed.ok) throw new CliError('usage', `--amount ${amount}: ${parsed.problem}; write it as 1.20`)
  const payer = plan.customers.find((one) => one.customer === customer)
  if (payer === undefined) throw new CliError('usage', `no customer ${customer}; \`semops status --json\` lists them`)
  if (!/^[a-z0-9-]{1,54}@[a-z0-9]{2,8}$/.test(to))
    throw new CliError('usage', `--to ${to} is no payee; write name@realm, such as bakery@hu`)
  const maxCostMinor = maxCostOf(maxCost, payer.currency)
  return { customer, payee: to, amountMinor: parsed.amountMinor, currency: plan.currency, cpp, item, maxCostMinor }
}

const maxCostOf = (text: string | undefined, currency: Currency): bigint | undefined => {
  if (text === undefined) return undefined
  const parsed = parseAmount(text, currency)
  if (!parsed.ok) throw new CliError('usage', `--max-cost ${text}: ${parsed.problem}; it is in ${currency}`)
  return parsed.amountMinor
}

const timeoutOf = (text: string): number => {
  const seconds = Number(text)
  if (!/^\d{1,5}(\.\d+)?$/.test(text) || seconds <= 0)
    throw new CliError('usage', `--timeout ${text} is not a number of seconds`)
  return seconds * 1000
}

/** With a PIN that was given, the wallet is unlocked anew; without one, only when it is locked. */
const payWith = async (
  fleet: Fleet,
  order: PayOrder,
  pin: string | undefined,
  timeoutMs: number,
): Promise<PayResult> => {
  const wallet = await fleet.host(hostOf(fleet.plan, order.customer))
  if (pin !== undefined) await unlock(wallet, fleet, order, pin)
  try {
    return await pay(wallet, order, timeoutMs)
  } catch (error) {
    if (!(error instanceof HostRefusal)) throw error
    if (error.code !== 'WRONG_PIN' || pin !== undefined) throw refusedOrder(error)
  }
  await unlock(wallet, fleet, order, (await fleet.pin(order.customer)) ?? (await promptPin(order.customer)))
  return pay(wallet, order, timeoutMs)
}

const refusedOrder = ({ code, detail }: HostRefusal): CliError =>
  new CliError('refused', `the wallet refused to pay: ${code}${detail === '' ? '' : `, ${detail}`}`)

const toldOf = (result: PayResult): string => {
  const { outcome, confirmation, payee, paymentId, code, detail, ms } = result
  const money = `${formatAmount(result.amountMinor, result.currency)} ${result.currency}`
  const { accountAmountMinor, accountCurrency } = result
  const cost =
    accountAmountMinor === undefined || accountCurrency === undefined
      ? ''
      : `, which ${outcome === 'confirmed' ? 'costs' : 'would cost'} ${formatAmount(accountAmountMinor, accountCurrency)} ${accountCurrency},`
  const how = outcome === 'confirmed' ? (confirmation === 'T' ? ' (booked)' : ' (guaranteed)') : ''
  const why = code === undefined ? '' : `: ${code}${detail === undefined || detail === '' ? '' : `, ${detail}`}`
  return `${outcome}${how}${why}: ${money}${cost} to ${payee} in ${ms} ms; semops trace ${paymentId}`
}
