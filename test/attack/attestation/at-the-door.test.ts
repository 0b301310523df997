// Forged evidence of a TPM, handed to a running hub: refused there with the same codes as in the corpus, written down, and at no
// cost to the machine whose token it was.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { ErrorCode } from '#shared/errors/codes.ts'
import { TpmAttester } from '#shared/host/tpm/attester.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import type { JsonValue } from '#shared/encoding/json-value.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { attestTranscript } from '#shared/protocol/admission.ts'
import { createCsr } from '#shared/x509/csr.ts'
import { rowsOf } from '#test/support/audit-rows.ts'
import { softAk } from '#test/support/forged-tpm.ts'
import { freshKeys, httpsTo, operator, type TestClient } from '#test/support/hub-client.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { needsNats } from '#test/support/nats.ts'
import { startSwtpm, type Swtpm } from '#test/support/swtpm.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { TpmMachine, trusting, type Https } from '#test/support/tpm-machine.ts'
import { wishfulCsr } from '#test/support/wishful-csr.ts'
import { VendorCa } from '#test/support/vendor-ca.ts'

type Json = Record<string, unknown>
type Bend = (body: Json) => Json | Promise<Json>

const b64u = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
const flipped = (text: unknown): string => {
  const bytes = Buffer.from(String(text), 'base64url')
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
  return bytes.toString('base64url')
}

describe('a hub that is handed forged evidence', { skip: needsNats }, () => {
  const undo: (() => Promise<void>)[] = []
  const scope = { after: (action: () => Promise<void>) => void undo.unshift(action) }
  let dir: string
  let tpm: Swtpm
  let other: Swtpm
  let hub: TestHub
  let ann: TestClient
  let mini: TpmMachine
  let invitation: string

  before(async () => {
    dir = await tempDir(scope)
    tpm = await startSwtpm(scope)
    other = await startSwtpm(scope, { caDir: tpm.caDir })
    hub = await startTestHub({ config: { tpm: trusting(tpm) } })
    scope.after(() => hub.stop())
    ann = await operator(hub)
    scope.after(() => ann.close())
    mini = new TpmMachine(hub, { name: 'mini', tpm, dir: join(dir, 'mini') })
    invitation = (await ann.call('node.join-token', { node: parseNodeName('mini') })).join
  })
  after(async () => {
    for (const step of undo) await step()
  })

  /** The machine's own words on the way to the hub, changed by `bend` where they are posted to `where`. */
  const bending = (where: '/v1/challenge' | '/v1/attest', bend: Bend): Https => ({
    post: async (path, body) =>
      httpsTo(hub).post(path, path === where ? await bend(structuredClone(body) as Json) : body),
  })
  const member = (body: Json, name: string): Json => body[name] as Json
  const evidence = (change: (evidence: Json) => Json | Promise<Json>): Https =>
    bending('/v1/attest', async (body) => ({ ...body, evidence: await change(member(body, 'evidence')) }))
  const hello = (change: (tpm: Json) => Json | Promise<Json>): Https =>
    bending('/v1/challenge', async (body) => ({ ...body, tpm: await change(member(body, 'tpm')) }))
  const refusals = (): number =>
    rowsOf(join(hub.stateDir, 'log.db')).filter(({ type }) => type === 'node.refused').length

  const ofAnother = async (): Promise<{ certificates: string[]; public: string }> => {
    const attester = await TpmAttester.open(other.open())
    const { certificates, public: area } = await attester.endorsement()
    await attester.close()
    return { certificates: certificates.map(b64u), public: b64u(area) }
  }

  const joins: Record<string, readonly [ErrorCode, () => Https]> = {
    'the EK of another TPM (A11)': [
      'ZT-401-TPM-EK',
      () =>
        hello(async (said) => ({
          ...said,
          ek: { ...member(said, 'ek'), public: (await ofAnother()).public },
        })),
    ],
    'the whole EK of another TPM (A12)': [
      'ZT-401-TPM-ACTIVATION',
      // The node's TPM cannot open what was sealed to another one, so its holder has to guess.
      () => guessing(hello(async (said) => ({ ...said, ek: await ofAnother() }))),
    ],
    'a certificate of a vendor that is not trusted (A14)': [
      'ZT-401-TPM-EK-CHAIN',
      () =>
        hello((said) => {
          const ca = new VendorCa()
          const certificates = [b64u(ca.ek(softAk().spki)), b64u(ca.issuer), b64u(ca.root)]
          return { ...said, ek: { ...member(said, 'ek'), certificates } }
        }),
    ],
    'an AK in software (A9)': [
      'ZT-401-TPM-SIG',
      () => hello((said) => ({ ...said, ak: { ...member(said, 'ak'), public: b64u(softAk().public) } })),
    ],
    'evidence of creation that was changed': [
      'ZT-401-TPM-CREATION',
      () =>
        hello((said) => {
          const ak = member(said, 'ak')
          const creation = member(ak, 'creation')
          return { ...said, ak: { ...ak, creation: { ...creation, data: flipped(creation['data']) } } }
        }),
    ],
    'a guess at the secret (T5)': [
      'ZT-401-TPM-ACTIVATION',
      () =>
        evidence((said) => ({
          ...said,
          join: { ...member(said, 'join'), activation: b64u(new Uint8Array(32)) },
        })),
    ],
    'a signature that was changed (T6)': [
      'ZT-401-TPM-SIG',
      () => evidence((said) => ({ ...said, signature: flipped(said['signature']) })),
    ],
    'a quote that was changed (T6)': [
      'ZT-401-TPM-SIG',
      () => evidence((said) => ({ ...said, quote: flipped(said['quote']) })),
    ],
    'other PCR values (A5)': [
      'ZT-401-TPM-DIGEST',
      () => evidence((said) => ({ ...said, pcrs: { ...member(said, 'pcrs'), 7: 'ab'.repeat(32) } })),
    ],
    'a PCR more (A6)': [
      'ZT-401-TPM-DIGEST',
      () => evidence((said) => ({ ...said, pcrs: { ...member(said, 'pcrs'), 8: '00'.repeat(32) } })),
    ],
    'a quote with a byte after it (A19)': [
      'ZT-422-TPM',
      () =>
        evidence((said) => ({
          ...said,
          quote: b64u(Buffer.concat([Buffer.from(String(said['quote']), 'base64url'), Buffer.of(0)])),
        })),
    ],
    'a request that wishes for a name of the hub (A23)': [
      'ZT-422-CSR-WISH',
      () =>
        bending('/v1/attest', (body) => ({
          ...body,
          csr: b64u(wishfulCsr(generateP256(), { uris: ['spiffe://mesh.example/hub/h1'] })),
        })),
    ],
    'a quote that is too long (A19)': [
      'ZT-422-SCHEMA',
      () => evidence((said) => ({ ...said, quote: b64u(new Uint8Array(2000)) })),
    ],
  }
  for (const [what, [code, https]] of Object.entries(joins))
    it(`refuses a join with ${what}`, async () => {
      const before = refusals()
      await assert.rejects(mini.join(invitation, https()), { code })
      // What no parser took is no attempt of anybody.
      assert.equal(refusals(), before + (code === 'ZT-422-SCHEMA' ? 0 : 1))
    })

  it('has spent nothing of it: the machine itself joins by the same token, and renews', async () => {
    assert.equal((await mini.join(invitation)).lvl, 2)
    assert.equal((await mini.renew()).lvl, 2)
  })

  it('refuses a renewal by the TPM of another machine (A12)', async () => {
    const attester = await TpmAttester.open(other.open())
    const ak = await attester.createAk()
    const genuine = await attester.quote(ak, new Uint8Array(32), {
      bank: 'sha256',
      indices: [0, 1, 2, 3, 4, 5, 6, 7],
    })
    await attester.close()
    const quoted = { quote: b64u(genuine.attest), signature: b64u(genuine.signature) }
    await assert.rejects(mini.renew(evidence((said) => ({ ...said, ...quoted }))), { code: 'ZT-401-TPM-SIG' })
  })

  it('refuses genuine evidence that a thief relays from the machine, for a key of the thief (A13)', async () => {
    const asked: Json[] = []
    const relayed: Https = {
      post: async (path, body) => {
        if (path === '/v1/attest') return httpsTo(hub).post(path, stolen(body as Json, asked.at(-1) ?? {}))
        const challenge = await httpsTo(hub).post(path, body)
        asked.push(challenge as Json)
        return challenge
      },
    }
    await assert.rejects(mini.renew(relayed), { code: 'ZT-401-TPM-EXTRA' })
  })

  /** The machine's evidence in a request of the thief: other keys, everything else genuine. */
  function stolen(body: Json, { nonce }: Json): Json {
    const keys = freshKeys()
    const enc = b64u(keys.enc.publicKey)
    const transcript = attestTranscript({
      hub: parseSpiffeId(hub.id),
      session: String(body['session']),
      nonce: String(nonce),
      node: parseNodeName('mini'),
      spki: sha256Text(keys.svid.spki),
      enc,
      nats: keys.nats.publicKey,
      log: mini.log,
    })
    const nats = { publicKey: keys.nats.publicKey, proof: b64u(keys.nats.sign(transcript)) }
    const { link: _link, ...own } = body
    return { ...own, csr: b64u(createCsr(keys.svid)), nats, enc_key: enc }
  }

  /** Answers with a wrong secret where the TPM would refuse to open the right one. */
  function guessing(https: Https): Https {
    return {
      post: async (path, body) => {
        if (path === '/v1/attest') return https.post(path, body)
        const challenge = (await https.post(path, body)) as Json
        const own = (await httpsTo(hub).post(path, body)) as Json
        return { ...challenge, credential: own['credential'] } as JsonValue
      },
    }
  }
})
