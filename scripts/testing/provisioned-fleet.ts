/** A fleet's directory with every key and credential, and nothing that runs: for tests of what reads and writes the files. */
import { rmSync } from 'node:fs'
import { chmod, cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
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

/** Made once in a process and copied: the keys of one are those of the next. */
let template: Promise<string> | undefined

export const provisionedFleet = async (): Promise<ProvisionedFleet> => {
  template ??= makeTemplate()
  const directory = fleetDirectory(await temporary())
  await cp(await template, directory.root, { recursive: true })
  await chmod(directory.root, 0o700)
  await makeFleetDirectory(directory)
  return {
    directory,
    plan: planNetwork(parseNetwork(NETWORK, directory.networkFile)),
    [Symbol.asyncDispose]: async () => {
      await rm(directory.root, { recursive: true, force: true })
      if (!directory.sockets.startsWith(directory.root)) await rm(directory.sockets, { recursive: true, force: true })
    },
  }
}

const temporary = (): Promise<string> => mkdtemp(join(tmpdir(), 'semops-files-'))

const makeTemplate = async (): Promise<string> => {
  const directory = fleetDirectory(await temporary())
  process.once('exit', () => rmSync(directory.root, { recursive: true, force: true }))
  await makeFleetDirectory(directory)
  await writeFile(directory.networkFile, NETWORK, { mode: 0o600 })
  const plan = planNetwork(parseNetwork(NETWORK, directory.networkFile))
  const address = { servers: ['nats://127.0.0.1:4222'] }
  await withKeyRoom(directory, async () =>
    provision(plan, directory, address, await fleetAuthority(directory, plan.network), Date.now()),
  )
  return directory.root
}
