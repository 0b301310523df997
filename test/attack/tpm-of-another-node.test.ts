// One endorsement key and one attestation key stand for one name, and a name for one TPM (identity.md §4 T10, A16): a machine is no
// second node with the keys that it joined with, and no other machine, however genuine its TPM, comes under a name that is
// taken. A TPM has several endorsement keys, and nothing shows that two of them are in one: with a token for a second
// name, another EK and another AK, it gets that. allowEk is what stops it.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parseNodeName } from '#shared/identity/names.ts'
import { operator } from '#test/support/hub-client.ts'
import { startTestHub } from '#test/support/hub.ts'
import { needsNats } from '#test/support/nats.ts'
import { startSwtpm } from '#test/support/swtpm.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { joinWithEk } from '#test/support/tpm-other-ek.ts'
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

  it('gets no second name with the same attestation key beside another of its endorsement keys', async (t) => {
    const dir = await tempDir(t)
    const own = await startSwtpm(t)
    const hub = await startTestHub({ config: { tpm: trusting(own) } })
    t.after(() => hub.stop())
    const ann = await operator(hub)
    t.after(() => ann.close())
    const invite = async (name: string, replace = false): Promise<string> =>
      (await ann.call('node.join-token', { node: parseNodeName(name), replace })).join
    const mini = new TpmMachine(hub, { name: 'mini', tpm: own, dir: join(dir, 'mini') })
    const [first, spare] = [await invite('mini'), await invite('mini')]
    await joinWithEk(mini, first, 'rsa-2048')
    const twin = new TpmMachine(hub, { name: 'twin', tpm: own, dir: join(dir, 'mini') })
    await assert.rejects(joinWithEk(twin, await invite('twin'), 'ecc-p384-high'), { code: 'ZT-409-TPM' })
    // Nor does it repeat its own join as if it were the machine that joined.
    await assert.rejects(joinWithEk(mini, first, 'ecc-p384-high'), { code: 'ZT-409-JOIN-SPENT' })
    await assert.rejects(joinWithEk(mini, spare, 'ecc-p384-high'), { code: 'ZT-410-JOIN-EXPIRED' })
    await joinWithEk(mini, first, 'rsa-2048')
    assert.equal((await mini.renew()).lvl, 2)
  })
})
