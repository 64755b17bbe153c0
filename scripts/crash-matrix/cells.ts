/**
 * The cells of the crash matrix: every durable step of every role, just before and just after each stage of its commit. Known are all
 * steps that a host says it may journal; a cell is hit when a host of the role died there. Invariant: a cell that was not hit is never
 * counted as if it had been; what was not reached is listed.
 */
import type { Death } from '../../nodes/runtime/faults.ts'
import type { StepName } from '../../nodes/runtime/steps.ts'
import type { HostRole } from '../fleet/plan.ts'
import { reasonFor } from './unreached.ts'

export type Cell = { readonly role: HostRole; readonly step: StepName; readonly point: Death }
export const cellText = ({ role, step, point }: Cell): string => `${role}/${step}/${point}`

/** `only`: parts of a cell's text; a cell with any of them is taken. Empty lists take all. */
export type CellFilter = {
  readonly roles: readonly HostRole[]
  readonly points: readonly Death[]
  readonly only: readonly string[]
}

export const isTaken = ({ roles, points, only }: CellFilter, cell: Cell): boolean =>
  (roles.length === 0 || roles.includes(cell.role)) &&
  (points.length === 0 || points.includes(cell.point)) &&
  (only.length === 0 || only.some((part) => cellText(cell).includes(part)))

export type NotTaken = { readonly step: StepName; readonly why: string | undefined }

export type Coverage = {
  readonly role: HostRole
  /** Steps that hosts of the role say they may journal, and of these those that any did. */
  readonly steps: number
  readonly taken: number
  /** Cells of the steps taken, and of these those hit. */
  readonly cells: number
  readonly hit: number
  /** Steps that no host took: nothing of this run could die there. With the reason, where nobody could be expected to (`unreached.ts`). */
  readonly notTaken: readonly NotTaken[]
  /** Cells of steps that were taken, where nobody died. */
  readonly missed: readonly string[]
}

export type Cells = {
  /** Steps of a role, all of whose cells are to be hit from now on. */
  readonly declare: (role: HostRole, steps: readonly StepName[], points: readonly Death[]) => void
  /** A host of the role journalled it. */
  readonly take: (role: HostRole, steps: Iterable<StepName>) => void
  /** A host of the role died there; true for each cell that was open. */
  readonly hit: (cell: Cell) => boolean
  /** What is still to be hit at hosts of the role. */
  readonly open: (role: HostRole) => readonly Cell[]
  /** How many of them are of steps that were taken. */
  readonly openTaken: (role: HostRole) => number
  readonly hits: () => number
  readonly coverage: () => readonly Coverage[]
}

export const createCells = (filter: CellFilter): Cells => {
  const cells = new Map<string, Cell>()
  const hit = new Set<string>()
  const taken = new Set<string>()
  const stepText = (role: HostRole, step: StepName): string => `${role}/${step}`
  const of = (role: HostRole): readonly Cell[] => [...cells.values()].filter((cell) => cell.role === role)
  return {
    declare: (role, steps, points) => {
      for (const step of steps)
        for (const point of points) {
          const cell = { role, step, point }
          if (isTaken(filter, cell)) cells.set(cellText(cell), cell)
        }
    },
    take: (role, steps) => {
      for (const step of steps) taken.add(stepText(role, step))
    },
    hit: (cell) => {
      const text = cellText(cell)
      if (!cells.has(text) || hit.has(text)) return false
      hit.add(text)
      // It was to commit there, if the death did not come before.
      taken.add(stepText(cell.role, cell.step))
      return true
    },
    open: (role) => of(role).filter((cell) => !hit.has(cellText(cell))),
    openTaken: (role) =>
      of(role).filter((cell) => !hit.has(cellText(cell)) && taken.has(stepText(role, cell.step))).length,
    hits: () => hit.size,
    coverage: () =>
      [...new Set([...cells.values()].map(({ role }) => role))].map((role) => {
        const all = of(role)
        const steps = [...new Set(all.map(({ step }) => step))]
        const wasTaken = ({ step }: Pick<Cell, 'step'>): boolean => taken.has(stepText(role, step))
        const reachable = all.filter(wasTaken)
        return {
          role,
          steps: steps.length,
          taken: steps.filter((step) => wasTaken({ step })).length,
          cells: reachable.length,
          hit: reachable.filter((cell) => hit.has(cellText(cell))).length,
          notTaken: steps.filter((step) => !wasTaken({ step })).map((step) => ({ step, why: reasonFor(role, step) })),
          missed: reachable.map(cellText).filter((text) => !hit.has(text)),
        }
      }),
  }
}
