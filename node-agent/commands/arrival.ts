// A message as it came from the channel, with nothing about it proved.

export interface Arrival {
  readonly subject: string
  /** where the channel would carry an answer; undefined if none is wanted */
  readonly replyTo: string | undefined
  readonly data: Uint8Array
  respond(data: Uint8Array): void
}
