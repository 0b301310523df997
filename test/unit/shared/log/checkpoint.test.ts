import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { claimedHead, formatCheckpoint, openCheckpoint, signCheckpoint } from '#shared/log/checkpoint.ts'
import { createNoteSigner, parseVkey, signNote } from '#shared/log/note.ts'
import { generateKeyPairSync } from 'node:crypto'
import { newSigner, ORIGIN } from '#test/support/log-fixture.ts'

const ROOT = Buffer.alloc(32, 7)
const signer = newSigner()
const known = [parseVkey(signer.vkey)]

describe('a checkpoint', () => {
  it('opens to the head that was signed', () => {
    const made = signCheckpoint({ size: 9_007_199_254_740_991, root: ROOT }, signer)
    const opened = openCheckpoint(made.note, ORIGIN, known)
    assert.equal(opened.size, 9_007_199_254_740_991)
    assert.deepEqual(Buffer.from(opened.root), ROOT)
    assert.equal(opened.note, made.note)
    assert.equal(claimedHead(made.note).size, opened.size)
  })

  it('signs the same bytes for the same rows', () => {
    const head = { size: 3, root: ROOT }
    assert.equal(signCheckpoint(head, signer).note, signCheckpoint(head, signer).note)
  })

  it('A20: is refused with a good root under the name of another log', () => {
    const other = 'mesh.example/log/node/n2/e1'
    const note = signNote(formatCheckpoint(other, { size: 3, root: ROOT }), [signer])
    assert.throws(() => openCheckpoint(note, ORIGIN, known), { code: 'ZT-490-SIGNATURE' })
    assert.throws(() => openCheckpoint(note, other, known), { code: 'ZT-490-SIGNATURE' })
  })

  it('is refused when the same key signed it under the name of another log', () => {
    const { privateKey } = generateKeyPairSync('ed25519')
    const [mine, other] = [
      createNoteSigner(ORIGIN, privateKey),
      createNoteSigner('other.example', privateKey),
    ]
    const { note } = signCheckpoint({ size: 3, root: ROOT }, other)
    const keys = [parseVkey(mine.vkey), parseVkey(other.vkey)]
    assert.throws(() => openCheckpoint(note, ORIGIN, keys), { code: 'ZT-490-SIGNATURE' })
  })

  const root = ROOT.toString('base64')
  const malformed: Record<string, string> = {
    'A27: a size with a leading zero': `${ORIGIN}\n012\n${root}\n`,
    'A27: a negative size': `${ORIGIN}\n-1\n${root}\n`,
    'A27: a size of 2^64': `${ORIGIN}\n18446744073709551616\n${root}\n`,
    'A27: a size of 2^53': `${ORIGIN}\n9007199254740992\n${root}\n`,
    'A27: a size with a sign': `${ORIGIN}\n+1\n${root}\n`,
    'A27: a size in exponent form': `${ORIGIN}\n1e3\n${root}\n`,
    'A27: no size': `${ORIGIN}\n\n${root}\n`,
    'A27: a size with a space': `${ORIGIN}\n1 \n${root}\n`,
    'a root of 31 bytes': `${ORIGIN}\n1\n${ROOT.subarray(1).toString('base64')}\n`,
    'a root in base64url': `${ORIGIN}\n1\n${Buffer.alloc(32, 255).toString('base64url')}=\n`,
    'a root with stray bits': `${ORIGIN}\n1\n${root.replace(/.=$/, 'd=')}\n`,
    'an extension line': `${ORIGIN}\n1\n${root}\nextra\n`,
    'two lines': `${ORIGIN}\n1\n`,
  }
  for (const [what, text] of Object.entries(malformed)) {
    it(`is refused with ${what}, although well signed`, () => {
      assert.throws(() => openCheckpoint(signNote(text, [signer]), ORIGIN, known), { code: 'ZT-422-NOTE' })
    })
  }
})
