import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { generateX25519 } from '#shared/jose/keys.ts'
import { encKeyId } from '#shared/protocol/enc-key.ts'
import { KeyRing } from '#node-agent/identity/key-ring.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'

describe('the keys that messages may be sealed to', () => {
  it('are the one in force and those before it, for as long as a message to them may be in time', () => {
    const clock = new ManualClock()
    const ring = new KeyRing(clock)
    const [first, second] = [generateX25519(), generateX25519()]
    ring.add(first, clock.now() + 1000)
    ring.add(second, clock.now() + 300_000)
    assert.equal(ring.find(encKeyId(first.publicKey)), first.privateKey)
    clock.advance(1000 + 90_000)
    assert.equal(ring.find(encKeyId(first.publicKey)), undefined)
    assert.equal(ring.find(encKeyId(second.publicKey)), second.privateKey)
  })

  it('do not include one that was never added', () => {
    assert.equal(new KeyRing(new ManualClock()).find('x'), undefined)
  })
})
