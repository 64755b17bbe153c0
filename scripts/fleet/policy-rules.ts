/** What is wrong with the policies of a network file: each setting is held against the schema of the node that will run by it. */
import { CppPolicy } from '../../nodes/cpp/policy.ts'
import { fromJson, type SchemaProblem } from '../../nodes/runtime/json.ts'
import type { TSchema } from '../../protocol/fields.ts'
import { mergePolicies, type PlainPolicy } from './merge-policies.ts'
import type { Complaint } from './network-rules.ts'
import type { NetworkFile } from './network-schema.ts'

/** Problems of the settings named in `given`, as they are once put over `base`. Paths are JSON pointers into the policy. */
const settingProblems = (schema: TSchema, base: PlainPolicy, given: PlainPolicy): readonly SchemaProblem[] => {
  const settings = schema['properties'] as Readonly<Record<string, TSchema>>
  const merged = mergePolicies(base, given)
  return Object.keys(given).flatMap((name): readonly SchemaProblem[] => {
    const setting = Object.hasOwn(settings, name) ? settings[name] : undefined
    if (setting === undefined)
      return [{ path: `/${name}`, message: `no such setting; there are ${Object.keys(settings).join(', ')}` }]
    const read = fromJson(setting, merged[name])
    return read.ok ? [] : read.problems.map(({ path, message }) => ({ path: `/${name}${path}`, message }))
  })
}

/** Of the policies of CPPs, by role and by node. */
export const policyComplaints = (file: NetworkFile): readonly Complaint[] => {
  const ofRole = file.policies?.cpp ?? {}
  const at = (pointer: string, problems: readonly SchemaProblem[]): readonly Complaint[] =>
    problems.map(({ path, message }) => ({ pointer: `${pointer}${path}`, message }))
  return [
    ...at('/policies/cpp', settingProblems(CppPolicy, {}, ofRole)),
    ...Object.entries(file.realms).flatMap(([realm, { cpps }]) =>
      cpps.flatMap(({ policy = {} }, i) =>
        at(`/realms/${realm}/cpps/${i}/policy`, settingProblems(CppPolicy, ofRole, policy)),
      ),
    ),
  ]
}
