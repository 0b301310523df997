// A node that joins anew begins another log: the one before is still named.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { verifyHubLog, type HubLog } from '#ops/ztctl/audit/hub-log.ts'
import { earlierEpochs } from '#ops/ztctl/audit/online.ts'
import { concludeVerification } from '#ops/ztctl/audit/outcome.ts'
import { parseCommandLine } from '#ops/ztctl/grammar/parse.ts'
import { encodeBase64, encodeBase64url } from '#shared/encoding/base64url.ts'
import { systemClock } from '#shared/host/clock.ts'
import { entryOf } from '#shared/log/row.ts'
import { encodeEntries } from '#shared/log/tiles.ts'
import { MadeLog, newSigner } from '#test/support/log-fixture.ts'
import { memorySink } from '#test/support/ztctl-io.ts'

const HUB = 'mesh.example/log/hub/h1/e1'
const originOf = (node: string, epoch: number): string => `mesh.example/log/node/${node}/e${epoch}`

function join(hub: MadeLog, node: string, epoch: number): MadeLog {
  const log = originOf(node, epoch)
  return hub.add({ type: 'node.joined', out: 'allow', obj: { node, log, vkey: newSigner(log).vkey } })
}

function anchor(hub: MadeLog, origin: string, size: number): MadeLog {
  const root = encodeBase64url(Buffer.alloc(32, size))
  return hub.add({
    type: 'anchor.received',
    out: 'allow',
    obj: { origin, size, root, hub_ts: 1_800_000_000_000 },
  })
}

async function verified(hub: MadeLog): Promise<HubLog> {
  const entries = hub.rows().map(({ prev, body }) => entryOf(prev, body))
  return verifyHubLog({
    identity: { origin: HUB, vkey: hub.signer.vkey },
    seen: undefined,
    copy: undefined,
    ask: async (request) =>
      request.kind === 'entries'
        ? { kind: 'entries', data: encodeBase64url(encodeEntries(entries.slice(request.from))) }
        : { kind: 'checkpoint', note: hub.note() },
  })
}

async function rejoined(): Promise<HubLog> {
  const hub = new MadeLog(newSigner(HUB))
  anchor(join(hub, 'n1', 1), originOf('n1', 1), 7)
  anchor(hub, originOf('n1', 1), 9)
  anchor(join(hub, 'n2', 1), originOf('n2', 1), 3)
  anchor(join(hub, 'n1', 2), originOf('n1', 2), 2)
  return verified(join(hub, 'n1', 3))
}

describe('the log of a node that joined anew', () => {
  it('is named for each earlier epoch, with the head that it ended with', async () => {
    const [first, second, ...more] = earlierEpochs(await rejoined(), ['n1', 'n2'])
    assert.deepEqual(more, [])
    assert.deepEqual([first?.origin, second?.origin], [originOf('n1', 1), originOf('n1', 2)])
    assert.deepEqual([first?.anchors?.size, first?.anchors?.count], [9, 2])
    assert.ok(first?.note?.endsWith(`size 9 and root ${encodeBase64(Buffer.alloc(32, 9))}`), first?.note)
  })

  it('is named too when no head of it was ever anchored', async () => {
    const hub = join(join(new MadeLog(newSigner(HUB)), 'n1', 1), 'n1', 2)
    const [only] = earlierEpochs(await verified(hub), ['n1'])
    assert.match(only?.note ?? '', /no head of it was anchored/)
  })

  it('is not named for a node that was not asked about, nor for one that joined once', async () => {
    assert.deepEqual(earlierEpochs(await rejoined(), ['n2']), [])
  })

  it('fails nothing, and is not called good either', async () => {
    const outcomes = earlierEpochs(await rejoined(), ['n1'])
    const conclude = (...flags: string[]): { status: number; text: string } => {
      const stdout = memorySink()
      const stderr = memorySink()
      const io = { env: {}, clock: systemClock, stdout, stderr, onSignal: () => () => undefined }
      const call = parseCommandLine(['audit', 'verify', ...flags], {})
      return { status: concludeVerification(outcomes, call, io), text: stdout.text() }
    }
    const table = conclude()
    assert.equal(table.status, 0)
    assert.match(table.text, /n1\/e1 +earlier epoch .*not on the node any more/)
    const { items } = JSON.parse(conclude('-o', 'json').text) as { items: { ok: boolean | null }[] }
    assert.deepEqual(
      items.map(({ ok }) => ok),
      [null, null],
    )
  })
})
