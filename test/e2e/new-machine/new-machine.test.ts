import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { programArgv, run, type Finished } from '#ops/demo/programs.ts'
import { parseJoinString } from '#shared/protocol/admission.ts'
import { needsMesh, startTestMesh, type TestMesh } from '#test/support/mesh.ts'

describe('a new machine', { skip: needsMesh }, () => {
  let mesh: TestMesh
  before(async () => {
    mesh = await startTestMesh({ nodes: [] })
  })
  after(() => mesh?.end())

  /** The folder and configuration of a machine, as its owner writes it. */
  const configure = (machine: string, name: string): string => {
    const dir = mesh.programs.nodeDir(machine)
    mkdirSync(dir, { recursive: true })
    const config = join(dir, 'node.json')
    const workspace = join(mesh.dir, 'workspaces', machine)
    writeFileSync(config, JSON.stringify({ name, stateDir: join(dir, 'state'), workspaceRoot: workspace }))
    return config
  }
  const joinWith = (config: string, input: string, file: string = '-'): Promise<Finished> =>
    run([...programArgv('dist', 'node-agent'), 'join', '--config', config, '--join-file', file], { input })

  const refused = (finished: Finished, exit: number, code: string): void => {
    assert.deepEqual(
      [finished.code, finished.stderr.includes(`error: ${code} `)],
      [exit, true],
      finished.stderr,
    )
  }

  it('joins with a string that an operator makes, and serves', async () => {
    const made = await mesh.out(['node', 'join-token', 'n1'])
    assert.match(made, /^ztjoin_[A-Za-z0-9_-]+\n$/)
    assert.match(await mesh.out(['node', 'ls']), /^n1 +invited /m)
    const config = configure('n1', 'n1')
    const joined = await joinWith(config, made)
    assert.equal(joined.code, 0, joined.stderr)
    assert.deepEqual(
      (JSON.parse(joined.stdout) as Record<string, string>)['joined'],
      'spiffe://mesh.example/node/n1',
    )
    await mesh.programs.startNode('n1')
    assert.match(await mesh.out(['node', 'ls']), /^n1 +joined +join token /m)
    refused(await joinWith(configure('other', 'n1'), made), 4, 'ZT-409-JOIN-SPENT')
    refused(await joinWith(config, made), 1, 'ZT-409-EXISTS')
  })

  it('takes the string from a file as well, and from nowhere else', async () => {
    const made = await mesh.out(['node', 'join-token', 'n2'])
    const config = configure('n2', 'n2')
    const onCommandLine = await run([
      ...programArgv('dist', 'node-agent'),
      'join',
      made.trim(),
      '--config',
      config,
    ])
    assert.equal(onCommandLine.code, 2)
    assert.ok(!onCommandLine.stderr.includes(made.trim()), 'it is not repeated')
    const file = join(mesh.programs.nodeDir('n2'), 'join.txt')
    writeFileSync(file, made, { mode: 0o600 })
    refused(await joinWith(configure('other', 'n3'), made), 4, 'ZT-403-JOIN')
    const joined = await joinWith(config, '', file)
    assert.equal(joined.code, 0, joined.stderr)
  })

  it('leaves the string in no file and no log', async () => {
    const made = await mesh.out(['node', 'join-token', 'n4'])
    assert.equal((await joinWith(configure('n4', 'n4'), made)).code, 0)
    const { token } = parseJoinString(made)
    const secret = typeof token === 'string' ? token : Buffer.from(token).toString('base64url')
    const looks = [secret, Buffer.from(secret, 'base64url'), Buffer.from(secret, 'base64url').toString('hex')]
    const files = readdirSync(mesh.dir, { recursive: true, encoding: 'utf8' })
      .map((name) => join(mesh.dir, name))
      .filter((name) => statSync(name, { throwIfNoEntry: false })?.isFile() === true)
    assert.ok(
      files.some((name) => name.endsWith('hub.db')) && files.some((name) => name.endsWith('audit.db')),
    )
    for (const name of files) {
      const bytes = readFileSync(name)
      assert.ok(!looks.some((look) => bytes.includes(look)), name)
    }
  })

  it('comes back by itself, also when it is started before its hub', async () => {
    await mesh.programs.kill('n1')
    await mesh.programs.kill('hub')
    mesh.programs.launchNode('n1')
    mesh.programs.launchNode('n2')
    await mesh.programs.startHub()
    await mesh.programs.awaitNode('n1')
    await mesh.programs.awaitNode('n2')
    await mesh.out(['audit', 'verify', '-n', 'n1', '-n', 'n2'])
  })
})
