// The secret half of a note key as text, in the form that Go's sumdb/note writes: `PRIVATE+KEY+name+id+base64`. Its public
// half is the vkey of note.ts.
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { decodeBase64, encodeBase64 } from '#shared/encoding/base64url.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { createNoteSigner, type NoteSigner } from './note.ts'

const HEAD = 'PRIVATE+KEY+'
const ED25519 = 1
const SEED_BYTES = 32
// RFC 8410 §7: the fixed part of a PKCS#8 Ed25519 key, before its seed.
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex')

export interface NoteKey {
  readonly signer: NoteSigner
  /** its text */
  readonly secret: string
}

/** A new key. ZT-422-NOTE if the name cannot be that of a note key. */
export function generateNoteKey(name: string): NoteKey {
  const { privateKey } = generateKeyPairSync('ed25519')
  const signer = createNoteSigner(name, privateKey)
  const seed = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(PKCS8_HEAD.length)
  const key = encodeBase64(Buffer.concat([Buffer.of(ED25519), seed]))
  return { signer, secret: `${HEAD}${name}+${signer.keyId}+${key}` }
}

/** The signer of such a text. Throws ZT-422-NOTE; nothing of the text is repeated. */
export function parseNoteKey(secret: string): NoteSigner {
  const [name, id] = secret.startsWith(HEAD) ? secret.slice(HEAD.length).split('+', 2) : []
  if (name === undefined || id === undefined) throw damaged()
  // The third part may itself hold a plus.
  const key = decoded(secret.slice(HEAD.length + name.length + id.length + 2))
  if (key.length !== 1 + SEED_BYTES || key[0] !== ED25519) throw damaged()
  const signer = createNoteSigner(name, privateKeyOf(key.subarray(1)))
  if (signer.keyId !== id) throw damaged()
  return signer
}

function privateKeyOf(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: 'der', type: 'pkcs8' })
}

// The cause could quote the secret: it is dropped on purpose.
function decoded(text: string): Uint8Array {
  try {
    return decodeBase64(text, 'note key')
  } catch (error) {
    if (isZtError(error)) throw damaged()
    throw error
  }
}

function damaged(): ZtError {
  return new ZtError('ZT-422-NOTE', 'the text is not the secret key of a note')
}
