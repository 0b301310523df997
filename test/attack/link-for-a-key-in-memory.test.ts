// A certificate for the connection alone is given to a node whose SVID key is in its TPM, and to nobody else: not to one whose
// key is in memory, and not for the same key.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { generateP256 } from '#shared/jose/keys.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { createCsr } from '#shared/x509/csr.ts'
import { httpsTo } from '#test/support/hub-client.ts'
import { needsNats } from '#test/support/nats.ts'
import { startTpmHub, TpmMachine, type Https } from '#test/support/tpm-machine.ts'

describe('a link', { skip: needsNats }, () => {
  it('is refused beside a key in memory, for the same key, and where the transcript does not name it', async (t) => {
    const { dir, tpm, hub, joined } = await startTpmHub(t)
    const { machine: mini } = await joined('mini')
    const soft = new TpmMachine(hub, {
      name: 'mini',
      tpm,
      dir: join(dir, 'mini'),
      log: mini.log,
      svidKey: 'memory',
    })
    const link = encodeBase64url(createCsr(generateP256()))
    const sending = (bend: (body: { csr: string }) => object): Https => ({
      post: (path, body) =>
        httpsTo(hub).post(path, path === '/v1/attest' ? bend(body as { csr: string }) : body),
    })
    await assert.rejects(soft.renew(sending((body) => ({ ...body, link }))), { code: 'ZT-422-LINK' })
    await assert.rejects(mini.renew(sending((body) => ({ ...body, link: body.csr }))), {
      code: 'ZT-422-LINK',
    })
    // The NATS key signs the transcript, so it is the first to notice.
    await assert.rejects(mini.renew(sending((body) => ({ ...body, link }))), { code: 'ZT-401-EVIDENCE' })
    await mini.renew()
  })
})
