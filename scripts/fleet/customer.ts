/** What the operator of a CPP, and a customer's wallet, do after the enrolment: PINs and devices. */
import { CliError } from '../cli/errors.ts'
import { readJson, writeJson, type FleetDirectory } from './directory.ts'
import { hostOf, type Fleet } from './client.ts'
import { TimeLimitError } from './concurrency.ts'
import { HostRefusal } from './host-client.ts'

/** @throws CliError naming what was refused and why */
const told = async <T>(what: string, asked: Promise<T>): Promise<T> => {
  try {
    return await asked
  } catch (error) {
    if (!(error instanceof HostRefusal)) throw error
    const why = error.detail === '' ? error.code : `${error.code}, ${error.detail}`
    throw new CliError('refused', `${error.host} refused to ${what}: ${why}`)
  }
}

/** The CPPs meant: the one named, else all of the customer's. @throws CliError for one that the customer has not */
const cppsOf = ({ plan }: Fleet, customer: string, cpp: string | undefined): readonly string[] => {
  const planned = plan.customers.find((one) => one.customer === customer)
  if (planned === undefined) throw new CliError('usage', `no customer ${customer}; \`semops status --json\` lists them`)
  if (cpp === undefined) return planned.cpps
  if (!planned.cpps.includes(cpp))
    throw new CliError('usage', `${customer} has no account at ${cpp}, but at ${planned.cpps.join(', ')}`)
  return [cpp]
}

/** What the fleet knows must stay what is true, or the next start would unlock wallets with a PIN that is wrong. */
const keepPin = async ({ pinsFile }: FleetDirectory, customer: string, pin: string): Promise<void> => {
  const pins = (await readJson<Record<string, string>>(pinsFile)) ?? {}
  if (pins[customer] !== undefined) await writeJson(pinsFile, { ...pins, [customer]: pin })
}

/** One PIN serves all of a customer's CPPs, so it is changed at all of them. */
export const changePin = async (fleet: Fleet, customer: string, pin: string, newPin: string) => {
  const cpps = cppsOf(fleet, customer, undefined)
  const wallet = await fleet.host(hostOf(fleet.plan, customer))
  for (const cpp of cpps) await told('change the PIN', wallet.command('change-pin', { customer, cpp, pin, newPin }))
  await keepPin(fleet.directory, customer, newPin)
  return { customer, cpps, changed: true }
}

/** Lets a customer try again whose PIN is locked. */
export const unlockPin = async (fleet: Fleet, customer: string, cpp: string | undefined) => {
  const unlocked: { readonly cpp: string; readonly wasLocked: boolean }[] = []
  for (const one of cppsOf(fleet, customer, cpp)) {
    const host = await fleet.host(one)
    const answer = await told(
      'unlock the PIN',
      host.command<{ readonly wasLocked: boolean }>('unlock-customer', { customer }),
    )
    unlocked.push({ cpp: one, wasLocked: answer.wasLocked })
  }
  return { customer, unlocked }
}

/** The lost device is refused at every CPP at once; nothing else changes until a new one is brought. */
export const loseDevice = async (fleet: Fleet, customer: string) => {
  const host = hostOf(fleet.plan, customer)
  const wallet = await fleet.host(host)
  await told('forget the device', wallet.command('forget-device', { customer }))
  const authorizations: { readonly cpp: string; readonly authorization: string; readonly expiresAtMs: number }[] = []
  for (const cpp of cppsOf(fleet, customer, undefined)) {
    const processor = await fleet.host(cpp)
    const given = await told(
      'authorize another device',
      processor.command<{ readonly authorization: string; readonly expiresAtMs: number }>('authorize-device', {
        customer,
        host,
      }),
    )
    authorizations.push({ cpp, authorization: given.authorization, expiresAtMs: given.expiresAtMs })
  }
  return { customer, host, authorizations }
}

/** Blocks the lost device, and has a new one take its place at every CPP. */
export const replaceDevice = async (fleet: Fleet, customer: string, pin: string) => {
  const { authorizations, host } = await loseDevice(fleet, customer)
  const wallet = await fleet.host(host)
  for (const { cpp, authorization } of authorizations)
    await told('replace the device', wallet.command('replace-device', { customer, cpp, pin, authorization }))
  return { customer, host, cpps: authorizations.map(({ cpp }) => cpp), replaced: true }
}

/**
 * Closes a customer's account: nothing new is paid, what is owed is collected, and then it is closed for ever. One CPP after the other.
 * @throws CliError naming what was refused, or which account is still closing: its debt is not collected yet
 */
export const closeAccount = async (fleet: Fleet, customer: string, pin: string, cpp: string | undefined) => {
  const cpps = cppsOf(fleet, customer, cpp)
  const wallet = await fleet.host(hostOf(fleet.plan, customer))
  for (const one of cpps)
    try {
      await told('close the account', wallet.command('close-account', { customer, cpp: one, pin }, CLOSING_MS))
    } catch (error) {
      if (!(error instanceof TimeLimitError)) throw error
      throw new CliError('undecided', `${one} is closing the account: something is under way or owed there still`)
    }
  return { customer, cpps, closed: true }
}
/** As long as a payment under way and its collection take, and a little more. */
const CLOSING_MS = 45_000
