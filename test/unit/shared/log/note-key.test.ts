// The secret text of a note key gives the same signer again, and a damaged one gives none and is not repeated.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { generateNoteKey, parseNoteKey } from '#shared/log/note-key.ts'
import { openNote, parseVkey, signNote } from '#shared/log/note.ts'

describe('the secret of a note key', () => {
  it('signs what its vkey verifies', () => {
    const { signer, secret } = generateNoteKey('pcr.mesh.example')
    const again = parseNoteKey(secret)
    assert.equal(again.vkey, signer.vkey)
    const note = signNote('text\n', [again])
    assert.equal(openNote(note, [parseVkey(signer.vkey)]).signers.length, 1)
  })

  // From the documentation of golang.org/x/mod/sumdb/note: its example's key pair.
  it('is of the form that Go writes', () => {
    const secret = 'PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz'
    assert.equal(
      parseNoteKey(secret).vkey,
      'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
    )
  })

  it('that was changed is refused, and nothing of it is said', () => {
    const { secret } = generateNoteKey('k')
    const parts = secret.split('+')
    const bent = [
      '',
      secret.slice(1),
      secret.replace('+k+', '+j+'),
      [...parts.slice(0, 3), '00000000', ...parts.slice(4)].join('+'),
      secret.slice(0, -4),
      `${secret}AAAA`,
      'PRIVATE+KEY+k',
    ]
    for (const text of bent)
      assert.throws(
        () => parseNoteKey(text),
        (error: Error) => {
          assert.equal((error as { code?: string }).code, 'ZT-422-NOTE')
          assert.ok(!JSON.stringify([error.message, String(error.cause)]).includes(parts[4] ?? 'x'))
          return true
        },
      )
  })

  it('has no name that a note key cannot have', () => {
    for (const name of ['', 'a b', 'a+b', 'a\n'])
      assert.throws(() => generateNoteKey(name), { code: 'ZT-422-NOTE' })
  })
})
