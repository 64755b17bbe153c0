/** For tests of the runtime: a definition that does nothing, of which a test replaces what it is about. */
import type { Role } from '../../protocol/ids.ts'
import { decision, type NodeDefinition } from './node.ts'

type Loose<R extends Role> = Partial<Omit<NodeDefinition<R>, 'messages'>> & {
  readonly messages?: Partial<NodeDefinition<R>['messages']>
}

export const bareDefinition = <R extends Role>(role: R, parts: Loose<R> = {}): NodeDefinition<R> =>
  ({
    role,
    tables: [],
    messages: {},
    deadlines: {},
    controls: {},
    reads: {},
    jobs: {},
    finished: {},
    started: () => decision(),
    refused: () => decision(),
    receipted: () => decision(),
    ready: () => true,
    ...parts,
  }) as unknown as NodeDefinition<R>
