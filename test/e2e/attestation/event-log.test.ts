import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { parseNodeName, parseTrustDomain } from '#shared/identity/names.ts'
import { generateNoteKey } from '#shared/log/note-key.ts'
import { signPcrPolicy } from '#shared/protocol/pcr-policy.ts'
import { BOOT, bootLog, measureBoot } from '#test/support/attestation/measured-boot.ts'
import { httpsTo, operator, type TestClient } from '#test/support/hub-client.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { needsNats } from '#test/support/nats.ts'
import { startSwtpm } from '#test/support/swtpm.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { TpmMachine, trusting, type Https } from '#test/support/tpm-machine.ts'

const NO_ACTION = 3

describe('a PCR policy that requires the event log', { skip: needsNats }, () => {
  const undo: (() => Promise<void>)[] = []
  const scope = { after: (action: () => Promise<void>) => void undo.unshift(action) }
  const { signer } = generateNoteKey('pcr.mesh.example')
  const mini = parseNodeName('mini')
  let hub: TestHub
  let ann: TestClient
  let machine: TpmMachine
  let file: string

  before(async () => {
    const dir = await tempDir(scope)
    file = join(dir, 'event-log')
    writeFileSync(file, bootLog())
    const tpm = await startSwtpm(scope)
    await measureBoot(tpm.open())
    hub = await startTestHub({ config: { tpm: { ...trusting(tpm), policyKeys: [signer.vkey] } } })
    scope.after(() => hub.stop())
    ann = await operator(hub)
    scope.after(() => ann.close())
    machine = new TpmMachine(hub, { name: mini, tpm, dir: join(dir, 'mini'), eventLog: file })
    await machine.join((await ann.call('node.join-token', { node: mini })).join)
    const { tpm: shown } = await ann.call('node.inspect', { node: mini })
    const { bank, pcrs = {} } = shown?.quote ?? {}
    assert.equal(bank, 'sha256')
    const note = signPcrPolicy(
      {
        v: 1,
        td: parseTrustDomain('mesh.example'),
        version: 1,
        bank: 'sha256',
        indices: [0, 1, 2, 3, 4, 5, 6, 7],
        sets: [{ name: 'boot', values: pcrs }],
        eventLog: 'required',
      },
      [signer],
    )
    await ann.call('pcr-policy.apply', { note })
  })
  after(async () => {
    for (const step of undo) await step()
  })

  it('accepts a log that replays to what was quoted, also a long one', async () => {
    await machine.renew()
    const long = [...BOOT, { pcr: 0, type: NO_ACTION, data: new Uint8Array(200 * 1024) }]
    writeFileSync(file, bootLog(long))
    await machine.renew()
    assert.equal((await ann.call('node.inspect', { node: mini })).attestation?.policy?.set, 'boot')
  })

  it('refuses a log with an event less, one that is no log, and none', async () => {
    writeFileSync(file, bootLog(BOOT.slice(1)))
    await assert.rejects(machine.renew(), { code: 'ZT-401-TPM-EVENTLOG' })
    writeFileSync(file, 'no log')
    await assert.rejects(machine.renew(), { code: 'ZT-401-TPM-EVENTLOG' })
    writeFileSync(file, bootLog())
    const without: Https = {
      post: (path, body) => {
        const { eventLog: _left, ...evidence } = ((body as { evidence?: object }).evidence ?? {}) as {
          eventLog?: string
        }
        const bent = path === '/v1/attest' ? { ...(body as object), evidence } : body
        return httpsTo(hub).post(path, bent)
      },
    }
    await assert.rejects(machine.renew(without), { code: 'ZT-401-TPM-EVENTLOG' })
    await machine.renew()
  })

  it('is not asked with a log that is over its bound', async () => {
    writeFileSync(file, new Uint8Array(256 * 1024 + 1))
    await assert.rejects(machine.renew(), { code: 'ZT-413-SIZE' })
  })
})
