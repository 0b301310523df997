import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { rowsOf } from '#test/support/audit-rows.ts'
import { eventually } from '#test/support/eventually.ts'
import { needsMesh, startTestMesh, type TestMesh } from '#test/support/mesh.ts'
import {
  GO_SPIFFE_CLIENT,
  installProgram,
  needsGo,
  SPIFFE_HELPER,
  workspaceOf,
} from '#test/support/workload-programs.ts'

type Line = Readonly<Record<string, unknown>>

const SVID_TTL_S = 10
const CAPS = ['network', 'subprocess', 'workspace_rw'].flatMap((cap) => ['--cap', cap])
const as = (agent: string): string[] => ['-n', 'n1', '--cap', `identity:${agent}`, ...CAPS]
const idOf = (agent: string, proc: string): string => `spiffe://mesh.example/agent/${agent}/task/${proc}`
const linesOf = (text: string): Line[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)

describe('the SPIFFE Workload API', { skip: needsMesh || needsGo }, () => {
  let mesh: TestMesh
  let server = ''
  before(async () => {
    const capabilities = ['identity:*', 'network', 'read_anywhere', 'subprocess', 'workspace_rw']
    // Short lives, so that a rotation comes soon.
    mesh = await startTestMesh({ hub: { svidTtlS: SVID_TTL_S }, node: { allow: { capabilities } } })
    await installProgram(mesh, 'n1', { program: GO_SPIFFE_CLIENT, name: 'workload' })
    await installProgram(mesh, 'n1', { program: SPIFFE_HELPER, name: 'helper' })
  })
  after(() => mesh?.end())

  const file = (name: string): string => join(workspaceOf(mesh, 'n1'), name)
  const run = async (agent: string, ...args: readonly string[]): Promise<Line[]> =>
    linesOf(await mesh.out(['run', ...as(agent), '--', '/workspace/workload', ...args]))
  const spawn = async (agent: string, ...args: readonly string[]): Promise<string> =>
    (await mesh.out(['spawn', '-q', ...as(agent), '--', '/workspace/workload', ...args])).trim()
  const said = (proc: string): Promise<string> => mesh.out(['logs', proc])

  it('gives a task its X509-SVID, and pushes the next ones', async () => {
    const proc = await spawn('reports', 'svids', '3')
    const lines = await eventually('three SVIDs', async () => {
      const text = await said(proc)
      return text.trim().split('\n').length === 3 ? linesOf(text) : undefined
    })
    assert.deepEqual(
      lines.map(({ id }) => id),
      Array.from({ length: 3 }, () => idOf('reports', proc)),
    )
    assert.equal(new Set(lines.map(({ serial }) => serial)).size, 3)
    for (const { chain, roots } of lines) assert.deepEqual([chain, roots], [2, 1])
    const rows = rowsOf(mesh.hubLog).filter(({ type, actor }) => {
      return type === 'svid.issued' && actor?.sub === idOf('reports', proc)
    })
    // A serial number of ours has leading zeros in the row, and none in Go.
    const serials = rows.map(({ obj }) => JSON.stringify(obj?.['serial']).replace(/"0*(.*)"/, '$1'))
    for (const { serial } of lines) assert.ok(serials.includes(String(serial)))
    assert.equal(rows[0]?.obj?.['owner'], 'spiffe://mesh.example/operator/alice')
  })

  it('lets two tasks prove themselves to each other', async () => {
    server = await spawn('server', 'serve', '/workspace/port')
    await eventually('the server', async () => (await said(server)).includes('"id"') || undefined)
    const dialled = await spawn('client', 'dial', '/workspace/port', idOf('server', server))
    const text = await eventually('the greeting', async () => (await said(dialled)) || undefined)
    assert.deepEqual(linesOf(text), [{ greeted: idOf('client', dialled) }])
  })

  it('does not let a task be taken for another', async () => {
    const expected = idOf('server', 'p-aaaaaaaaaaaaaaaaaaaa')
    const args = ['run', ...as('client'), '--', '/workspace/workload', 'dial', '/workspace/port', expected]
    const { code, stderr } = await mesh.ztctl(args)
    assert.equal(code, 1)
    assert.match(stderr, /unexpected ID/)
  })

  it('gives a task a JWT-SVID for its audience, and for a minute', async () => {
    const [line] = await run('reports', 'jwt', 'db', '/workspace/token')
    assert.deepEqual(line?.['audience'], ['db'])
    assert.deepEqual([line['here'], line['there']], [line['id'], line['id']])
    assert.equal(line['other'], 'InvalidArgument')
    assert.ok(Number(line['life']) > 0 && Number(line['life']) <= 60)
    const rows = rowsOf(mesh.hubLog).filter(({ type }) => type === 'jwt.issued')
    assert.equal(rows.at(-1)?.actor?.sub, line['id'])
    assert.deepEqual(rows.at(-1)?.obj?.['aud'], ['db'])
  })

  it('serves programs that know nothing of SPIFFE by spiffe-helper', async () => {
    writeFileSync(
      file('helper.conf'),
      `agent_address = "/run/ztmesh/workload.sock"
      daemon_mode = false
      cert_dir = "/workspace"
      svid_file_name = "svid.pem"
      svid_key_file_name = "svid.key"
      svid_bundle_file_name = "bundle.pem"
      jwt_svids = [{ jwt_audience = "db", jwt_svid_file_name = "db.jwt" }]
      jwt_bundle_file_name = "jwks.json"`,
    )
    await mesh.out(['run', ...as('helped'), '--', '/workspace/helper', '-config', '/workspace/helper.conf'])
    const leaf = new X509Certificate(readFileSync(file('svid.pem')))
    assert.match(leaf.subjectAltName ?? '', /^URI:spiffe:\/\/mesh\.example\/agent\/helped\/task\/p-/)
    assert.match(readFileSync(file('svid.key'), 'utf8'), /BEGIN PRIVATE KEY/)
    assert.equal(readFileSync(file('db.jwt'), 'utf8').split('.').length, 3)
    const bundles = JSON.parse(readFileSync(file('jwks.json'), 'utf8')) as Record<string, string>
    const jwks = Buffer.from(bundles['mesh.example'] ?? '', 'base64').toString()
    assert.match(jwks, /"kid":"[A-Za-z0-9_-]{43}"/)
    assert.match(readFileSync(file('bundle.pem'), 'utf8'), /BEGIN CERTIFICATE/)
  })

  it('goes on for a task whose agent is killed and started again', async () => {
    await mesh.programs.kill('n1')
    await mesh.programs.startNode('n1')
    // Longer than an SVID lives: what the server shows now was given to it by the new agent.
    const issued = (): number =>
      rowsOf(mesh.hubLog).filter(
        (row) => row.type === 'svid.issued' && row.actor?.sub === idOf('server', server),
      ).length
    const before = issued()
    await eventually('new SVIDs for the server', () => issued() >= before + 2 || undefined, 30_000)
    const dialled = await spawn('client', 'dial', '/workspace/port', idOf('server', server))
    const text = await eventually('the greeting', async () => (await said(dialled)) || undefined)
    assert.deepEqual(linesOf(text), [{ greeted: idOf('client', dialled) }])
  })

  it('refuses a task whose identity is revoked, and no other', async () => {
    const proc = await spawn('bad', 'refused')
    await eventually('its first SVID', () => {
      return rowsOf(mesh.hubLog).find((row) => row.actor?.sub === idOf('bad', proc))
    })
    await mesh.out(['revoke', '--reason', 'stolen', '--yes', idOf('bad', proc)])
    assert.deepEqual(linesOf(await mesh.out(['logs', '-f', proc])), [{ refused: true }])
    const dialled = await spawn('client', 'dial', '/workspace/port', idOf('server', server))
    await eventually('the greeting', async () => (await said(dialled)) || undefined)
  })

  it('ends with the task: the hub knows, and nothing of it is left on the node', async () => {
    await mesh.out(['kill', server])
    await eventually('the end in the log of the hub', () =>
      rowsOf(mesh.hubLog).find((row) => row.type === 'task.ended' && row.obj?.['proc'] === server),
    )
    const places = join(workspaceOf(mesh, 'n1'), '..', '.workload')
    await eventually('the end of its folder', () => !readdirSync(places).includes(server) || undefined)
  })

  it('leaves logs that verify', async () => {
    await mesh.out(['audit', 'verify'])
  })

  it('refuses a task whose owner is revoked', async () => {
    const proc = await spawn('orphan', 'refused')
    await eventually('its first SVID', () => {
      return rowsOf(mesh.hubLog).find((row) => row.actor?.sub === idOf('orphan', proc))
    })
    // Whoever revokes himself is cut off before he reads that he was.
    await mesh.ztctl(['revoke', '--reason', 'left', '--yes', 'spiffe://mesh.example/operator/alice'])
    const exited = await eventually('its end, after PermissionDenied', () =>
      rowsOf(mesh.auditFile('n1')).find((row) => row.type === 'proc.exited' && row.obj?.['proc'] === proc),
    )
    assert.equal(exited.obj?.['code'], 0)
  })
})
