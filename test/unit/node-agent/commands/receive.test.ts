// The receive path where no attack file looks: what comes before what, who gets an answer, and what a row says.
import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { describe, it } from 'node:test'
import { sha256Text } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import { signCapability } from '#shared/protocol/capability.ts'
import { openCheckpoint } from '#shared/log/checkpoint.ts'
import { parseVkey } from '#shared/log/note.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { RateBucket, SenderRates } from '#node-agent/rate.ts'
import { ReceivingNode, type Message } from '#test/support/receiving-node.ts'

/** Without the missing prototypes of what a strict parser made. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

const raw = (node: ReceivingNode, text: string): Message => ({ ...node.message(node.spawn()), text })

describe('a message that is no message', () => {
  const shapes: Record<string, (sound: string) => string> = {
    nothing: () => '',
    noise: () => randomBytes(300).toString('latin1'),
    json: () => '{"cmd":"run"}',
    'four parts': (sound) => sound.split('.').slice(0, 4).join('.'),
    'another type': (sound) =>
      `${Buffer.from('{"alg":"none","typ":"zt-env+jwe"}').toString('base64url')}.${sound}`,
    'more than 64 KiB': () => 'a'.repeat(64 * 1024 + 1),
  }
  for (const [what, make] of Object.entries(shapes)) {
    it(`such as ${what}, is refused without an answer`, async (test) => {
      const node = await ReceivingNode.create(test)
      assert.equal(await node.deliver(raw(node, make(node.message(node.spawn()).text))), undefined)
      assert.equal(node.lastRejection()?.code, 'ZT-400-MALFORMED')
    })
  }

  it('for a key that is not held, is told from noise only in the log', async (test) => {
    const node = await ReceivingNode.create(test)
    assert.equal(await node.deliver(node.message(node.spawn(), { sealTo: generateX25519() })), undefined)
    assert.deepEqual(node.lastRejection(), { code: 'ZT-400-KID', check: 2 })
  })

  const bodies: Record<string, (body: Record<string, unknown>) => unknown> = {
    'an unknown field': (body) => ({ ...body, extra: 1 }),
    'no nonce': (body) => ({ ...body, nonce: null }),
    'a nonce of another version': (body) => ({ ...body, nonce: '00000000-0000-1000-8000-000000000000' }),
    'an unknown operation': (body) => ({ ...body, cmd: { v: 1, op: 'process.debug' } }),
    'a duplicate key': () => Buffer.from('{"v":1,"v":1}'),
    'a fraction': (body) => ({ ...body, iat: 1.5 }),
  }
  for (const [what, change] of Object.entries(bodies)) {
    it(`with ${what}, is refused by the schema, signed as it is`, async (test) => {
      const node = await ReceivingNode.create(test)
      const sound = { v: 1, iss: node.operator.id, jti: randomUUID(), nonce: randomUUID() }
      assert.equal(await node.deliver(raw(node, node.seal(change(sound)))), undefined)
      assert.deepEqual(node.lastRejection(), { code: 'ZT-422-SCHEMA', check: 6 })
    })
  }
})

describe('the order of the checks', () => {
  it('puts who somebody is before what they want, and what they want before whether they may', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn({ exe: { path: '/bin/true', sha256: 'E'.repeat(43) } })
    const everythingWrong = { claims: { aud: node.hub.id }, head: { iat: 1, chain: ['a.b.c'] } }
    assert.equal(await node.refusal(node.message(cmd, everythingWrong)), 'ZT-408-STALE')
    const timeRight = { claims: { aud: node.hub.id }, head: { chain: ['a.b.c'] } }
    assert.equal(await node.refusal(node.message(cmd, timeRight)), 'ZT-401-TOKEN')
    assert.equal(await node.refusal(node.message(cmd, { head: { chain: ['a.b.c'] } })), 'ZT-403-CHAIN')
    assert.equal(await node.refusal(node.message(cmd)), 'ZT-412-FACT')
    assert.deepEqual(
      node.rows('cmd.rejected').map(({ obj }) => obj?.['check']),
      [8, 10, 12, 15],
    )
  })

  it('asks the keeper for nothing before the node has been granted it', async (test) => {
    const node = await ReceivingNode.create(test)
    await node.send(node.spawn(), { claims: { aud: node.hub.id } })
    assert.equal(node.keeper.prepared.length, 0)
  })

  it('has the row on disk before the keeper is asked to start anything', async (test) => {
    const node = await ReceivingNode.create(test)
    const seen: string[] = []
    node.keeper.beforeStart = async () => void seen.push(...node.rows().map(({ type }) => type))
    await node.send(node.spawn())
    assert.deepEqual(seen, ['log.genesis', 'cmd.accepted'])
  })
})

it('waits for what is under way, and no longer than it is told', async (test) => {
  const node = await ReceivingNode.create(test)
  assert.equal(await node.receiver.idle(10_000), true)
  const asked = Promise.withResolvers<void>()
  const stuck = Promise.withResolvers<void>()
  node.keeper.beforeStart = () => {
    asked.resolve()
    return stuck.promise
  }
  const sent = node.send(node.spawn())
  await asked.promise
  const late = node.receiver.idle(10_000)
  node.clock.advance(10_000)
  assert.equal(await late, false)
  const ended = node.receiver.idle(10_000)
  stuck.resolve()
  await sent
  assert.equal(await ended, true)
})

describe('the deny list', () => {
  const entry = (kind: 'id' | 'thumbprint', value: string) => ({ kind, value, from: 0, reason: 'left' })

  for (const kind of ['id', 'thumbprint'] as const) {
    it(`refuses a sender by ${kind}, before the chain counts for anything`, async (test) => {
      const node = await ReceivingNode.create(test)
      const value = kind === 'id' ? node.operator.id : node.operator.thumbprint
      node.deny.replace({ v: 1, iss: node.hub.id, ver: 1, iat: 0, entries: [entry(kind, value)] })
      assert.equal(await node.deliver(node.message(node.spawn())), undefined)
      assert.deepEqual(node.lastRejection(), { code: 'ZT-403-REVOKED', check: 3 })
    })
  }

  it('makes the tokens of a revoked hub worthless', async (test) => {
    const node = await ReceivingNode.create(test)
    node.deny.replace({
      v: 1,
      iss: node.hub.id,
      ver: 1,
      iat: 0,
      entries: [entry('thumbprint', node.hub.thumbprint)],
    })
    assert.equal(await node.refusal(node.message(node.spawn())), 'ZT-403-REVOKED')
    assert.equal(node.lastRejection()?.check, 10)
  })

  it('refuses whoever acts for somebody who was revoked', async (test) => {
    const node = await ReceivingNode.create(test)
    const origin = node.pki.identity('/operator/eve')
    node.deny.replace({ v: 1, iss: node.hub.id, ver: 1, iat: 0, entries: [entry('id', origin.id)] })
    const claims = { sub: origin.id, act: { sub: node.operator.id } }
    assert.equal(await node.refusal(node.message(node.spawn(), { claims })), 'ZT-403-REVOKED')
  })

  it('lets nothing in while it may be out of date', async (test) => {
    const ready = async (): Promise<void> => {
      throw new ZtError('ZT-503-HUB', 'the deny list could not be brought up to date')
    }
    const node = await ReceivingNode.create(test, { parts: { ready } })
    assert.equal(await node.deliver(node.message(node.spawn())), undefined)
    assert.deepEqual(node.lastRejection(), { code: 'ZT-503-HUB', check: 0 })
    assert.equal(node.keeper.started.length, 0)
  })
})

describe('what this version cannot check', () => {
  it('is refused: a trust chain in the envelope, and one in the token', async (test) => {
    const node = await ReceivingNode.create(test)
    assert.equal(
      await node.refusal(node.message(node.spawn(), { head: { chain: ['a.b.c'] } })),
      'ZT-403-CHAIN',
    )
    const claims = { chain: `sha-256:${sha256Text('ring')}` }
    assert.equal(await node.refusal(node.message(node.spawn(), { claims })), 'ZT-403-CHAIN')
  })

  it('is refused: a token that rests on approvals', async (test) => {
    const node = await ReceivingNode.create(test)
    const claims = { apr: [{ id: 'ap-77', digest: `sha-256:${sha256Text('x')}`, by: ['user:alice'] }] }
    assert.equal(await node.refusal(node.message(node.spawn(), { claims })), 'ZT-403-APPROVAL')
    assert.equal(node.lastRejection()?.check, 13)
  })
})

describe("the node's own policy", () => {
  it('refuses what was decided under an older policy than it knows, over restarts too', async (test) => {
    const node = await ReceivingNode.create(test)
    const old = (): Message => {
      const cmd = node.spawn()
      const claims = node.claims(cmd)
      return node.message(cmd, { claims: { ...claims, pol: { ...claims.pol, ver: 2, min_ver: 2 } } })
    }
    assert.equal((await node.deliver(old()))?.ok, true)
    assert.equal((await node.send(node.spawn()))?.ok, true)
    assert.equal(await node.refusal(old()), 'ZT-412-POLICY-STALE')
    await node.restart()
    assert.equal(await node.refusal(old()), 'ZT-412-POLICY-STALE')
  })

  it('refuses a token that contradicts itself about its policy', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    const claims = node.claims(cmd)
    const token = signCapability(node.hub, { ...claims, pol: { ...claims.pol, ver: 3, min_ver: 4 } })
    assert.equal(await node.refusal(node.message(cmd, { token })), 'ZT-412-POLICY-STALE')
  })

  it('takes a capability away that the hub has granted', async (test) => {
    const node = await ReceivingNode.create(test, {
      parts: {
        policy: { capabilities: ['read_anywhere', 'subprocess', 'workspace_rw'], callers: undefined },
      },
    })
    assert.equal(await node.refusal(node.message(node.spawn())), 'ZT-403-POLICY')
    assert.equal(node.lastRejection()?.check, 14)
  })

  it('gives no identity unless its owner says so, and then those that he names', async (test) => {
    const asked = { sandbox: { profile: 'default@1', caps: ['identity:reports', 'network'] } } as const
    const answers: Record<string, string> = {
      network: 'ZT-403-POLICY',
      'identity:other': 'ZT-403-POLICY',
      'identity:reports': 'ok',
      'identity:*': 'ok',
    }
    for (const [allowed, expected] of Object.entries(answers)) {
      const policy = { capabilities: ['network', allowed], callers: undefined }
      const node = await ReceivingNode.create(test, { parts: { policy } })
      const receipt = await node.send(node.spawn(asked))
      assert.equal(receipt?.ok === false ? receipt.error.code : 'ok', expected, allowed)
    }
  })

  it('takes commands from the named callers alone, and from nobody whom they stand in for', async (test) => {
    const callers = ['spiffe://mesh.example/operator/ann']
    const node = await ReceivingNode.create(test, {
      parts: {
        policy: { capabilities: ['network', 'read_anywhere', 'subprocess', 'workspace_rw'], callers },
      },
    })
    assert.equal((await node.send(node.spawn()))?.ok, true)
    const eve = node.pki.identity('/operator/eve')
    const hers = { signer: eve, claims: { sub: eve.id, cnf: { 'x5t#S256': eve.thumbprint } } }
    assert.equal(await node.refusal(node.message(node.spawn(), hers)), 'ZT-403-POLICY')
    const forEve = { claims: { sub: eve.id, act: { sub: node.operator.id } } }
    assert.equal(await node.refusal(node.message(node.spawn(), forEve)), 'ZT-403-POLICY')
  })
})

describe('an anchor that is too old', () => {
  const privileged = { sandbox: { profile: 'default@1', caps: ['full_disk_write'] } }

  it('stops every spawn where the owner wants that', async (test) => {
    const age = { ms: Number.POSITIVE_INFINITY }
    const anchor = {
      requiredFor: 'every-spawn',
      maxAgeMs: 60_000,
      ageMs: () => age.ms,
      anchorSoon: () => undefined,
    } as const
    const node = await ReceivingNode.create(test, { parts: { anchor } })
    assert.equal(await node.refusal(node.message(node.spawn())), 'ZT-503-ANCHOR')
    assert.deepEqual(node.lastRejection(), { code: 'ZT-503-ANCHOR', check: 16 })
    assert.deepEqual(node.keeper.released, ['handle-1'])
    age.ms = 60_000
    assert.equal((await node.send(node.spawn()))?.ok, true)
  })

  it('does not stop a spawn of the default kind otherwise', async (test) => {
    const node = await ReceivingNode.create(test)
    node.anchorAgeMs = Number.POSITIVE_INFINITY
    assert.equal((await node.send(node.spawn()))?.ok, true)
  })

  it('is not even asked about a capability that this machine cannot enforce', async (test) => {
    const policy = { capabilities: ['full_disk_write'], callers: undefined }
    const node = await ReceivingNode.create(test, { parts: { policy } })
    assert.equal(await node.refusal(node.message(node.spawn(privileged))), 'ZT-412-FACT')
  })
})

describe('load', () => {
  it('beyond what the node takes is dropped unread, and counted', async (test) => {
    const clock = new ManualClock()
    const node = await ReceivingNode.create(test, {
      parts: { load: new RateBucket(clock, { burst: 1, perSecond: 1 }) },
    })
    assert.equal((await node.send(node.spawn()))?.ok, true)
    assert.equal(await node.send(node.spawn()), undefined)
    await node.rejections.flush()
    assert.deepEqual(plain(node.rows('flood.aggregated')[0]?.obj), { rejected: { 'ZT-429-RATE': 1 } })
  })

  it('of one sender is refused to that sender', async (test) => {
    const rates = new SenderRates(new ManualClock(), { burst: 1, perSecond: 1 })
    const node = await ReceivingNode.create(test, { parts: { rates } })
    await node.send(node.spawn())
    assert.equal(await node.refusal(node.message(node.spawn())), 'ZT-429-RATE')
    const bob = node.pki.identity('/operator/bob')
    const his = { signer: bob, claims: { sub: bob.id, cnf: { 'x5t#S256': bob.thumbprint } } }
    assert.equal((await node.send(node.spawn(), his))?.ok, true)
  })
})

describe('a row', () => {
  it('says who, what, by which decision and under which sandbox, and nothing private', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    await node.send(cmd)
    const [row] = node.rows('cmd.accepted')
    assert.deepEqual(plain(row?.actor), {
      caller: node.operator.id,
      executor: node.node.id,
      sub: node.operator.id,
      x5t: node.operator.thumbprint,
    })
    assert.deepEqual(Object.keys(row?.req ?? {}).toSorted(), ['env', 'jti', 'nonce', 'tok'])
    assert.equal(row?.pol?.ver, 3)
    assert.equal(row?.obj?.['proc'], cmd.proc)
    assert.ok(!JSON.stringify(node.rows()).includes('a secret'))
  })

  it('opens to argv and environment from beside the log alone', async (test) => {
    const node = await ReceivingNode.create(test)
    await node.send(node.spawn())
    const commitment = node.rows('cmd.accepted')[0]?.priv?.c ?? ''
    const content = Buffer.from(node.log.payloads.open(commitment) ?? []).toString()
    assert.deepEqual(JSON.parse(content), {
      argv: ['true', 'a secret argument'],
      env: { SECRET: 'a secret value' },
    })
  })

  it('about a refusal names nobody who was not proved', async (test) => {
    const node = await ReceivingNode.create(test)
    await node.deliver(raw(node, 'noise'))
    const [row] = node.rows('cmd.rejected')
    assert.equal(row?.actor, undefined)
    assert.equal(row?.req?.env, sha256Text('noise'))
  })
})

describe('a receipt', () => {
  it('names the row of the decision, under a signed head that covers it and the start', async (test) => {
    const node = await ReceivingNode.create(test)
    const receipt = await node.send(node.spawn())
    const accepted = node.rows('cmd.accepted')[0]
    assert.deepEqual(receipt?.row?.seq, accepted?.seq)
    const { log } = node
    const head = openCheckpoint(receipt?.checkpoint ?? '', log.durable.origin, [parseVkey(log.vkey)])
    assert.equal(head.size, (node.rows('proc.started')[0]?.seq ?? 0) + 1)
  })

  it('says that it failed, and names the row that allowed it, when the program cannot be started', async (test) => {
    const node = await ReceivingNode.create(test)
    node.keeper.failures.set('start', new ZtError('ZT-500-SPAWN', 'no memory'))
    const receipt = await node.send(node.spawn())
    assert.equal(receipt?.ok === false && receipt.error.code, 'ZT-500-SPAWN')
    assert.equal(receipt?.row?.seq, node.rows('cmd.accepted')[0]?.seq)
    assert.equal(node.rows('cmd.failed')[0]?.code, 'ZT-500-SPAWN')
    assert.equal(node.log.commands.all().length, 0)
  })

  it('tells nothing of a fault of our own but that there was one', async (test) => {
    const node = await ReceivingNode.create(test)
    node.keeper.failures.set('prepare', new Error('/var/lib/secret/path'))
    const receipt = await node.send(node.spawn())
    assert.deepEqual(receipt?.ok === false && receipt.error.message, 'internal error')
  })
})

describe('the zero-trust share', () => {
  it('is measured from the arrival of the message to the asking for the process', async (test) => {
    const node = await ReceivingNode.create(test)
    await node.send(node.spawn())
    assert.equal(node.zeroTrustNs.length, 1)
  })
})
