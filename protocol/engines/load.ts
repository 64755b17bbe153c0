/** Chooses the engines of this process: native where its binary loads, portable everywhere else. */
import type { Engine } from './engine.ts'
import { nobleEngine } from './noble-engine.ts'
import { portableSealing } from './portable-sealing.ts'
import { rsaEngine } from './rsa-engine.ts'
import { createSodiumEngine, createSodiumSealing } from './sodium-engine.ts'
import { sodium } from './sodium.ts'

export const portableEngine: Engine = {
  name: 'portable',
  ed25519: nobleEngine,
  rsa: rsaEngine,
  sealing: portableSealing,
}

/** Undefined where libsodium's binary does not load. */
export const nativeEngine: Engine | undefined =
  sodium === undefined
    ? undefined
    : { name: 'native', ed25519: createSodiumEngine(sodium), rsa: rsaEngine, sealing: createSodiumSealing(sodium) }

/** The fastest engine that loads here. All engines write the same bytes and give the same verdicts. */
export const loadEngine = (): Engine => nativeEngine ?? portableEngine
