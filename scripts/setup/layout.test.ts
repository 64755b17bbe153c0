/** What a stranger's clone relies on: the top level, and a lock file that npm takes anywhere. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { projectRoot } from '../cli/paths.ts'
import { missingEntries } from './complete-lock.mjs'

const TOP_LEVEL = [
  'README.md',
  'bus',
  'nodes',
  'package-lock.json',
  'package.json',
  'protocol',
  'scripts',
  'tsconfig.json',
]

const text = readFileSync(join(projectRoot(), 'package-lock.json'), 'utf8')

describe('the project', () => {
  test('shows nothing at the top but its layers and what npm and the compiler need', () => {
    const shown = readdirSync(projectRoot()).filter((name) => !name.startsWith('.') && name !== 'node_modules')
    expect(shown.filter((name) => !TOP_LEVEL.includes(name))).toEqual([])
  })

  test('locks no address of a registry', () => {
    expect(text).not.toMatch(/"resolved"|https?:\/\/[^"]*\.tgz/)
  })

  test('locks the binary packages of every platform', () => {
    expect(missingEntries(JSON.parse(text) as Parameters<typeof missingEntries>[0])).toEqual({})
  })
})

describe('completing a lock file', () => {
  test('adds what npm left out, with the platform that the name tells', () => {
    const packages = {
      'node_modules/tool': {
        dev: true,
        optionalDependencies: {
          '@tool/linux-x64-musl': '1.2.3',
          '@tool/linux-arm64-gnu': '1.2.3',
          '@tool/darwin-arm64': '1.2.3',
        },
      },
      'node_modules/@tool/darwin-arm64': { version: '1.2.3' },
    }
    expect(missingEntries({ packages })).toEqual({
      'node_modules/@tool/linux-x64-musl': {
        version: '1.2.3',
        dev: true,
        optional: true,
        os: ['linux'],
        cpu: ['x64'],
        libc: ['musl'],
      },
      'node_modules/@tool/linux-arm64-gnu': {
        version: '1.2.3',
        dev: true,
        optional: true,
        os: ['linux'],
        cpu: ['arm64'],
        libc: ['glibc'],
      },
    })
  })

  test('leaves an optional package alone whose name tells no platform', () => {
    expect(missingEntries({ packages: { 'node_modules/a': { optionalDependencies: { b: '1.0.0' } } } })).toEqual({})
  })
})
