// What is not permitted does not happen, and whoever asked learns why.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { TestMesh } from '#test/support/mesh.ts'

/** For the mesh of this suite. */
export const POLICY = `
@id("operators.act")
permit(principal in Role::"operator", action, resource);

@id("n2.is-offline")
@reason("nothing that runs on n2 may use the network")
forbid(principal, action == Action::"spawn", resource == Node::"n2")
when { context.caps.contains("network") };
`

const OFFLINE = ['--cap', 'read_anywhere', '--cap', 'subprocess', '--cap', 'workspace_rw']

export function describeAuthority(mesh: () => TestMesh): void {
  describe('policy', () => {
    it('denies with its reason, and the exit code of the verb', async () => {
      const denied = await mesh().refused(['run', '-n', 'n2', '--', 'true'], {
        exit: 125,
        code: 'ZT-403-POLICY',
      })
      assert.match(denied, /n2\.is-offline/)
      await mesh().refused(['spawn', '-n', 'n2', '--', 'true'], { exit: 4, code: 'ZT-403-POLICY' })
    })

    it('permits the same without what it forbids', async () => {
      assert.equal(await mesh().out(['run', '-n', 'n2', ...OFFLINE, '--', 'printf', 'ok']), 'ok')
    })

    it('is told by can-i before anything is tried', async () => {
      const no = await mesh().ztctl(['can-i', 'run', '-n', 'n2', '--', 'true'])
      assert.deepEqual(
        [no.code, no.stdout],
        [1, 'no: n2.is-offline (nothing that runs on n2 may use the network)\n'],
      )
      const yes = await mesh().ztctl(['can-i', 'run', '-n', 'n2', ...OFFLINE, '--', 'true'])
      assert.deepEqual([yes.code, yes.stdout], [0, 'yes: operators.act\n'])
      const kill = await mesh().ztctl(['can-i', 'kill', '-n', 'n2'])
      assert.equal(kill.code, 0)
    })
  })

  describe('the node itself', () => {
    it('refuses a program whose bytes are not the expected ones', async () => {
      const expected = ['--exe-sha256', '0'.repeat(64)]
      await mesh().refused(['run', '-n', 'n1', ...expected, '--', 'true'], { exit: 125, code: 'ZT-412-FACT' })
    })

    it('refuses a capability that its owner did not allow, whatever the hub permits', async () => {
      const more = ['--cap', '+full_disk_write']
      const said = await mesh().refused(['run', '-n', 'n1', ...more, '--', 'true'], {
        exit: 125,
        code: 'ZT-403-POLICY',
      })
      assert.match(said, /this node/)
    })
  })
}
