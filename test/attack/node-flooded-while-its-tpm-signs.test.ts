// A TPM signs one thing at a time, and not fast. Whoever makes a node sign, with commands or with what it must refuse, does not
// keep it from renewing, gets no more refusals signed than there is time for, and takes the room of nobody's command.
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { TpmAccess } from '#node-agent/attest/tpm-access.ts'
import { TpmSvidKey, type SigningState } from '#node-agent/attest/tpm-svid-key.ts'
import { needsNats } from '#test/support/nats.ts'
import { ReceivingNode } from '#test/support/receiving-node.ts'
import { startSwtpm, type Swtpm } from '#test/support/swtpm.ts'
import { startTpmHub } from '#test/support/tpm-machine.ts'

const accessTo = (tpm: Swtpm): TpmAccess =>
  new TpmAccess({ where: tpm.device, eventLog: '/nonexistent', svidKey: 'tpm' })

describe('a node whose TPM has much to sign', { skip: needsNats }, () => {
  it('is renewed ahead of all of it', async (t) => {
    const { machine: mini } = await (await startTpmHub(t)).joined('mini')
    const attestor = mini.attestor()
    const admission = await mini.admit(attestor)
    assert.ok('sign' in admission.identity)
    const { sign } = admission.identity
    let signed = 0
    const flood = Array.from({ length: 2000 }, () => sign(new Uint8Array(3)).then(() => (signed += 1)))
    await mini.admit(attestor)
    // Signatures are made while the hub is asked and answers; not while the TPM could do what the renewal needs.
    assert.ok(signed < 1000, `${signed} of 2000 signatures came before the renewal`)
    await Promise.all(flood)
  })
})

describe('a node whose receipts wait for a signature', () => {
  const behind = (waiting: number) => (test: TestContext) =>
    ReceivingNode.create(test, { parts: { signing: (): SigningState => ({ isLost: false, waiting }) } })

  it('answers what it does, and no more what it refuses', async (test) => {
    const node = await behind(8)(test)
    assert.equal((await node.send(node.spawn()))?.ok, true)
    assert.equal(await node.send(node.spawn(), { claims: { aud: node.hub.id } }), undefined)
    assert.deepEqual(node.lastRejection(), { code: 'ZT-401-TOKEN', check: 10 })
  })

  it('takes nothing in that would have to wait for too many others, and counts it', async (test) => {
    const node = await behind(32)(test)
    assert.equal(await node.send(node.spawn()), undefined)
    assert.equal(node.keeper.prepared.length, 0)
    await node.rejections.flush()
    assert.deepEqual(
      { ...(node.rows('flood.aggregated')[0]?.obj?.['rejected'] as object) },
      { 'ZT-429-RATE': 1 },
    )
  })
})

describe('a key that has failed to sign', () => {
  it('signs no more, and its TPM is not asked', async (t) => {
    const tpm = await startSwtpm(t)
    const access = accessTo(tpm)
    const key = await TpmSvidKey.create(access)
    assert.equal((await key.sign(new Uint8Array(3))).length, 64)
    await tpm.reset()
    const waiting = [key.sign(new Uint8Array(3)), key.sign(new Uint8Array(3))]
    assert.equal(key.waiting, 2)
    const [first, ...others] = [...waiting, key.sign(new Uint8Array(3))]
    const refusals = Promise.all(others.map((late) => assert.rejects(late, { message: /signs no more/ })))
    await assert.rejects(first ?? Promise.resolve(), { message: /contextLoad refused/ })
    await refusals
    await key.lost
    assert.deepEqual([key.isLost, key.waiting], [true, 0])
    assert.equal((await (await TpmSvidKey.create(access)).sign(new Uint8Array(3))).length, 64)
  })
})
