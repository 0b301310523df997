import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { describe, it } from 'node:test'
import { createNoteSigner, openNote, parseVkey, signNote } from '#shared/log/note.ts'
import { newSigner } from '#test/support/log-fixture.ts'

const TEXT = 'mesh.example/log\n12\nroot\n'
const signer = newSigner('mesh.example/log')
const verifier = parseVkey(signer.vkey)
const second = newSigner('mesh.example/log')
const good = signNote(TEXT, [signer])
const line = good.slice(TEXT.length + 1)

function withPayload(signature: string, change: (payload: Buffer) => Buffer): string {
  const [dash, name, encoded] = signature.trimEnd().split(' ')
  return `${dash} ${name} ${change(Buffer.from(encoded ?? '', 'base64')).toString('base64')}\n`
}

function flipped(payload: Buffer, at: number): Buffer {
  const changed = Buffer.from(payload)
  changed[at] = (changed[at] ?? 0) ^ 1
  return changed
}

function lineOf(text: string, by = second): string {
  return signNote(text, [by]).slice(text.length + 1)
}

describe('a signed note', () => {
  it('opens with the key that signed it, and says which', () => {
    const opened = openNote(good, [verifier])
    assert.equal(opened.text, TEXT)
    assert.deepEqual(opened.signers, [verifier])
  })

  it('opens although unknown keys signed it too', () => {
    const note = signNote(TEXT, [newSigner('other.example'), signer, newSigner('mesh.example/log')])
    assert.deepEqual(openNote(note, [verifier]).signers, [verifier])
  })

  it('is the one that golang.org/x/mod documents', () => {
    // golang.org/x/mod/sumdb/note, package example: text, key and signature.
    const peter = parseVkey('PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW')
    const text =
      "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    const note = `${text}\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n`
    assert.equal(openNote(note, [peter]).text, text)
    assert.equal(peter.name, 'PeterNeumann')
  })

  const unsigned: Record<string, string> = {
    'A22: the signature of an unknown key only': signNote(TEXT, [newSigner('mesh.example/log')]),
    'A21: another key hint on a good signature': `${TEXT}\n${withPayload(line, (payload) => flipped(payload, 0))}`,
    'A23: a bad signature of a known key behind a good one':
      good + withPayload(lineOf(TEXT), (p) => flipped(p, 9)),
    'a known key hint on the signature of another key': `${TEXT}\n${withPayload(lineOf(TEXT), (payload) =>
      Buffer.concat([Buffer.from(signer.keyId, 'hex'), payload.subarray(4)]),
    )}`,
    'a signature that is one byte short': `${TEXT}\n${withPayload(line, (payload) => payload.subarray(0, -1))}`,
    'a changed text': good.replace('12', '13'),
  }
  for (const [what, note] of Object.entries(unsigned)) {
    it(`is refused with ${what}`, () => {
      assert.throws(() => openNote(note, [verifier, parseVkey(second.vkey)]), { code: 'ZT-490-SIGNATURE' })
    })
  }

  const malformed: Record<string, string> = {
    'A24: 17 signature lines': `${TEXT}\n${line}${Array.from({ length: 16 }, () => lineOf(TEXT, newSigner())).join('')}`,
    'two signatures of one key': `${TEXT}\n${line}${line}`,
    'A28: CRLF in the text': `mesh.example/log\r\n12\r\n\n${line}`,
    'A28: CRLF behind a signature': `${TEXT}\n${line.replace('\n', '\r\n')}`,
    'A28: a control character': `mesh\u0001\n\n${line}`,
    'A28: a C1 control character': `mesh\u0085\n\n${line}`,
    'no newline at the end': good.slice(0, -1),
    'no signature': `${TEXT}\n`,
    'no text': `\n${line}`,
    'no blank line': `${TEXT}${line}`,
    'a blank line among signatures': `${good}\n`,
    'a hyphen in place of the dash': good.replace('\u2014', '-'),
    'a signature in base64url': `${TEXT}\n\u2014 mesh.example/log ${Buffer.alloc(68, 255).toString('base64url')}=\n`,
    'a signature without padding': good.replace(/=+\n$/, '\n'),
    'a signature shorter than its key id': `${TEXT}\n\u2014 mesh.example/log AAAA\n`,
    'a key name with a plus': `${TEXT}\n${line.replace('mesh.example/log', 'a+b')}`,
    'two spaces': good.replace('\u2014 ', '\u2014  '),
    'more than 16 KiB': `${'x'.repeat(17_000)}\n\n${line}`,
    nothing: '',
  }
  for (const [what, note] of Object.entries(malformed)) {
    it(`is refused with ${what}`, () => {
      assert.throws(() => openNote(note, [verifier]), { code: 'ZT-422-NOTE' })
    })
  }

  it('is not made over text that cannot be a note', () => {
    for (const text of ['no newline', 'a\rb\n', 'lone \ud800\n', '']) {
      assert.throws(() => signNote(text, [signer]), { code: 'ZT-422-NOTE' })
    }
  })
})

describe('a verifier key', () => {
  it('comes back as it was written', () => {
    assert.equal(parseVkey(signer.vkey).vkey, signer.vkey)
  })

  const [name, id, key] = [signer.name, signer.keyId, signer.vkey.slice(signer.name.length + 10)]
  const refused: Record<string, string> = {
    'another key id': `${name}+00000000+${key}`,
    'a key id in upper case': `${name}+${id.toUpperCase()}A+${key}`,
    'another name': `other+${id}+${key}`,
    'no name': `+${id}+${key}`,
    'a name with a space': `a b+${id}+${key}`,
    'two parts': `${name}+${id}`,
    'a key of another type': `${name}+${id}+${Buffer.alloc(33, 4).toString('base64')}`,
    'a key that is too short': `${name}+${id}+${Buffer.alloc(32, 1).toString('base64')}`,
    'base64 without padding': `${name}+${id}+${key.replace(/=+$/, '').slice(0, -1)}`,
    nothing: '',
  }
  for (const [what, vkey] of Object.entries(refused)) {
    it(`is refused with ${what}`, () => {
      assert.throws(() => parseVkey(vkey), { code: 'ZT-422-NOTE' })
    })
  }

  it('is not made of a key that is not Ed25519, or of a public one', () => {
    const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    assert.throws(() => createNoteSigner('a', p256), { code: 'ZT-422-NOTE' })
    const pair = generateKeyPairSync('ed25519')
    assert.throws(() => createNoteSigner('a', pair.publicKey), { code: 'ZT-422-NOTE' })
    assert.throws(() => createNoteSigner('a b', pair.privateKey), { code: 'ZT-422-NOTE' })
  })
})
