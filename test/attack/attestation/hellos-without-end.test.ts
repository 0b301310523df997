// T11: a hello costs the hub a chain of certificates and a secret sealed under an RSA or elliptic key, and anybody may say one. One
// address is heard with 20 at once; its challenges for machines that have joined do not suffer.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { tpmJoinAttestor } from '#node-agent/attest/tpm.ts'
import { parseChallenge } from '#shared/protocol/admission.ts'
import { isZtError } from '#shared/errors/error.ts'
import { httpsTo } from '#test/support/hub-client.ts'
import { startTestHub } from '#test/support/hub.ts'
import { needsNats } from '#test/support/nats.ts'
import { startSwtpm } from '#test/support/swtpm.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { trusting } from '#test/support/tpm-machine.ts'

const AT_ONCE = 20
const ASKED = 80

describe('hellos without end', { skip: needsNats }, () => {
  it('are refused beyond the rate of their address, and hold up nobody who renews', async (t) => {
    const tpm = await startSwtpm(t)
    const hub = await startTestHub({ config: { tpm: trusting(tpm) } })
    t.after(() => hub.stop())
    const settings = { where: tpm.device, eventLog: '/nonexistent', svidKey: 'tpm' as const }
    const hello = await tpmJoinAttestor('', {
      settings,
      keyFile: join(await tempDir(t), 'tpm-key.json'),
    }).hello?.()
    const https = httpsTo(hub)
    const say = async (): Promise<string> => {
      try {
        parseChallenge(await https.post('/v1/challenge', { node: 'mini', tpm: hello }), '')
        return 'ok'
      } catch (error) {
        return isZtError(error) ? error.code : 'other'
      }
    }
    const codes = await Promise.all(Array.from({ length: ASKED }, say))
    const heard = codes.filter((code) => code === 'ok').length
    assert.ok(heard >= AT_ONCE && heard < ASKED / 2, `${heard} were heard`)
    assert.equal(codes.filter((code) => code === 'ZT-429-RATE').length, ASKED - heard)
    assert.ok(parseChallenge(await https.post('/v1/challenge', { node: 'mini' }), '').nonce)
  })
})
