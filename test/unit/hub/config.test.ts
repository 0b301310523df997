// A bad configuration stops the hub, and says which field.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseConfig } from '#hub/config.ts'

const GOOD = {
  trustDomain: 'mesh.example',
  hub: 'h1',
  listen: { host: '127.0.0.1', port: 8443 },
  dnsNames: ['localhost'],
  stateDir: 'state',
  sealKeyFile: '/secret/seal.key',
  bundleFile: 'bundle.jws',
  root: 'ab'.repeat(32),
  nats: { host: '127.0.0.1', port: 4222, binary: 'nats-server' },
  loginDir: 'login',
  operators: [{ name: 'alice', uid: 1000, roles: ['operator'] }],
}
const parse = (change: object): unknown => parseConfig(JSON.stringify({ ...GOOD, ...change }), '/etc/zt')

describe('the configuration', () => {
  it('resolves places against its own folder and fills in what it derives', () => {
    const config = parseConfig(JSON.stringify(GOOD), '/etc/zt')
    assert.equal(config.stateDir, '/etc/zt/state')
    assert.equal(config.sealKeyFile, '/secret/seal.key')
    assert.equal(config.nats.binary, 'nats-server')
    assert.equal(config.id, 'spiffe://mesh.example/hub/h1')
    assert.equal(config.url, 'https://127.0.0.1:8443')
    assert.equal(config.periods.svidTtlS, 300)
  })

  it('takes no TPMs unless told whose', () => {
    assert.equal(parseConfig(JSON.stringify(GOOD), '/etc/zt').tpm, undefined)
    const { tpm } = parseConfig(JSON.stringify({ ...GOOD, tpm: { roots: ['vendor.pem'] } }), '/etc/zt')
    assert.deepEqual([tpm?.roots, tpm?.allowEk, tpm?.denyEk], [['/etc/zt/vendor.pem'], undefined, []])
  })

  const alice = { name: 'alice', uid: 1000, roles: ['operator'] }
  const refused: Record<string, object> = {
    'an unknown field': { debug: true },
    'a secret by value': { sealKey: 'AAAA' },
    'a trust domain with an upper-case letter': { trustDomain: 'Mesh.example' },
    'a hub name with a slash': { hub: 'a/b' },
    'port 0': { listen: { host: '127.0.0.1', port: 0 } },
    'an SVID life over five minutes': { svidTtlS: 301 },
    'an anchor age over a minute': { anchorMaxAgeS: 61 },
    'a root that is not a fingerprint': { root: 'AB'.repeat(32) },
    'a url of plain http': { url: 'http://h:1' },
    'a url with a path': { url: 'https://h:1/x' },
    'a url with a user': { url: 'https://u@h:1' },
    'two operators of one uid': { operators: [alice, { ...alice, name: 'bob' }] },
    'two operators of one name': { operators: [alice, { ...alice, uid: 1001 }] },
    'an operator whose uid is text': { operators: [{ ...alice, uid: '1000' }] },
    'an operator whose uid is -1': { operators: [{ ...alice, uid: 4_294_967_295 }] },
    'a DNS name with a wildcard': { dnsNames: ['*.example'] },
    'TPMs of no vendor': { tpm: { roots: [] } },
    'an EK that is not a digest': { tpm: { roots: ['r'], denyEk: ['AB'.repeat(32)] } },
    'a policy key that is none': { tpm: { roots: ['r'], policyKeys: ['pcr+00000000+AAAA'] } },
    'a PCR policy without the keys that may sign one': { tpm: { roots: ['r'], policyFile: 'p.note' } },
    'no operators field': { operators: undefined },
  }
  for (const [what, change] of Object.entries(refused))
    it(`refuses ${what}`, () => {
      assert.throws(() => parse(change), { code: 'ZT-400-CONFIG' })
    })

  const texts: Record<string, string> = {
    'a field given twice': `{"hub":"h1",${JSON.stringify(GOOD).slice(1)}`,
    'bytes after the object': `${JSON.stringify(GOOD)}x`,
    'a comment': `${JSON.stringify(GOOD)}// x`,
    'an empty file': '',
    'a list': '[]',
  }
  for (const [what, text] of Object.entries(texts))
    it(`refuses ${what}`, () => {
      assert.throws(() => parseConfig(text, '/'), { code: 'ZT-400-CONFIG' })
    })
})
