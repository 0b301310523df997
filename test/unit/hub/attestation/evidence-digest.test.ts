// The digest of judged evidence, as constants: whoever keeps evidence computes the same from the description alone, and a release
// that changed it would break what rows of the log say.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { evidenceDigest } from '#hub/attestation/evidence-digest.ts'

const part = (byte: number, length: number): Uint8Array => new Uint8Array(length).fill(byte)
const quote = { attest: part(2, 3), signature: part(3, 2) }

describe('the digest of evidence', () => {
  it('is that of a renewal', () => {
    assert.equal(
      evidenceDigest({ quote, eventLog: undefined, hello: undefined }),
      'sha-256:hoi95Nkw-lIrAkkcWZqP963ZWWED67J18zAevKManBQ',
    )
  })

  it('is that of a join with an event log and a certified key', () => {
    const certified = { public: part(5, 2), attest: part(6, 1), signature: part(7, 1) }
    assert.equal(
      evidenceDigest({ quote, eventLog: part(4, 4), certified, hello: part(1, 32) }),
      'sha-256:qOkbZ2zbwEooskYqT2PvJpE0yLdyQyYgLq0f-0TGWRc',
    )
  })
})
