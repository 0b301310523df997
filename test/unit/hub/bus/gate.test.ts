// A hub whose clock went back takes nothing, however often it is asked.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { it, type TestContext } from 'node:test'
import { Refusals } from '#hub/audit/refusals.ts'
import { Gate, type Received } from '#hub/bus/gate.ts'
import { isZtError } from '#shared/errors/error.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { DenyList } from '#shared/protocol/deny-list.ts'
import type { HubEnvelope } from '#shared/protocol/envelope.ts'
import { hubSubject } from '#shared/protocol/subjects.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { fillLog, logOptions, openLog } from '#test/support/log-fixture.ts'
import { createTestAuthority, TEST_NOW } from '#test/support/test-authority.ts'

/** A hub, a node of it, and the gate between them; nothing can be opened, so only what comes before that is tried. */
async function unopened(clock: ManualClock): Promise<{ gate: Gate; opened: () => number; subject: string }> {
  const authority = await createTestAuthority()
  const [hub, node] = await Promise.all(['/hub/h1', '/node/n1'].map((path) => authority.identity(path)))
  assert.ok(hub !== undefined && node !== undefined)
  let opened = 0
  const gate = new Gate({
    hubId: hub.id,
    clock,
    trust: authority.validator(),
    deny: new DenyList(),
    key: () => {
      opened += 1
      return undefined
    },
    messages: { remember: () => Promise.resolve(true) },
    highWater: () => 0,
  })
  return { gate, opened: () => opened, subject: hubSubject('hello', node.id) }
}

it('drops what comes too fast under one tag, and nothing of anybody else', async () => {
  const clock = new ManualClock(TEST_NOW)
  const { gate, opened, subject } = await unopened(clock)
  const passed = Array.from({ length: 5000 }, () => gate.hasRoom(gate.senderOf(subject))).filter(
    Boolean,
  ).length
  assert.equal(passed, 400)
  assert.equal(gate.hasRoom(gate.senderOf('zt.anchor.n1')), false, 'the same machine, on its other subject')
  assert.equal(gate.hasRoom(gate.senderOf('zt.anchor.n2')), true)
  assert.equal(opened(), 0)
  clock.advance(1000)
  const later = Array.from({ length: 5000 }, () => gate.hasRoom(gate.senderOf(subject))).filter(
    Boolean,
  ).length
  assert.equal(later, 300)
})

it('counts what names no sender as one sender', async () => {
  const { gate } = await unopened(new ManualClock(TEST_NOW))
  const subjects = Array.from({ length: 5000 }, (_, i) => `zt.hub.x${i}`)
  assert.equal(subjects.filter((subject) => gate.hasRoom(gate.senderOf(subject))).length, 400)
})

it('refuses every message while its clock is behind its log, not the first one alone', async (t: TestContext) => {
  const authority = await createTestAuthority()
  const trust = authority.validator()
  const [hub, alice] = await Promise.all(
    ['/hub/h1', '/operator/alice'].map((path) => authority.identity(path)),
  )
  assert.ok(hub !== undefined && alice !== undefined)
  const caller = trust.validate(alice.chain, TEST_NOW)
  const clock = new ManualClock(TEST_NOW)
  const log = openLog(t, await logOptions(t, { clock }))
  await fillLog(log, 3)
  const refusals = new Refusals({ rows: log, clock, log: silentLogger })
  const gate = new Gate({
    hubId: hub.id,
    clock,
    trust,
    deny: new DenyList(),
    key: () => undefined,
    messages: { remember: () => Promise.resolve(true) },
    highWater: () => log.latest(),
  })
  const fresh = (): Received => {
    const iat = Math.floor(clock.now() / 1000)
    const said = { iss: alice.id, nonce: randomUUID(), jti: randomUUID(), iat, exp: iat + 30 }
    return { caller, envelope: said as HubEnvelope, sha256: 'x' }
  }
  await gate.admit(fresh())
  clock.step(-3_600_000)
  for (let turn = 0; turn < 3; turn += 1) {
    const error: unknown = await gate.admit(fresh()).catch((cause: unknown) => cause)
    assert.ok(isZtError(error, 'ZT-408-CLOCK'), `message ${turn}`)
    // As the bus does; this row carries the time that went back.
    await refusals.record({ type: 'cmd.rejected' }, error)
  }
  assert.equal(log.head().ts, TEST_NOW - 3_600_000)
  clock.step(3_600_000)
  await gate.admit(fresh())
})
