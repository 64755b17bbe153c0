/** `semops customer`: a customer after the enrolment: PIN, device, the end of the account. */
import type { Command } from 'commander'
import { contextOf } from '../cli/context.ts'
import { CliError } from '../cli/errors.ts'
import { addExamples } from '../cli/help.ts'
import { givenPin, promptPin } from '../cli/pin.ts'
import { withFleet, type Fleet } from '../fleet/client.ts'
import { changePin, closeAccount, loseDevice, replaceDevice, unlockPin } from '../fleet/customer.ts'

type Options = { readonly cpp?: string; readonly pinFile?: string; readonly newPinFile?: string }

const PIN_FILE = 'a file that holds the PIN (default: $SEMOPS_PIN, else what the fleet knows, else a prompt)'

const pinOf = async (fleet: Fleet, customer: string, file: string | undefined): Promise<string> =>
  (await givenPin(file, process.env)) ?? (await fleet.pin(customer)) ?? (await promptPin(customer))

const newPinOf = async (customer: string, file: string | undefined): Promise<string> => {
  const { SEMOPS_NEW_PIN: given } = process.env
  return (
    (await givenPin(file, given === undefined ? {} : { SEMOPS_PIN: given })) ??
    (await promptPin(`${customer}, the new one`))
  )
}

const act = async <T extends object>(
  self: Command,
  label: string,
  work: (fleet: Fleet) => Promise<T>,
  tell: (result: T) => string,
): Promise<void> => {
  const { dir, output, progress } = contextOf(self)
  const result = await withFleet(dir, async (fleet) => {
    const shown = progress(label)
    try {
      const done = await work(fleet)
      shown.done('done')
      return done
    } catch (error) {
      shown.fail('not done')
      throw error
    }
  })
  output.fact(result, () => tell(result))
}

export const register = (program: Command): void => {
  const customer = program.command('customer').description("a customer's PIN and device after the enrolment")

  customer
    .command('change-pin <customer>')
    .description('change the PIN, at every processor of the customer')
    .option('--pin-file <file>', PIN_FILE)
    .option('--new-pin-file <file>', 'a file that holds the new PIN (default: $SEMOPS_NEW_PIN, else a prompt)')
    .action((id: string, { pinFile, newPinFile }: Options, self: Command) =>
      act(
        self,
        `changing the PIN of ${id}`,
        async (fleet) => {
          const pin = await pinOf(fleet, id, pinFile)
          const newPin = await newPinOf(id, newPinFile)
          if (newPin === pin) throw new CliError('usage', 'the new PIN is the old one')
          return changePin(fleet, id, pin, newPin)
        },
        ({ cpps }) => `changed at ${cpps.join(', ')}`,
      ),
    )

  customer
    .command('unlock <customer>')
    .description('let a customer try again whose PIN is locked, as the operator of the processor')
    .option('--cpp <id>', 'this processor only')
    .action((id: string, { cpp }: Options, self: Command) =>
      act(
        self,
        `unlocking ${id}`,
        (fleet) => unlockPin(fleet, id, cpp),
        ({ unlocked }) =>
          unlocked.map((one) => `${one.cpp}: ${one.wasLocked ? 'unlocked' : 'was not locked'}`).join('\n'),
      ),
    )

  customer
    .command('lose-device <customer>')
    .description('block a lost device at once, and print the authorizations for another one')
    .action((id: string, _: Options, self: Command) =>
      act(
        self,
        `blocking the device of ${id}`,
        (fleet) => loseDevice(fleet, id),
        ({ authorizations }) => authorizations.map(({ cpp, authorization }) => `${cpp} ${authorization}`).join('\n'),
      ),
    )

  customer
    .command('replace-device <customer>')
    .description('block a lost device, and have a new one take its place, proved by the PIN')
    .option('--pin-file <file>', PIN_FILE)
    .action((id: string, { pinFile }: Options, self: Command) =>
      act(
        self,
        `replacing the device of ${id}`,
        async (fleet) => replaceDevice(fleet, id, await pinOf(fleet, id, pinFile)),
        ({ cpps, host }) => `a new device of ${id} on ${host}, known at ${cpps.join(', ')}`,
      ),
    )

  customer
    .command('close <customer>')
    .description('close the account: what is owed is collected, and it is closed for ever')
    .option('--cpp <id>', 'at this processor only (default: at every processor of the customer)')
    .option('--pin-file <file>', PIN_FILE)
    .action((id: string, { cpp, pinFile }: Options, self: Command) =>
      act(
        self,
        `closing the account of ${id}`,
        async (fleet) => closeAccount(fleet, id, await pinOf(fleet, id, pinFile), cpp),
        ({ cpps }) => `closed at ${cpps.join(', ')}`,
      ),
    )

  addExamples(customer, [
    [
      'customer change-pin hu-anna --new-pin-file new-pin',
      'the old PIN is read from the fleet, the new one from the file',
    ],
    ['customer unlock hu-anna', 'after three wrong PINs'],
    ['customer replace-device hu-anna', 'a lost phone: the old key is refused from now on'],
    ['customer close hu-anna --cpp hu-otp', 'exit code 14 while something is still owed there'],
  ])
}
