/** Rows of a directory, for tests only. */
import { put } from '../../runtime/node.ts'
import { keyOf } from '../../runtime/table.ts'
import { testId } from '../../runtime/testing.ts'
import { PROCESSORS, type ProcessorRow } from '../state.ts'

/** A processor that has registered, with a key that is nobody's. */
export const processor = (id: string, role: ProcessorRow['role']) =>
  put<ProcessorRow>(PROCESSORS, keyOf(id), {
    id,
    role,
    operatorId: id,
    version: 1,
    keyId: testId(id),
    accepts: [],
    registeredAtMs: 0,
  })
