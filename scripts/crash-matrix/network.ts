/**
 * The network that the crash matrix runs on: small, and with everything in it. Two realms that pay each other, a settlement bank,
 * one CPP that collects at thresholds and one in bulk, accounts in another currency, payees who reject or are silent, aliases.
 * Times are short, so that what is due by age comes within seconds.
 */
export const MATRIX_NETWORK = `network: crash-matrix
currency: EUR
policies:
  cpp:
    noticeLifetimeMs: 6000
    settlement: { thresholdMinor: { EUR: '2000' }, maxAgeMs: 2000, retryMs: 500 }
    collectionRetry: { firstMs: 1000, maxMs: 4000, maxRetries: 12 }
    fx: { rates: { EUR HUF: { numerator: '400', denominator: '1' } }, marginBps: 50, quoteLifetimeMs: 15000, retryMs: 1000 }
  mpp: { payout: { thresholdMinor: { EUR: '500' }, maxAgeMs: 2000, retryMs: 500 }, settlement: { maxUnpaidMs: 60000, retryMs: 500 } }
  bank: { clearing: { windowMs: 1000 } }
  merchant: { transLifetimeMs: 12000 }
  customer: { guestPhaseMs: 8000, firstGoodsQueryMs: 500, queryAfterExpiryMs: 500 }
banks:
  - { id: hu-kh }
  - { id: ro-carpat }
  - { id: ro-reserve, settlement: true }
realms:
  hu:
    cpps: [{ id: hu-otp, bank: hu-kh, balance: '50000.00' }]
    mpps: [{ id: hu-cosmo, bank: hu-kh }]
    merchants:
      - { payee: bakery@hu, bank: hu-kh }
      - { payee: hotel@hu, bank: hu-kh, approval: { rule: silent } }
    customers:
      - { id: hu-anna, bank: hu-kh, balance: '20000.00', alias: hu-anna-pays }
      - { id: hu-bela, bank: hu-kh, balance: '20000.00' }
      - { id: hu-eva, bank: hu-kh, currency: HUF, balance: '9000000.00' }
      - { id: hu-poor, bank: hu-kh, balance: '5.00' }
  ro:
    cpps:
      - id: ro-libra
        bank: ro-carpat
        balance: '50000.00'
        policy: { aggregation: { policy: bulk, windowMs: 2000, lowWaterMinor: { EUR: '100' }, maxDebtAgeMs: 6000 } }
    mpps: [{ id: ro-danube, bank: ro-carpat }]
    merchants:
      - { payee: cafe@ro, bank: ro-carpat }
      - { payee: museum@ro, bank: ro-carpat, approval: { rule: reject-all } }
    customers:
      - { id: ro-mihai, bank: ro-carpat, balance: '20000.00', alias: ro-mihai-pays }
      - { id: ro-ana, bank: ro-carpat, balance: '20000.00' }
`
