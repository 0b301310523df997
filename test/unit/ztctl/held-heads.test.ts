// A hub that shows us another log than it showed the nodes: its rows, key and anchors can all be right.
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { HeldHeads, type HeldHead } from '#ops/ztctl/audit/held-heads.ts'
import { verifyHubLog, type HubLog, type HubLogOptions } from '#ops/ztctl/audit/hub-log.ts'
import { LogCopyWriter, openLogCopy } from '#ops/ztctl/audit/log-copy.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { ZtError } from '#shared/errors/error.ts'
import { entryOf, type RowBody, type RowDraft } from '#shared/log/row.ts'
import { encodeEntries } from '#shared/log/tiles.ts'
import { closedLog, MadeLog, newSigner, openLog, ORIGIN, rootOf } from '#test/support/log-fixture.ts'
import { say } from '#test/support/ztctl-io.ts'

const HUB = 'mesh.example/log/hub/h1/e1'
const folder = mkdtempSync(join(tmpdir(), 'ztctl-held-'))
after(() => rmSync(folder, { recursive: true }))
const env = { ZTMESH_CONFIG_DIR: join(folder, 'config') }

const hubKey = newSigner(HUB)
const nodeKey = newSigner(ORIGIN)
const own = new MadeLog(nodeKey).fill(5)

/** A hub's log with the node's key, `work`, the anchor of the node's first six rows, and more. */
function hubLog(work: RowDraft = { type: 'token.minted', out: 'allow' }, more = 3): MadeLog {
  return new MadeLog(hubKey)
    .add({ type: 'node.joined', out: 'allow', obj: { node: 'n1', log: ORIGIN, vkey: nodeKey.vkey } })
    .add(work)
    .add({
      type: 'anchor.received',
      out: 'allow',
      obj: { origin: ORIGIN, size: 6, root: encodeBase64url(rootOf(own.rows())), hub_ts: 1_800_000_000_000 },
    })
    .fill(more)
}

const headOf = (log: MadeLog, size: number): { size: number; root: string } => ({
  size,
  root: encodeBase64url(rootOf(log.rows().slice(0, size))),
})

/** The node's log after `hub` has confirmed its first six rows: row 6 says so, and row 7 names a later head. */
function nodeLog(hub: MadeLog, later = 4): MadeLog {
  const log = new MadeLog(nodeKey).fill(5)
  const obj = { size: 6, index: 3, hub: { origin: HUB, ...headOf(hub, 4) } }
  return log
    .add({ type: 'anchor.confirmed', out: 'info', obj, hubcp: headOf(hub, 4) })
    .add({ type: 'heartbeat', out: 'info', hubcp: headOf(hub, later) })
}

function heldOf(log: MadeLog): readonly HeldHead[] {
  const held = new HeldHeads('n1')
  for (const body of log.bodies) held.take(body)
  return held.within(log.bodies.length)
}

const honest = hubLog()
// The same registration and the same anchor, signed by the hub's true key: something else was done meanwhile.
const forked = hubLog({ type: 'token.refused', out: 'deny' })

/** Shows `size` rows of the first log the first time, and the whole of the last one from then on. */
function serve(...logs: readonly { readonly log: MadeLog; readonly size?: number }[]): HubLogOptions['ask'] {
  let asked = -1
  return async (request) => {
    if (request.kind === 'checkpoint') asked = Math.min(asked + 1, logs.length - 1)
    const shown = logs[asked]
    assert.ok(shown !== undefined)
    const rows = shown.log.rows().slice(0, shown.size)
    if (request.kind === 'checkpoint') return { kind: 'checkpoint', note: shown.log.note(rows.length) }
    assert.ok(request.kind === 'entries')
    const entries = rows.slice(request.from, request.from + 2).map(({ prev, body }) => entryOf(prev, body))
    return { kind: 'entries', data: encodeBase64url(encodeEntries(entries)) }
  }
}

async function compared(
  ask: HubLogOptions['ask'],
  heads: readonly HeldHead[],
  copy?: string,
): Promise<HubLog> {
  const log = await verifyHubLog({ ask, identity: { origin: HUB, vkey: hubKey.vkey }, seen: undefined, copy })
  assert.equal(log.report.firstBad, undefined)
  await log.compare(heads)
  return log
}

describe('the heads that a node holds', () => {
  it('are all in the log of an honest hub', async () => {
    const { report } = await compared(serve({ log: honest }), heldOf(nodeLog(honest, 6)))
    assert.equal(report.firstBad, undefined)
  })

  it('show a hub that has rewritten its log, and node and row are named', async () => {
    const { report } = await compared(serve({ log: forked }), heldOf(nodeLog(honest)))
    assert.equal(report.firstBad?.code, 'ZT-490-FORK')
    assert.match(report.firstBad.message, /row 6 of n1 names another head of size 4/)
  })

  it('are told by every row, not only by anchor.confirmed', async () => {
    const log = new MadeLog(nodeKey).add({ type: 'heartbeat', out: 'info', hubcp: headOf(honest, 5) })
    const { report } = await compared(serve({ log: forked }), heldOf(log))
    assert.match(report.firstBad?.message ?? '', /row 1 of n1 names another head of size 5/)
  })

  it('say from where on the log is another', async () => {
    const ends = hubLog(undefined, 0).add({ type: 'token.refused', out: 'deny' })
    const { report } = await compared(serve({ log: ends }), heldOf(nodeLog(honest, 5)))
    assert.deepEqual([report.firstBad?.seq, report.firstBad?.code], [4, 'ZT-490-FORK'])
  })

  it('show a hub that has cut its log', async () => {
    const { report } = await compared(serve({ log: honest, size: 3 }), heldOf(nodeLog(honest)))
    assert.deepEqual([report.firstBad?.seq, report.firstBad?.code], [3, 'ZT-490-TRUNCATED'])
    assert.match(report.firstBad?.message ?? '', /row 6 of n1 names a head of size 4/)
  })

  it('must be of this log', async () => {
    const obj = { size: 1, index: 3, hub: { ...headOf(honest, 4), origin: 'mesh.example/log/hub/h2/e1' } }
    const log = new MadeLog(nodeKey).add({ type: 'anchor.confirmed', out: 'info', obj })
    const { report } = await compared(serve({ log: honest }), heldOf(log))
    assert.equal(report.firstBad?.code, 'ZT-490-FORK')
  })

  it('do not count behind the newest head that the node signed', () => {
    const held = new HeldHeads('n1')
    for (const body of nodeLog(honest).bodies) held.take(body)
    assert.deepEqual(held.within(6), [])
  })

  const noHeads: Record<string, RowDraft> = {
    nothing: { type: 'anchor.confirmed' },
    'a size below nothing': {
      type: 'anchor.confirmed',
      obj: { hub: { ...headOf(honest, 4), origin: HUB, size: -1 } },
    },
    'half a root': { type: 'anchor.confirmed', obj: { hub: { origin: HUB, size: 4, root: 'AAAA' } } },
    'a root that is not base64url': { type: 'heartbeat', hubcp: { size: 4, root: '/'.repeat(43) } },
  }
  for (const [what, draft] of Object.entries(noHeads)) {
    it(`are no heads when a row names ${what}`, () => {
      const row: RowBody = { ...draft, v: 1, log: ORIGIN, seq: 3 }
      assert.throws(() => new HeldHeads('n1').take(row), { code: 'ZT-490-ANCHOR' })
    })
  }
})

describe('a head that is newer than what was fetched of the hub’s log', () => {
  const early = { log: honest, size: 4 }
  const held = heldOf(nodeLog(honest, 6))

  it('is checked against the rest, fetched behind it', async () => {
    const log = await compared(serve(early, { log: honest }), held)
    assert.equal(log.report.firstBad, undefined)
    assert.deepEqual([log.report.rows, log.head.size], [7, 7])
  })

  it('is another one in the log that goes on: a fork', async () => {
    const other = hubLog(undefined, 0).add({ type: 'token.refused', out: 'deny' }).fill(4)
    const { report } = await compared(serve(early, { log: other }), held)
    assert.equal(report.firstBad?.code, 'ZT-490-FORK')
    assert.match(report.firstBad.message, /row 7 of n1/)
  })

  it('makes the hub show another log: a fork', async () => {
    const { report } = await compared(serve(early, { log: forked }), held)
    assert.ok(report.firstBad !== undefined)
  })

  it('is beyond all that the hub has: its log is cut', async () => {
    const { report } = await compared(serve(early, { log: honest, size: 5 }), held)
    assert.deepEqual([report.firstBad?.seq, report.firstBad?.code], [5, 'ZT-490-TRUNCATED'])
  })

  it('makes the hub go back to a smaller head: its log is cut', async () => {
    const { report } = await compared(serve(early, { log: honest, size: 2 }), held)
    assert.equal(report.firstBad?.code, 'ZT-490-TRUNCATED')
  })

  it('cannot be checked when the hub does not answer again: that is a failed check', async () => {
    const shown = serve(early)
    let asked = 0
    const ask: HubLogOptions['ask'] = async (request) => {
      if (request.kind === 'checkpoint') asked += 1
      if (asked > 1) throw new ZtError('ZT-503-HUB', 'away')
      return shown(request)
    }
    const { report } = await compared(ask, held)
    assert.equal(report.firstBad?.code, 'ZT-490-UNVERIFIABLE')
  })

  it('is in the copy that is kept, which has both heads and nothing beside it', async () => {
    const kept = mkdtempSync(join(folder, 'kept-'))
    await compared(serve(early, { log: honest }), held, join(kept, 'hub.ztlog'))
    const { head, entries } = openLogCopy(join(kept, 'hub.ztlog'))
    assert.deepEqual(head.checkpoints, [honest.note(4), honest.note()])
    assert.equal([...entries].length, 7)
    assert.deepEqual(readdirSync(kept), ['hub.ztlog'])
  })
})

describe('copies of a node’s and of the hub’s log', () => {
  let copies = 0
  function save(log: MadeLog, size: number = log.bodies.length): string {
    const path = join(folder, `${(copies += 1)}.ztlog`)
    const { name: origin, vkey } = log.signer
    const writer = new LogCopyWriter(path, { origin, vkey, checkpoints: [log.note(size)] })
    for (const { prev, body } of log.rows().slice(0, size)) writer.add(entryOf(prev, body))
    writer.close()
    return path
  }
  const verify = (file: string, hub: string): ReturnType<typeof say> =>
    say(['audit', 'verify', '--file', file, '--hub-log', hub, '--vkey', hubKey.vkey], { env })

  it('hold when they are of one history', async () => {
    const said = await verify(save(nodeLog(honest)), save(honest))
    assert.equal(said.status, 0, said.stderr)
  })

  it('do not hold when the hub’s was rewritten: 9, with file and row', async () => {
    const file = save(nodeLog(honest))
    const said = await verify(file, save(forked))
    assert.equal(said.status, 9)
    assert.match(said.stderr, /row 6 of .*\.ztlog names another head of size 4.*ZT-490-FORK/)
  })

  it('do not hold when the hub’s ends before a head that the node holds', async () => {
    const said = await verify(save(nodeLog(honest, 6)), save(honest, 5))
    assert.equal(said.status, 9)
    assert.match(said.stderr, /row 7 of .*\.ztlog names a head of size 6, .* 5 rows.*ZT-490-TRUNCATED/)
  })

  it('are compared when the node’s is a database, which may be newer: what was not compared is said', async (t) => {
    const signer = nodeKey
    const options = await closedLog(t, 5, { signer })
    const log = openLog(t, { ...options, ifMissing: 'refuse' })
    await log.append({ type: 'heartbeat', out: 'info', hubcp: headOf(honest, 2) })
    await log.append({ type: 'heartbeat', out: 'info', hubcp: headOf(honest, 6) })
    await log.close()
    const registered = (work?: RowDraft): MadeLog => {
      const hub = hubLog(work)
      return Object.assign(hub, { bodies: hub.bodies.slice(0, 3) })
    }
    const newer = await verify(options.file, save(registered()))
    assert.equal(newer.status, 0, newer.stderr)
    assert.match(newer.stdout, /behind its copy of 3 rows: 1, not compared/)
    const other = new MadeLog(hubKey).fill(1).add(registered().bodies[1] ?? { type: 'heartbeat' })
    const rewritten = await verify(options.file, save(other))
    assert.equal(rewritten.status, 9)
    assert.match(rewritten.stderr, /ZT-490-FORK/)
  })
})
