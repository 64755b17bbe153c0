import { expect, test } from 'vitest'
import { STUDIES, studyThetas, type Study } from './theta-study.ts'

const study = (name: (typeof STUDIES)[number], feeMinor = 2): Study =>
  studyThetas(name, { customers: 150, paymentsPerCustomer: 60, seeds: ['a', 'b'], feeMinor, hazardPerDay: 0.000_5 })

test('hindsight is never worse than the border, whatever the customers', () => {
  for (const name of STUDIES)
    for (const { costMinor } of study(name).runs) expect(costMinor.bestSingle).toBeLessThanOrEqual(costMinor.border)
})

test('where customers are alike k-means has nothing to gain: what it finds is noise, and costs little', () => {
  const { savedPercent } = study('alike')
  expect(savedPercent.mean).toBeLessThan(1)
  expect(savedPercent.least).toBeGreaterThan(-10)
})

test('where those who spend least default most, one θ for all loses to k-means, and k-means to the truth', () => {
  const { runs, savedPercent } = study('differing-at-risk')
  expect(savedPercent.least).toBeGreaterThan(0)
  for (const { costMinor } of runs) expect(costMinor.oracle).toBeLessThan(costMinor.kmeans)
})

test('the same seeds give the same study', () => {
  expect(study('differing')).toEqual(study('differing'))
})
