import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { silentLogger } from '#shared/host/logger.ts'
import { signDenyList } from '#shared/protocol/deny-list.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { Denials, isDenied } from '#node-agent/revocation/denials.ts'
import { openTestLog, typesOf } from '#test/support/node-log.ts'
import { makeTestPki } from '#test/support/test-pki.ts'

async function setUp(test: Parameters<typeof openTestLog>[0]) {
  const opened = await openTestLog(test)
  const { clock } = opened
  const pki = await makeTestPki({ now: clock.now() })
  const ann = pki.identity('/operator/ann')
  const changes: number[] = []
  const make = (log = opened.log): Denials =>
    new Denials({
      log,
      trust: new SvidValidator(pki.bundle),
      clock,
      logger: silentLogger,
      changed: ({ version }) => void changes.push(version),
    })
  const list = (
    ver: number,
    ids: readonly string[] = [],
    signer = pki.identity('/hub/h1', clock.now()),
  ): string =>
    signDenyList(signer, {
      ver,
      entries: ids.map((value) => ({ kind: 'id', value, from: 0, reason: 'left' })),
      now: clock.now(),
    })
  return { ...opened, pki, ann, changes, make, list }
}

describe('the deny list of a node', () => {
  it('is in force at once, and a row', async (test) => {
    const { make, list, ann, log, changes } = await setUp(test)
    const denials = make()
    await denials.accept(list(1, [ann.id]))
    assert.ok(isDenied(denials.list, ann))
    assert.deepEqual(changes, [1])
    assert.equal(typesOf(log).at(-1), 'deny.updated')
  })

  it('is felt by one certificate alone, and by nobody when it is closed', async (test) => {
    const { make, pki, ann, clock } = await setUp(test)
    const denials = make()
    const other = { id: ann.id, thumbprint: pki.identity('/operator/ann').thumbprint }
    const entry = {
      kind: 'thumbprint',
      value: ann.thumbprint,
      id: ann.id,
      from: 1,
      reason: 'copied',
    } as const
    const say = (ver: number, until?: number): Promise<void> =>
      denials.accept(
        signDenyList(pki.identity('/hub/h1', clock.now()), {
          ver,
          entries: [{ ...entry, ...(until !== undefined && { until }) }],
          now: clock.now(),
        }),
      )
    await say(1)
    assert.deepEqual([isDenied(denials.list, ann), isDenied(denials.list, other)], [true, false])
    await say(2, 5)
    assert.equal(isDenied(denials.list, ann), false)
  })

  it('does not go back, nor after a restart, though a hub has signed the older one', async (test) => {
    const { make, list, ann, reopen } = await setUp(test)
    const denials = make()
    const older = list(1)
    await denials.accept(list(2, [ann.id]))
    await assert.rejects(denials.accept(older), { code: 'ZT-408-STALE' })
    const again = make(await reopen())
    assert.ok(isDenied(again.list, ann), 'the kept list is in force before anything is fetched')
    await assert.rejects(again.accept(older), { code: 'ZT-408-STALE' })
  })

  it('ignores an older list that was overtaken on its way, and goes on with the newer', async (test) => {
    const { make, list, ann } = await setUp(test)
    const denials = make()
    const older = list(1)
    await denials.accept(list(2, [ann.id]))
    await denials.offer(older)
    assert.ok(isDenied(denials.list, ann))
    await assert.rejects(denials.offer('noise'), { code: 'ZT-400-MALFORMED' })
  })

  it('does not go back although its text was lost', async (test) => {
    const { make, list, ann, reopen, log } = await setUp(test)
    await make().accept(list(2, [ann.id]))
    log.durable.database.exec('DELETE FROM deny_list')
    const again = make(await reopen())
    await assert.rejects(again.accept(list(1)), { code: 'ZT-408-STALE' })
  })

  it('is refused from anybody but a hub of this mesh', async (test) => {
    const { make, list, ann, pki, clock } = await setUp(test)
    const foreign = await makeTestPki({ now: clock.now() })
    const denials = make()
    await assert.rejects(denials.accept(list(1, [], ann)), { code: 'ZT-421-MISDIRECTED' })
    await assert.rejects(denials.accept(list(1, [], pki.identity('/node/mac-mini'))), {
      code: 'ZT-421-MISDIRECTED',
    })
    await assert.rejects(denials.accept(list(1, [], foreign.identity('/hub/h1'))), { code: 'ZT-401-CERT' })
    await assert.rejects(denials.accept('noise'), { code: 'ZT-400-MALFORMED' })
  })

  it('is in force although it could not be written: a full disk keeps nobody in', async (test) => {
    const { make, list, ann, log } = await setUp(test)
    const denials = make()
    log.durable.database.exec('PRAGMA query_only = ON')
    await denials.accept(list(1, [ann.id]))
    assert.ok(isDenied(denials.list, ann))
    log.durable.database.exec('PRAGMA query_only = OFF')
  })

  it('the same again changes nothing, and is no row', async (test) => {
    const { make, list, log } = await setUp(test)
    const denials = make()
    const text = list(1)
    await denials.accept(text)
    const { size } = log.durable
    await denials.accept(text)
    assert.equal(log.durable.size, size)
  })
})

describe('whether the list is the newest', () => {
  it('is sure while the link stands', async (test) => {
    const { make } = await setUp(test)
    await make().current()
  })

  it('is waited for when the link was down, until it has been asked for again', async (test) => {
    const { make } = await setUp(test)
    const denials = make()
    const link = {}
    denials.suspend(link)
    let sure = false
    const waiting = denials.current().then(() => {
      sure = true
    })
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(sure, false)
    denials.resume(link)
    await waiting
  })

  it('is not known after 5 s, and then nothing is let in', async (test) => {
    const { make, clock } = await setUp(test)
    const denials = make()
    denials.suspend({})
    const waiting = assert.rejects(denials.current(), { code: 'ZT-503-HUB' })
    clock.advance(5000)
    await waiting
  })

  it('needs every link that was down', async (test) => {
    const { make, clock } = await setUp(test)
    const denials = make()
    const [one, other] = [{}, {}]
    denials.suspend(one)
    denials.suspend(other)
    denials.resume(one)
    const waiting = assert.rejects(denials.current(), { code: 'ZT-503-HUB' })
    clock.advance(5000)
    await waiting
  })
})
