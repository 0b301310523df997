// A PCR policy is believed of every node that it names: what a suspect node has measured never gets into one.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { suspicionOfProof } from '#ops/ztctl/client/quarantine.ts'
import { requireClean } from '#ops/ztctl/verbs/pcr-policy-draft.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { Quarantine } from '#shared/protocol/quarantine.ts'

const id = parseSpiffeId('spiffe://mesh.example/node/mini')
const quarantine = new Quarantine([
  { kind: 'id', value: id, from: 200, since: 100, until: 300, reason: 'lost' },
])
const suspect = { since: 100_000, until: 300_000, reason: 'lost' }

describe('what a suspect node has measured', () => {
  it('is refused for a PCR policy', () => {
    assert.throws(() => requireClean(id, { at: 150_000 }, quarantine), {
      code: 'ZT-403-REVOKED',
      message: /is quarantined: data since 1970-01-01T00:01:40.000Z until 1970-01-01T00:05:00.000Z/,
    })
  })

  it('is taken where it was measured before, or after the node had been allowed again', () => {
    for (const at of [99_999, 300_000]) requireClean(id, { at }, quarantine)
  })

  it('is suspect by its proof or by its quote, whichever is from that time', () => {
    const proved = (at: number, quoted: number) =>
      suspicionOfProof({ id, attestation: { at }, tpm: { quote: { at: quoted } } }, quarantine)
    assert.deepEqual(
      [proved(50_000, 150_000), proved(150_000, 350_000), proved(50_000, 350_000)],
      [suspect, suspect, undefined],
    )
  })
})
