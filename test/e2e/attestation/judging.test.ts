import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { AttestContext } from '#hub/admission/attestor.ts'
import { groundsOf } from '#hub/admission/grounds.ts'
import { issueJoinToken } from '#hub/admission/join-token.ts'
import { PcrPolicies } from '#hub/admission/pcr-policies.ts'
import { readTpmTrust } from '#hub/admission/tpm-trust.ts'
import { TpmAttestor } from '#hub/admission/tpm.ts'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import { tpmAttestor, tpmJoinAttestor } from '#node-agent/attest/tpm.ts'
import { loadTpmKey } from '#node-agent/state/tpm-key.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { TpmAttester } from '#shared/host/tpm/attester.ts'
import { parseNodeName, parseOperatorName, parseTrustDomain } from '#shared/identity/names.ts'
import { hubId, operatorId } from '#shared/identity/spiffe-id.ts'
import { generateNoteKey } from '#shared/log/note-key.ts'
import type { Evidence } from '#shared/protocol/admission.ts'
import { signPcrPolicy, type PcrValues } from '#shared/protocol/pcr-policy.ts'
import type { TpmCredential, TpmHello } from '#shared/protocol/tpm-evidence.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { RowLog } from '#test/fakes/row-log.ts'
import { startSwtpm, type Swtpm } from '#test/support/swtpm.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { trusting } from '#test/support/tpm-machine.ts'

const td = parseTrustDomain('mesh.example')
const by = { id: operatorId(td, parseOperatorName('alice')) }
const node = parseNodeName('mac-mini')
// Certificates of a software TPM are made in this very second.
const now = Date.now() + 2000

describe('the proof of a TPM', () => {
  const undo: (() => Promise<void>)[] = []
  const scope = { after: (action: () => Promise<void>) => void undo.unshift(action) }
  const { signer } = generateNoteKey('pcr.mesh.example')
  let tpm: Swtpm
  let hello: TpmHello
  let keyFile: string
  let hub: TpmAttestor
  let policies: PcrPolicies
  let store: ReturnType<typeof openSqliteStore>
  let measured: PcrValues
  let version = 0

  before(async () => {
    const dir = await tempDir(scope)
    tpm = await startSwtpm(scope)
    createSqliteStore(join(dir, 'hub.db'))
    store = openSqliteStore(join(dir, 'hub.db'))
    scope.after(() => store.close())
    const [rows, clock, log] = [new RowLog(), new ManualClock(), silentLogger]
    const parts = { store: store.pcrPolicies, rows, clock, log, td, hubId: hubId(td, 'h1'), keys: [signer] }
    policies = await PcrPolicies.open(parts, undefined)
    const trust = readTpmTrust({
      ...trusting(tpm),
      allowEk: undefined,
      denyEk: [],
      policyKeys: [],
      policyFile: undefined,
    })
    hub = new TpmAttestor({ store, trust, policies, log })
    keyFile = join(dir, 'tpm-key.json')
    const said = await machine('').hello?.()
    assert.ok(said)
    hello = said
    const evidence = await proof(challenge(), randomBytes(32), '')
    assert.ok(evidence.type === 'tpm')
    measured = evidence.pcrs
  })
  after(async () => {
    for (const step of undo) await step()
  })

  const machine = (token: string): ReturnType<typeof tpmJoinAttestor> =>
    tpmJoinAttestor(token, {
      settings: { where: tpm.device, eventLog: '/nonexistent', svidKey: 'tpm' as const },
      keyFile,
    })
  const challenge = (): AttestContext['challenge'] & { readonly credential: TpmCredential } => {
    const { claim, credential } = hub.hello(hello, now)
    return { node, nonce: '', wish: policies.wish(), claim, credential }
  }
  const proof = (
    about: ReturnType<typeof challenge>,
    transcript: Uint8Array,
    token: string,
  ): Promise<Evidence> => {
    const { wish, credential } = about
    const asked = { session: '', nonce: '', expires: 0, credential, ...(wish && { pcrs: wish }) }
    return machine(token).attest(transcript, asked)
  }
  const apply = async (name: string, change: PcrValues = {}): Promise<void> => {
    version += 1
    const values = { ...measured, ...change }
    const indices = Object.keys(values).map(Number)
    const policy = { v: 1, td, version, bank: 'sha256', indices, sets: [{ name, values }] } as const
    await policies.apply(signPcrPolicy(policy, [signer]), by)
  }
  const invite = async (): Promise<string> =>
    (await issueJoinToken(store, { node, replace: false, createdBy: by.id, now })).token
  const context = (
    about: AttestContext['challenge'],
    transcript: Uint8Array,
    announce: AttestContext['announce'],
  ): AttestContext => ({
    node,
    challenge: about,
    // Of all challenges of one moment one is answered.
    asked: now + version,
    transcript,
    spki: new Uint8Array(),
    log: { origin: 'o', vkey: 'v' },
    now: now + version,
    announce,
    note: () => Promise.reject(new Error('nothing is noted of these')),
  })

  it('is not judged by a policy that was not in force at the challenge', async () => {
    const [about, transcript] = [challenge(), randomBytes(32)]
    const evidence = await proof(about, transcript, await invite())
    // The same values in fewer registers: another wish.
    const { 7: _seventh, ...fewer } = measured
    version += 1
    const indices = [0, 1, 2, 3, 4, 5, 6]
    const sets = [{ name: 'fewer', values: fewer }]
    await policies.apply(signPcrPolicy({ v: 1, td, version, bank: 'sha256', indices, sets }, [signer]), by)
    await assert.rejects(
      hub.attest(
        evidence,
        context(about, transcript, async () => undefined),
      ),
      {
        code: 'ZT-401-NONCE',
        message: /PCR policy has changed/,
      },
    )
  })

  it('is said to be accepted by the policy that judged it, not by one that came meanwhile', async () => {
    await apply('old')
    const [about, transcript] = [challenge(), randomBytes(32)]
    const evidence = await proof(about, transcript, await invite())
    const { version: judged } = policies.current?.policy ?? {}
    const announce = (): Promise<void> => apply('new', { 0: 'ff'.repeat(32) })
    const attested = await hub.attest(evidence, context(about, transcript, announce))
    assert.ok(attested)
    assert.notEqual(policies.current?.policy.version, judged)
    const { pcr_policy: said } = groundsOf(attested) as { pcr_policy: { version: number; set: string } }
    assert.deepEqual([said.version, said.set], [judged, 'old'])
  })

  it('renews no name that was revoked after the request was let in', async () => {
    await apply('fitting')
    const renew = async (): Promise<unknown> => {
      const [about, transcript] = [{ node, nonce: '', wish: policies.wish() }, randomBytes(32)]
      const asked = { session: '', nonce: '', expires: 0, pcrs: about.wish }
      const settings = { where: tpm.device, eventLog: '/nonexistent', svidKey: 'tpm' as const }
      const evidence = await tpmAttestor({ settings, keyFile }).attest(transcript, asked)
      return hub.attest(
        evidence,
        context(about, transcript, async () => undefined),
      )
    }
    assert.ok(await renew())
    await store.nodes.revoke(node, now)
    await assert.rejects(renew(), { code: 'ZT-403-REVOKED' })
  })

  it('begins with a secret of its own for each hello, which is what the TPM opens', async () => {
    const attester = await TpmAttester.open(tpm.open())
    scope.after(() => attester.close())
    const key = loadTpmKey(keyFile)
    assert.ok(key)
    const opened = new Set<string>()
    for (let i = 0; i < 3; i += 1) {
      const { claim, credential } = challenge()
      const [blob, sealed] = [credential.blob, credential.secret].map((part) =>
        Buffer.from(part, 'base64url'),
      )
      assert.ok(blob && sealed)
      const secret = Buffer.from(await attester.activate(key, blob, sealed)).toString('base64url')
      assert.equal(secret, claim?.secret)
      opened.add(secret)
    }
    assert.equal(opened.size, 3)
  })
})
