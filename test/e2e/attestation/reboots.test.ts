import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { parseNodeName } from '#shared/identity/names.ts'
import { createNoteSigner } from '#shared/log/note.ts'
import { generateNoteKey } from '#shared/log/note-key.ts'
import type { RowBody } from '#shared/log/row.ts'
import { signPcrPolicy, type PcrPolicy } from '#shared/protocol/pcr-policy.ts'
import { rowsOf } from '#test/support/audit-rows.ts'
import { operator, type TestClient } from '#test/support/hub-client.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { needsNats } from '#test/support/nats.ts'
import { startSwtpm, type Swtpm } from '#test/support/swtpm.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { TpmMachine, trusting } from '#test/support/tpm-machine.ts'
import { extendRegister } from '#test/support/tpm-registers.ts'

describe('the rows of a machine that is switched off and on, and drifts', { skip: needsNats }, () => {
  const undo: (() => Promise<void>)[] = []
  const scope = { after: (action: () => Promise<void>) => void undo.unshift(action) }
  const { signer } = generateNoteKey('pcr.mesh.example')
  const node = parseNodeName('mini')
  let dir: string
  let tpm: Swtpm
  let hub: TestHub
  let ann: TestClient
  let mini: TpmMachine
  let text: string

  before(async () => {
    dir = await tempDir(scope)
    tpm = await startSwtpm(scope)
    hub = await startTestHub({ config: { tpm: { ...trusting(tpm), policyKeys: [signer.vkey] } } })
    scope.after(() => hub.stop())
    ann = await operator(hub)
    scope.after(() => ann.close())
    text = (await ann.call('node.join-token', { node })).join
    mini = new TpmMachine(hub, { name: 'mini', tpm, dir: join(dir, 'mini') })
    await mini.join(text)
  })
  after(async () => {
    for (const step of undo) await step()
  })

  const rows = (type: string): RowBody[] =>
    rowsOf(join(hub.stateDir, 'log.db')).filter((row) => row.type === type)
  /** How many rows of that type `work` adds. */
  const added = async (type: string, work: () => Promise<unknown>): Promise<number> => {
    const first = rows(type).length
    await work()
    return rows(type).length - first
  }
  const apply = async (version: number, value: string): Promise<void> => {
    const td = 'mesh.example' as PcrPolicy['td']
    const sets = [{ name: 'only', values: { 7: value } }]
    const note = signPcrPolicy({ v: 1, td, version, bank: 'sha256', indices: [7], sets }, [signer])
    await ann.call('pcr-policy.apply', { note })
  }
  const refusedByPolicy = (): Promise<void> => assert.rejects(mini.renew(), { code: 'ZT-403-PCR' })

  it('tell a reboot once, not for each renewal that is refused after it', async () => {
    await tpm.reset()
    const { origin } = mini.log
    const refuse = async (): Promise<void> => {
      const { vkey } = createNoteSigner(origin, generateKeyPairSync('ed25519').privateKey)
      const forked = new TpmMachine(hub, { name: 'mini', tpm, dir: join(dir, 'mini'), log: { origin, vkey } })
      await assert.rejects(forked.renew(), { code: 'ZT-490-FORK' })
    }
    const tries = async (): Promise<void> => {
      for (let i = 0; i < 3; i += 1) await refuse()
    }
    assert.equal(await added('node.rebooted', tries), 0)
    assert.equal(await added('node.rebooted', () => mini.renew()), 1)
    assert.equal(await added('node.rebooted', () => mini.renew()), 0)
  })

  it('tell a reboot before a join that is repeated', async () => {
    await tpm.reset()
    assert.equal(await added('node.rebooted', () => mini.join(text)), 1)
    assert.equal(await added('node.rebooted', () => mini.renew()), 0)
  })

  it('tell each reboot of a machine that has drifted, and its drift once', async () => {
    await apply(1, 'ff'.repeat(32))
    await refusedByPolicy()
    const reboots = async (): Promise<void> => {
      for (let i = 0; i < 3; i += 1) {
        await tpm.reset()
        await refusedByPolicy()
      }
    }
    const drifts = await added('node.drifted', async () => {
      assert.equal(await added('node.rebooted', reboots), 3)
    })
    assert.equal(drifts, 0)
  })

  it('tell of a second drift to other values', async () => {
    const { tpm: first } = await ann.call('node.inspect', { node })
    await extendRegister(tpm.open(), 7, new Uint8Array(32).fill(7))
    assert.equal(await added('node.drifted', refusedByPolicy), 1)
    const { tpm: second } = await ann.call('node.inspect', { node })
    assert.equal(second?.drifted?.at, first?.drifted?.at)
    assert.equal(second?.drifted?.row, rows('node.drifted').at(-1)?.seq)
    assert.notEqual(second?.quote?.pcrs['7'], first?.quote?.pcrs['7'])
    assert.equal(await added('node.drifted', refusedByPolicy), 0)
  })
})
