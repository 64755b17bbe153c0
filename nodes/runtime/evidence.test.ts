/** Evidence from the real nodes of every role, audited by whoever has the root key: before and after settlement, rotation, revocation. */
import { beforeAll, describe, expect, it } from 'vitest'
import { auditEvidence } from '../../protocol/audit.ts'
import type { Audit } from '../../protocol/audit-findings.ts'
import { fromHex, toHex, utf8 } from '../../protocol/bytes.ts'
import { readBundle, readEvidenceStatement } from '../../protocol/evidence.ts'
import { keyIdOf, networkIdOf } from '../../protocol/keys.ts'
import { issueRevocationList } from '../../protocol/statements.ts'
import type { EvidenceAnswer } from './evidence.ts'
import type { PaymentLine, PaymentsPage } from './reports.ts'
import { buildWholeNetwork, type WholeNetwork } from './whole-network.ts'

const paymentsOf = ({ sim }: WholeNetwork, host: string): readonly PaymentLine[] => {
  const answer = sim.host(host).host().ask('payments', {})
  if (!answer.ok) throw new Error(answer.error.code)
  return (answer.value as PaymentsPage).payments
}

const gather = ({ sim }: WholeNetwork, [host, paymentId]: readonly [string, string]): Uint8Array => {
  const answer = sim.host(host).host().ask('evidence', { paymentId })
  if (!answer.ok) throw new Error(answer.error.code)
  const value = answer.value as EvidenceAnswer
  if (!value.ok) throw new Error(`${host}: ${value.code} ${value.detail}`)
  return value.bundle
}

/** The last payment that the wallet made, as each party that knows of it. */
const partiesOf = (network: WholeNetwork, realm: string, payee: string, txId: string) => {
  const line = paymentsOf(network, `${realm}-cpp`).find((one) => one.txId === txId) as PaymentLine
  const there = payee.slice(0, 2)
  const { prId = '', pnId = '' } = line
  return {
    customer: [`${realm}-wallet-1`, prId],
    cpp: [`${realm}-cpp`, prId],
    mpp: [`${there}-mpp`, pnId],
    merchant: [`${there}-shop-1`, pnId],
  } as const
}

const pay = async (network: WholeNetwork, payee: string, amountMinor: string) => {
  const answer = await network.pay('hu', payee, amountMinor)
  if (!answer.ok) throw new Error(answer.error.code)
  const { txId } = answer.value as { readonly txId: string }
  await network.sim.run()
  return partiesOf(network, 'hu', payee, txId)
}
type Parties = Awaited<ReturnType<typeof pay>>

const audited = (network: WholeNetwork, parties: Parties, party: keyof Parties): Audit => {
  const { sim } = network
  return auditEvidence(sim.engine, sim.root.publicKey, gather(network, parties[party]))
}
const faults = ({ ok, missing, problems }: Audit) => ({ ok, missing, problems })
const CLEAN = { ok: true, missing: [], problems: [] }
const PARTIES = ['customer', 'merchant', 'cpp', 'mpp'] as const
const provedPieces = ({ proved }: Audit) => proved.map(({ piece }) => piece)

describe('evidence of the real nodes', { timeout: 60_000 }, () => {
  let network: WholeNetwork
  beforeAll(async () => {
    network = await buildWholeNetwork('evidence')
  }, 60_000)

  it('proves a micropayment at every party before it is settled, and afterwards the settlement and the charge', async () => {
    const parties = await pay(network, 'hu-bakery', '120')
    for (const party of PARTIES) expect([party, faults(audited(network, parties, party))]).toEqual([party, CLEAN])
    expect(provedPieces(audited(network, parties, 'customer'))).toEqual([
      'statement',
      'transaction-details',
      'payment-request',
      'customer-delayed-transfer-confirmation',
    ])
    expect(audited(network, parties, 'cpp').notes.map(({ piece }) => piece)).toContain('settlement-batch')
    // The next crosses the threshold, and the pair's age brings the batch.
    await pay(network, 'hu-bakery', '950')
    await network.sim.advance(30_000)
    for (const party of PARTIES) expect([party, faults(audited(network, parties, party))]).toEqual([party, CLEAN])
    expect(provedPieces(audited(network, parties, 'cpp'))).toEqual([
      'statement',
      'transaction-details',
      'payment-request',
      'payment-notice',
      'countersigned-decision',
      'delayed-transfer-confirmation',
      'customer-delayed-transfer-confirmation',
      'settlement-batch',
      'settlement-acceptance',
      'transfer-answer',
      'transfer-answer',
    ])
    expect(provedPieces(audited(network, parties, 'mpp'))).toEqual([
      'statement',
      'transaction-details',
      'payment-notice',
      'countersigned-decision',
      'delayed-transfer-confirmation',
      'settlement-batch',
      'settlement-acceptance',
      'account-notice',
    ])
  })

  it.each([
    ['micro abroad', 'ro-bakery', '90'],
    ['macro at home', 'hu-bakery', '5000'],
    ['macro abroad', 'ro-bakery', '7000'],
  ])('proves a payment at every party: %s', async (_, payee, amountMinor) => {
    const parties = await pay(network, payee, amountMinor)
    await network.sim.advance(2_000)
    for (const party of PARTIES) expect([party, faults(audited(network, parties, party))]).toEqual([party, CLEAN])
    if (amountMinor === '90') return
    expect(provedPieces(audited(network, parties, 'cpp'))).toEqual(
      expect.arrayContaining(['hold-answer', 'post-answer']),
    )
    expect(provedPieces(audited(network, parties, 'merchant'))).toContain('account-notice')
  })

  it.each([
    ['micro, before anything is collected', 'hu-bakery', '300', ['100', '150'], 100],
    ['micro abroad, once it is settled and paid out', 'ro-bakery', '310', ['310'], 40_000],
    ['macro at home', 'hu-bakery', '2000', ['700', '1300'], 5_000],
  ] as const)('proves refunds at every party: %s', async (_, payee, amountMinor, refunds, waitMs) => {
    const { sim } = network
    const shop = `${payee.slice(0, 2)}-shop-1`
    await network.ok(shop, 'set-refund-pin', { pin: '482915' })
    const parties = await pay(network, payee, amountMinor)
    await sim.advance(waitMs)
    const line = paymentsOf(network, shop).find(({ pnId }) => pnId === parties.merchant[1])
    for (const asked of refunds) {
      await sim.command(shop, 'refund', { payee, txId: line?.txId, amountMinor: asked, pin: '482915' })
      await sim.advance(40_000)
    }
    for (const party of PARTIES) {
      const audit = audited(network, parties, party)
      expect([party, faults(audit)]).toEqual([party, CLEAN])
      const kind = party === 'customer' ? 'customer-refund-notice' : 'refund-confirmation'
      expect([party, provedPieces(audit).filter((piece) => piece === kind).length]).toEqual([party, refunds.length])
    }
  })

  it.each([
    ['micro', 'hu-bakery', '210'],
    ['macro abroad', 'ro-bakery', '2500'],
  ])('proves a payment from an account in another currency: %s', async (_, payee, amountMinor) => {
    const { sim } = network
    if (amountMinor === '210') await network.addHufCustomer('hu', 'hu-eva', '10000000')
    const args = { customer: 'hu-eva', payee, amountMinor, currency: 'EUR' }
    const answer = await sim.command('hu-wallet-1', 'pay', args)
    expect(answer).toMatchObject({ ok: true, value: { outcome: 'confirmed' } })
    await sim.advance(2_000)
    const parties = partiesOf(network, 'hu', payee, (answer as { value: { txId: string } }).value.txId)
    for (const party of PARTIES) expect([party, faults(audited(network, parties, party))]).toEqual([party, CLEAN])
    expect(provedPieces(audited(network, parties, 'customer'))).toContain('fx-quote')
    const booked = provedPieces(audited(network, parties, 'cpp')).filter((piece) => piece.endsWith('-answer'))
    expect(booked).toEqual(amountMinor === '210' ? [] : ['hold-answer', 'post-answer', 'transfer-answer'])
  })

  it('proves an end that is not confirmed', async () => {
    const { sim } = network
    // More than the account holds.
    const answer = await network.pay('hu', 'hu-bakery', '99999999')
    expect(answer).toMatchObject({ ok: true, value: { outcome: 'refused' } })
    const { txId } = (answer as { value: { txId: string } }).value
    const parties = partiesOf(network, 'hu', 'hu-bakery', txId)
    for (const party of ['customer', 'cpp'] as const)
      expect([party, faults(audited(network, parties, party))]).toEqual([party, CLEAN])
    const unknown = sim
      .host('hu-mpp')
      .host()
      .ask('evidence', { paymentId: toHex(new Uint8Array(16)) })
    expect(unknown).toMatchObject({ ok: true, value: { ok: false, code: 'NOT_FOUND' } })
  })

  it('names no customer, and no key of one, in what merchant and MPP show', async () => {
    const parties = await pay(network, 'ro-bakery', '80')
    await network.sim.advance(30_000)
    const { sim } = network
    const wallet = sim.host('hu-wallet-1').identity
    const secrets = [
      utf8('hu-alice'),
      utf8('hu-bank:alice'),
      utf8('hu-wallet-1'),
      wallet.signing.publicKey,
      keyIdOf('ed25519', wallet.signing.publicKey),
      fromHex(parties.customer[1]),
    ]
    const found = (bundle: Uint8Array) => secrets.map((secret) => Buffer.from(bundle).includes(Buffer.from(secret)))
    for (const party of ['merchant', 'mpp'] as const)
      expect([party, found(gather(network, parties[party]))]).toEqual([party, secrets.map(() => false)])
    // The search finds what is there.
    expect(found(gather(network, parties.customer))).toContain(true)
  })

  it('is proved after every key has been exchanged, and states what was revoked since', async () => {
    const parties = await pay(network, 'ro-bakery', '70')
    const { sim } = network
    await sim.advance(1_000)
    const taking = ['hu-cpp', 'ro-mpp', 'ro-shop-1', 'hu-wallet-1'].map((id) => sim.host(id).take('new', 'trusted'))
    await sim.run()
    const before = (await taking[0]) as Uint8Array
    await sim.advance(20_000)
    for (const party of PARTIES) expect([party, faults(audited(network, parties, party))]).toEqual([party, CLEAN])
    const list = issueRevocationList(
      sim.engine,
      { networkId: networkIdOf(sim.root.publicKey), version: 1, revoked: [before], issuedAtMs: sim.now() },
      sim.root,
    )
    for (const { host } of sim.hosts()) void host().revocations(list)
    await sim.advance(5_000)
    for (const party of PARTIES) {
      const audit = audited(network, parties, party)
      expect([party, faults(audit)]).toEqual([party, CLEAN])
      expect([party, audit.about?.revocationVersion]).toEqual([party, 1])
    }
    // What the CPP sealed stands at the others under the revoked key, in their journals from before.
    expect(audited(network, parties, 'mpp').notes.map(({ piece }) => piece)).toContain('delayed-transfer-confirmation')
  })
})

describe('what a bundle says of itself', () => {
  it('lists each piece once', async () => {
    const network = await buildWholeNetwork('evidence of one')
    const parties = await pay(network, 'hu-bakery', '120')
    const bundle = readBundle(gather(network, parties.cpp))
    if (!bundle.ok) throw new Error(bundle.failure.code)
    const statement = readEvidenceStatement(bundle.value.payload)
    if (!statement.ok) throw new Error(statement.failure.code)
    const hashes = statement.value.pieces.map(({ hash }) => toHex(hash))
    expect(new Set(hashes).size).toBe(hashes.length)
    expect(bundle.value.pieces.length).toBe(hashes.length)
  }, 30_000)
})
