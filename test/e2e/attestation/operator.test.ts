import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Mesh } from '#ops/demo/mesh.ts'
import type { Finished } from '#ops/demo/programs.ts'
import { trustInAuthority } from '#ops/demo/software-tpm.ts'
import { openTpm } from '#shared/host/tpm/device.ts'
import { eventually } from '#test/support/eventually.ts'
import { needsSandbox } from '#test/support/keeper.ts'
import { needsNats } from '#test/support/nats.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { extendRegister } from '#test/support/tpm-registers.ts'
import { say } from '#test/support/ztctl-io.ts'

// docs/attestation.md, typed by an operator.
describe('an operator of a mesh with TPMs', { skip: needsNats || needsSandbox }, () => {
  const undo: (() => Promise<void>)[] = []
  const scope = { after: (action: () => Promise<void>) => void undo.unshift(action) }
  let dir: string
  let mesh: Mesh

  before(async () => {
    dir = join(await tempDir(scope), 'mesh')
    const key = await say(['pcr-policy', 'keygen', 'pcr.mesh.example', `${dir}.key`])
    const tpm = { ...trustInAuthority(dir), policyKeys: [key.stdout.trim()] }
    mesh = await Mesh.lay({ dir, build: 'source', tpms: ['mac-mini'], hub: { tpm, svidTtlS: 8 } })
    scope.after(() => mesh.stop())
    await mesh.startHub()
    await mesh.addNode('mac-mini')
  })
  after(async () => {
    for (const step of undo) await step()
  })

  const typed = async (line: string, code = 0): Promise<Finished> => {
    const finished = await mesh.ztctl(line.split(' '))
    assert.equal(finished.code, code, `${line}: ${finished.stdout}${finished.stderr}`)
    return finished
  }
  /** Drafts, lets `edit` change it as an editor would, signs and applies. */
  const applyDraft = async (edit: (draft: { version: number }) => void = () => undefined): Promise<void> => {
    const { stdout } = await typed('pcr-policy draft mac-mini')
    const draft = JSON.parse(stdout) as { version: number }
    edit(draft)
    writeFileSync(join(dir, 'policy.json'), JSON.stringify(draft))
    const signed = await typed(`pcr-policy sign ${join(dir, 'policy.json')} --key ${dir}.key`)
    writeFileSync(join(dir, 'policy.note'), signed.stdout)
    const applied = await typed(`pcr-policy apply ${join(dir, 'policy.note')}`)
    assert.match(applied.stdout, new RegExp(`^PCR policy ${draft.version} is in force`))
  }
  const measureSomethingElse = async (): Promise<void> => {
    const config = JSON.parse(readFileSync(join(mesh.nodeDir('mac-mini'), 'node.json'), 'utf8')) as {
      tpm: { tcp: string }
    }
    const [host = '', port] = config.tpm.tcp.split(':')
    await extendRegister(openTpm({ host, port: Number(port) }), 4, new Uint8Array(32).fill(4))
  }
  const stateOf = async (): Promise<string | undefined> =>
    /^mac-mini +(\w+) +TPM /m.exec((await typed('node ls')).stdout)?.[1]

  it('sees what a machine has measured before there is a policy', async () => {
    assert.match((await typed('pcr-policy show')).stdout, /^no PCR policy/)
    assert.match(
      (await typed('node attest mac-mini')).stdout,
      /any values are accepted\nPCR  MEASURED \(sha256\)\n/,
    )
    assert.match((await typed('node inspect mac-mini')).stdout, /^accepted by +no PCR policy: any values$/m)
  })

  it('makes the first policy of it, and sees it accept', async () => {
    await applyDraft()
    assert.match(
      (await typed('pcr-policy show')).stdout,
      /^PCR policy 1, applied .* signed by pcr\.mesh\.example$/m,
    )
    assert.match((await typed('node attest mac-mini')).stdout, /^set mac-mini-\S+: accepts, has no end$/m)
    await eventually('the policy in what is inspected', async () =>
      (await typed('node inspect mac-mini')).stdout.includes('of PCR policy 1 ') ? true : undefined,
    )
    // The same note again is not newer.
    const again = await typed(`pcr-policy apply ${join(dir, 'policy.note')}`, 4)
    assert.match(again.stderr, /ZT-409-PCR-POLICY/)
  })

  it('sees the machine drift, and which register it is', async () => {
    await measureSomethingElse()
    await eventually('drift', async () => ((await stateOf()) === 'drifted' ? true : undefined))
    const shown = await typed('node attest mac-mini', 1)
    assert.match(shown.stdout, /^set mac-mini-\S+: differs in PCR 4, has no end$/m)
    assert.match(shown.stdout, /^4 +DIFFERS +[0-9a-f]{64} +0{64}$/m)
    assert.match(shown.stdout, /^5 +same +0{64}$/m)
    const json = JSON.parse((await mesh.ztctl(['node', 'attest', 'mac-mini', '-o', 'json'])).stdout) as object
    assert.equal((json as { accepted: boolean }).accepted, false)
    assert.match((await typed('node inspect mac-mini')).stdout, /^drifted +.* row \d+ of the hub's log$/m)
  })

  it('accepts the new values beside the old ones, until a time, and has the machine back', async () => {
    const inAnHour = Date.now() + 3_600_000
    await applyDraft((draft) => {
      const [old] = (draft as unknown as { sets: { notAfter?: number }[] }).sets
      if (old !== undefined) old.notAfter = inAnHour
    })
    await eventually(
      'the machine back',
      async () => ((await stateOf()) === 'joined' ? true : undefined),
      40_000,
    )
    const { stdout } = await typed('node attest mac-mini')
    assert.match(stdout, /: differs in PCR 4, ends in 5\dm$/m)
    assert.match(stdout, /: accepts, has no end$/m)
    assert.match((await typed('pcr-policy show')).stdout, /^mac-mini-\S+ +5\dm left +mac-mini$/m)
  })
})
