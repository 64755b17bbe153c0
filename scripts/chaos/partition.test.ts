import { expect, test } from 'vitest'
import { cutsFor, realmsOf } from './partition.ts'

const HU = [
  { id: 'hu-kh', realm: 'hu' },
  { id: 'hu-dc-1', realm: 'hu' },
]
const HOSTS = [...HU, { id: 'ro-libra', realm: 'ro' }]

test('a host is cut off from everybody', () => {
  expect(cutsFor('hu-kh', HOSTS)).toEqual([{ id: 'hu-kh', from: 'all' }])
})

test('a realm is cut off from the others, which know it by its data centers’ address too; within it nobody is', () => {
  expect(cutsFor('hu', HOSTS)).toEqual([
    { id: 'hu-kh', from: ['ro-libra', 'ro-dc'] },
    { id: 'hu-dc-1', from: ['ro-libra', 'ro-dc'] },
    { id: 'ro-libra', from: ['hu-kh', 'hu-dc', 'hu-dc-1'] },
  ])
})

test('only where there are several realms', () => {
  expect(realmsOf(HOSTS)).toEqual(['hu', 'ro'])
  expect(realmsOf(HU)).toEqual([])
})
