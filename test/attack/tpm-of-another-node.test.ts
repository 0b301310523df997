// One TPM stands for one name, and a name for one TPM (identity.md §4 T10, A16): a machine cannot be a second node, and no
// other machine, however genuine its TPM, comes under a name that is taken.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parseNodeName } from '#shared/identity/names.ts'
import { operator } from '#test/support/hub-client.ts'
import { startTestHub } from '#test/support/hub.ts'
import { needsNats } from '#test/support/nats.ts'
import { startSwtpm } from '#test/support/swtpm.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { TpmMachine, trusting } from '#test/support/tpm-machine.ts'

describe('the TPM of another node', { skip: needsNats }, () => {
  it('gets no second name, and its own is not given to another TPM', async (t) => {
    const dir = await tempDir(t)
    const own = await startSwtpm(t)
    const other = await startSwtpm(t, { caDir: own.caDir })
    const hub = await startTestHub({ config: { tpm: trusting(own) } })
    t.after(() => hub.stop())
    const ann = await operator(hub)
    t.after(() => ann.close())
    const invite = async (name: string): Promise<string> =>
      (await ann.call('node.join-token', { node: parseNodeName(name) })).join
    const mini = new TpmMachine(hub, { name: 'mini', tpm: own, dir: join(dir, 'mini') })
    const spare = await invite('mini')
    await mini.join(await invite('mini'))

    // The same TPM, with the same key and with a new one.
    const twin = new TpmMachine(hub, { name: 'twin', tpm: own, dir: join(dir, 'mini') })
    await assert.rejects(twin.join(await invite('twin')), { code: 'ZT-409-TPM' })
    const fresh = new TpmMachine(hub, { name: 'twin', tpm: own, dir: join(dir, 'twin') })
    await assert.rejects(fresh.join(await invite('twin')), { code: 'ZT-409-TPM' })

    // Another TPM of the same vendor: no token is made, and one from before is void.
    await assert.rejects(invite('mini'), { code: 'ZT-403-JOIN' })
    const usurper = new TpmMachine(hub, { name: 'mini', tpm: other, dir: join(dir, 'usurper'), epoch: 2 })
    await assert.rejects(usurper.join(spare), { code: 'ZT-410-JOIN-EXPIRED' })
    await assert.rejects(usurper.renew(), { code: 'ZT-401-TPM-SIG' })
    assert.equal((await mini.renew()).lvl, 2)
    const { nodes } = await ann.call('node.list', {})
    assert.deepEqual(
      nodes.map(({ name, lvl }) => [name, lvl]),
      [
        ['mini', 2],
        ['twin', 0],
      ],
    )
  })
})
