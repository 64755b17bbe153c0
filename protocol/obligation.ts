/** The shape of what SPEC says of a kind of message, and the sentences that many kinds share. */

export type Obligations = {
  readonly purpose: string
  readonly sender: readonly string[]
  readonly receiver: readonly string[]
}

export const answerOnce =
  'MUST store it under the request and send the same content again whenever the request comes again.'
