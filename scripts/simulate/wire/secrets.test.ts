import { describe, expect, test } from 'vitest'
import { parseSubject } from '../../../protocol/subjects.ts'
import { utf8 } from '../../../protocol/bytes.ts'
import { WHOLE_TOPOLOGY } from '../testing/watched-network.ts'
import { createComplaints } from './complaints.ts'
import { createSecrets } from './secrets.ts'
import type { Speech } from './speech.ts'

const TOKEN = `U${'A'.repeat(55)}`

describe('a guest', () => {
  const rules = (subjectText: string, text = 'nothing'): readonly string[] => {
    const { complain, take } = createComplaints()
    const subject = parseSubject(subjectText)
    if (subject === undefined) throw new Error(`no subject: ${subjectText}`)
    const said = { subject, login: subject.fromHost, data: utf8(text) } as unknown as Speech
    createSecrets(WHOLE_TOPOLOGY, complain).look(said)
    return take().map(({ rule }) => rule)
  }

  test('under a token, who says nothing of a wallet host, is nobody', () => {
    expect(rules(`semops.v1.merchant.hu-shop-1.offer-request.${TOKEN}`)).toEqual([])
  })
  test('is named by the wallet host in a subject, as its sender or its addressee', () => {
    expect(rules('semops.v1.merchant.hu-shop-1.offer-request.hu-wallet-1')).toEqual(['a guest is named'])
    expect(rules('semops.v1.guest.hu-wallet-1.transaction-details.hu-shop-1')).toEqual(['a guest is named'])
  })
  test('is named by the wallet host in what is said', () => {
    expect(rules(`semops.v1.merchant.hu-shop-1.offer-request.${TOKEN}`, 'by hu-wallet-1')).toEqual(['a guest is named'])
  })
})
