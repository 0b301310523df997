// Evidence that does not count, and that leaves the token unspent when it does not.
import assert from 'node:assert/strict'
import { randomBytes, sign } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { Attested, AttestContext } from '#hub/admission/attestor.ts'
import { DeviceKeyAttestor } from '#hub/admission/device-key.ts'
import { issueJoinToken, JoinTokenAttestor } from '#hub/admission/join-token.ts'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import type { HubStore } from '#hub/store/store.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { ZtError } from '#shared/errors/error.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateP256, type P256KeyPair } from '#shared/jose/keys.ts'
import type { Evidence } from '#shared/protocol/admission.ts'

const NOW = 1_000_000
const transcript = randomBytes(32)
const proofOf = ({ privateKey }: P256KeyPair, over: Uint8Array = transcript): string =>
  encodeBase64url(sign('sha256', over, { key: privateKey, dsaEncoding: 'ieee-p1363' }))
const told = (attested: Attested | undefined): unknown[] =>
  attested === undefined ? [] : [attested.lvl, encodeBase64url(attested.device), attested.how]

describe('evidence', () => {
  let dir: string
  let store: HubStore
  let joins: JoinTokenAttestor
  let stays: DeviceKeyAttestor
  let announced: string[]
  let full: boolean
  const device = generateP256()
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'zt-attest-'))
    createSqliteStore(join(dir, 'hub.db'))
    store = openSqliteStore(join(dir, 'hub.db'))
    joins = new JoinTokenAttestor(store)
    stays = new DeviceKeyAttestor(store.nodes)
    announced = []
    full = false
  })
  afterEach(async () => {
    await store.close()
    rmSync(dir, { recursive: true })
  })
  const token = async (replace = false): Promise<string> => {
    const order = {
      node: parseNodeName('n1'),
      replace,
      createdBy: parseSpiffeId('spiffe://td/operator/a'),
      now: NOW,
    }
    return (await issueJoinToken(store, order)).token
  }
  const context = (change: Partial<AttestContext> = {}): AttestContext => ({
    node: parseNodeName('n1'),
    challenge: { node: parseNodeName('n1'), nonce: '' },
    asked: NOW,
    transcript,
    spki: new Uint8Array(),
    note: () => Promise.reject(new Error('nothing is noted of these')),
    log: { origin: 'o', vkey: 'v' },
    announce: async ({ how }) => {
      announced.push(how)
      if (full) throw new ZtError('ZT-503-AUDIT', 'the disk is full')
    },
    now: NOW,
    ...change,
  })
  const byToken = (
    secret: string,
    change: { key?: P256KeyPair; proof?: string; at?: Partial<AttestContext> } = {},
  ): Promise<Attested | undefined> => {
    const key = change.key ?? device
    const proof = change.proof ?? proofOf(key)
    const evidence = {
      type: 'join-token',
      token: secret,
      device: { spki: encodeBase64url(key.spki), proof },
    } as const
    return joins.attest(evidence, context(change.at))
  }
  const byKey = (proof: string, at: Partial<AttestContext> = {}): Promise<Attested | undefined> =>
    stays.attest({ type: 'device-key', proof }, context(at))

  it('of another kind is left to another attestor', async () => {
    const evidence: Evidence = { type: 'device-key', proof: 'x' }
    assert.equal(await joins.attest(evidence, context()), undefined)
    const other = { type: 'join-token', token: '', device: { spki: '', proof: '' } } as const
    assert.equal(await stays.attest(other, context()), undefined)
  })

  it('by token joins, by device key stays', async () => {
    assert.deepEqual(told(await byToken(await token())), [1, encodeBase64url(device.spki), 'joined'])
    assert.deepEqual(told(await byKey(proofOf(device))), [1, encodeBase64url(device.spki), 'device-key'])
  })

  it('by token is refused at the end of its ten minutes', async () => {
    const secret = await token()
    await assert.rejects(byToken(secret, { at: { now: NOW + 600_000 } }), { code: 'ZT-410-JOIN-EXPIRED' })
    assert.equal((await byToken(secret, { at: { now: NOW + 599_999 } }))?.how, 'joined')
  })

  it('with a bad proof does not spend the token', async () => {
    const secret = await token()
    await assert.rejects(byToken(secret, { proof: proofOf(device, randomBytes(32)) }), {
      code: 'ZT-401-EVIDENCE',
    })
    assert.equal((await byToken(secret))?.how, 'joined')
  })

  it('by another key than the one that is named is refused', async () => {
    await assert.rejects(byToken(await token(), { proof: proofOf(generateP256()) }), {
      code: 'ZT-401-EVIDENCE',
    })
  })

  it('with a key that is not on P-256 is refused', async () => {
    const evidence: Evidence = {
      type: 'join-token',
      token: await token(),
      device: { spki: encodeBase64url(randomBytes(91)), proof: proofOf(device) },
    }
    await assert.rejects(joins.attest(evidence, context()), { code: 'ZT-400-MALFORMED' })
  })

  it('by a token for another node is refused', async () => {
    await assert.rejects(byToken(await token(), { at: { node: parseNodeName('n2') } }), {
      code: 'ZT-403-JOIN',
    })
  })

  it('by a second token does not take the name, and by one that replaces does', async () => {
    await byToken(await token())
    const other = generateP256()
    await assert.rejects(byToken(await token(), { key: other }), { code: 'ZT-403-JOIN' })
    assert.equal(
      (await byToken(await token(true), { key: other, at: { log: { origin: 'o2', vkey: 'v2' } } }))?.how,
      'replaced',
    )
    await assert.rejects(byKey(proofOf(device)), { code: 'ZT-401-EVIDENCE' })
  })

  it('by token never takes a name that a TPM stands for, not even one that replaces', async () => {
    await byToken(await token())
    const log = { origin: 'o', vkey: 'v' }
    await store.nodes.attest({ name: 'n1', lvl: 2, boot: 'b', log, now: NOW })
    await assert.rejects(byToken(await token(true), { key: generateP256() }), { code: 'ZT-412-TPM' })
    await assert.rejects(byKey(proofOf(device)), { code: 'ZT-412-TPM' })
  })

  it('by device key is refused to a revoked node, and to one that was never there', async () => {
    await assert.rejects(byKey(proofOf(device)), { code: 'ZT-401-EVIDENCE' })
    await byToken(await token())
    await store.nodes.revoke('n1', NOW)
    await assert.rejects(byKey(proofOf(device)), { code: 'ZT-403-REVOKED' })
  })

  it('over another transcript is refused: it was made for another session, key or hub', async () => {
    await byToken(await token())
    await assert.rejects(byKey(proofOf(device), { transcript: randomBytes(32) }), { code: 'ZT-401-EVIDENCE' })
  })

  it('by token changes nothing before it is written that it will', async () => {
    const secret = await token()
    full = true
    await assert.rejects(byToken(secret), { code: 'ZT-503-AUDIT' })
    assert.deepEqual(await store.nodes.list(), [])
    full = false
    assert.equal((await byToken(secret))?.repeated, undefined)
    assert.deepEqual(announced, ['joined', 'joined'])
  })

  it('by token that is refused announces nothing', async () => {
    await assert.rejects(byToken(encodeBase64url(randomBytes(32))), { code: 'ZT-403-JOIN' })
    assert.deepEqual(announced, [])
  })

  it('by token that is repeated says what it was the first time', async () => {
    await byToken(await token())
    const [secret, key] = [await token(true), generateP256()]
    const at = { log: { origin: 'o2', vkey: 'v2' } }
    for (const repeated of [undefined, true] as const) {
      const attested = await byToken(secret, { key, at })
      assert.deepEqual([attested?.how, attested?.repeated], ['replaced', repeated])
    }
    assert.deepEqual(announced, ['joined', 'replaced'])
  })

  it('is never stored as the token itself', async () => {
    const secret = await token()
    assert.deepEqual(await store.joinTokens.outstanding(NOW), ['n1'])
    assert.ok(!JSON.stringify(await store.nodes.list()).includes(secret))
  })
})
