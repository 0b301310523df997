// A prohibition that fails while it is evaluated prohibits nothing, says Cedar. Here whatever fails denies: the request
// whose prohibition fails, and the start of a hub whose policy could not have been meant.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { programArgv, run } from '#ops/demo/programs.ts'
import { rowsOf } from '#test/support/audit-rows.ts'
import { needsMesh, startTestMesh, type TestMesh } from '#test/support/mesh.ts'

const PERMIT = `
@id("operators.act")
permit(principal in Role::"operator", action, resource);
`
// Strict validation finds nothing: the types are right, and only some numbers are too large to be multiplied.
const ERRS = `
@id("guard.errs")
forbid(principal, action == Action::"spawn", resource)
when { context has wall_s && context.wall_s * 9223372036854775807 > 1 };
`

/** What an operator might write, and what a hub must not start with. */
const unfit: Record<string, string> = {
  'does not parse': `${PERMIT} forbid(principal, action, resource`,
  'speaks of what is not there': `${PERMIT} @id("x") forbid(principal, action, resource) when { context.nothing };`,
  'compares a name with a number': `${PERMIT} @id("x") forbid(principal, action == Action::"spawn", resource) when { context.exe < 3 };`,
  'has a prohibition without a name': `${PERMIT} forbid(principal, action, resource);`,
  'names an action that there is not': `${PERMIT} @id("x") forbid(principal, action == Action::"spwan", resource);`,
}

describe('a policy that errors', { skip: needsMesh }, () => {
  const limited = ['run', '-n', 'n1', '--timeout', '5s', '-o', 'json', '--', 'printf', 'ran']
  let mesh: TestMesh
  before(async () => {
    mesh = await startTestMesh({ policy: `${PERMIT}${ERRS}` })
  })
  after(() => mesh?.end())

  it('does not hinder what it has no trouble with', async () => {
    assert.equal(await mesh.out(['run', '-n', 'n1', '--', 'printf', 'ran']), 'ran')
  })

  it('denies the request, and says that it was an error, and whose', async () => {
    const { code, stdout, stderr } = await mesh.ztctl(limited)
    assert.deepEqual([code, stdout], [125, ''])
    const { error } = JSON.parse(stderr) as { error: { code: string; details: Record<string, string> } }
    assert.deepEqual(
      [error.code, error.details['cause'], error.details['reasons']],
      ['ZT-403-POLICY', 'policy-error', 'guard.errs'],
    )
  })

  it('leaves a row of the denial with the hub, and none of anything else with the node', () => {
    const denied = rowsOf(mesh.hubLog).findLast((row) => row.code === 'ZT-403-POLICY')
    const { cause, reasons } = (denied?.obj?.['details'] ?? {}) as Record<string, string>
    assert.deepEqual([denied?.out, cause, reasons], ['deny', 'policy-error', 'guard.errs'])
    const spawns = rowsOf(mesh.auditFile('n1')).filter((row) => row.obj?.['op'] === 'process.spawn')
    assert.equal(spawns.length, 1)
  })

  it('keeps a hub from starting when it can be seen beforehand', async () => {
    await mesh.programs.kill('hub', 'SIGTERM')
    for (const [what, policy] of Object.entries(unfit)) {
      writeFileSync(join(mesh.dir, 'policy.cedar'), policy)
      const { code, stderr } = await run([
        ...programArgv('dist', 'hub'),
        '--config',
        join(mesh.dir, 'hub.json'),
      ])
      assert.deepEqual([code, stderr.includes('ZT-400-CONFIG policy: ')], [2, true], `${what}: ${stderr}`)
    }
    writeFileSync(join(mesh.dir, 'policy.cedar'), `${PERMIT}${ERRS}`)
    await mesh.programs.startHub()
    assert.equal((await mesh.ztctl(limited)).code, 125)
  })
})
