// What a node believes of its hub's answer: nothing that it has not checked.
import assert from 'node:assert/strict'
import { createPublicKey, verify } from 'node:crypto'
import { describe, it, type TestContext } from 'node:test'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import type { JsonValue } from '#shared/encoding/json-value.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { generateP256, generateX25519 } from '#shared/jose/keys.ts'
import { verifyNkeySignature } from '#shared/nats/nkeys.ts'
import { attestTranscript, type AttestRequest, type AttestResponse } from '#shared/protocol/admission.ts'
import { signEncKey } from '#shared/protocol/enc-key.ts'
import { createCsr, verifyCsr } from '#shared/x509/csr.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { issueSvid } from '#pki/issuance/issue.ts'
import { admit, type Admission } from '#node-agent/attest/admission.ts'
import { deviceKeyAttestor } from '#node-agent/attest/device-key.ts'
import { joinTokenAttestor } from '#node-agent/attest/join-token.ts'
import type { Attestor } from '#node-agent/attest/attestor.ts'
import { TpmAccess } from '#node-agent/attest/tpm-access.ts'
import { TpmSvidKey } from '#node-agent/attest/tpm-svid-key.ts'
import type { DeviceKey } from '#node-agent/state/device-key.ts'
import { sign } from 'node:crypto'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { startSwtpm } from '#test/support/swtpm.ts'
import { makeTestPki, type TestPki } from '#test/support/test-pki.ts'

const NODE = parseNodeName('mac-mini')
const LOG = { origin: 'mesh.example/log/node/mac-mini/e1', vkey: 'x+00000000+AAAA' }
const NONCE = 'A'.repeat(43)
const SESSION = 'A'.repeat(22)
const TOKEN = 'E'.repeat(43)

type Answer = (sound: AttestResponse, request: AttestRequest) => JsonValue | Promise<JsonValue>

function deviceKey(): DeviceKey {
  const { privateKey, spki } = generateP256()
  return { spki, sign: (data) => sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' }) }
}

async function setUp(answer: Answer = (sound) => sound as unknown as JsonValue) {
  const clock = new ManualClock(Date.UTC(2026, 10, 22, 12))
  const pki = await makeTestPki({ now: clock.now() })
  const trust = new SvidValidator(pki.bundle)
  const hub = pki.identity('/hub/h1')
  const nodeId = pki.identity('/node/mac-mini').id
  const requests: AttestRequest[] = []
  const kept: number[] = []
  const post = async (path: string, body: unknown): Promise<JsonValue> => {
    if (path === '/v1/challenge') return { session: SESSION, nonce: NONCE, expires: clock.now() + 60_000 }
    const request = body as AttestRequest
    requests.push(request)
    return answer(sound(pki, request, clock.now()), request)
  }
  const device = deviceKey()
  const run = (attestor: Attestor = deviceKeyAttestor(device)) =>
    admit({
      https: { post },
      attestor,
      trust,
      clock,
      hubId: hub.id,
      node: NODE,
      nodeId,
      log: LOG,
      boot: 'boot-1',
      keepBundle: (_text, { sequence }) => void kept.push(sequence),
    })
  const transcriptOf = (request: AttestRequest): Uint8Array =>
    attestTranscript({
      hub: hub.id,
      session: SESSION,
      nonce: NONCE,
      node: NODE,
      spki: sha256Text(verifyCsr(decodeBase64url(request.csr, 'csr')).spki),
      enc: request.enc_key,
      nats: request.nats.publicKey,
      log: LOG,
    })
  return { clock, pki, trust, hub, requests, kept, device, run, transcriptOf }
}

function issue(
  pki: TestPki,
  request: Pick<AttestRequest, 'csr'>,
  at: { readonly path: string; readonly now: number },
) {
  const { id } = pki.identity(at.path)
  const csr = verifyCsr(decodeBase64url(request.csr, 'csr'))
  return issueSvid({ csr, id, ttlMs: 300_000, now: at.now, issuer: pki.workload }).chain.map(encodeBase64url)
}

function sound(pki: TestPki, request: AttestRequest, now: number): AttestResponse {
  const hub = pki.identity('/hub/h1')
  return {
    svid: issue(pki, request, { path: '/node/mac-mini', now }),
    nats_jwt: 'a.b.c',
    nats: { servers: ['tls://127.0.0.1:4222'], serverId: pki.identity('/nats/h1').id },
    bundle: pki.signedBundle,
    hub_key: signEncKey(hub, generateX25519().publicKey, now),
    hub_log: { origin: 'mesh.example/log/hub/h1/e1', vkey: 'mesh.example/log/hub/h1/e1+00000000+AAAA' },
    expires: now + 300_000,
    deny: 'a.b.c',
    policy: { ver: 3, sha256: 'A'.repeat(43) },
    fence: 7,
    lvl: 1,
  }
}

function verifies(device: DeviceKey, transcript: Uint8Array, proof: string): boolean {
  const key = createPublicKey({ key: Buffer.from(device.spki), format: 'der', type: 'spki' })
  return verify('sha256', transcript, { key, dsaEncoding: 'ieee-p1363' }, decodeBase64url(proof, 'proof'))
}

describe('what a node says of itself', () => {
  it('is signed by its device key over this session, these keys and this log', async () => {
    const { run, requests, device, transcriptOf } = await setUp()
    await run()
    const [request] = requests
    assert.ok(request?.evidence.type === 'device-key')
    assert.ok(verifies(device, transcriptOf(request), request.evidence.proof))
    verifyNkeySignature(
      request.nats.publicKey,
      transcriptOf(request),
      decodeBase64url(request.nats.proof, 'proof'),
    )
  })

  it('carries the token and the new device key the first time', async () => {
    const { run, requests, device, transcriptOf } = await setUp()
    await run(joinTokenAttestor(TOKEN, device))
    const [request] = requests
    assert.ok(request?.evidence.type === 'join-token')
    assert.equal(request.evidence.token, TOKEN)
    assert.ok(verifies(device, transcriptOf(request), request.evidence.device.proof))
  })

  it('uses fresh keys each time', async () => {
    const { run, requests } = await setUp()
    const [first, second] = [await run(), await run()]
    assert.notEqual(first.identity.thumbprint, second.identity.thumbprint)
    assert.notEqual(requests[0]?.enc_key, requests[1]?.enc_key)
    assert.notEqual(requests[0]?.nats.publicKey, requests[1]?.nats.publicKey)
  })
})

describe('what a node believes of the answer', () => {
  it('is its own name, for its own key', async () => {
    const { run, hub } = await setUp()
    const admission = await run()
    assert.equal(admission.identity.id, 'spiffe://mesh.example/node/mac-mini')
    assert.equal(admission.hubKey.owner, hub.id)
    assert.deepEqual([admission.fence, admission.policyVersion, admission.lvl], [7, 3, 1])
  })

  const lies: Record<string, { answer: (pki: { current?: TestPki }) => Answer; code: string }> = {
    'another name': {
      answer: (pki) => (s, request) =>
        ({
          ...s,
          svid: issue(pki.current as TestPki, request, {
            path: '/node/other',
            now: Date.UTC(2026, 10, 22, 12),
          }),
        }) as unknown as JsonValue,
      code: 'ZT-401-CERT',
    },
    'another key': {
      answer: (pki) => (s) =>
        ({
          ...s,
          svid: issue(
            pki.current as TestPki,
            { csr: encodeBase64url(createCsr(generateP256())) },
            { path: '/node/mac-mini', now: Date.UTC(2026, 10, 22, 12) },
          ),
        }) as unknown as JsonValue,
      code: 'ZT-401-CERT',
    },
    'an SVID of a foreign root': {
      answer: () => async (s, request) => {
        const foreign = await makeTestPki({ now: Date.UTC(2026, 10, 22, 12) })
        return {
          ...s,
          svid: issue(foreign, request, { path: '/node/mac-mini', now: Date.UTC(2026, 10, 22, 12) }),
        } as unknown as JsonValue
      },
      code: 'ZT-401-CERT',
    },
    'a bundle of a foreign root': {
      answer: () => async (s) => {
        const { signedBundle } = await makeTestPki({ now: Date.UTC(2026, 10, 22, 12), sequence: 2 })
        return { ...s, bundle: signedBundle } as unknown as JsonValue
      },
      code: 'ZT-401-BUNDLE',
    },
    'an encryption key of somebody else': {
      answer: (pki) => (s) =>
        ({
          ...s,
          hub_key: signEncKey(
            (pki.current as TestPki).identity('/node/other'),
            generateX25519().publicKey,
            Date.UTC(2026, 10, 22, 12),
          ),
        }) as unknown as JsonValue,
      code: 'ZT-421-MISDIRECTED',
    },
    'a field more': {
      answer: () => (s) => ({ ...s, extra: 1 }) as unknown as JsonValue,
      code: 'ZT-422-SCHEMA',
    },
    'no fence': {
      answer: () => (s) => ({ ...s, fence: null }) as unknown as JsonValue,
      code: 'ZT-422-SCHEMA',
    },
  }
  for (const [what, { answer, code }] of Object.entries(lies)) {
    it(`is not ${what}`, async () => {
      const pki: { current?: TestPki } = {}
      const made = await setUp(answer(pki))
      pki.current = made.pki
      await assert.rejects(made.run(), { code })
      assert.deepEqual(made.kept, [])
    })
  }
})

describe('what a node believes of the link that it is given', () => {
  const given = async (t: TestContext, path: string): Promise<Admission> => {
    const tpm = await startSwtpm(t)
    const access = new TpmAccess({ where: tpm.device, eventLog: '/nonexistent', svidKey: 'tpm' })
    const pki: { current?: TestPki } = {}
    const made = await setUp((sound, { link = '' }) => {
      const at = { path, now: Date.UTC(2026, 10, 22, 12) }
      const chain = issue(pki.current as TestPki, { csr: link }, at)
      return { ...sound, link: chain } as unknown as JsonValue
    })
    pki.current = made.pki
    return made.run({ ...deviceKeyAttestor(made.device), createKey: () => TpmSvidKey.create(access) })
  }

  it('is the name of its own, beside an SVID that the TPM signs for', async (t) => {
    const { identity, link } = await given(t, '/link/mac-mini')
    assert.equal('key' in identity, false)
    assert.equal(link.key.asymmetricKeyType, 'ec')
  })

  for (const path of ['/link/other', '/node/mac-mini', '/operator/ann'])
    it(`is not ${path}`, async (t) => {
      await assert.rejects(given(t, path), { code: 'ZT-401-CERT' })
    })
})
