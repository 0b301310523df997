// T12: a nonce that came twice would let an old quote answer a new challenge (CVE-2026-6420). Every challenge has 32 random bytes of
// its own, over many challenges, at once, for one node and for others, and over a restart; and every hello a secret of its
// own, as the TPM that opens it says: test/e2e/attestation/judging.test.ts.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseChallenge } from '#shared/protocol/admission.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { httpsTo } from '#test/support/hub-client.ts'
import { startTestHub } from '#test/support/hub.ts'
import { needsNats } from '#test/support/nats.ts'

// Together fewer than the hub answers one address at once, however quick the machine.
const ROUNDS = 10
const AT_ONCE = 50

describe('the nonce of a challenge', { skip: needsNats }, () => {
  it('never comes twice, nor does a part of it', async (t) => {
    const hub = await startTestHub()
    t.after(() => hub.stop())
    const nonces: Buffer[] = []
    const sessions = new Set<string>()
    const ask = async (): Promise<void> => {
      const https = httpsTo(hub)
      for (let round = 0; round < ROUNDS; round += 1) {
        const node = parseNodeName(round % 2 === 0 ? 'mini' : `node-${round}`)
        const asked = Array.from({ length: AT_ONCE }, () => https.post('/v1/challenge', { node }))
        for (const answer of await Promise.all(asked)) {
          const { nonce, session } = parseChallenge(answer, '')
          nonces.push(Buffer.from(nonce, 'base64url'))
          sessions.add(session)
        }
      }
    }
    await ask()
    await hub.restart()
    await ask()
    assert.equal(nonces.length, 2 * ROUNDS * AT_ONCE)
    assert.equal(sessions.size, nonces.length)
    for (const [from, to] of [
      [0, 8],
      [8, 16],
      [16, 24],
      [24, 32],
    ] as const) {
      const parts = new Set(nonces.map((nonce) => nonce.subarray(from, to).toString('hex')))
      assert.equal(parts.size, nonces.length)
    }
    // A byte that is always the same, or rarely different, is none that was drawn: 1000 draws show some 251 of 256 values.
    for (let at = 0; at < 32; at += 1)
      assert.ok(new Set(nonces.map((nonce) => nonce[at])).size > 230, `byte ${at}`)
  })
})
