/**
 * Where `verify` and `trace` read: every host of a plan, the running ones over their control sockets, the others from their
 * ledgers, which then nobody else may open meanwhile.
 */
import type { Hop } from '../../nodes/runtime/builtins.ts'
import type { HeardJson } from '../../nodes/runtime/heard.ts'
import type { Behind } from '../../nodes/runtime/ledger-age.ts'
import { paymentsFromJson, reportFromJson } from '../../nodes/verify/from-json.ts'
import { mapBounded } from './concurrency.ts'
import type { FleetDirectory } from './directory.ts'
import { connectHost, type HostClient } from './host-client.ts'
import { allPages, type NodeSource, type Standing } from './node-source.ts'
import { openLedger } from './offline.ts'
import type { HostPlan, Plan } from './plan.ts'

const HOSTS_AT_ONCE = 8

/** Of every host. @throws CliError for a host that neither answers nor has a ledger that can be opened */
export const openSources = (directory: FleetDirectory, { hosts }: Plan): Promise<readonly NodeSource[]> =>
  openAll(directory, hosts)

/** Of these hosts alone. @throws CliError as {@link openSources} */
export const openSourcesOf = (
  directory: FleetDirectory,
  { hosts }: Plan,
  ids: ReadonlySet<string>,
): Promise<readonly NodeSource[]> =>
  openAll(
    directory,
    hosts.filter(({ id }) => ids.has(id)),
  )

const openAll = async (directory: FleetDirectory, hosts: readonly HostPlan[]): Promise<readonly NodeSource[]> => {
  const open: NodeSource[] = []
  try {
    return await mapBounded(hosts, HOSTS_AT_ONCE, async (host) => {
      const source = await openSource(directory, host)
      open.push(source)
      return source
    })
  } catch (error) {
    await closeSources(open)
    throw error
  }
}

export const closeSources = async (sources: readonly NodeSource[]): Promise<void> => {
  for (const source of sources) await source.close()
}

/** One host that runs. @throws Error (ENOENT, ECONNREFUSED) when it does not */
export const openRunning = async (directory: FleetDirectory, host: HostPlan): Promise<NodeSource> =>
  liveSource(host, await connectHost(directory, host.id))

/** One host, running or not. @throws CliError as {@link openSources} */
export const openSource = async (directory: FleetDirectory, host: HostPlan): Promise<NodeSource> => {
  try {
    return await openRunning(directory, host)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' && code !== 'ECONNREFUSED') throw error
    return openLedger(directory, host)
  }
}

const liveSource = ({ id, role }: HostPlan, client: HostClient): NodeSource => {
  let drained = false
  return {
    id,
    role,
    live: true,
    report: async () => reportFromJson(await client.builtin('report')),
    payments: () => allPages(role, async (after) => paymentsFromJson(await client.builtin('payments', { after }))),
    ask: (name, args) => client.read(name, args),
    trace: async (query) => (await client.builtin<{ readonly hops: readonly Hop[] }>('trace', query)).hops,
    standing: async () => {
      const { seq, inFlight } = await client.builtin<Standing>('status')
      return { seq, inFlight }
    },
    heard: async (of) =>
      (await client.builtin<{ readonly heard: readonly HeardJson[] }>('heard', of === undefined ? {} : { of })).heard,
    age: async (heard) =>
      (await client.builtin<{ readonly behind: Behind | null }>('age', { heard })).behind ?? undefined,
    drain: async () => {
      const { state } = await client.builtin<{ readonly state: string }>('status')
      if (state === 'paused' || state === 'draining') return
      drained = true
      await client.builtin('drain', { timeoutMs: 0 })
    },
    resume: async () => {
      if (drained) await client.builtin('resume')
      drained = false
    },
    close: async () => client.close(),
  }
}
