/** The clustering as a job: in steps of a few milliseconds, between which the host does what else it has to do. */
import type { Currency } from '../../protocol/amount.ts'
import { clusterSteps, featuresOfRow, type Clustering } from './kmeans.ts'
import { thetaTerms, type KmeansSettings } from './policies.ts'

export type ThetaInput = {
  readonly run: number
  readonly settings: KmeansSettings
  readonly samples: readonly { readonly currency: Currency; readonly rows: readonly (readonly number[])[] }[]
}
/** Of each currency with enough customers. */
export type ThetaResult = readonly { readonly currency: Currency; readonly clustering: Clustering }[]

const otherThingsFirst = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

export const computeThresholds = async (input: unknown): Promise<ThetaResult> => {
  const { settings, samples } = input as ThetaInput
  const results: { readonly currency: Currency; readonly clustering: Clustering }[] = []
  for (const { currency, rows } of samples) {
    const steps = clusterSteps(rows.map(featuresOfRow), thetaTerms(settings, currency), settings.seed ?? 1)
    for (;;) {
      const { done, value } = steps.next()
      if (done === true) {
        if (value !== undefined) results.push({ currency, clustering: value })
        break
      }
      await otherThingsFirst()
    }
  }
  return results
}
