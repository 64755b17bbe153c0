/**
 * What others hold of a host, left for it before it starts: a host whose ledger is older than what it has said then learns so before
 * it decides anything. The frames are under the host's own key, so nothing depends on who leaves them; that some are missing,
 * because a host is just stopping, makes the proof weaker and nothing wrong.
 */
import { join } from 'node:path'
import { heardFile } from '../../nodes/runtime/head-mark.ts'
import type { HeardJson } from '../../nodes/runtime/heard.ts'
import { mapBounded } from './concurrency.ts'
import { writeJson, type FleetDirectory } from './directory.ts'
import type { NodeSource } from './node-source.ts'
import type { Plan } from './plan.ts'
import { closeSources, openRunning, openSource } from './sources.ts'

/** Of one host only the newest statements matter: an old ledger lacks all that came after it. */
const KEPT_OF_EACH = 8
const HOSTS_AT_ONCE = 8

/** host → the newest statements that the others hold of it, newest first. */
export const heardByHost = async (
  sources: readonly NodeSource[],
  of?: string,
): Promise<ReadonlyMap<string, readonly HeardJson[]>> => {
  const found = new Map<string, HeardJson[]>()
  for (const heard of await mapBounded(sources, HOSTS_AT_ONCE, (source) => source.heard(of)))
    for (const one of heard) found.set(one.host, [...(found.get(one.host) ?? []), one])
  return new Map(
    [...found].map(([host, all]) => [host, all.toSorted((a, b) => b.sentAtMs - a.sentAtMs).slice(0, KEPT_OF_EACH)]),
  )
}

/** A host that runs, and one that may not: its ledger is opened then. */
export type Openers = { readonly openRunning: typeof openRunning; readonly openSource: typeof openSource }

/**
 * For every host of the plan, or for one that is to start while others run. Then only those that run are asked: others may be starting
 * too, and whoever reads a ledger keeps its host from it.
 */
export const leaveHeard = async (
  directory: FleetDirectory,
  plan: Pick<Plan, 'hosts'>,
  only?: string,
  open: Openers = { openRunning, openSource },
): Promise<void> => {
  const sources: NodeSource[] = []
  try {
    await mapBounded(plan.hosts, HOSTS_AT_ONCE, async (host) => {
      if (host.id === only) return
      // It has never run, is starting or stopping, its ledger does not open, or it dies meanwhile: then it says nothing here.
      const source = await (only === undefined ? open.openSource : open.openRunning)(directory, host).catch(
        () => undefined,
      )
      if (source !== undefined) sources.push({ ...source, heard: (of) => source.heard(of).catch(() => []) })
    })
    const heard = await heardByHost(sources, only)
    for (const { id } of plan.hosts)
      if (only === undefined || id === only) await writeJson(heardFile(join(directory.marks, id)), heard.get(id) ?? [])
  } finally {
    await closeSources(sources)
  }
}
