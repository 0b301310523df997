import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { ZtError } from '#shared/errors/error.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { commitTo } from '#node-agent/audit/private-payload.ts'
import { refuseBeforeMemory } from '#node-agent/audit/memory-start.ts'
import type { NodeLog } from '#node-agent/audit/node-log.ts'
import { randomProc } from '#test/support/keeper.ts'
import { openTestLog, rowsOf, typesOf } from '#test/support/node-log.ts'

const HEARTBEAT = { type: 'heartbeat', out: 'info' } as const
const OWNER = parseSpiffeId('spiffe://mesh.example/operator/ann')

const use = (iat: number, exp = iat + 30) => ({
  issuer: OWNER,
  nonce: randomUUID(),
  jti: randomUUID(),
  iat,
  exp,
})
const token = (iat: number) => ({ jti: randomUUID(), iat, exp: iat + 15 })

describe('the memory of what was consumed', () => {
  it('and the row that says so come or go together', async (test) => {
    const { log, clock } = await openTestLog(test)
    const message = use(clock.now() / 1000)
    const failing = log.append(HEARTBEAT, () => {
      log.consumed.consume(message, token(message.iat))
      throw new ZtError('ZT-403-POLICY', 'no')
    })
    await assert.rejects(failing, { code: 'ZT-403-POLICY' })
    assert.deepEqual(typesOf(log), ['log.genesis'])
    log.consumed.refuseSeen(message)
    await log.append(HEARTBEAT, () => log.consumed.consume(message, token(message.iat)))
    assert.throws(() => log.consumed.refuseSeen(message), { code: 'ZT-409-REPLAY' })
  })

  it('tells a nonce of one sender from the same nonce of another', async (test) => {
    const { log, clock } = await openTestLog(test)
    const message = use(clock.now() / 1000)
    log.consumed.consume(message, token(message.iat))
    log.consumed.consume({ ...use(message.iat), nonce: message.nonce, issuer: 'another' }, token(message.iat))
  })

  it('keeps each use for as long as its time would let it in, and forgets it after', async (test) => {
    const { log, clock } = await openTestLog(test)
    const iat = clock.now() / 1000 + 30
    const message = use(iat, iat + 60)
    log.consumed.consume(message, token(iat))
    // max(iat + 30, exp) + 35 s
    for (const [advanceS, seen] of [
      [30 + 60 + 35, true],
      [1, false],
    ] as const) {
      clock.advance(advanceS * 1000)
      await log.append(HEARTBEAT)
      log.prune()
      if (seen) assert.throws(() => log.consumed.refuseSeen(message), { code: 'ZT-409-REPLAY' })
      else log.consumed.refuseSeen(message)
    }
  })

  it('forgets nothing because a clock was set forward for a moment', async (test) => {
    const { log, clock } = await openTestLog(test)
    const message = use(clock.now() / 1000)
    await log.append(HEARTBEAT, () => log.consumed.consume(message, token(message.iat)))
    clock.step(86_400_000)
    log.prune()
    clock.step(-86_400_000)
    assert.throws(() => log.consumed.refuseSeen(message), { code: 'ZT-409-REPLAY' })
  })
})

describe('a store that is younger than a message', () => {
  it('refuses it, from the moment that the store was made while joining', async (test) => {
    const { log, clock } = await openTestLog(test)
    const now = clock.now() / 1000
    refuseBeforeMemory(log.marks, 'message', now)
    assert.throws(() => refuseBeforeMemory(log.marks, 'token', now - 1), { code: 'ZT-408-STALE' })
  })

  it('refuses for 30 s more when its tables came later than its identity', async (test) => {
    const { log, clock, reopen } = await openTestLog(test)
    log.durable.database.exec("DELETE FROM mark WHERE name = 'consumed-since'")
    const reopened = await reopen()
    const now = clock.now() / 1000
    assert.throws(() => refuseBeforeMemory(reopened.marks, 'message', now + 29), { code: 'ZT-408-STALE' })
    refuseBeforeMemory(reopened.marks, 'message', now + 30)
  })

  it('is not made anew over a lost one: the node does not run', async (test) => {
    const { log, dir, reopen } = await openTestLog(test)
    await log.close()
    for (const name of ['audit.db', 'audit.db-wal', 'audit.db-shm', 'audit.db.head']) {
      await rm(join(dir, name), { force: true })
    }
    await assert.rejects(reopen(), { code: 'ZT-503-AUDIT' })
  })
})

describe('marks', () => {
  it('only grow, over restarts too', async (test) => {
    const { log, reopen } = await openTestLog(test)
    log.marks.raise('policy', 7)
    log.marks.raise('policy', 5)
    assert.equal(log.marks.value('policy'), 7)
    assert.equal((await reopen()).marks.value('policy'), 7)
  })

  it('record the latest time with every row', async (test) => {
    const { log, clock } = await openTestLog(test)
    clock.advance(5000)
    await log.append(HEARTBEAT)
    assert.equal(log.marks.value('clock'), clock.now())
  })
})

describe('a private payload', () => {
  const secret = { argv: ['curl', '--token', 's3cret'] }

  it('is not in the row, nor anywhere in the log, and can be opened from beside it', async (test) => {
    const { log } = await openTestLog(test)
    const payload = commitTo(secret)
    await log.append({ ...HEARTBEAT, priv: { alg: 'sha-256-salted', c: payload.commitment } }, () =>
      log.payloads.add(payload),
    )
    assert.ok(!JSON.stringify(rowsOf(log)).includes('s3cret'))
    assert.deepEqual(JSON.parse(Buffer.from(log.payloads.open(payload.commitment) ?? []).toString()), secret)
  })

  it('can be erased, and the log still verifies', async (test) => {
    const { log, reopen } = await openTestLog(test)
    const payload = commitTo(secret)
    await log.append({ ...HEARTBEAT, priv: { alg: 'sha-256-salted', c: payload.commitment } }, () =>
      log.payloads.add(payload),
    )
    log.payloads.erase(payload.commitment)
    assert.equal(log.payloads.open(payload.commitment), undefined)
    assert.equal((await reopen()).durable.size, 2)
  })

  it('is refused when it is not what was committed to', async (test) => {
    const { log } = await openTestLog(test)
    const payload = commitTo(secret)
    log.payloads.add({ ...payload, content: Buffer.from('{}') })
    assert.throws(() => log.payloads.open(payload.commitment), { code: 'ZT-490-ROW' })
  })

  it('commits differently to the same text each time', () => {
    assert.notEqual(commitTo(secret).commitment, commitTo(secret).commitment)
  })
})

function added(log: NodeLog, changes: object = {}) {
  const process = {
    proc: randomProc(),
    jti: randomUUID(),
    txn: randomUUID(),
    owner: OWNER,
    exe: '/bin/true',
    ownerX5t: 'B'.repeat(43),
    agent: null,
    exeSha256: 'A'.repeat(43),
    ...changes,
  }
  log.processes.add(process)
  return process
}

describe('the record of processes', () => {
  it('takes one id once, for as long as it remembers', async (test) => {
    const { log } = await openTestLog(test)
    const { proc } = added(log)
    assert.throws(() => added(log, { proc }), { code: 'ZT-409-IDENTIFIER' })
    log.processes.ended(proc, { state: 'failed', atMs: 1 })
    assert.throws(() => added(log, { proc }), { code: 'ZT-409-IDENTIFIER' })
  })

  it('lists what runs before what has ended, newest first, and nothing that never ran', async (test) => {
    const { log } = await openTestLog(test)
    const [old, running, never] = [added(log), added(log), added(log)]
    log.processes.started(old.proc, { started: 1, beganMs: 1 })
    log.processes.started(running.proc, { started: 2, beganMs: 2 })
    log.processes.ended(old.proc, { state: 'exited', atMs: 3, exit: { code: 9, signal: 'KILL' } })
    const all = log.processes.newest({ all: true, limit: 10 })
    assert.deepEqual(
      all.map(({ proc }) => proc),
      [running.proc, old.proc],
    )
    assert.deepEqual(
      log.processes.newest({ all: false, limit: 10 }).map(({ proc }) => proc),
      [running.proc],
    )
    assert.deepEqual(
      log.processes
        .open()
        .map(({ proc }) => proc)
        .toSorted(),
      [running.proc, never.proc].toSorted(),
    )
  })

  it('does not let a second end change the first', async (test) => {
    const { log } = await openTestLog(test)
    const { proc } = added(log)
    log.processes.started(proc, { started: 1, beganMs: 1 })
    log.processes.ended(proc, { state: 'exited', atMs: 3, exit: { code: 0 } })
    log.processes.ended(proc, { state: 'lost', atMs: 4 })
    assert.equal(log.processes.find(proc)?.state, 'exited')
  })
})
