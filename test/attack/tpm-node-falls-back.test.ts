// A name that a TPM stands for never comes to anything less (identity.md §4 A22): not to a join token, not even one that
// replaces, not to a device key, and not to the node's own agent if its configuration forgets the TPM.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { registeredAttestor } from '#node-agent/attest/registered.ts'
import { tpmJoinAttestor } from '#node-agent/attest/tpm.ts'
import { statePaths } from '#node-agent/state/state-dir.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { operator } from '#test/support/hub-client.ts'
import { attest, machine } from '#test/support/hub-node.ts'
import { startTestHub } from '#test/support/hub.ts'
import { needsNats } from '#test/support/nats.ts'
import { startSwtpm } from '#test/support/swtpm.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { TpmMachine, trusting } from '#test/support/tpm-machine.ts'

describe('a node with a TPM', { skip: needsNats }, () => {
  it('never becomes one with a key on its disk', async (t) => {
    const dir = await tempDir(t)
    const tpm = await startSwtpm(t)
    const hub = await startTestHub({ config: { tpm: trusting(tpm) } })
    t.after(() => hub.stop())
    const ann = await operator(hub)
    t.after(() => ann.close())
    const invite = async (replace = false): Promise<string> =>
      (await ann.call('node.join-token', { node: parseNodeName('mini'), replace })).join
    const mini = new TpmMachine(hub, { name: 'mini', tpm, dir: join(dir, 'mini') })
    await mini.join(await invite())

    const thief = { ...machine('mini', { epoch: 2 }), log: mini.log }
    await assert.rejects(attest(hub, thief, { join: await invite(true) }), { code: 'ZT-412-TPM' })
    const elsewhere = machine('mini', { epoch: 2 })
    await assert.rejects(attest(hub, elsewhere, { join: await invite(true) }), { code: 'ZT-412-TPM' })
    await assert.rejects(attest(hub, thief), { code: 'ZT-412-TPM' })
    assert.equal((await mini.renew()).lvl, 2)
  })

  it('does not run on the device key that somebody put beside its TPM key, or on no TPM', async (t) => {
    const dir = await tempDir(t)
    const tpm = await startSwtpm(t)
    const settings = { where: tpm.device, eventLog: '/nonexistent', svidKey: 'tpm' as const }
    const paths = statePaths(join(dir, 'state'))
    mkdirSync(paths.dir, { mode: 0o700 })
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    writeFileSync(paths.deviceKey, privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 })
    // Configured with a TPM, and joined without one.
    assert.throws(() => registeredAttestor({ tpm: settings }, paths), { code: 'ZT-400-CONFIG' })
    assert.equal(registeredAttestor({ tpm: undefined }, paths).kind, 'device-key')
    // Joined with a TPM, and configured without one.
    copyFileSync(await keyFileOf(dir, settings), paths.tpmKey)
    assert.throws(() => registeredAttestor({ tpm: undefined }, paths), { code: 'ZT-400-CONFIG' })
    assert.equal(registeredAttestor({ tpm: settings }, paths).kind, 'tpm')
  })
})

async function keyFileOf(
  dir: string,
  settings: Parameters<typeof tpmJoinAttestor>[1]['settings'],
): Promise<string> {
  const keyFile = join(dir, 'tpm-key.json')
  await tpmJoinAttestor('', { settings, keyFile }).hello?.()
  return keyFile
}
