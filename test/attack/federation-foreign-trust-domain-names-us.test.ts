// A federated trust domain cannot speak for ours: not by a bundle that holds our names, not by a relation that claims ours, and
// not by its authorities, which sign whatever they like.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseConfig } from '#hub/config.ts'
import { parseBundleDocument } from '#shared/spiffe/bundle-document.ts'
import { verifyForeignSvid } from '#shared/spiffe/foreign-svid.ts'
import { thumbprint } from '#shared/jose/keys.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { bundleText, foreignCa, foreignLeaf, x509Jwk } from '#test/support/foreign-pki.ts'
import { documentOf, NOW, spiffeFederation, spiffeServer } from '#test/support/foreign-relation.ts'
import { ReceivingNode } from '#test/support/receiving-node.ts'
import { makeTestPki } from '#test/support/test-pki.ts'

// An authority of the other side that says, in its certificate, that it is one of ours.
const impostor = foreignCa('other.example', { at: NOW, uris: ['spiffe://mesh.example'] })

describe('a federated trust domain', () => {
  it('cannot put a key into our bundle', async (t) => {
    const { made } = await spiffeFederation(t, [spiffeServer()], documentOf([impostor], 2))
    const { bundles } = await made.federation.bundles({})
    const [own, other] = bundles
    assert.deepEqual([own?.td, other?.td], ['mesh.example', 'other.example'])
    const held = parseBundleDocument(own?.document ?? '', own?.td as never)
    assert.ok(held.x509Authorities.every((one) => Buffer.compare(one.der, impostor.der) !== 0))
  })

  it('cannot have an SVID with our name accepted, whichever bundle is known', async (t) => {
    const { made } = await spiffeFederation(t, [spiffeServer()], documentOf([impostor], 2))
    const { bundles } = await made.federation.bundles({})
    const known = new Map(bundles.map((one) => [one.td, parseBundleDocument(one.document, one.td)]))
    const forged = foreignLeaf(impostor, 'spiffe://mesh.example/operator/ann', { at: NOW })
    assert.throws(() => verifyForeignSvid([forged.der], (td) => known.get(td), NOW), {
      code: 'ZT-401-CERT',
      details: { reason: 'untrusted' },
    })
  })

  it('cannot command a node, under its own name or ours', async (t) => {
    const node = await ReceivingNode.create(t)
    const at = node.clock.now()
    const authority = foreignCa('other.example', { at, uris: ['spiffe://mesh.example'] })
    for (const uri of ['spiffe://mesh.example/operator/ann', 'spiffe://other.example/operator/ann']) {
      const middle = foreignCa('mesh.example', { at, issuer: authority, name: 'middle', pathLen: 0 })
      const leaf = foreignLeaf(middle, uri, { at })
      const signer = {
        id: parseSpiffeId(uri),
        chain: [leaf.der, middle.der],
        key: leaf.key,
        notBefore: at - 3_600_000,
        notAfter: at + 3_600_000,
        thumbprint: thumbprint(leaf.der),
      }
      assert.equal(await node.deliver(node.message(node.spawn(), { signer })), undefined)
      assert.equal(node.lastRejection()?.code, 'ZT-401-CERT')
    }
    assert.equal(node.keeper.started.length, 0)
  })

  it('cannot be taken for ours by our own validator', async () => {
    const pki = await makeTestPki({ now: NOW })
    const middle = foreignCa('mesh.example', { at: NOW, issuer: impostor, name: 'middle', pathLen: 0 })
    const forged = foreignLeaf(middle, 'spiffe://mesh.example/node/n1', { at: NOW })
    const validator = new SvidValidator(pki.bundle)
    assert.throws(() => validator.validate([forged.der, middle.der], NOW), { code: 'ZT-401-CERT' })
  })

  it('cannot be configured under our name, nor twice', () => {
    const relation = { endpointUrl: 'https://a.example/b', profile: 'https_web' }
    const config = (federation: readonly object[]): string =>
      JSON.stringify({
        trustDomain: 'mesh.example',
        hub: 'h1',
        listen: { host: '127.0.0.1', port: 1 },
        dnsNames: [],
        stateDir: 's',
        sealKeyFile: 'k',
        bundleFile: 'b',
        nats: { host: '127.0.0.1', port: 2, binary: 'nats-server' },
        loginDir: '/l',
        operators: [],
        federation,
      })
    assert.equal(parseConfig(config([{ ...relation, trustDomain: 'a.example' }]), '/').federation.length, 1)
    const refused = { code: 'ZT-400-CONFIG' }
    assert.throws(() => parseConfig(config([{ ...relation, trustDomain: 'mesh.example' }]), '/'), refused)
    const twice = { ...relation, trustDomain: 'a.example' }
    assert.throws(() => parseConfig(config([twice, twice]), '/'), refused)
  })

  it('cannot name a third one: what its endpoint says is about itself', async (t) => {
    const third = foreignCa('third.example', { at: NOW })
    const map = `{"trust_domains":{"third.example":${bundleText([x509Jwk(third)])}},"keys":[]}`
    const { made } = await spiffeFederation(t, [spiffeServer()], map)
    const { bundles } = await made.federation.bundles({})
    assert.deepEqual(
      bundles.map((one) => one.td),
      ['mesh.example', 'other.example'],
    )
    assert.ok(!bundles.some((one) => one.document.includes('third.example')))
  })
})
