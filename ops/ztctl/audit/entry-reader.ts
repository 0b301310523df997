// Entries of a log out of a byte stream: each behind its length in two bytes, as in a C2SP entry bundle.

export class EntryReader {
  #rest: Buffer = Buffer.alloc(0)

  /** Bytes of an entry that has not come to its end; 0 between entries. */
  get pending(): number {
    return this.#rest.length
  }

  /** Takes the next bytes and gives the entries that are complete now. */
  *push(bytes: Uint8Array): Generator<Uint8Array> {
    this.#rest = this.#rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#rest, bytes])
    for (;;) {
      const end = this.#rest.length < 2 ? Infinity : 2 + this.#rest.readUInt16BE(0)
      if (end > this.#rest.length) return
      const entry = this.#rest.subarray(2, end)
      this.#rest = this.#rest.subarray(end)
      yield entry
    }
  }
}
