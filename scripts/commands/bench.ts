/** `semops bench`: what the design costs and saves, measured. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { contextOf } from '../cli/context.ts'
import { CliError } from '../cli/errors.ts'
import { addExamples } from '../cli/help.ts'
import { toJson } from '../cli/output.ts'
import { runLedgerBench } from '../bench/ledger.ts'
import { ledgerBenchLines } from '../bench/ledger-table.ts'
import { MODELS, runPaper } from '../bench/paper.ts'
import { paperPage } from '../bench/paper-page.ts'
import { paperLines } from '../bench/paper-table.ts'

type PaperOptions = {
  readonly seed: string
  readonly payments?: string
  readonly quick?: boolean
  readonly out?: string
}

const DEFAULT_PAYMENTS = 100_000
const QUICK_PAYMENTS = 2_000
const LEAST_PAYMENTS = 200
const MOST_PAYMENTS = 1_000_000

export const register = (program: Command): void => {
  const bench = program.command('bench').description('measure what the design costs and saves')
  const paper = bench
    .command('paper')
    .description(
      'one workload with and without aggregation: bank transfers, messages, seals, CPU, exposure; and θ by k-means',
    )
    .option('--seed <name>', 'of workload and network', 'paper')
    .option(
      '--payments <count>',
      `of the whole workload (default: ${DEFAULT_PAYMENTS}; with --quick ${QUICK_PAYMENTS})`,
    )
    .option('--quick', 'a small workload: every part, none of it precise')
    .option('--out <folder>', "where paper.json and paper.html go (default: bench/ in the network's folder)")
    .action(async ({ seed, payments, quick = false, out }: PaperOptions, self: Command) => {
      const { dir, output, progress, exit } = contextOf(self)
      const report = await runPaper({
        seed,
        payments: countOf(payments, quick),
        quick,
        models: MODELS,
        step: progress,
      })
      const folder = out ?? join(dir, 'bench')
      await mkdir(folder, { recursive: true })
      await writeFile(join(folder, 'paper.json'), `${toJson(report)}\n`)
      await writeFile(join(folder, 'paper.html'), paperPage(report))
      output.fact(report, () => [...paperLines(report, output), '', `${folder}: paper.json, paper.html`])
      if (!report.ok) exit('checkFailed')
    })
  addExamples(paper, [
    [
      'bench paper',
      'the whole analysis, half an hour or more; exit code 0 only when every ledger agrees and collections are as predicted',
    ],
    ['bench paper --quick', 'the same parts on 2,000 payments'],
    ['bench paper --json', '{"perThousand":{"semops":{…},"one-intermediary":{…},"two-intermediaries":{…},…},…}'],
  ])

  const ledger = bench
    .command('ledger')
    .description("a CPP's ledger alone: durable accumulations a second, against raw puts of the same rows")
    .option('--seed <name>', 'of customers and order')
    .option('--quick', 'few customers, entries and rounds: to see that it runs')
    .action(async ({ seed, quick = false }: { readonly seed?: string; readonly quick?: boolean }, self: Command) => {
      const { output, progress, exit } = contextOf(self)
      const shown = progress('ledger')
      const report = await runLedgerBench({
        ...(seed === undefined ? {} : { seed }),
        quick,
        onProgress: (text) => shown.advance(0, text),
      })
      shown.done()
      output.fact(report, () => ledgerBenchLines(report, output))
      if (report.problems.length > 0) exit('checkFailed')
    })
  addExamples(ledger, [
    ['bench ledger', 'several minutes, with a million customers; exit code 0 when the ledgers are whole'],
  ])
}

const countOf = (payments: string | undefined, quick: boolean): number => {
  if (payments === undefined) return quick ? QUICK_PAYMENTS : DEFAULT_PAYMENTS
  const count = Number(payments)
  if (!/^\d{1,7}$/.test(payments) || count < LEAST_PAYMENTS || count > MOST_PAYMENTS)
    throw new CliError('usage', `--payments ${payments} is not a number from ${LEAST_PAYMENTS} to ${MOST_PAYMENTS}`)
  return count
}
