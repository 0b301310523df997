import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import {
  loginFileContent,
  loginTranscript,
  parseLoginChallenge,
  parseLoginChallengeRequest,
  parseLoginRequest,
  parseLoginResponse,
  type LoginTranscript,
} from '#shared/protocol/login.ts'

const b64 = (length: number): string => encodeBase64url(new Uint8Array(length).fill(1))
const nats = { publicKey: `U${'A'.repeat(55)}`, proof: b64(64) }

describe('login', () => {
  it('begins with a uid that a user can have', () => {
    assert.equal(parseLoginChallengeRequest({ uid: 0 }, '').uid, 0)
    for (const uid of [-1, 0xffff_ffff, 1.5, '0', null]) {
      assert.throws(() => parseLoginChallengeRequest({ uid }, ''), { code: 'ZT-422-SCHEMA' })
    }
  })

  const challenge = { session: b64(16), dir: '/run/ztmesh/login', file: 'a-1_b', nonce: b64(32), expires: 1 }

  it('names a file in an absolute folder', () => {
    assert.deepEqual({ ...parseLoginChallenge(challenge, '') }, challenge)
  })

  const bent: Record<string, object> = {
    'a relative folder': { dir: 'run' },
    'a folder with a parent in it': { dir: '/run/../etc' },
    'a folder that ends in a parent': { dir: '/run/..' },
    'the root folder': { dir: '/' },
    'a folder with a newline': { dir: '/run\n' },
    'a file elsewhere': { file: '../x' },
    'a file below': { file: 'a/b' },
    'a hidden file': { file: '.x' },
    'no file': { file: '' },
    'a short nonce': { nonce: b64(16) },
  }
  for (const [what, change] of Object.entries(bent)) {
    it(`refuses a challenge with ${what}`, () => {
      assert.throws(() => parseLoginChallenge({ ...challenge, ...change }, ''), { code: 'ZT-422-SCHEMA' })
    })
  }

  it('asks with a request and a key for NATS, and no name of its own choice', () => {
    const request = { session: b64(16), csr: b64(300), nats, enc_key: b64(32) }
    assert.deepEqual(parseLoginRequest(request, '').nats, nats)
    for (const change of [{ name: 'root' }, { csr: '' }, { nats: {} }]) {
      assert.throws(() => parseLoginRequest({ ...request, ...change }, ''), { code: 'ZT-422-SCHEMA' })
    }
  })

  it('answers with credentials and the name they are for', () => {
    const log = { vkey: 'hub+0123abcd+AQIDBA==', origin: 'hub' }
    const response = {
      id: 'spiffe://mesh.example/operator/ann',
      svid: [b64(500), b64(500)],
      nats_jwt: 'a.b.c',
      nats: { servers: ['tls://[::1]:4222'], serverId: 'spiffe://mesh.example/nats/n1' },
      bundle: 'a.b.c',
      hub_key: 'a.b.c',
      hub_log: log,
      expires: 1,
    }
    assert.equal(parseLoginResponse(response, '').id, response.id)
    for (const change of [{ id: 'ann' }, { fence: 1 }, { expires: null }]) {
      assert.throws(() => parseLoginResponse({ ...response, ...change }, ''), { code: 'ZT-422-SCHEMA' })
    }
  })

  it('binds the file to one request, and the NATS key to every field', () => {
    assert.notEqual(loginFileContent(Buffer.from('a')), loginFileContent(Buffer.from('b')))
    const transcript: LoginTranscript = {
      hub: parseSpiffeId('spiffe://mesh.example/hub/h1'),
      session: b64(16),
      nonce: b64(32),
      uid: 1000,
      spki: b64(32),
      enc: b64(32),
      nats: nats.publicKey,
    }
    const before = Buffer.from(loginTranscript(transcript)).toString('hex')
    for (const field of Object.keys(transcript)) {
      const changed = loginTranscript({ ...transcript, [field]: field === 'uid' ? 0 : 'x' })
      assert.notEqual(Buffer.from(changed).toString('hex'), before, field)
    }
  })
})
