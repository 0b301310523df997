// A node whose SVID's key is in its TPM: every receipt and request of it is signed there, and a TPM that was switched off
// and on costs it a renewal and no more.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { NodeInspection } from '#shared/protocol/node-inspection.ts'
import { rowsOf } from '#test/support/audit-rows.ts'
import { eventually } from '#test/support/eventually.ts'
import { needsMesh, startTestMesh, type TestMesh } from '#test/support/mesh.ts'

describe('a node whose SVID key is in its TPM', { skip: needsMesh }, () => {
  let mesh: TestMesh
  before(async () => {
    mesh = await startTestMesh({ tpms: ['n1'] })
  })
  after(() => mesh?.end())

  const inspect = (): Promise<NodeInspection> => mesh.json<NodeInspection>(['node', 'inspect', 'n1'])
  const issued = async (): Promise<number> => (await inspect()).attestation?.rows.issued ?? -1
  const renewedSince = (before: number): Promise<number> =>
    eventually('the node to renew', async () => {
      const now = await issued()
      return now > before ? now : undefined
    })
  const runs = async (word: string): Promise<void> => {
    const done = await mesh.ztctl(['run', '-n', 'n1', '--', 'echo', word])
    assert.deepEqual([done.code, done.stdout], [0, `${word}\n`], done.stderr)
  }

  it('answers commands, and says so of itself', async () => {
    await runs('first')
    const { attestation } = await inspect()
    assert.deepEqual([attestation?.lvl, attestation?.svidKey], [2, 'tpm'])
    const { stdout } = await mesh.ztctl(['node', 'inspect', 'n1'])
    assert.match(stdout, /svid key +in the TPM, certified by it/i)
    await mesh.out(['audit', 'verify'])
  })

  it('renews when the certificate of its link is revoked', async () => {
    const before = await issued()
    const { attestation } = await inspect()
    const link = attestation?.link?.x5t ?? ''
    assert.deepEqual({ ...(rowsOf(mesh.hubLog)[before]?.obj?.['link'] as object) }, attestation?.link)
    await mesh.out(['revoke', link, '--yes', '--since', '10m', '--reason', 'copied'])
    await renewedSince(before)
    await mesh.programs.awaitNode('n1')
    await runs('second')
  })

  it('has said nothing with that certificate, so none of its data is suspect', async () => {
    const { items } = await mesh.json<{ items: { log: string; quarantined: unknown }[] }>(['audit', 'verify'])
    assert.equal(items.find(({ log }) => log === 'n1')?.quarantined, null)
  })

  it('does nothing that it could not answer', async () => {
    const begun = (): number =>
      rowsOf(mesh.auditFile('n1')).filter(({ type }) => type === 'proc.started').length
    const before = begun()
    await mesh.programs.kill('n1-tpm')
    for (let i = 0; i < 3; i += 1)
      assert.notEqual((await mesh.ztctl(['spawn', '-q', '-n', 'n1', '--', 'true'])).code, 0)
    // The first one may have been under way when the key was found to be lost.
    assert.ok(begun() - before <= 1, `${begun() - before} processes of which nobody heard`)
  })

  it('renews when its TPM was switched off and on, for the key is gone with that', async () => {
    const before = await issued()
    const config = JSON.parse(readFileSync(join(mesh.programs.nodeDir('n1'), 'node.json'), 'utf8')) as {
      tpm: { tcp: string }
    }
    await mesh.programs.startTpm('n1', Number(config.tpm.tcp.split(':').at(-1)))
    await renewedSince(before)
    await mesh.programs.awaitNode('n1')
    await runs('third')
    assert.equal((await inspect()).attestation?.svidKey, 'tpm')
    await mesh.out(['audit', 'verify'])
  })
})
