// The JWT profile of the SPIFFE Workload API, as a client sees it.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { status } from '@grpc/grpc-js'
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from 'jose'
import { ZtError } from '#shared/errors/error.ts'
import { eventually } from '#test/support/eventually.ts'
import { decode, encode, type WorkloadClient } from '#test/support/workload-client.ts'
import { WorkloadFixture } from '#test/support/workload-fixture.ts'

interface Token {
  readonly spiffeId: string
  readonly svid: string
}

async function fetchToken(client: WorkloadClient, request: object): Promise<Token> {
  const answer = await client.unary('FetchJWTSVID', encode('JWTSVIDRequest', request))
  const { svids } = decode('JWTSVIDResponse', answer) as { svids: Token[] }
  const [token] = svids
  assert.ok(token !== undefined && svids.length === 1)
  return token
}

async function jwksOf(client: WorkloadClient): Promise<JSONWebKeySet> {
  const stream = client.stream('FetchJWTBundles')
  const bytes = await eventually('the bundles', () => stream.messages[0])
  stream.cancel()
  const { bundles } = decode('JWTBundlesResponse', bytes) as { bundles: Record<string, Uint8Array> }
  const own = Buffer.from(bundles['spiffe://mesh.example'] ?? []).toString()
  return JSON.parse(own) as JSONWebKeySet
}

describe('FetchJWTSVID', () => {
  it('gives a token that a verifier of others takes, with the bundle that FetchJWTBundles gives', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { proc, client } = await fixture.begin(t)
    const { spiffeId, svid } = await fetchToken(client, { audience: ['db', 'cache'] })
    assert.equal(spiffeId, `spiffe://mesh.example/agent/reports/task/${proc}`)
    const jwks = await jwksOf(client)
    for (const key of jwks.keys)
      assert.deepEqual([key.use, typeof key.kid, 'x5c' in key], [undefined, 'string', false])
    const currentDate = new Date(fixture.clock.now())
    const { payload } = await jwtVerify(svid, createLocalJWKSet(jwks), { audience: 'cache', currentDate })
    assert.deepEqual([payload.sub, payload.aud], [spiffeId, ['db', 'cache']])
    assert.ok((payload.exp ?? 0) - (payload.iat ?? 0) <= 60)
  })

  it('gives the same token until half of its life, and then another', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    const { svid } = await fetchToken(client, { audience: ['db'] })
    fixture.clock.advance(29_000)
    assert.equal((await fetchToken(client, { audience: ['db'] })).svid, svid)
    assert.notEqual((await fetchToken(client, { audience: ['db', 'db2'] })).svid, svid)
    fixture.clock.advance(1000)
    assert.notEqual((await fetchToken(client, { audience: ['db'] })).svid, svid)
  })

  const invalid: Record<string, object> = {
    'no audience': {},
    'an empty audience': { audience: [''] },
    'nine audiences': { audience: Array.from('123456789') },
    'an audience of 600 characters': { audience: ['a'.repeat(600)] },
    'a line break in an audience': { audience: ['a\nb'] },
  }
  for (const [what, request] of Object.entries(invalid))
    it(`answers InvalidArgument to ${what}, and asks nobody`, async (t) => {
      const fixture = await WorkloadFixture.create(t)
      const { client } = await fixture.begin(t)
      await assert.rejects(fetchToken(client, request), { code: status.INVALID_ARGUMENT })
      assert.equal(fixture.hub.count('task.jwt'), 0)
    })

  it('gives a token of the identity that was asked for, and of no other', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { proc, client } = await fixture.begin(t)
    const own = `spiffe://mesh.example/agent/reports/task/${proc}`
    assert.equal((await fetchToken(client, { audience: ['db'], spiffeId: own })).spiffeId, own)
    const other = { audience: ['elsewhere'], spiffeId: `${own}x` }
    await assert.rejects(fetchToken(client, other), { code: status.PERMISSION_DENIED })
    // A token that nobody gets would be a row for ever all the same.
    assert.equal(fixture.hub.count('task.jwt'), 1)
  })

  it('is not given to a task that is refused, not even one that was given before', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    await fetchToken(client, { audience: ['db'] })
    fixture.denied.add(fixture.owner)
    fixture.api.denialsChanged()
    await assert.rejects(fetchToken(client, { audience: ['db'] }), { code: status.PERMISSION_DENIED })
    fixture.denied.clear()
    await fetchToken(client, { audience: ['db'] })
  })

  it('is bounded: a task that asks for ever new audiences is told to slow down', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    const asked = await Promise.allSettled(
      Array.from({ length: 100 }, (_, n) => fetchToken(client, { audience: [`service-${n}`] })),
    )
    const refused = asked.flatMap((one) =>
      one.status === 'rejected' ? [one.reason as { code: number }] : [],
    )
    assert.equal(refused.length, 36)
    for (const { code } of refused) assert.equal(code, status.RESOURCE_EXHAUSTED)
  })
})

describe('ValidateJWTSVID', () => {
  const validate = (client: WorkloadClient, request: object): Promise<Uint8Array> =>
    client.unary('ValidateJWTSVID', encode('ValidateJWTSVIDRequest', request))

  it('says whose a token is and what it claims', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    const { spiffeId, svid } = await fetchToken(client, { audience: ['db'] })
    const other = await fixture.begin(t)
    const answer = decode('ValidateJWTSVIDResponse', await validate(other.client, { audience: 'db', svid }))
    assert.equal(answer['spiffeId'], spiffeId)
    const { fields } = answer['claims'] as { fields: Record<string, Record<string, unknown>> }
    assert.equal(fields['sub']?.['stringValue'], spiffeId)
    const { values } = (fields['aud'] ?? {})['listValue'] as { values: { stringValue: string }[] }
    assert.deepEqual(
      values.map(({ stringValue }) => stringValue),
      ['db'],
    )
    assert.equal(typeof fields['exp']?.['numberValue'], 'number')
  })

  const refused: Record<string, (svid: string) => object> = {
    'another audience': (svid) => ({ audience: 'db2', svid }),
    'no audience': (svid) => ({ svid }),
    'no token': () => ({ audience: 'db' }),
    'a token that was changed': (svid) => ({ audience: 'db', svid: `${svid.slice(0, -8)}AAAAAAAA` }),
    'a token that is none': () => ({ audience: 'db', svid: 'x.y.z' }),
  }
  for (const [what, request] of Object.entries(refused))
    it(`answers InvalidArgument for ${what}, and does not say the token back`, async (t) => {
      const fixture = await WorkloadFixture.create(t)
      const { client } = await fixture.begin(t)
      const { svid } = await fetchToken(client, { audience: ['db'] })
      const part = svid.slice(-40)
      await assert.rejects(
        validate(client, request(svid)),
        (error: { code: number; details: string }) =>
          error.code === status.INVALID_ARGUMENT && !error.details.includes(part),
      )
    })

  it('refuses a token at its end', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    const { svid } = await fetchToken(client, { audience: ['db'] })
    fixture.clock.advance(60_000)
    await assert.rejects(validate(client, { audience: 'db', svid }), { code: status.INVALID_ARGUMENT })
  })

  it('answers Unavailable where there are no bundles to judge with', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    fixture.hub.failure = new ZtError('ZT-503-NATS', 'the node is not connected')
    await assert.rejects(validate(client, { audience: 'db', svid: 'x.y.z' }), { code: status.UNAVAILABLE })
  })
})
