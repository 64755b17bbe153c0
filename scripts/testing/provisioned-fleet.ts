/** A fleet's directory with every key and credential, and nothing that runs: for tests of what reads and writes the files. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fleetDirectory, makeFleetDirectory, type FleetDirectory } from '../fleet/directory.ts'
import { withKeyRoom } from '../fleet/key-room.ts'
import { parseNetwork } from '../fleet/network.ts'
import { planNetwork, type Plan } from '../fleet/plan.ts'
import { fleetAuthority, provision } from '../fleet/provision.ts'

const NETWORK = `network: files
currency: EUR
banks:
  - { id: hu-kh }
realms:
  hu:
    cpps: [{ id: hu-otp, bank: hu-kh }]
    mpps: [{ id: hu-cosmo, bank: hu-kh }]
    merchants: [{ payee: bakery@hu, bank: hu-kh }]
    customers:
      - { id: hu-alice, bank: hu-kh, alias: hu-alice-pays }
`

export type ProvisionedFleet = AsyncDisposable & { readonly directory: FleetDirectory; readonly plan: Plan }

export const provisionedFleet = async (nowMs: number = Date.now()): Promise<ProvisionedFleet> => {
  const directory = fleetDirectory(await mkdtemp(join(tmpdir(), 'semops-files-')))
  await makeFleetDirectory(directory)
  await writeFile(directory.networkFile, NETWORK, { mode: 0o600 })
  const plan = planNetwork(parseNetwork(NETWORK, directory.networkFile))
  const servers = ['nats://127.0.0.1:4222']
  await withKeyRoom(directory, async () =>
    provision(plan, directory, { servers }, await fleetAuthority(directory, plan.network), nowMs),
  )
  return {
    directory,
    plan,
    [Symbol.asyncDispose]: async () => {
      await rm(directory.root, { recursive: true, force: true })
      if (!directory.sockets.startsWith(directory.root)) await rm(directory.sockets, { recursive: true, force: true })
    },
  }
}
