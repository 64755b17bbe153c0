/** Opens a wallet with a PIN. Whether it is the right one, the CPP says at the next payment. */
import type { Fleet } from './client.ts'
import type { HostClient } from './host-client.ts'

/** At the CPP that is named, else at every one where the customer is enrolled. @throws HostRefusal */
export const unlock = async (
  wallet: HostClient,
  { plan }: Pick<Fleet, 'plan'>,
  { customer, cpp }: { readonly customer: string; readonly cpp?: string | undefined },
  pin: string,
): Promise<void> => {
  const cpps = cpp === undefined ? (plan.customers.find((one) => one.customer === customer)?.cpps ?? []) : [cpp]
  for (const one of cpps) await wallet.command('unlock', { customer, cpp: one, pin })
}
