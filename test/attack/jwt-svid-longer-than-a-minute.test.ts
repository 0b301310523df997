// Attack: a token that can be used for long after it was given away: whoever asks, and whatever part of the hub signs.
import assert from 'node:assert/strict'
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { describe, it } from 'node:test'
import { decodeBase64url } from '#shared/encoding/base64url.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { signJwtSvid } from '#shared/spiffe/jwt-svid.ts'
import { startTestHub } from '#test/support/hub.ts'
import { operator } from '#test/support/hub-client.ts'
import { joinNode } from '#test/support/hub-node.ts'
import { needsNats } from '#test/support/nats.ts'
import { askJwt, grantTask } from '#test/support/task-on-hub.ts'

const sub = parseSpiffeId('spiffe://mesh.example/agent/reports/task/p-aaaaaaaaaaaaaaaaaaaa')
const privateKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const iat = 1_800_000_000

describe('a jwt-svid that lives longer than a minute', () => {
  const ends: Record<string, number> = {
    'one second more': iat + 61,
    'an hour': iat + 3600,
    'no end': Number.POSITIVE_INFINITY,
    'an end that is no number': Number.NaN,
    'an end before its beginning': iat - 1,
  }
  for (const [what, exp] of Object.entries(ends))
    it(`is not signed: ${what}`, () => {
      const claims = { sub, aud: ['db'], iat, exp, jti: randomUUID() }
      assert.throws(() => signJwtSvid({ kid: 'k', privateKey }, claims), { code: 'ZT-422-SCHEMA' })
    })

  it('is not what the hub gives, nor can it be asked for', { skip: needsNats }, async (t) => {
    const hub = await startTestHub()
    t.after(() => hub.stop())
    const alice = await operator(hub)
    t.after(() => alice.close())
    const node = await joinNode(hub, alice, { name: 'n1' })
    t.after(() => node.close())
    const proc = await grantTask(alice, node)
    const { token, expires } = await askJwt(node, proc)
    const payload = Buffer.from(decodeBase64url(token.split('.')[1] ?? '', 'payload')).toString()
    const claims = JSON.parse(payload) as { iat: number; exp: number }
    assert.equal(claims.exp - claims.iat, 60)
    assert.equal(expires, claims.exp * 1000)
    assert.ok(expires <= Date.now() + 60_000)
    const wish = { proc, audience: ['db'], ttl: 3600 }
    const receipt = await node.client.send(await node.client.seal({ op: 'task.jwt', params: wish }))
    assert.equal(receipt.ok === false && receipt.error.code, 'ZT-422-SCHEMA')
  })
})
