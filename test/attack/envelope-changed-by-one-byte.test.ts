// Whatever byte of a message is changed on the way, nothing runs and nobody is answered: there is no sender any more.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { sealJwe } from '#shared/jose/jwe.ts'
import { encKeyId } from '#shared/protocol/enc-key.ts'
import { COMMAND_TYP, ENVELOPE_TYP, openSealed } from '#shared/protocol/envelope.ts'
import { ReceivingNode, type Message } from '#test/support/receiving-node.ts'

/** The text with one character exchanged for another of the same alphabet. */
function flip(text: string, at: number): string {
  const other = text[at] === 'A' ? 'B' : 'A'
  return text[at] === '.' ? text : `${text.slice(0, at)}${other}${text.slice(at + 1)}`
}

/** Changes the signed message inside the seal, as a receiver who is also an attacker could. */
function reseal(node: ReceivingNode, message: Message, change: (inner: string) => string): Message {
  const inner = openSealed(message.text, { typ: COMMAND_TYP, key: () => node.keys.privateKey })
  const to = {
    kid: encKeyId(node.keys.publicKey),
    publicKey: node.keys.publicKey,
    typ: ENVELOPE_TYP,
    cty: COMMAND_TYP,
  }
  return { ...message, text: sealJwe(Buffer.from(change(inner)), to) }
}

describe('an envelope that is changed by one byte', () => {
  it('does not open, wherever the byte is', async (test) => {
    const node = await ReceivingNode.create(test)
    const message = node.message(node.spawn())
    const { length } = message.text
    for (let at = 0; at < length; at += Math.floor(length / 200)) {
      const text = flip(message.text, at)
      if (text === message.text) continue
      assert.equal(await node.deliver({ ...message, text }), undefined, `byte ${at}`)
    }
    assert.equal(node.keeper.started.length, 0)
    for (const { code } of node.rows('cmd.rejected')) assert.match(code ?? '', /^ZT-400-(KID|MALFORMED)$/)
    // The message itself was sound, and was not used up by its copies.
    assert.equal((await node.deliver(message))?.ok, true)
  })

  it('does not verify inside the seal', async (test) => {
    const node = await ReceivingNode.create(test)
    const message = node.message(node.spawn())
    const changed = reseal(node, message, (inner) => {
      const [header = '', payload = '', signature = ''] = inner.split('.')
      const body = Buffer.from(decodeBase64url(payload, 'payload'))
      body.write('X', body.indexOf('a secret argument'))
      return `${header}.${encodeBase64url(body)}.${signature}`
    })
    assert.equal(await node.deliver(changed), undefined)
    assert.deepEqual(node.lastRejection(), { code: 'ZT-401-SIG', check: 5 })
    assert.equal(node.keeper.started.length, 0)
  })

  it('does not verify with another signature', async (test) => {
    const node = await ReceivingNode.create(test)
    const message = node.message(node.spawn())
    const other = node.message(node.spawn())
    const signatureOf = (text: string): string =>
      openSealed(text, { typ: COMMAND_TYP, key: () => node.keys.privateKey }).split('.')[2] ?? ''
    const changed = reseal(node, message, (inner) => {
      const [header, payload] = inner.split('.')
      return `${header}.${payload}.${signatureOf(other.text)}`
    })
    assert.equal(await node.deliver(changed), undefined)
    assert.deepEqual(node.lastRejection(), { code: 'ZT-401-SIG', check: 5 })
  })
})
