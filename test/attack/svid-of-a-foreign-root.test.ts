// Only the mesh's own roots count: not a root that somebody made with our names, not the system's authorities, and not
// an intermediate that the bundle has revoked.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { thumbprint } from '#shared/jose/keys.ts'
import { parseCertificate } from '#shared/x509/certificate.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { ReceivingNode } from '#test/support/receiving-node.ts'
import { makeTestPki } from '#test/support/test-pki.ts'

describe('an SVID of a foreign root', () => {
  it('is refused, although it has our names in every certificate', async (test) => {
    const node = await ReceivingNode.create(test)
    const foreign = await makeTestPki({ now: node.clock.now() })
    const signer = foreign.identity('/operator/ann')
    assert.equal(signer.id, node.operator.id)
    const claims = { cnf: { 'x5t#S256': signer.thumbprint } }
    assert.equal(await node.deliver(node.message(node.spawn(), { signer, claims })), undefined)
    assert.deepEqual(node.lastRejection(), { code: 'ZT-401-CERT', check: 4, reason: 'untrusted' })
    assert.equal(node.keeper.started.length, 0)
  })

  it('is refused behind our own intermediate, which did not sign it', async (test) => {
    const node = await ReceivingNode.create(test)
    const foreign = await makeTestPki({ now: node.clock.now() })
    const stranger = foreign.identity('/operator/ann')
    const [leaf = new Uint8Array()] = stranger.chain
    const signer = {
      ...stranger,
      chain: [leaf, node.pki.workload.certificate.der],
      thumbprint: thumbprint(leaf),
    }
    assert.equal(await node.deliver(node.message(node.spawn(), { signer })), undefined)
    assert.equal(node.lastRejection()?.code, 'ZT-401-CERT')
  })

  it('is refused when it signed the token', async (test) => {
    const node = await ReceivingNode.create(test)
    const foreign = await makeTestPki({ now: node.clock.now() })
    const hub = foreign.identity('/hub/h1')
    assert.equal(await node.refusal(node.message(node.spawn(), { hub })), 'ZT-401-TOKEN')
    assert.equal(node.keeper.started.length, 0)
  })

  it('is refused when its own intermediate was revoked, the moment the bundle says so', async (test) => {
    const trusted: { validator?: SvidValidator } = {}
    const pki = await makeTestPki({ now: Date.UTC(2026, 10, 22, 12) })
    trusted.validator = new SvidValidator(pki.bundle)
    const node = await ReceivingNode.create(test, { pki, parts: { trust: trusted.validator } })
    assert.equal((await node.send(node.spawn()))?.ok, true)
    const { keyId } = parseCertificate(pki.workload.certificate.der)
    trusted.validator.replaceBundle({ ...pki.bundle, sequence: 2, revokedIntermediates: [keyId] })
    assert.equal(await node.deliver(node.message(node.spawn())), undefined)
    assert.deepEqual(node.lastRejection(), { code: 'ZT-401-CERT', check: 4, reason: 'revoked-intermediate' })
  })
})
