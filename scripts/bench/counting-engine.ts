/** An engine that counts the signatures it makes and verifies, whoever asks for them; the work is the engine's own. */
import type { Engine, SignatureEngine } from '../../protocol/engines/engine.ts'

export type SignatureCounts = { made: number; verified: number }

export const countingEngine = (engine: Engine): { readonly engine: Engine; readonly counts: SignatureCounts } => {
  const counts: SignatureCounts = { made: 0, verified: 0 }
  const counted = <S extends SignatureEngine>(of: S): S => ({
    ...of,
    sign: (message, secretKey) => {
      counts.made += 1
      return of.sign(message, secretKey)
    },
    verify: (signature, message, publicKey) => {
      counts.verified += 1
      return of.verify(signature, message, publicKey)
    },
  })
  return { engine: { ...engine, ed25519: counted(engine.ed25519), rsa: counted(engine.rsa) }, counts }
}
