import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { after, before, describe, it } from 'node:test'
import type { LadderView } from '#shared/protocol/trust-ops.ts'
import { parseCertificate } from '#shared/x509/certificate.ts'
import { eventually } from '#test/support/eventually.ts'
import { certificateOf, operator, rawRequest, type TestClient } from '#test/support/hub-client.ts'
import { needsSandbox } from '#test/support/keeper.ts'
import { needsNats } from '#test/support/nats.ts'
import { RotatingMesh } from '#test/support/rotating-mesh.ts'

const NODES = ['n1', 'n2'] as const

describe('a rung in use that a bundle revokes', { skip: needsNats || needsSandbox }, () => {
  let mesh: RotatingMesh
  /** has its SVID from the rung that is stolen, for five minutes */
  let victim: TestClient
  let stolen: readonly string[]
  const table = (file: string): string => join(mesh.hub.table.dir, file)
  const admissions = (node: string): number =>
    readFileSync(join(mesh.dir, `${node}.log`), 'utf8').split('the node is admitted').length - 1

  before(async () => {
    mesh = await RotatingMesh.start({})
    for (const node of NODES) await mesh.addNode(node)
    victim = await operator(mesh.hub)
    const { rungs } = await mesh.json<LadderView>(['ladder', 'status'])
    stolen = rungs.flatMap(({ workload, infra }) => [workload, infra])
  })
  after(async () => {
    await victim?.close()
    await mesh?.end()
  })

  it('is replaced by one of a fresh ladder, under new keys', async () => {
    const { table: ceremonies } = mesh.hub
    const file = join(mesh.dir, 'request-2.json')
    const { sha256 } = await mesh.json<{ sha256: string }>(['ladder', 'request', file, '--fresh'])
    const outputs = { response: 'ladder-2.json', transcript: 'ladder-2.transcript' }
    await ceremonies.run(await ceremonies.ladderFile({ file, sha256 }, { outputs }))
    await mesh.out(['ladder', 'import', table('ladder-2.json')])
    const { rungs } = await mesh.json<LadderView>(['ladder', 'status'])
    assert.ok(rungs.every(({ workload, infra }) => !stolen.includes(workload) && !stolen.includes(infra)))
  })

  it('is shown by neither hub nor broker any more, at once', async () => {
    const { table: ceremonies, url } = mesh.hub
    assert.ok(stolen.includes(await shownBy(url)), 'the hub still shows what it was issued before')
    await ceremonies.run(await ceremonies.revokeFile(['ladder.json']))
    const before = NODES.map(admissions)
    await mesh.out(['bundle', 'import', table('bundle-2.jws')])
    assert.ok(!stolen.includes(await shownBy(url)))
    await eventually('every node to attest again', () =>
      NODES.every((node, at) => admissions(node) > (before[at] ?? 0)) ? true : undefined,
    )
    const { revoked } = await mesh.json<{ revoked: string[] }>(['bundle', 'show'])
    assert.deepEqual(revoked.toSorted(), [...stolen].toSorted())
  })

  it('proves nothing any more to the hub, nor to its broker', async () => {
    const { status, body } = await rawRequest(mesh.hub, '/log/checkpoint', certificateOf(victim.identity))
    assert.deepEqual([status, body['code']], [401, 'ZT-401-CERT'])
    await eventually('the broker to end the connection', () => (victim.channel.connected ? undefined : true))
  })

  it('leaves a mesh that works, with the nodes attested anew', async () => {
    // A command that is on its way while connections are cut may be lost; its caller is told that nobody knows.
    for (const node of NODES)
      await eventually(
        `node ${node} to answer`,
        async () => ((await mesh.ztctl(['ps', '-n', node])).code === 0 ? true : undefined),
        60_000,
      )
    for (const node of NODES)
      assert.equal(await mesh.out(['run', '-n', node, '--', 'echo', node]), `${node}\n`)
  })

  it('stays revoked when the hub starts again', async () => {
    await mesh.hub.restart()
    await eventually(
      'the hub to be back',
      async () => ((await mesh.ztctl(['ps', '-n', 'n1'])).code === 0 ? true : undefined),
      60_000,
    )
    assert.ok(!stolen.includes(await shownBy(mesh.hub.url)))
    const { rungs } = await mesh.json<LadderView>(['ladder', 'status'])
    assert.ok(rungs.length > 0 && rungs.every(({ workload }) => !stolen.includes(workload)))
  })
})

/** The key of the intermediate below which a hub's certificate is. */
async function shownBy(url: string): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect({
    host: hostname,
    port: Number(port),
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
  })
  await once(socket, 'secureConnect')
  const { issuerCertificate } = socket.getPeerCertificate(true)
  socket.destroy()
  return parseCertificate(new Uint8Array(issuerCertificate.raw)).keyId
}
