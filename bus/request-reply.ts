/**
 * Requests and answers, for `$SRV` and for the broker's own system subjects; never for a message of the protocol. The reply
 * subject stays inside: an answerer returns bytes, and they go only to a tool's inbox.
 */
export interface RequestReply extends AsyncDisposable {
  /** The login's name. */
  readonly name: string
  /** Answers every request on `subject`; undefined leaves it unanswered. Resolves when the broker has the subscription. */
  answer(subject: string, handler: (request: Uint8Array) => Uint8Array | undefined): Promise<void>
  /**
   * Asks and gathers answers until `enough` of them is true, no more than `timeoutMs`. Resolves at once with none when nobody
   * listens on `subject`.
   */
  collect(
    subject: string,
    request: Uint8Array,
    options: { readonly timeoutMs: number; readonly enough: (answers: readonly Uint8Array[]) => boolean },
  ): Promise<readonly Uint8Array[]>
  close(): Promise<void>
}
