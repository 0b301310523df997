import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { before, describe, it } from 'node:test'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import { detailFor } from '#shared/protocol/authorization.ts'
import { parseCommand } from '#shared/protocol/command.ts'
import {
  CAPABILITY_TYPE,
  exchangeForm,
  exchangeRequest,
  ID_TOKEN_TYP,
  openIdToken,
  parseExchangeForm,
  parseExchangeRequest,
  parseExchangeResponse,
  signIdToken,
  type ExchangeRequest,
} from '#shared/protocol/exchange.ts'
import { oauthError } from '#shared/protocol/oauth-error.ts'
import { signStatement } from '#shared/protocol/signed.ts'
import {
  createProtocolFixture,
  NOW_S,
  spawnCommand,
  tokenFor,
  type ProtocolFixture,
} from '#test/support/protocol-fixture.ts'
import { TEST_NOW } from '#test/support/test-authority.ts'

let fixture: ProtocolFixture
let asked: ExchangeRequest
before(async () => {
  fixture = await createProtocolFixture()
  const idToken = signIdToken(fixture.operator, { hub: fixture.hub.id, now: TEST_NOW })
  asked = exchangeRequest(spawnCommand(fixture), idToken)
})

describe('exchange request', () => {
  it('says the same as a form and as json', () => {
    const fromForm = parseExchangeForm(exchangeForm(asked))
    assert.equal(canonicalJson(fromForm), canonicalJson(asked))
    assert.equal(canonicalJson(parseExchangeRequest(JSON.parse(JSON.stringify(asked)))), canonicalJson(asked))
  })

  it('for a command without a process has no identifier', () => {
    const list = parseCommand({ v: 1, op: 'process.list', node: fixture.node.id, all: true })
    const request = exchangeRequest(list, asked.subject_token)
    assert.equal('identifier' in (request.authorization_details[0] as object), false)
    parseExchangeRequest(request)
    const [detail] = request.authorization_details
    const bent = { ...request, authorization_details: [{ ...detail, identifier: 'p-abcdefghijklmnopqrst' }] }
    assert.throws(() => parseExchangeRequest(bent), { code: 'ZT-422-SCHEMA' })
  })

  it('may leave out the scope', () => {
    const { scope: _scope, ...rest } = asked
    parseExchangeRequest(rest)
  })

  it('as a form ignores an unknown parameter, and as json refuses it', () => {
    parseExchangeForm(`${exchangeForm(asked)}&resource=x`)
    assert.throws(() => parseExchangeRequest({ ...asked, resource: 'x' }), { code: 'ZT-422-SCHEMA' })
  })

  it('as a form refuses any parameter that is given twice', () => {
    for (const name of Object.keys(asked)) {
      assert.throws(() => parseExchangeForm(`${exchangeForm(asked)}&${name}=x`), {
        code: 'ZT-422-SCHEMA',
        details: { field: name },
      })
    }
  })

  it('as a form refuses what is too large, and details that are not strict json', () => {
    assert.throws(() => parseExchangeForm('a'.repeat(65_537)), { code: 'ZT-413-SIZE' })
    for (const details of ['', '[', '[{"a":1,"a":1}]', '[]']) {
      const form = new URLSearchParams(exchangeForm(asked))
      form.set('authorization_details', details)
      assert.throws(() => parseExchangeForm(form.toString()), { code: 'ZT-422-SCHEMA' })
    }
  })

  const detail = (): object => asked.authorization_details[0] as object
  const changes: Record<string, () => object> = {
    'another grant type': () => ({ grant_type: 'authorization_code' }),
    'another subject token type': () => ({ subject_token_type: 'urn:ietf:params:oauth:token-type:saml2' }),
    'a request for an access token': () => ({
      requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    }),
    'no requested token type': () => ({ requested_token_type: null }),
    'another audience than the node': () => ({ audience: fixture.otherNode.id }),
    'another scope than the operation': () => ({ scope: 'process.kill' }),
    'no details': () => ({ authorization_details: [] }),
    'two details': () => ({ authorization_details: [detail(), detail()] }),
    'an action that is not the command': () => ({
      authorization_details: [{ ...detail(), actions: ['list'] }],
    }),
    'a location that is not the command': () => ({
      authorization_details: [{ ...detail(), locations: [fixture.otherNode.id] }],
    }),
    'an identifier that is not the command': () => ({
      authorization_details: [{ ...detail(), identifier: 'p-bbbbbbbbbbbbbbbbbbbb' }],
    }),
    'another detail type': () => ({ authorization_details: [{ ...detail(), type: 'openid' }] }),
    'a subject token that is none': () => ({ subject_token: 'a b' }),
    'an actor token, which this version does not know': () => ({ actor_token: 'a.b.c' }),
  }
  for (const [what, change] of Object.entries(changes)) {
    it(`is refused with ${what}`, () => {
      assert.throws(() => parseExchangeRequest({ ...asked, ...change() }), { code: 'ZT-422-SCHEMA' })
    })
  }
})

describe('exchange response', () => {
  it('is read, and nothing but a capability is accepted', () => {
    const cmd = spawnCommand(fixture)
    const response = {
      access_token: tokenFor(fixture, cmd),
      issued_token_type: CAPABILITY_TYPE,
      token_type: 'N_A',
      expires_in: 15,
      scope: 'process.spawn',
      authorization_details: [detailFor(cmd)],
      zt: { node_key: 'a.b.c' },
    }
    assert.equal(parseExchangeResponse(response).expires_in, 15)
    const bent = [{ token_type: 'Bearer' }, { refresh_token: 'x' }, { expires_in: 61 }, { zt: {} }]
    for (const change of bent) {
      assert.throws(() => parseExchangeResponse({ ...response, ...change }), { code: 'ZT-422-SCHEMA' })
    }
  })
})

describe('identity token', () => {
  const context = (): Parameters<typeof openIdToken>[1] => ({
    trust: fixture.trust,
    now: TEST_NOW,
    hub: fixture.hub.id,
  })
  const claims = (): object => ({
    iss: fixture.operator.id,
    sub: fixture.operator.id,
    aud: fixture.hub.id,
    jti: randomUUID(),
    iat: NOW_S,
    exp: NOW_S + 60,
  })
  const forced = (change: object): string =>
    signStatement(fixture.operator, ID_TOKEN_TYP, { ...claims(), ...change })

  it('says who asks, to one hub', () => {
    const { svid, claims: read } = openIdToken(asked.subject_token, context())
    assert.equal(svid.id, fixture.operator.id)
    assert.equal(read.sub, fixture.operator.id)
  })

  it('is refused at another hub, and in the name of another', () => {
    assert.throws(() => openIdToken(asked.subject_token, { ...context(), hub: fixture.node.id }), {
      code: 'ZT-421-MISDIRECTED',
    })
    for (const change of [{ sub: fixture.stranger.id }, { iss: fixture.stranger.id }]) {
      assert.throws(() => openIdToken(forced(change), context()), { code: 'ZT-421-MISDIRECTED' })
    }
  })

  const times: Record<string, { iat: number; exp: number }> = {
    'a life of 61 seconds': { iat: NOW_S, exp: NOW_S + 61 },
    'a life of nothing': { iat: NOW_S, exp: NOW_S },
    'an end that has passed': { iat: NOW_S - 60, exp: NOW_S },
    'a beginning 31 seconds ahead': { iat: NOW_S + 31, exp: NOW_S + 60 },
  }
  for (const [what, time] of Object.entries(times)) {
    it(`is refused with ${what}`, () => {
      assert.throws(() => openIdToken(forced(time), context()), { code: 'ZT-408-STALE' })
    })
  }

  it('is refused with a claim that is not known or not there', () => {
    for (const change of [{ admin: true }, { jti: 'x' }, { aud: [fixture.hub.id] }]) {
      assert.throws(() => openIdToken(forced(change), context()), { code: 'ZT-422-SCHEMA' })
    }
  })

  it('is not any other statement of the same signer', () => {
    const other = signStatement(fixture.operator, 'zt-enckey+jws', claims())
    assert.throws(() => openIdToken(other, context()), { code: 'ZT-400-MALFORMED' })
  })
})

describe('oauth error', () => {
  const cases: Record<string, [ConstructorParameters<typeof ZtError>[0], number, string]> = {
    'a refusal by policy': ['ZT-403-POLICY', 400, 'access_denied'],
    'a revoked caller': ['ZT-403-REVOKED', 400, 'access_denied'],
    'a caller that is not proved': ['ZT-401-CERT', 401, 'invalid_client'],
    'an unknown node': ['ZT-404-NODE', 400, 'invalid_target'],
    'a second token for one process': ['ZT-409-IDENTIFIER', 400, 'invalid_authorization_details'],
    'a bad request': ['ZT-422-SCHEMA', 400, 'invalid_request'],
    'a node that is not anchored': ['ZT-503-ANCHOR', 503, 'temporarily_unavailable'],
    'a full disk': ['ZT-503-AUDIT', 503, 'temporarily_unavailable'],
  }
  for (const [what, [code, status, error]] of Object.entries(cases)) {
    it(`names ${what}`, () => {
      const answer = oauthError(new ZtError(code, 'why', { details: { n: 1 } }), 'r-1')
      assert.deepEqual(answer, {
        status,
        body: { error, error_description: 'why', zt: { code, requestId: 'r-1', details: { n: 1 } } },
      })
    })
  }

  it('tells nothing of a fault', () => {
    const answer = oauthError(new TypeError('secret path'), 'r-2')
    assert.equal(answer.status, 500)
    assert.deepEqual(answer.body, {
      error: 'server_error',
      error_description: 'internal error',
      zt: { code: 'ZT-500-INTERNAL', requestId: 'r-2' },
    })
  })
})
