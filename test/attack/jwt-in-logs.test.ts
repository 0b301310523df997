// Attack: whoever reads logs and audit databases finds a token that is still alive. Every file that a whole mesh writes is
// looked through for one that a task was given, and for the key of its SVID.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { rowsOf } from '#test/support/audit-rows.ts'
import { needsMesh, startTestMesh, type TestMesh } from '#test/support/mesh.ts'
import { GO_SPIFFE_CLIENT, installProgram, needsGo, workspaceOf } from '#test/support/workload-programs.ts'

/** Every file below `dir`. */
function filesIn(dir: string): string[] {
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}

describe('a token in the logs', { skip: needsMesh || needsGo }, () => {
  let mesh: TestMesh
  let token = ''
  before(async () => {
    const allow = { capabilities: ['identity:*', 'network', 'read_anywhere', 'subprocess', 'workspace_rw'] }
    mesh = await startTestMesh({ node: { allow, logLevel: 'debug' } })
    await installProgram(mesh, 'n1', { program: GO_SPIFFE_CLIENT, name: 'workload' })
    const caps = ['identity:reports', 'network', 'workspace_rw'].flatMap((cap) => ['--cap', cap])
    const command = ['/workspace/workload', 'jwt', 'db', '/workspace/token']
    await mesh.out(['run', '-n', 'n1', ...caps, '--', ...command])
    token = readFileSync(join(workspaceOf(mesh, 'n1'), 'token'), 'utf8')
  })
  after(() => mesh?.end())

  it('is not there: in no file of hub, broker, node, keeper and ztctl', () => {
    const [header = '', payload = '', signature = ''] = token.split('.')
    assert.ok(header.length > 40 && payload.length > 100 && signature.length === 86)
    const claims = Buffer.from(payload, 'base64url').toString()
    const { jti } = JSON.parse(claims) as { jti: string }
    const files = filesIn(mesh.dir)
    const names = files.map((file) => file.slice(mesh.dir.length + 1))
    for (const expected of [
      'hub/log.db',
      'hub/hub.db',
      'logs/hub.log',
      'logs/n1.log',
      'nodes/n1/state/audit.db',
    ])
      assert.ok(names.includes(expected), `${expected} of ${names.join(' ')}`)
    for (const file of files) {
      const bytes = readFileSync(file)
      for (const part of [signature, payload, claims, jti, Buffer.from(signature, 'base64url')])
        assert.equal(bytes.includes(part), false, `${file} holds a part of the token`)
    }
  })

  it('is not in the row that says it was issued: that names key, audience and end', () => {
    const row = rowsOf(mesh.hubLog).find(({ type }) => type === 'jwt.issued')
    assert.deepEqual(Object.keys(row?.obj ?? {}).toSorted(), ['aud', 'exp', 'kid', 'node', 'owner', 'proc'])
  })
})
