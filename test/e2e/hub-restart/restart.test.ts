import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, before, describe, it } from 'node:test'
import { parseNodeName } from '#shared/identity/names.ts'
import { openCheckpoint } from '#shared/log/checkpoint.ts'
import { parseVkey } from '#shared/log/note.ts'
import { exchangeRequest } from '#shared/protocol/exchange.ts'
import { programArgs, runHub, startTestHub, type TestHub } from '#test/support/hub.ts'
import { operator, type TestClient } from '#test/support/hub-client.ts'
import { attest, joinNode, machine, spawnCommand, type TestNode } from '#test/support/hub-node.ts'
import { eventually, needsNats } from '#test/support/nats.ts'

describe('a hub that is killed', { skip: needsNats }, () => {
  let hub: TestHub
  let alice: TestClient
  let node: TestNode
  before(async () => {
    hub = await startTestHub()
    alice = await operator(hub)
    node = await joinNode(hub, alice, { name: 'n1' })
  })
  after(async () => {
    await node?.close()
    await alice?.close()
    await hub?.stop()
  })
  const reconnected = (): Promise<void> => eventually('the channel is back', () => alice.channel.connected)
  const headOf = async (client: TestClient): Promise<ReturnType<typeof openCheckpoint>> => {
    const { origin, vkey } = client.credentials.hub_log
    const result = await client.call('log', { kind: 'checkpoint' })
    return openCheckpoint(result.kind === 'checkpoint' ? result.note : '', origin, [parseVkey(vkey)])
  }

  it('answers the same clients again, with the keys that they hold', async () => {
    await hub.restart()
    await reconnected()
    await eventually('the hub answers', async () => {
      try {
        await alice.call('node.list', {})
        return true
      } catch {
        return false
      }
    })
    assert.equal((await alice.token(spawnCommand(node.id))).token_type, 'N_A')
  })

  it('remembers which messages and process ids were used', async () => {
    const cmd = spawnCommand(node.id)
    const message = await alice.seal({ op: 'token', params: exchangeRequest(cmd, alice.idToken()) })
    assert.equal((await alice.send(message)).ok, true)
    await hub.restart()
    await reconnected()
    const copy = await alice.send(message)
    assert.equal(copy.ok ? 'ok' : copy.error.code, 'ZT-409-REPLAY')
    await assert.rejects(alice.token(cmd), { code: 'ZT-409-IDENTIFIER' })
  })

  it('remembers which join tokens were used, and by whom', async () => {
    const who = machine('joins')
    const { join: text } = await alice.call('node.join-token', { node: parseNodeName('joins') })
    await attest(hub, who, { join: text })
    await hub.restart()
    await attest(hub, who, { join: text })
    await assert.rejects(attest(hub, machine('joins'), { join: text }), { code: 'ZT-409-JOIN-SPENT' })
    await reconnected()
  })

  it('loses no row when it is killed in the middle of many requests', async () => {
    const before = await headOf(alice)
    const minted: number[] = []
    const work = Array.from({ length: 60 }, async () => {
      const params = exchangeRequest(spawnCommand(node.id), alice.idToken())
      const receipt = await alice.send(await alice.seal({ op: 'token', params }), 3000)
      if (receipt.ok && receipt.row !== undefined) minted.push(receipt.row.seq)
    })
    await eventually('some are answered', () => minted.length > 5)
    await hub.restart()
    await Promise.allSettled(work)
    await reconnected()
    const head = await headOf(alice)
    assert.ok(head.size > before.size)
    assert.ok(minted.every((seq) => seq < head.size))
  })

  it('gets another nats-server when the one it has is killed', async () => {
    const pid = Number(readFileSync(join(hub.stateDir, 'nats', 'nats-server.pid'), 'utf8'))
    process.kill(pid, 'SIGKILL')
    await eventually('the connection is lost', () => !alice.channel.connected)
    await reconnected()
    await eventually('the hub answers', () =>
      alice.call('deny', {}).then(
        () => true,
        () => false,
      ),
    )
  })

  it('keeps its history: one log from the first start on', async () => {
    const rows = JSON.stringify(await headOf(alice))
    assert.match(rows, /mesh\.example\/log\/hub\/h1\/e1/)
  })
})

describe('a hub', { skip: needsNats }, () => {
  let hub: TestHub
  before(async () => {
    hub = await startTestHub()
  })
  after(() => hub?.stop())
  const startAgain = (): ReturnType<typeof spawnSync> =>
    spawnSync(process.execPath, [...programArgs('hub', 'source'), '--config', hub.configFile], {
      encoding: 'utf8',
      timeout: 20_000,
    })

  it('does not start twice on the same state', () => {
    const { status, stderr } = startAgain()
    assert.notEqual(status, 0)
    assert.match(String(stderr), /ZT-503-STORE|ZT-503-AUDIT/)
  })

  it('is not initialised over its own state', () =>
    assert.rejects(runHub(['init', '--config', hub.configFile]), /ZT-409-EXISTS/))

  it('takes up a ladder that is imported while it runs', async () => {
    const config = ['--config', hub.configFile]
    const file = join(hub.dir, 'second-request.json')
    const { sha256 } = JSON.parse(await runHub(['ladder-request', file, ...config, '--rungs', '3'])) as {
      sha256: string
    }
    const previous = await hub.table.input('ladder.json')
    await hub.table.run(
      await hub.table.ladderFile(
        { file, sha256 },
        { previous, outputs: { response: 'ladder2.json', transcript: 'ladder2.transcript' } },
      ),
    )
    const said = await runHub(['ladder-import', join(hub.table.dir, 'ladder2.json'), ...config])
    assert.equal((JSON.parse(said) as { remaining: number }).remaining, 10)
    await assert.rejects(
      runHub(['ladder-import', join(hub.table.dir, 'ladder2.json'), ...config]),
      /ZT-409-EXISTS/,
    )
    process.kill(hub.pid, 'SIGHUP')
    const alice = await operator(hub)
    await alice.close()
  })

  it('prints what is in force, and no secret', async () => {
    const said = JSON.parse(await runHub(['--config', hub.configFile, '--check-config'])) as Record<
      string,
      unknown
    >
    assert.equal(said['id'], hub.id)
    assert.ok(!JSON.stringify(said).includes(readFileSync(join(hub.dir, 'seal.key'), 'utf8').trim()))
  })

  const parts: Record<string, string> = {
    store: 'hub.db',
    log: 'log.db',
    'key of its log': 'log-key.sealed',
    'keys of its nats authority': 'nats-authority.sealed',
    'sealing header': 'seal.json',
  }
  for (const [what, file] of Object.entries(parts))
    it(`does not start without its ${what}`, async () => {
      await hub.kill('SIGTERM')
      const path = join(hub.stateDir, file)
      renameSync(path, `${path}.away`)
      const { status, stderr } = startAgain()
      renameSync(`${path}.away`, path)
      assert.notEqual(status, 0)
      assert.match(String(stderr), /hub: error: ZT-/)
      await hub.start()
    })

  it('does not start with a sealing secret of another hub', async () => {
    await hub.kill('SIGTERM')
    const path = join(hub.dir, 'seal.key')
    renameSync(path, `${path}.away`)
    const { status, stderr } = startAgain()
    renameSync(`${path}.away`, path)
    assert.notEqual(status, 0)
    assert.match(String(stderr), /hub: error: ZT-/)
    await hub.start()
  })

  it('ends when a row of its log was changed while it was down', async () => {
    await hub.kill('SIGTERM')
    const database = new DatabaseSync(join(hub.stateDir, 'log.db'))
    for (const { name } of database.prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'").all())
      database.exec(`DROP TRIGGER "${String(name)}"`)
    database.exec(
      "UPDATE audit SET body = CAST(replace(CAST(body AS TEXT), 'info', 'deny') AS BLOB) WHERE seq = 0",
    )
    database.close()
    // It looks at the end of its log before it starts, and at all of it soon after.
    await hub.start().catch(() => undefined)
    await eventually('the hub has ended', () => !isRunning(hub.pid))
    assert.match(readFileSync(hub.logFile, 'utf8'), /ZT-490-/)
  })
})

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return pid > 0
  } catch {
    return false
  }
}
