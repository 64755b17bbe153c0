/** What is wrong with the policies of a network file: each setting is held against the schema of the node that will run by it. */
import { CppPolicy } from '../../nodes/cpp/policy.ts'
import { fromJson, type SchemaProblem } from '../../nodes/runtime/json.ts'
import type { Complaint } from './complaint.ts'
import { mergePolicies, type PlainPolicy } from './merge-policies.ts'
import type { NetworkFile } from './network-schema.ts'

/** Settings whose whole form is the file's: nothing of them is made by the plan. */
const CHECKED = ['aggregation', 'collectionRetry'] as const

/** Problems of what `given` says of them, put over `base`. Paths are JSON pointers into the policy. */
const settingProblems = (base: PlainPolicy, given: PlainPolicy): readonly SchemaProblem[] => {
  const merged = mergePolicies(base, given)
  return CHECKED.filter((name) => Object.hasOwn(given, name)).flatMap((name): readonly SchemaProblem[] => {
    const read = fromJson(CppPolicy.properties[name], merged[name])
    return read.ok ? [] : read.problems.map(({ path, message }) => ({ path: `/${name}${path}`, message }))
  })
}

/** Of the policies of CPPs, by role and by node. */
export const policyComplaints = (file: NetworkFile): readonly Complaint[] => {
  const ofRole = file.policies?.cpp ?? {}
  const at = (pointer: string, problems: readonly SchemaProblem[]): readonly Complaint[] =>
    problems.map(({ path, message }) => ({ pointer: `${pointer}${path}`, message }))
  return [
    ...at('/policies/cpp', settingProblems({}, ofRole)),
    ...Object.entries(file.realms).flatMap(([realm, { cpps }]) =>
      cpps.flatMap(({ policy = {} }, i) => at(`/realms/${realm}/cpps/${i}/policy`, settingProblems(ofRole, policy))),
    ),
  ]
}
