// What a revoked identity or node did is shown as quarantined by every reader, from the moment on that was named: with a
// warning, never hidden, and never as clean. A reader that cannot know fails.
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { eventually } from '#test/support/eventually.ts'
import { needsMesh, startTestMesh, type TestMesh } from '#test/support/mesh.ts'

interface Quarantined {
  readonly since: string
  readonly until: string | null
  readonly reason: string
}

interface ProcessItem {
  readonly node: string
  readonly proc: string
  readonly quarantined: Quarantined | null
}

interface LogItem {
  readonly log: string
  readonly ok: boolean | null
  readonly quarantined: (Quarantined & { readonly rows: number }) | 'unknown' | null
}

const OFFLINE = ['audit', 'verify', '-o', 'json', '--file']
const WARNING =
  /^ztctl: warning: n1\/p-[a-z2-7]+ is quarantined: data since \S+Z(?: until \S+Z)? is suspect: copied$/m

describe('what a revoked certificate did', { skip: needsMesh }, () => {
  let mesh: TestMesh
  let proc = ''
  let clean = ''
  const evidence = (): string => join(mesh.dir, 'evidence')

  before(async () => {
    mesh = await startTestMesh({ nodes: ['n1', 'n2'] })
    proc = await mesh.spawn('n1', ['printf', 'written'])
    const { fingerprint } = await mesh.json<{ fingerprint: string }>(['whoami'])
    await mesh.out(['login'])
    await mesh.out(['revoke', fingerprint, '--yes', '--since', '10m', '--reason', 'copied'])
    await mesh.out(['allow', fingerprint])
    const clear = Math.ceil(Date.now() / 1000) * 1000
    await eventually('the suspect second to end', () => (Date.now() > clear ? true : undefined))
    clean = await mesh.spawn('n1', ['printf', 'clean'])
  })
  after(() => mesh?.end())

  const listed = async (): Promise<readonly ProcessItem[]> =>
    (await mesh.json<{ items: ProcessItem[] }>(['ps', '-a'])).items

  it('is marked by ps, also when the revocation was lifted, and what came after is not', async () => {
    const items = await listed()
    const of = (id: string): Quarantined | null | undefined =>
      items.find((item) => item.proc === id)?.quarantined
    assert.equal(of(proc)?.reason, 'copied')
    assert.equal(of(clean), null)
    const { stdout, stderr } = await mesh.ztctl(['ps', '-a'])
    assert.match(stdout, new RegExp(`^n1 +${proc} +exit 0, quarantined `, 'm'))
    assert.match(stdout, new RegExp(`^n1 +${clean} +exit 0 `, 'm'))
    assert.match(stderr, WARNING)
  })

  it('is printed by logs, behind a warning', async () => {
    const { code, stdout, stderr } = await mesh.ztctl(['logs', `n1/${proc}`])
    assert.deepEqual([code, stdout], [0, 'written'])
    assert.match(stderr, WARNING)
    assert.equal((await mesh.ztctl(['logs', `n1/${clean}`])).stderr, '')
  })

  it('is marked by kill, which says how it ended', async () => {
    const { code, stdout, stderr } = await mesh.ztctl(['kill', `n1/${proc}`, '-o', 'json'])
    assert.equal(code, 0, stderr)
    const [item] = (JSON.parse(stdout) as { items: ProcessItem[] }).items
    assert.equal(item?.quarantined?.reason, 'copied')
    assert.match(stderr, WARNING)
    assert.equal((await mesh.ztctl(['kill', `n1/${clean}`])).stderr, '')
  })

  it('is counted by audit verify, in the logs of node and hub', async () => {
    const { items } = await mesh.json<{ items: LogItem[] }>(['audit', 'verify', '--save', evidence()])
    for (const log of ['n1', 'hub']) {
      const found = items.find((item) => item.log === log)
      assert.ok(found?.ok === true && found.quarantined !== 'unknown')
      assert.ok((found.quarantined?.rows ?? 0) > 0, log)
    }
  })

  it('is counted the same offline, from what was saved', async () => {
    const verify = (): ReturnType<TestMesh['ztctl']> =>
      mesh.ztctl([...OFFLINE, join(evidence(), 'n1.ztlog'), '--hub-log', join(evidence(), 'hub.ztlog')])
    const rowsOf = (stdout: string): unknown =>
      (JSON.parse(stdout) as { items: LogItem[] }).items
        .filter(({ log }) => log.endsWith('n1.ztlog'))
        .map(({ quarantined }) => (quarantined as { rows: number } | null)?.rows)
    const said = await verify()
    assert.equal(said.code, 0, said.stderr)
    assert.ok(Number((rowsOf(said.stdout) as number[])[0]) > 0)
    // A list that was changed is not taken for one that says nothing.
    const file = join(evidence(), 'deny-list.json')
    const text = readFileSync(file, 'utf8')
    const copy = JSON.parse(text) as { deny: string }
    const [head = '', payload = '', signature = ''] = copy.deny.split('.')
    const list = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object
    const emptied = Buffer.from(JSON.stringify({ ...list, entries: [] })).toString('base64url')
    writeFileSync(file, JSON.stringify({ ...copy, deny: `${head}.${emptied}.${signature}` }))
    const bent = await verify()
    assert.deepEqual([bent.code, bent.stdout], [7, ''])
    assert.match(bent.stderr, /ZT-503-DENY-LIST/)
    // Without the list the hub's own log says it.
    rmSync(file)
    assert.deepEqual(rowsOf((await verify()).stdout), rowsOf(said.stdout))
  })

  it('is not called clean by a reader that has neither list nor log', async () => {
    const { items } = await mesh.json<{ items: { log: string; vkey?: string }[] }>([
      'audit',
      'verify',
      '-n',
      'n1',
    ])
    assert.ok(items.length > 0)
    const head = JSON.parse(readFileSync(join(evidence(), 'n1.ztlog'), 'utf8').split('\n')[0] ?? '') as {
      vkey: string
    }
    const copy = ['audit', 'verify', '--file', join(evidence(), 'n1.ztlog'), '--vkey', head.vkey]
    const { code, stdout, stderr } = await mesh.ztctl(copy)
    assert.equal(code, 7)
    assert.match(stdout, / unknown /)
    assert.match(stderr, /ZT-503-DENY-LIST/)
  })

  describe('of a node', () => {
    let lost = ''
    before(async () => {
      lost = await mesh.spawn('n2', ['true'])
      await mesh.out(['node', 'revoke', 'n2', '--yes', '--since', '10m', '--reason', 'lost'])
    })

    it('is marked by node ls', async () => {
      const { items } = await mesh.json<{ items: { name: string; quarantined: Quarantined | null }[] }>([
        'node',
        'ls',
      ])
      assert.deepEqual(
        items.map(({ name, quarantined }) => [name, quarantined?.reason]),
        [
          ['n1', undefined],
          ['n2', 'lost'],
        ],
      )
    })

    it('is marked by node inspect, also what it proved when nobody knew', async () => {
      const { stdout, stderr } = await mesh.ztctl(['node', 'inspect', 'n2', '-o', 'json'])
      assert.equal((JSON.parse(stdout) as { quarantined: Quarantined | null }).quarantined?.reason, 'lost')
      assert.match(stderr, /warning: n2 is quarantined: .*: lost$/m)
      assert.equal((await mesh.ztctl(['node', 'inspect', 'n1'])).stderr, '')
    })

    it('is not passed over in silence by ps, logs and kill, which cannot ask the node', async () => {
      const warning = 'ztctl: warning: n2 was not asked: it is revoked\n'
      const { code, stdout, stderr } = await mesh.ztctl(['ps', '-a', '-o', 'json'])
      assert.equal(code, 0, stderr)
      assert.ok(stderr.includes(warning), stderr)
      assert.deepEqual((JSON.parse(stdout) as { notAsked: unknown }).notAsked, [
        { node: 'n2', state: 'revoked' },
      ])
      assert.ok((await mesh.ztctl(['ps'])).stderr.includes(warning))
      for (const verb of ['logs', 'kill']) {
        const said = await mesh.ztctl([verb, lost])
        assert.equal(said.code, 3)
        assert.match(said.stderr, / on n1; not asked: n2 \(revoked\) \(ZT-404-PROC\)/)
      }
    })

    it('is named by audit verify, though the node is not asked', async () => {
      const report = await mesh.json<{ items: (LogItem & { note: string | null })[] }>(['audit', 'verify'])
      const n2 = report.items.find(({ log }) => log === 'n2')
      assert.equal(n2?.ok, null)
      assert.match(n2?.note ?? '', /revoked/)
    })

    it('is counted whole in a copy of its disk that is not anchored from before', async () => {
      await mesh.programs.kill('n2')
      const folder = join(mesh.dir, 'evidence-2')
      await mesh.out(['audit', 'verify', '-n', 'n1', '--save', folder])
      const said = await mesh.ztctl([
        ...OFFLINE,
        mesh.auditFile('n2'),
        '--hub-log',
        join(folder, 'hub.ztlog'),
      ])
      assert.equal(said.code, 0, said.stderr)
      const { items } = JSON.parse(said.stdout) as { items: (LogItem & { rows: number })[] }
      const n2 = items.find(({ log }) => log.endsWith('audit.db'))
      assert.equal((n2?.quarantined as { rows: number } | undefined)?.rows, n2?.rows)
    })
  })
})

describe('what a node did that is allowed again, and has not joined since', { skip: needsMesh }, () => {
  let mesh: TestMesh
  before(async () => {
    // Short lives: a revocation can be lifted when the last certificate has ended.
    mesh = await startTestMesh({ nodes: ['n1', 'n2'], hub: { svidTtlS: 8 } })
    await mesh.out(['node', 'join-token', 'n3'])
    await mesh.spawn('n2', ['true'])
    await mesh.out(['node', 'revoke', 'n2', '--yes', '--since', '10m', '--reason', 'lost'])
    await mesh.programs.kill('n2')
    const { stderr } = await mesh.ztctl(['allow', 'node/n2'])
    assert.match(stderr, /that takes another \d seconds \(ZT-403-REVOKED\)/)
    await eventually('the last certificate to end', async () =>
      (await mesh.ztctl(['allow', 'node/n2'])).code === 0 ? true : undefined,
    )
  })
  after(() => mesh?.end())

  it('is in the report of audit verify, with its marks; a name that was merely invited is not', async () => {
    const { code, stdout, stderr } = await mesh.ztctl(['audit', 'verify', '-o', 'json'])
    assert.equal(code, 0, stderr)
    const { items } = JSON.parse(stdout) as { items: (LogItem & { note: string | null })[] }
    assert.deepEqual(
      items.map(({ log, ok }) => [log, ok]),
      [
        ['hub', true],
        ['n1', true],
        ['n2', null],
      ],
    )
    const n2 = items[2]
    assert.match(n2?.note ?? '', /^allowed again, .*; its last anchored head has size \d+ /)
    assert.ok(n2?.quarantined !== 'unknown' && (n2?.quarantined?.rows ?? 0) > 0)
    assert.match(stderr, /warning: n2: \d+ rows are quarantined because of \S+\/node\/n2: .*: lost$/m)
    assert.match((await mesh.ztctl(['ps'])).stderr, /n2 was not asked: it is allowed again/)
  })

  it('is not made worse by allowing it, or a healthy node, once more', async () => {
    for (const node of ['n1', 'n2'])
      await mesh.refused(['allow', `node/${node}`], { exit: 1, code: 'ZT-409-NOT-REVOKED' })
    assert.equal(await mesh.out(['run', '-n', 'n1', '--', 'printf', 'well']), 'well')
    await mesh.refused(['audit', 'verify', '-n', 'nosuch'], { exit: 3, code: 'ZT-404-NODE' })
  })
})
