// Who is logged in, for how long, and where the key of it lies.
import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { HUB_ID } from '#ops/demo/mesh.ts'
import type { TestMesh } from '#test/support/mesh.ts'

export function describeSession(mesh: () => TestMesh): void {
  describe('a session', () => {
    const folder = (): string => mesh().programs.ztctlEnv()['ZTMESH_RUNTIME_DIR'] ?? ''
    const sessions = (): string[] => readdirSync(folder()).filter((name) => name.startsWith('session-'))

    it('says who one is', async () => {
      assert.equal(await mesh().out(['whoami', '-q']), 'spiffe://mesh.example/operator/alice\n')
    })

    it('keeps its key in memory, for its user alone', () => {
      const [name = '', ...others] = sessions()
      assert.deepEqual(others, [])
      assert.equal(statSync(folder()).mode & 0o777, 0o700)
      assert.equal(statSync(join(folder(), name)).mode & 0o777, 0o600)
    })

    it('ends at a logout: its key is gone, and nothing is done without it', async () => {
      await mesh().out(['logout'])
      assert.deepEqual(sessions(), [])
      await mesh().refused(['ps'], { exit: 6, code: 'ZT-401-SESSION' })
      await mesh().refused(['run', '-n', 'n1', '--', 'true'], { exit: 125, code: 'ZT-401-SESSION' })
      await mesh().out(['login'])
      await mesh().out(['ps'])
    })

    it('is opened with no hub but the one whose root is pinned', async () => {
      const { url, rootFingerprint } = mesh().programs
      const login = (root: string, hubId: string): string[] => {
        const pins = ['--hub-id', hubId, '--root-fingerprint', root]
        return ['login', '--context', 'other', '--hub', url, ...pins]
      }
      await mesh().refused(login('0'.repeat(64), HUB_ID), { exit: 9, code: 'ZT-401-BUNDLE' })
      const other = login(rootFingerprint, HUB_ID.replace(/h1$/, 'h2'))
      await mesh().refused(other, { exit: 6, code: 'ZT-401-CERT' })
      await mesh().refused(['ps', '--context', 'other'], { exit: 6, code: 'ZT-401-SESSION' })
    })
  })
}
