/** A fleet's hosts on servers of a cluster beside the fleet's own: each host on those that it is given, while it runs. */
import { readAuthority } from '../../bus/authority.ts'
import { startCluster, type ClusterOptions, type NatsCluster } from '../../bus/nats-cluster.ts'
import { serverTls } from '../../bus/tls-authority.ts'
import { readJson, writeJson } from '../fleet/directory.ts'
import type { CredentialsFile } from '../fleet/issuer.ts'
import { natsUrl } from '../fleet/plan.ts'
import type { FaultFleet } from './fault-fleet.ts'

/** Starts one with the authority of the fleet and its certificate, in a folder of the fleet's directory. */
export const startFleetCluster = async (
  { plan, directory }: FaultFleet,
  options: Pick<ClusterOptions, 'dir' | 'members' | 'routePort'>,
): Promise<NatsCluster> => {
  const { host, names } = plan.nats
  const tls = await serverTls(directory.tlsDir, { name: plan.network, hosts: [host, ...names], nowMs: Date.now() })
  return startCluster({
    ...options,
    name: plan.network,
    authority: await readAuthority(directory.authorityFile),
    listen: { host, tls },
    address: { ca: tls.ca },
  })
}

/**
 * Moves every host to the members that `membersOf` answers, by its credentials file and the builtin `reload`. Resolves when all
 * have their new connections; nothing is lost on the way.
 */
export const moveHosts = async (
  { plan, directory, withHost }: FaultFleet,
  cluster: NatsCluster,
  membersOf: (host: { readonly id: string; readonly realm: string }) => readonly number[],
): Promise<void> => {
  for (const { id, realm } of plan.hosts) {
    const file = directory.credentials(id)
    const credentials = await readJson<CredentialsFile>(file)
    if (credentials === undefined) throw new Error(`${id} has no credentials`)
    const servers = membersOf({ id, realm }).map((member) => natsUrl(plan.nats, cluster.server(member).port))
    await writeJson(file, { ...credentials, login: { ...credentials.login, servers } })
    await withHost(id, (host) => host.builtin('reload'))
  }
}
