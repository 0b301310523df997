import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { parseNodeName, parseTrustDomain } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import {
  attestTranscript,
  encodeJoinString,
  parseAttestRequest,
  parseAttestResponse,
  parseChallenge,
  parseChallengeRequest,
  parseJoinString,
  type AttestTranscript,
  type JoinTicket,
} from '#shared/protocol/admission.ts'

const b64 = (length: number): string => encodeBase64url(new Uint8Array(length).fill(1))
const hub = parseSpiffeId('spiffe://mesh.example/hub/h1')
const node = parseNodeName('mac-mini')
const log = {
  vkey: 'mesh.example/log/node/mac-mini/e1+0123abcd+AQIDBA==',
  origin: 'mesh.example/log/node/mac-mini/e1',
}
const nats = { publicKey: `U${'A'.repeat(55)}`, proof: b64(64) }

const ticket: JoinTicket = {
  v: 1,
  hub: 'https://127.0.0.1:7443',
  hubId: hub,
  td: parseTrustDomain('mesh.example'),
  root: 'ab'.repeat(32),
  node,
  token: b64(32),
}

describe('join string', () => {
  it('gives back the ticket, also with the newline of its file', () => {
    const text = encodeJoinString(ticket)
    assert.match(text, /^ztjoin_[A-Za-z0-9_-]+$/)
    assert.deepEqual({ ...parseJoinString(text) }, ticket)
    assert.deepEqual({ ...parseJoinString(`${text}\n`) }, ticket)
  })

  it('is never made from a ticket that would be refused', () => {
    const bent: readonly object[] = [
      { hub: 'http://127.0.0.1:7443' },
      { root: 'AB'.repeat(32) },
      { token: b64(16) },
    ]
    for (const change of bent) {
      assert.throws(() => encodeJoinString({ ...ticket, ...change }), { code: 'ZT-422-SCHEMA' })
    }
  })

  const encode = (value: unknown): string =>
    `ztjoin_${Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')}`
  const refused: Record<string, string> = {
    nothing: '',
    'another prefix': encodeJoinString(ticket).replace('ztjoin_', 'zt_'),
    'a space at the end': `${encodeJoinString(ticket)} `,
    'two newlines at the end': `${encodeJoinString(ticket)}\n\n`,
    'a cut-off string': encodeJoinString(ticket).slice(0, -3),
    'no json': encode('x'),
    'another version': encode({ ...ticket, v: 2 }),
    'an unknown field': encode({ ...ticket, insecure: true }),
    'a hub without TLS': encode({ ...ticket, hub: 'http://127.0.0.1:7443' }),
    'a hub with a user': encode({ ...ticket, hub: 'https://u@127.0.0.1:7443' }),
    'a hub with a path': encode({ ...ticket, hub: 'https://127.0.0.1:7443/x' }),
    'a fingerprint that is too short': encode({ ...ticket, root: 'ab' }),
    'a node name that is none': encode({ ...ticket, node: '*' }),
    'something very large': encode({ ...ticket, td: 'a'.repeat(4000) }),
  }
  for (const [what, text] of Object.entries(refused)) {
    it(`is refused as ${what}, without a word of what it holds`, () => {
      assert.throws(
        () => parseJoinString(text),
        (error: Error & { code: string }) => {
          assert.equal(error.code, 'ZT-403-JOIN')
          assert.equal(error.cause, undefined)
          return !error.message.includes(ticket.token)
        },
      )
    })
  }
})

describe('challenge', () => {
  it('is asked for by name and answered with a nonce', () => {
    assert.deepEqual({ ...parseChallengeRequest({ node }, '') }, { node })
    const challenge = { session: b64(16), nonce: b64(32), expires: 1 }
    assert.deepEqual({ ...parseChallenge(challenge, '') }, challenge)
    for (const bent of [{ node: 'a.b' }, {}, { node, x: 1 }]) {
      assert.throws(() => parseChallengeRequest(bent, ''), { code: 'ZT-422-SCHEMA' })
    }
    for (const bent of [{ nonce: b64(31) }, { session: b64(8) }, { expires: -1 }]) {
      assert.throws(() => parseChallenge({ ...challenge, ...bent }, ''), { code: 'ZT-422-SCHEMA' })
    }
  })
})

describe('attestation', () => {
  const evidence = { type: 'join-token', token: b64(32), device: { spki: b64(91), proof: b64(64) } }
  const request = {
    session: b64(16),
    node,
    evidence,
    csr: b64(300),
    nats,
    enc_key: b64(32),
    log,
    boot: '0b7c2f6e-5d1a-4c3b-9a8f-1e2d3c4b5a69',
  }

  it('is read with either kind of evidence', () => {
    assert.equal(parseAttestRequest(request, '').evidence.type, 'join-token')
    const again = { ...request, evidence: { type: 'device-key', proof: b64(64) } }
    assert.equal(parseAttestRequest(again, '').evidence.type, 'device-key')
  })

  const changes: Record<string, object> = {
    'unknown evidence': { evidence: { type: 'trust-me' } },
    'a token without a device key': { evidence: { type: 'join-token', token: b64(32) } },
    'a token and a bare proof': { evidence: { ...evidence, proof: b64(64) } },
    'a short token': { evidence: { ...evidence, token: b64(15) } },
    'a DER proof': { evidence: { type: 'device-key', proof: b64(70) } },
    'no evidence': { evidence: null },
    'an account key for NATS': { nats: { ...nats, publicKey: `A${'A'.repeat(55)}` } },
    'a NATS key of the wrong length': { nats: { ...nats, publicKey: 'UAAA' } },
    'an encryption key of 33 bytes': { enc_key: b64(33) },
    'a huge request': { csr: b64(5000) },
    'an unknown field': { lvl: 2 },
    'a log with a space in its name': { log: { ...log, origin: 'a b' } },
    'a log key of two lines': { log: { ...log, vkey: `${log.vkey}\nx` } },
    'a boot id with a slash': { boot: '../x' },
  }
  for (const [what, change] of Object.entries(changes)) {
    it(`is refused with ${what}`, () => {
      assert.throws(() => parseAttestRequest({ ...request, ...change }, ''), { code: 'ZT-422-SCHEMA' })
    })
  }

  const response = {
    svid: [b64(500), b64(500)],
    nats_jwt: 'a.b.c',
    nats: { servers: ['tls://127.0.0.1:4222'], serverId: 'spiffe://mesh.example/nats/n1' },
    bundle: 'a.b.c',
    deny: 'a.b.c',
    hub_key: 'a.b.c',
    hub_log: log,
    policy: { ver: 1, sha256: b64(32) },
    fence: 1,
    lvl: 1,
    expires: 1,
  }

  it('is answered with everything a node needs, and nothing else is accepted', () => {
    assert.equal(parseAttestResponse(response, '').fence, 1)
    const bent: readonly object[] = [
      { svid: [b64(500)] },
      { nats: { ...response.nats, servers: [] } },
      { nats: { ...response.nats, servers: ['nats://127.0.0.1:4222'] } },
      { key: b64(32) },
      { fence: -1 },
      { policy: { ver: 1 } },
    ]
    for (const change of bent) {
      assert.throws(() => parseAttestResponse({ ...response, ...change }, ''), { code: 'ZT-422-SCHEMA' })
    }
  })

  it('is proved over a transcript that changes with every field', () => {
    const transcript: AttestTranscript = {
      hub,
      session: b64(16),
      nonce: b64(32),
      node,
      spki: b64(32),
      enc: b64(32),
      nats: nats.publicKey,
      log,
    }
    const before = Buffer.from(attestTranscript(transcript)).toString('hex')
    assert.equal(before.length, 64)
    for (const field of Object.keys(transcript)) {
      const value = field === 'log' ? { ...log, origin: 'x' } : 'x'
      const changed = attestTranscript({ ...transcript, [field]: value })
      assert.notEqual(Buffer.from(changed).toString('hex'), before, field)
    }
  })
})
