// No reader is told less than there is: a node that nobody can ask any more is named by whoever would have asked it.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { KnownDenials } from '#ops/ztctl/audit/known-denials.ts'
import { unaskedOutcome, type UnaskedNode } from '#ops/ztctl/audit/online.ts'
import { concludeVerification, type LogOutcome } from '#ops/ztctl/audit/outcome.ts'
import { endProcesses } from '#ops/ztctl/client/end-processes.ts'
import { chosenNodes, sayNotAsked } from '#ops/ztctl/client/fan-out.ts'
import { findProcess } from '#ops/ztctl/client/find-process.ts'
import type { Mesh } from '#ops/ztctl/client/mesh.ts'
import { parseCommandLine } from '#ops/ztctl/grammar/parse.ts'
import type { Io } from '#ops/ztctl/io.ts'
import { systemClock } from '#shared/host/clock.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import type { DenyEntry } from '#shared/protocol/deny-list.ts'
import { memorySink, say } from '#test/support/ztctl-io.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const S = NOW / 1000
const STATES: Readonly<Record<string, [state: string, joined: number | null]>> = {
  n1: ['joined', 1],
  n2: ['revoked', 1],
  n3: ['invited', 1],
  n4: ['invited', null],
  n5: ['drifted', 1],
}
const nodes = Object.entries(STATES).map(([name, [state, joined]]) => ({ name, state, joined }))
const mesh = {
  hub: async () => ({ nodes }),
  command: async () => ({ result: { procs: [] } }),
  nodeId: (name: string) => `spiffe://mesh.example/node/${name}`,
  denyList: async () => ({ entries: [], ver: 1, text: '' }),
} as unknown as Mesh
const LEFT_OUT = [
  { node: 'n2', state: 'revoked' },
  { node: 'n3', state: 'invited' },
]

interface Heard extends Io {
  readonly said: () => { readonly stdout: string; readonly stderr: string }
}

function quietIo(): Heard {
  const [stdout, stderr] = [memorySink(), memorySink()]
  const said = (): ReturnType<Heard['said']> => ({ stdout: stdout.text(), stderr: stderr.text() })
  return { env: {}, clock: systemClock, stdout, stderr, onSignal: () => () => undefined, said }
}

describe('asking all nodes', () => {
  it('names those that had joined and cannot be asked now, and no name that was merely invited', async () => {
    const chosen = await chosenNodes(parseCommandLine(['ps'], {}), mesh)
    assert.deepEqual(chosen, { asked: ['n1', 'n5'], notAsked: LEFT_OUT })
    const io = quietIo()
    sayNotAsked(chosen.notAsked, io)
    assert.equal(
      io.said().stderr,
      'ztctl: warning: n2 was not asked: it is revoked\n' +
        'ztctl: warning: n3 was not asked: it is allowed again, but not joined since\n',
    )
  })

  it('says of a process that is not found where nobody looked', async () => {
    const call = parseCommandLine(['logs', 'p-aaaa'], {})
    await assert.rejects(findProcess('p-aaaa', call, mesh), {
      code: 'ZT-404-PROC',
      message:
        'no process "p-aaaa" on n1, n5; not asked: n2 (revoked), n3 (allowed again, but not joined since)',
    })
    const there = { code: 'ZT-404-PROC', message: 'no process "n1/p-aaaa" on n1' }
    await assert.rejects(findProcess('n1/p-aaaa', call, mesh), there)
  })

  it('names them to who ends the processes of somebody', async () => {
    const call = parseCommandLine(['revoke', 'operator/bob', '--kill'], {})
    const { notAsked } = await endProcesses(parseSpiffeId('spiffe://mesh.example/operator/bob'), call, mesh)
    assert.deepEqual(notAsked, LEFT_OUT)
  })
})

describe('the log of a node that cannot be asked', () => {
  const id = parseSpiffeId('spiffe://mesh.example/node/n2')
  const root = new Uint8Array(32)
  const log = {
    node: 'n2',
    origin: 'mesh.example/log/node/n2/e1',
    vkey: 'v',
    registeredAt: NOW - 100_000,
    anchors: [
      { size: 4, root, at: NOW - 50_000 },
      { size: 9, root, at: NOW - 10_000 },
    ],
  }
  const node = { name: parseNodeName('n2'), id, log, why: 'allowed again' } as const
  const denied: DenyEntry = {
    kind: 'id',
    value: id,
    from: S - 20,
    since: S - 30,
    until: S - 5,
    reason: 'lost',
  }
  const denials = KnownDenials.now({ entries: [denied], asOf: { at: NOW } })

  it('keeps the marks that it had, of what the hub anchored of it', () => {
    const { unasked, anchors, quarantined, note } = unaskedOutcome(node, denials)
    assert.deepEqual([unasked, anchors?.size], ['allowed again', 9])
    assert.ok(quarantined !== undefined && quarantined !== 'unknown')
    // Four rows were anchored before the suspect time.
    assert.deepEqual([quarantined.rows, quarantined.reason, quarantined.until], [5, 'lost', (S - 5) * 1000])
    assert.match(
      note ?? '',
      /not joined since: it is not asked for its log; its last anchored head has size 9 /,
    )
  })

  it('is not called clean by who could not have the deny list', () => {
    assert.equal(unaskedOutcome(node, KnownDenials.unknown()).quarantined, 'unknown')
  })

  it('is a line of the report, neither good nor bad', () => {
    const nodeWithoutLog: UnaskedNode = { ...node, why: 'revoked', log: undefined }
    const outcomes = [node, nodeWithoutLog].map((each) => unaskedOutcome(each, denials))
    const io = quietIo()
    assert.equal(concludeVerification(outcomes, parseCommandLine(['audit', 'verify'], {}), io), 0)
    assert.match(io.said().stdout, /^n2 +allowed again +- +5 /m)
    assert.match(io.said().stdout, /^n2 +revoked +- +- /m)
    assert.match(io.said().stderr, /warning: n2: 5 rows are quarantined because of spiffe:.*: lost/)
    const json = quietIo()
    concludeVerification(outcomes, parseCommandLine(['audit', 'verify', '-o', 'json'], {}), json)
    const { items } = JSON.parse(json.said().stdout) as { items: { ok: boolean | null }[] }
    assert.deepEqual(
      items.map(({ ok }) => ok),
      [null, null],
    )
  })
})

describe('audit verify', () => {
  const conclude = (...outcomes: readonly LogOutcome[]): number =>
    concludeVerification(outcomes, parseCommandLine(['audit', 'verify'], {}), quietIo())
  const hub: LogOutcome = { name: 'hub', origin: 'h' }
  const nobody: LogOutcome = {
    name: 'nosuch',
    origin: '',
    failure: { code: 'ZT-404-NODE', message: 'the hub’s log knows no node "nosuch"' },
  }

  it('says of a name that no node has what every verb says, unless there is more to say', () => {
    assert.equal(conclude(hub, nobody), 3)
    assert.equal(conclude(hub, { name: 'n1', origin: 'n' }, nobody), 8)
    const broken = { code: 'ZT-490-ROW', message: 'broken' } as const
    assert.equal(conclude({ ...hub, failure: broken }, nobody), 9)
    assert.equal(conclude({ ...hub, quarantined: 'unknown' }, nobody), 8)
  })

  for (const [flag, value] of [
    ['--vkey', 'v'],
    ['--hub-log', 'f'],
    ['--deny-list', 'f'],
    ['--root-fingerprint', '00'.repeat(32)],
  ] as const)
    it(`of the running mesh takes no ${flag}, which it would not look at`, async () => {
      const { status, stderr } = await say(['audit', 'verify', flag, value])
      assert.equal(status, 2)
      assert.ok(stderr.includes(`${flag} is for a copy (ZT-400-USAGE)`), stderr)
    })
})
