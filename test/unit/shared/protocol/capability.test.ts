import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { before, describe, it } from 'node:test'
import { sha256Text } from '#shared/encoding/digest.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import {
  CAPABILITY_TYP,
  checkApprovals,
  checkTrustChain,
  signCapability,
  verifyCapability,
  type CapabilityClaims,
  type CapabilityContext,
} from '#shared/protocol/capability.ts'
import { signStatement } from '#shared/protocol/signed.ts'
import {
  BOOT,
  capabilityClaims,
  createProtocolFixture,
  FENCE,
  NOW_S,
  spawnCommand,
  tokenFor,
  type ProtocolFixture,
} from '#test/support/protocol-fixture.ts'
import { createTestAuthority, TEST_NOW } from '#test/support/test-authority.ts'

let fixture: ProtocolFixture
before(async () => {
  fixture = await createProtocolFixture()
})

function context(token: string, changes: Partial<CapabilityContext> = {}): CapabilityContext {
  const { id, thumbprint } = fixture.operator
  return {
    trust: fixture.trust,
    now: TEST_NOW,
    aud: fixture.node.id,
    holder: { id, thumbprint },
    tth: sha256Text(token),
    boot: BOOT,
    fence: FENCE,
    ...changes,
  }
}

function claims(changes: Partial<CapabilityClaims> = {}): CapabilityClaims {
  return capabilityClaims(fixture, spawnCommand(fixture), changes)
}

/** Signed by the hub whatever the claims are: what a hub that lost its mind could send. */
function forced(body: unknown, signer = fixture.hub): string {
  return signStatement(signer, CAPABILITY_TYP, body)
}

describe('capability token', () => {
  it('grants what it says to its holder', () => {
    const body = claims()
    const token = signCapability(fixture.hub, body)
    const verified = verifyCapability(token, context(token))
    assert.equal(verified.claims.jti, body.jti)
    assert.equal(verified.hub.id, fixture.hub.id)
    assert.deepEqual(verified.detail, body.authorization_details[0])
  })

  it('may be used by the actor that it names, and then not by its subject', () => {
    const body = claims({ sub: 'user:ann@example.com', act: { sub: fixture.operator.id } })
    const token = signCapability(fixture.hub, body)
    assert.equal(verifyCapability(token, context(token)).claims.sub, 'user:ann@example.com')
    const acted = signCapability(fixture.hub, claims({ act: { sub: fixture.stranger.id } }))
    assert.throws(() => verifyCapability(acted, context(acted)), { code: 'ZT-403-HOLDER' })
  })

  const refused: Record<
    string,
    [string, () => Partial<CapabilityClaims> | undefined, Partial<CapabilityContext>]
  > = {
    'another token than the envelope names': ['tth', () => ({}), { tth: sha256Text('another') }],
    'another node': ['aud', () => ({ aud: parseSpiffeId('spiffe://mesh.example/node/build-box') }), {}],
    'another start of the node': ['boot', () => ({ node: { boot: 'other', fence: FENCE } }), {}],
    'another joining of the node': ['fence', () => ({ node: { boot: BOOT, fence: FENCE - 1 } }), {}],
    'a token that has expired': ['time', () => ({}), { now: TEST_NOW + 15_000 }],
    'a token from the future': ['time', () => ({ iat: NOW_S + 31, exp: NOW_S + 40 }), {}],
    'an issuer that did not sign it': [
      'iss',
      () => ({ iss: parseSpiffeId('spiffe://mesh.example/hub/h2') }),
      {},
    ],
  }
  for (const [what, [reason, change, changedContext]] of Object.entries(refused)) {
    it(`refuses ${what}`, () => {
      const token = signCapability(fixture.hub, claims(change()))
      assert.throws(() => verifyCapability(token, context(token, changedContext)), {
        code: 'ZT-401-TOKEN',
        details: { reason },
      })
    })
  }

  it('refuses a life over 60 seconds, whoever signed it', () => {
    const token = forced(claims({ exp: NOW_S + 61 }))
    assert.throws(() => verifyCapability(token, context(token)), {
      code: 'ZT-401-TOKEN',
      details: { reason: 'time' },
    })
    assert.throws(() => signCapability(fixture.hub, claims({ exp: NOW_S + 61 })), { code: 'ZT-422-SCHEMA' })
  })

  it('refuses a token that is signed by anybody but a hub, also in its own name', () => {
    for (const signer of [fixture.operator, fixture.node, fixture.otherNode]) {
      for (const iss of [fixture.hub.id, signer.id]) {
        const token = forced(claims({ iss }), signer)
        assert.throws(() => verifyCapability(token, context(token)), { code: 'ZT-401-TOKEN' })
      }
    }
  })

  it('refuses a hub of a foreign root', async () => {
    const foreign = await (await createTestAuthority()).identity('/hub/h1')
    const token = forced(claims(), foreign)
    assert.throws(() => verifyCapability(token, context(token)), {
      code: 'ZT-401-TOKEN',
      details: { reason: 'ZT-401-CERT' },
    })
  })

  it('refuses a changed byte in any part', () => {
    const token = tokenFor(fixture, spawnCommand(fixture))
    for (let at = 0; at < token.length; at += 37) {
      const changed = `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`
      assert.throws(() => verifyCapability(changed, context(changed)), { code: 'ZT-401-TOKEN' })
    }
  })

  it('refuses a thief who has the token but not the key, or the key but not the name', () => {
    const token = signCapability(fixture.hub, claims())
    const { id, thumbprint } = fixture.stranger
    const thieves = [
      { id, thumbprint },
      { id: fixture.operator.id, thumbprint },
      { id, thumbprint: fixture.operator.thumbprint },
    ]
    for (const holder of thieves) {
      assert.throws(() => verifyCapability(token, context(token, { holder })), { code: 'ZT-403-HOLDER' })
    }
  })

  const detail = (): unknown => claims().authorization_details[0]
  const bodies: Record<string, () => object> = {
    'no grant': () => ({ authorization_details: [] }),
    'two grants': () => ({ authorization_details: [detail(), detail()] }),
    'a grant with two actions': () => ({
      authorization_details: [{ ...(detail() as object), actions: ['spawn', 'kill'] }],
    }),
    'a grant for two nodes': () => ({
      authorization_details: [
        { ...(detail() as object), locations: [fixture.node.id, fixture.otherNode.id] },
      ],
    }),
    'a grant of another type': () => ({
      authorization_details: [{ ...(detail() as object), type: 'urn:other' }],
    }),
    'use more than once': () => ({ use: { mode: 'multi', scope: 'node' } }),
    'use beyond the node': () => ({ use: { mode: 'single', scope: 'mesh' } }),
    'an unknown claim': () => ({ admin: true }),
    'no binding to a key': () => ({ cnf: {} }),
    'an id that is not random': () => ({ jti: 'token-1' }),
    'a fence below zero': () => ({ node: { boot: BOOT, fence: -1 } }),
  }
  for (const [what, change] of Object.entries(bodies)) {
    it(`refuses ${what}, and never signs it`, () => {
      const body = { ...claims(), ...change() } as CapabilityClaims
      const token = forced(body)
      assert.throws(() => verifyCapability(token, context(token)), {
        code: 'ZT-401-TOKEN',
        details: { reason: 'ZT-422-SCHEMA' },
      })
      assert.throws(() => signCapability(fixture.hub, body), { code: 'ZT-422-SCHEMA' })
    })
  }

  it('refuses a token of another type under a good signature', () => {
    const token = signStatement(fixture.hub, 'zt-deny+jws', claims())
    assert.throws(() => verifyCapability(token, context(token)), { code: 'ZT-401-TOKEN' })
  })
})

describe('what this version cannot verify', () => {
  it('refuses every trust chain, in the envelope or in the token', () => {
    checkTrustChain([], claims())
    assert.throws(() => checkTrustChain(['a.b.c'], claims()), { code: 'ZT-403-CHAIN' })
    assert.throws(() => checkTrustChain([], claims({ chain: `sha-256:${sha256Text('ring')}` })), {
      code: 'ZT-403-CHAIN',
    })
  })

  it('refuses every token that rests on approvals', () => {
    checkApprovals(claims())
    const apr = [{ id: 'ap-1', digest: `sha-256:${sha256Text('x')}`, by: ['user:alice'] }]
    const token = signCapability(fixture.hub, claims({ apr, jti: randomUUID() }))
    const verified = verifyCapability(token, context(token))
    assert.throws(() => checkApprovals(verified.claims), { code: 'ZT-403-APPROVAL' })
  })
})
