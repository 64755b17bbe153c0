/** The bounds of the bus: they stand in `protocol/limits.ts` like all others. */
import { LIMITS } from '../protocol/limits.ts'

export const BUS_LIMITS = {
  ...LIMITS,
  /** The broker closes a connection that sends more, so the bus refuses it first. */
  maxPayloadBytes: LIMITS.maxFrameBytes,
} as const
