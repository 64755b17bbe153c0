/** What a host reads of its own credentials and of the statements it is sent; their signatures are verified elsewhere. */
import type { Trust } from '../../protocol/credentials.ts'
import type { Engine } from '../../protocol/engines/engine.ts'
import { haveSameIssuer, parseCredential, readStatement, type Statements } from '../../protocol/statements.ts'
import type { Identity } from '../runtime/identity.ts'
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

/** Which of a host's chains to show: they change with a rotation, so each is asked for when it is needed. */
export type ChainBook = {
  /** By processor, the newest of each. */
  readonly newest: () => HostChains
  /**
   * The chain whose processor signed `credential` with the key that stands in it: what both prove, they prove together. None
   * once that key is revoked, since nobody would believe it.
   */
  readonly beside: (credential: Uint8Array) => readonly Uint8Array[] | undefined
  /** Did the processor sign `credential` with the key that its newest chain here has? */
  readonly isCurrent: (processor: string, credential: Uint8Array | undefined) => boolean
}

/** @throws Error, when asked, for a chain that does not begin with a processor's credential */
export const chainBook = (
  { engine, isRevoked }: Pick<Trust, 'engine' | 'isRevoked'>,
  identity: () => Pick<Identity, 'chains'>,
): ChainBook => {
  let read: { readonly of: Identity['chains']; readonly newest: HostChains } | undefined
  const newest = (): HostChains => {
    const { chains } = identity()
    if (read?.of !== chains) read = { of: chains, newest: chainsByProcessor(engine, chains) }
    return read.newest
  }
  return {
    newest,
    isCurrent: (processor, credential) => haveSameIssuer(newest().get(processor)?.[1], credential),
    beside: (credential) => {
      const parsed = parseCredential(credential)
      if (parsed.ok && isRevoked(parsed.value.keyId)) return undefined
      return identity().chains.find((chain) => haveSameIssuer(chain[1], credential))
    },
  }
}

/** A host's newest chain by each processor that certified it. @throws Error for a chain that begins otherwise */
export const chainsByProcessor = (engine: Engine, chains: readonly (readonly Uint8Array[])[]): HostChains => {
  const found = new Map<string, { readonly chain: readonly Uint8Array[]; readonly serials: readonly number[] }>()
  for (const chain of chains) {
    const processor = chain[0] === undefined ? undefined : statementOf(engine, chain[0], 'processor')
    if (processor === undefined) throw new Error("a chain of this host does not begin with a processor's credential")
    const host = chain[1] === undefined ? undefined : statementOf(engine, chain[1], 'host')
    const serials = [processor.serial, host?.serial ?? 0]
    const known = found.get(processor.id)
    if (known === undefined || isLater(serials, known.serials)) found.set(processor.id, { chain, serials })
  }
  return new Map([...found].map(([processor, { chain }]) => [processor, chain] as const))
}

/** The processor's serial decides, then the host's. */
const isLater = (a: readonly number[], b: readonly number[]): boolean => {
  const at = a.findIndex((serial, index) => serial !== b[index])
  return at >= 0 && (a[at] as number) > (b[at] as number)
}
