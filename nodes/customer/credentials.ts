/** What a host reads of its own credentials and of the statements it is sent; their signatures are verified elsewhere. */
import type { Engine } from '../../protocol/engines/engine.ts'
import { parseCredential, readStatement, type Statements } from '../../protocol/statements.ts'
import type { HostChains } from './host-registration.ts'

/** The statement in a credential; undefined when it is none of that type. */
export const statementOf = <T extends keyof Statements>(
  engine: Engine,
  credential: Uint8Array,
  type: T,
): Statements[T] | undefined => {
  const parsed = parseCredential(credential)
  if (!parsed.ok) return undefined
  const read = readStatement(engine, parsed.value.payload, [type])
  return read.ok ? read.value : undefined
}

/** A host's chains by the processor that certified it, which is the first of each. @throws Error for a chain that begins otherwise */
export const chainsByProcessor = (engine: Engine, chains: readonly (readonly Uint8Array[])[]): HostChains =>
  new Map(
    chains.map((chain) => {
      const processor = chain[0] === undefined ? undefined : statementOf(engine, chain[0], 'processor')
      if (processor === undefined) throw new Error("a chain of this host does not begin with a processor's credential")
      return [processor.id, chain] as const
    }),
  )
