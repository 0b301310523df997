import assert from 'node:assert/strict'
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { Attestor } from '#node-agent/attest/attestor.ts'
import { isZtError } from '#shared/errors/error.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import type { RowBody } from '#shared/log/row.ts'
import type { NodeInspection } from '#shared/protocol/node-inspection.ts'
import { rowsOf } from '#test/support/audit-rows.ts'
import { operator, type TestClient } from '#test/support/hub-client.ts'
import { attest, machine } from '#test/support/hub-node.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { needsNats } from '#test/support/nats.ts'
import { startSwtpm, type Swtpm } from '#test/support/swtpm.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { TpmMachine, trusting } from '#test/support/tpm-machine.ts'

describe('a hub that takes TPMs of one vendor', { skip: needsNats }, () => {
  const undo: (() => Promise<void>)[] = []
  const scope = { after: (action: () => Promise<void>) => void undo.unshift(action) }
  let dir: string
  let tpm: Swtpm
  let second: Swtpm
  let hub: TestHub
  let ann: TestClient
  let mini: TpmMachine

  before(async () => {
    dir = await tempDir(scope)
    tpm = await startSwtpm(scope)
    second = await startSwtpm(scope, { caDir: tpm.caDir })
    hub = await startTestHub({ config: { tpm: trusting(tpm) } })
    scope.after(() => hub.stop())
    ann = await operator(hub)
    scope.after(() => ann.close())
    mini = new TpmMachine(hub, { name: 'mini', tpm, dir: join(dir, 'mini') })
  })
  after(async () => {
    for (const step of undo) await step()
  })

  const invite = async (name: string, wish: object = {}): Promise<string> =>
    (await ann.call('node.join-token', { node: parseNodeName(name), ...wish })).join
  const inspect = (name: string): Promise<NodeInspection> =>
    ann.call('node.inspect', { node: parseNodeName(name) })
  const hubRows = (): RowBody[] => rowsOf(join(hub.stateDir, 'log.db'))
  const codeOf = async (work: Promise<unknown>): Promise<string> => {
    try {
      await work
      return 'ok'
    } catch (error) {
      if (isZtError(error)) return error.code
      throw error
    }
  }

  it('gives a machine that proves its TPM the level of one', async () => {
    const admission = await mini.join(await invite('mini', { require_tpm: true }))
    assert.equal(admission.lvl, 2)
    const { state, lvl, attestation, tpm: shown, policy } = await inspect('mini')
    assert.deepEqual([state, lvl, policy], ['joined', 2, null])
    assert.deepEqual([attestation?.how, attestation?.svidKey, attestation?.policy], ['tpm', 'tpm', null])
    assert.equal(attestation?.svid.x5t, admission.identity.thumbprint)
    assert.match(shown?.maker ?? '', /swtpm/)
    assert.deepEqual(Object.keys(shown?.quote?.pcrs ?? {}), ['0', '1', '2', '3', '4', '5', '6', '7'])
  })

  it('writes level and evidence into the rows of the attestation and of the SVID, and names both', async () => {
    const { attestation } = await inspect('mini')
    const rows = hubRows()
    const [attested, issued] = [attestation?.rows.attested ?? -1, attestation?.rows.issued ?? -1].map(
      (seq) => rows[seq],
    )
    assert.deepEqual([attested?.type, issued?.type], ['node.joined', 'svid.issued'])
    for (const row of [attested, issued])
      assert.deepEqual(
        [row?.obj?.['lvl'], row?.obj?.['evidence'], row?.obj?.['svid_key']],
        [2, attestation?.evidence, 'tpm'],
      )
    assert.equal(issued?.actor?.x5t, attestation?.svid.x5t)
  })

  it('takes a fresh quote at every renewal, also from a TPM that was reset, and writes that it was', async () => {
    const digests = new Set<string | undefined>()
    for (let i = 0; i < 3; i += 1) {
      assert.equal((await mini.renew()).lvl, 2)
      digests.add((await inspect('mini')).attestation?.evidence)
    }
    assert.equal(digests.size, 3)
    const before = (await inspect('mini')).tpm?.quote?.clock.resets ?? -1
    await tpm.reset()
    await mini.renew()
    assert.equal((await inspect('mini')).tpm?.quote?.clock.resets, before + 1)
    const rebooted = hubRows().filter(({ type }) => type === 'node.rebooted')
    assert.deepEqual(rebooted[0]?.obj?.['resets'], [before, before + 1])
    assert.equal(rebooted.length, 1)
  })

  it('marks an SVID whose key is in memory as such, and refuses one whose key the TPM has not certified', async () => {
    const soft = new TpmMachine(hub, {
      name: 'mini',
      tpm,
      dir: join(dir, 'mini'),
      log: mini.log,
      svidKey: 'memory',
    })
    await soft.renew()
    const { attestation } = await inspect('mini')
    assert.deepEqual([attestation?.lvl, attestation?.svidKey], [2, 'soft'])
    const listed = (await ann.call('node.list', {})).nodes.find(({ name }) => name === 'mini')
    assert.deepEqual([listed?.lvl, listed?.svidKey], [2, 'soft'])
    assert.equal(hubRows()[attestation?.rows.issued ?? -1]?.obj?.['svid_key'], 'soft')
    const own = mini.attestor()
    const another: Attestor = {
      ...own,
      attest: async (transcript, challenge) => own.attest(transcript, challenge, await own.createKey?.()),
    }
    assert.equal(await codeOf(mini.admit(another)), 'ZT-401-TPM-CERTIFY')
    await mini.renew()
    assert.equal((await inspect('mini')).attestation?.svidKey, 'tpm')
  })

  it('knows the machine after a restart of its own', async () => {
    await ann.close()
    await hub.restart()
    ann = await operator(hub)
    assert.equal((await mini.renew()).lvl, 2)
  })

  it('refuses what was stolen from its disk on another TPM of the same vendor', async () => {
    const keyFile = join(dir, 'stolen', 'tpm-key.json')
    const thief = new TpmMachine(hub, { name: 'mini', tpm: second, dir: join(dir, 'stolen'), log: mini.log })
    cpSync(mini.keyFile, keyFile)
    // The TPM itself does not load the key.
    assert.equal(await codeOf(thief.renew()), 'ZT-503-TPM')
    await assert.rejects(thief.join(await invite('other')), {
      code: 'ZT-400-CONFIG',
      message: /of another TPM, or of this one before it was cleared/,
    })
    // A key of its own does not sign for the registered one.
    rmSync(keyFile)
    assert.equal(await codeOf(thief.join(await invite('other'))), 'ZT-403-JOIN')
    assert.equal(await codeOf(thief.renew()), 'ZT-401-TPM-SIG')
  })

  it('refuses a TPM that was put back to a snapshot', async () => {
    const machineOf = { name: 'virtual', tpm: second, dir: join(dir, 'virtual') }
    const virtual = new TpmMachine(hub, machineOf)
    await virtual.join(await invite('virtual'))
    await second.reset()
    const snapshot = join(dir, 'snapshot')
    cpSync(second.stateDir, snapshot, { recursive: true })
    for (let i = 0; i < 2; i += 1) await second.reset()
    await virtual.renew()
    await second.stop()
    cpSync(snapshot, second.stateDir, { recursive: true })
    await second.reset()
    assert.equal(await codeOf(virtual.renew()), 'ZT-401-TPM-CLOCK')
  })

  it('refuses a hello of a vendor that it does not trust', async () => {
    const stranger = await startSwtpm(scope)
    const other = new TpmMachine(hub, { name: 'stranger', tpm: stranger, dir: join(dir, 'stranger') })
    assert.equal(await codeOf(other.join(await invite('stranger'))), 'ZT-401-TPM-EK-CHAIN')
  })

  it('keeps a token that demands a TPM from a machine without one', async () => {
    const join = await invite('needs-tpm', { require_tpm: true })
    assert.equal(await codeOf(attest(hub, machine('needs-tpm'), { join })), 'ZT-412-TPM')
  })

  it('lets an operator replace the machine, and nobody else', async () => {
    const third = await startSwtpm(scope, { caDir: tpm.caDir })
    const next = new TpmMachine(hub, { name: 'mini', tpm: third, dir: join(dir, 'next'), epoch: 2 })
    assert.equal(await codeOf(invite('mini')), 'ZT-403-JOIN')
    assert.equal((await next.join(await invite('mini', { replace: true }))).lvl, 2)
    assert.equal(await codeOf(mini.renew()), 'ZT-401-TPM-SIG')
    assert.equal((await next.renew()).lvl, 2)
  })

  it('lets a TPM go to another name once its own is revoked and allowed', async () => {
    const moved = new TpmMachine(hub, { name: 'moved', tpm: second, dir: join(dir, 'moved') })
    assert.equal(await codeOf(moved.join(await invite('moved'))), 'ZT-409-TPM')
    const id = parseSpiffeId(`spiffe://${hub.trustDomain}/node/virtual`)
    await ann.call('node.revoke', { node: parseNodeName('virtual'), reason: 'moves' })
    assert.equal(await codeOf(moved.join(await invite('moved'))), 'ZT-409-TPM')
    // A revocation can be lifted once every SVID from before it has ended: that is five minutes, too long for a test.
    assert.equal(await codeOf(ann.call('allow', { id })), 'ZT-403-REVOKED')
  })
})

describe('a hub whose configuration names no TPMs', { skip: needsNats }, () => {
  it('refuses a hello, and says so', async (t) => {
    const dir = await tempDir(t)
    const tpm = await startSwtpm(t)
    const hub = await startTestHub()
    t.after(() => hub.stop())
    const ann = await operator(hub)
    t.after(() => ann.close())
    const { join: text } = await ann.call('node.join-token', { node: parseNodeName('mini') })
    const mini = new TpmMachine(hub, { name: 'mini', tpm, dir: join(dir, 'mini') })
    await assert.rejects(mini.join(text), { code: 'ZT-412-TPM' })
  })
})
