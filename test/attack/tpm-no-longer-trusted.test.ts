// Trust in a TPM is asked for again at each renewal (identity.md §4 T1, T3): a machine whose endorsement key is denied, or not allowed,
// or whose vendor is no longer named, is not renewed from the next start of the hub on, however long ago it joined.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { parseNodeName } from '#shared/identity/names.ts'
import { operator } from '#test/support/hub-client.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { needsNats } from '#test/support/nats.ts'
import { startSwtpm } from '#test/support/swtpm.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { TpmMachine, trusting } from '#test/support/tpm-machine.ts'

describe('a TPM that has joined', { skip: needsNats }, () => {
  const undo: (() => Promise<void>)[] = []
  const scope = { after: (action: () => Promise<void>) => void undo.unshift(action) }
  let hub: TestHub
  let mini: TpmMachine
  let trust: object
  let otherTrust: object
  let ek: string
  let text: string

  before(async () => {
    const dir = await tempDir(scope)
    const own = await startSwtpm(scope)
    trust = trusting(own)
    otherTrust = trusting(await startSwtpm(scope, { caDir: await tempDir(scope) }))
    hub = await startTestHub({ config: { tpm: trust } })
    scope.after(() => hub.stop())
    const ann = await operator(hub)
    const node = parseNodeName('mini')
    text = (await ann.call('node.join-token', { node })).join
    mini = new TpmMachine(hub, { name: 'mini', tpm: own, dir: join(dir, 'mini') })
    await mini.join(text)
    ek = (await ann.call('node.inspect', { node })).tpm?.ek ?? ''
    await ann.close()
  })
  after(async () => {
    for (const step of undo) await step()
  })

  const under = async (tpm: object): Promise<void> => {
    const config = JSON.parse(readFileSync(hub.configFile, 'utf8')) as object
    writeFileSync(hub.configFile, JSON.stringify({ ...config, tpm }))
    await hub.restart('SIGTERM')
  }

  it('is not renewed once its EK is denied', async () => {
    await under({ ...trust, denyEk: [ek] })
    await assert.rejects(mini.renew(), { code: 'ZT-403-TPM-EK' })
  })

  it('is not renewed once it is not among those that are allowed', async () => {
    await under({ ...trust, allowEk: ['00'.repeat(32)] })
    await assert.rejects(mini.renew(), { code: 'ZT-403-TPM-EK' })
  })

  it('is not renewed once the root of its vendor is not named', async () => {
    await under(otherTrust)
    await assert.rejects(mini.renew(), { code: 'ZT-401-TPM-EK-CHAIN' })
  })

  it('is renewed again when it is trusted again', async () => {
    await under({ ...trust, allowEk: [ek] })
    assert.equal((await mini.renew()).lvl, 2)
  })
})
