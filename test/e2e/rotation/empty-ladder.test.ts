import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { LadderView } from '#shared/protocol/trust-ops.ts'
import { eventually } from '#test/support/eventually.ts'
import { operator, type TestClient } from '#test/support/hub-client.ts'
import { runHub } from '#test/support/hub.ts'
import { needsSandbox } from '#test/support/keeper.ts'
import { needsNats } from '#test/support/nats.ts'
import { RotatingMesh } from '#test/support/rotating-mesh.ts'

const PATIENCE_MS = 120_000

describe('a hub that may issue under nothing any more', { skip: needsNats || needsSandbox }, () => {
  let mesh: RotatingMesh
  let victim: TestClient
  const table = (file: string): string => join(mesh.hub.table.dir, file)
  const logged = (what: string): boolean => readFileSync(mesh.hub.logFile, 'utf8').includes(what)

  before(async () => {
    mesh = await RotatingMesh.start({})
    await mesh.addNode('n1')
    victim = await operator(mesh.hub)
  })
  after(async () => {
    await victim?.close()
    await mesh?.end()
  })

  it('has lost its ladder to a bundle, and has cut off everybody below it', async () => {
    await revoke(1)
    await mesh.out(['bundle', 'import', table('bundle-r1.jws')])
    await eventually('the broker to end the connection', () => (victim.channel.connected ? undefined : true))
  })

  it('answers no operator: there is nobody who could ask for a ladder', async () => {
    const wish = ['ladder', 'request', join(mesh.dir, 'nobody.json'), '--fresh', '--request-timeout', '5s']
    assert.notEqual((await mesh.ztctl(wish)).code, 0)
    assert.notEqual((await mesh.ztctl(['ps', '-n', 'n1', '--request-timeout', '5s'])).code, 0)
  })

  it('takes a ladder from its own program while it runs, and the mesh is back by itself', async () => {
    await climb(1)
    process.kill(mesh.hub.pid, 'SIGHUP')
    await back()
    const { remaining } = await mesh.json<LadderView>(['ladder', 'status'])
    assert.equal(remaining, 7)
  })

  it('does not start without one', async () => {
    await revoke(2)
    await mesh.out(['bundle', 'import', table('bundle-r2.jws')])
    await mesh.hub.kill('SIGTERM')
    await assert.rejects(mesh.hub.start(), /ZT-503-LADDER/)
  })

  it('starts with one that its own program took, and the mesh is back by itself', async () => {
    await climb(2)
    await mesh.hub.start()
    await back()
    const { revoked } = await mesh.json<{ revoked: string[] }>(['bundle', 'show'])
    assert.equal(revoked.length, 28, 'two ladders of seven rungs')
    assert.ok(logged('what follows from a new bundle or ladder could not all be done'))
  })

  /** Of all rungs that the hub has. */
  async function revoke(time: number): Promise<void> {
    const { table: ceremonies } = mesh.hub
    const response = time === 1 ? 'ladder.json' : `ladder-r${time - 1}.json`
    const outputs = { bundle: `bundle-r${time}.jws`, transcript: `revoke-${time}.transcript` }
    await ceremonies.run(await ceremonies.revokeFile([response], { outputs }))
  }

  /** As docs/operations.md says. */
  async function climb(time: number): Promise<void> {
    const { table: ceremonies, configFile } = mesh.hub
    const file = join(mesh.dir, `request-r${time}.json`)
    const config = ['--config', configFile]
    const { sha256 } = JSON.parse(await runHub(['ladder-request', file, '--fresh', ...config])) as {
      sha256: string
    }
    const outputs = { response: `ladder-r${time}.json`, transcript: `ladder-r${time}.transcript` }
    await ceremonies.run(await ceremonies.ladderFile({ file, sha256 }, { outputs }))
    await runHub(['ladder-import', table(outputs.response), ...config])
  }

  async function back(): Promise<void> {
    const echo = ['run', '-n', 'n1', '--', 'echo', 'back']
    const ran = async (): Promise<true | undefined> =>
      (await mesh.ztctl(echo)).stdout === 'back\n' ? true : undefined
    await eventually('the node to run commands again', ran, PATIENCE_MS)
  }
})
