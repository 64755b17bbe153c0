/** The policy of a running host: what its operator set, and a change of it. */
import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { CliError } from '../cli/errors.ts'
import { hostOf, type Fleet } from './client.ts'
import { HostRefusal } from './host-client.ts'
import { mergePolicies, type PlainPolicy } from './merge-policies.ts'

export type NodePolicy = { readonly id: string; readonly policy: PlainPolicy }

/** What the configuration or an operator gave; what neither named is the role's default. @throws CliError */
export const policyOfNode = async (fleet: Fleet, id: string): Promise<NodePolicy> => {
  const host = hostOf(fleet.plan, id)
  return { id: host, policy: await (await fleet.host(host)).builtin<PlainPolicy>('policy') }
}

/**
 * Puts `change` over the policy in force, key by key; settings of another kind (`policy: bulk` over `policy: threshold`) replace those
 * before. The host checks all of it before anything changes, keeps it over a restart, and sets by it what the old one had armed.
 * @throws CliError naming the setting that does not fit
 */
export const changePolicy = async (fleet: Fleet, id: string, change: PlainPolicy): Promise<NodePolicy> => {
  const { id: host, policy: before } = await policyOfNode(fleet, id)
  const policy = mergePolicies(before, change)
  try {
    await (await fleet.host(host)).builtin('set-policy', { policy })
  } catch (error) {
    if (!(error instanceof HostRefusal)) throw error
    throw new CliError('usage', `${host} keeps its policy: ${error.detail === '' ? error.code : error.detail}`)
  }
  return { id: host, policy }
}

/** JSON or YAML, as text or in a file: `{...}` is text. @throws CliError */
export const readChange = async (given: string): Promise<PlainPolicy> => {
  const text = given.trimStart().startsWith('{') ? given : await readFile(given, 'utf8')
  let value: unknown
  try {
    value = parse(text)
  } catch (error) {
    throw new CliError('usage', `--set: ${(error as Error).message.split('\n')[0]}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new CliError('usage', '--set: a map of settings, such as {"aggregation":{"policy":"bulk"}}')
  return value as PlainPolicy
}
