// C2SP signed-note with Ed25519 keys (type 0x01): what a signed head of a log is carried in.
// A note proves that a holder of a known key signed its text; nothing is believed because of a key the note names.
import { createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import { decodeBase64, encodeBase64 } from '#shared/encoding/base64url.ts'
import { ZtError } from '#shared/errors/error.ts'
import { sha256 } from './hash.ts'

const ED25519 = 1
const KEY_ID_BYTES = 4
const SIGNATURE_BYTES = 64
const MAX_NOTE_BYTES = 16_384
// C2SP signed-note "MUST support at least 16": more than that from one log is an attempt to keep us busy.
const MAX_SIGNATURES = 16
const DASH = '\u2014'

export interface NoteVerifier {
  readonly name: string
  /** 8 lower-case hex characters: a hint, never an identity */
  readonly keyId: string
  /** name+keyid+base64, the form keys are registered in */
  readonly vkey: string
  readonly publicKey: KeyObject
}

export interface NoteSigner extends NoteVerifier {
  /** Ed25519 over exactly these bytes */
  sign(text: Uint8Array): Uint8Array
}

export interface OpenedNote {
  /** what was signed: ends in a newline */
  readonly text: string
  /** the known keys whose signatures verified; never empty */
  readonly signers: readonly NoteVerifier[]
}

/** A signer named `name` for an Ed25519 private key. ZT-422-NOTE if the name cannot be that of a note key. */
export function createNoteSigner(name: string, privateKey: KeyObject): NoteSigner {
  if (privateKey.type !== 'private' || privateKey.asymmetricKeyType !== 'ed25519') {
    throw new ZtError('ZT-422-NOTE', 'a log is signed with an ed25519 private key')
  }
  const publicKey = createPublicKey(privateKey)
  return { ...verifierOf(name, publicKey), sign: (text) => sign(null, text, privateKey) }
}

/** The verifier of a registered key text `name+keyid+base64`. ZT-422-NOTE unless it is canonical in every part. */
export function parseVkey(vkey: string): NoteVerifier {
  const [name, keyId] = vkey.split('+', 2)
  if (name === undefined || keyId === undefined) throw refused('a verifier key does not have three parts')
  // The third part may itself hold a plus.
  const key = decodePart(vkey.slice(name.length + keyId.length + 2))
  if (key.length !== 33 || key[0] !== ED25519) throw refused('a verifier key is not ed25519')
  const verifier = verifierOf(name, publicKeyOf(key.subarray(1)))
  if (verifier.keyId !== keyId) throw refused('the id of a verifier key is not that of the key')
  return verifier
}

/** The note over `text` with one signature line a signer. ZT-422-NOTE if the text cannot be signed. */
export function signNote(text: string, signers: readonly NoteSigner[]): string {
  checkText(text)
  const bytes = Buffer.from(text)
  return `${text}\n${signers.map((signer) => signatureLine(signer, bytes)).join('')}`
}

/**
 * Opens a note against known keys. Signatures by unknown keys are ignored; a bad one by a known key refuses the note,
 * however many good ones stand beside it.
 * Errors: ZT-422-NOTE when it is not a note; ZT-490-SIGNATURE when no known key signed it or one signature is bad.
 */
export function openNote(note: string, known: readonly NoteVerifier[]): OpenedNote {
  const { text, lines } = splitNote(note)
  const bytes = Buffer.from(text)
  const signers: NoteVerifier[] = []
  for (const line of lines) {
    const signature = parseSignatureLine(line)
    const signer = known.find((key) => key.name === signature.name && key.keyId === signature.keyId)
    if (signer === undefined) continue
    if (signers.includes(signer)) throw refused('one key signed the note twice')
    if (!verifies(signer, bytes, signature.bytes)) {
      throw new ZtError('ZT-490-SIGNATURE', 'a signature on the note does not verify', {
        details: { key: signer.keyId },
      })
    }
    signers.push(signer)
  }
  if (signers.length === 0) throw new ZtError('ZT-490-SIGNATURE', 'no known key signed the note')
  return { text, signers }
}

function verifierOf(name: string, publicKey: KeyObject): NoteVerifier {
  checkName(name)
  const jwk = publicKey.export({ format: 'jwk' })
  const raw = Buffer.from(jwk.x ?? '', 'base64url')
  const key = Buffer.concat([Buffer.of(ED25519), raw])
  // C2SP signed-note: key ID = SHA-256(name || 0x0A || type || public key)[:4].
  const digest = sha256(Buffer.concat([Buffer.from(`${name}\n`), key]))
  const keyId = Buffer.from(digest.subarray(0, KEY_ID_BYTES)).toString('hex')
  return { name, keyId, vkey: `${name}+${keyId}+${encodeBase64(key)}`, publicKey }
}

function publicKeyOf(raw: Uint8Array): KeyObject {
  const x = Buffer.from(raw).toString('base64url')
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
}

function signatureLine(signer: NoteSigner, text: Uint8Array): string {
  const payload = Buffer.concat([Buffer.from(signer.keyId, 'hex'), signer.sign(text)])
  return `${DASH} ${signer.name} ${encodeBase64(payload)}\n`
}

function splitNote(note: string): { text: string; lines: string[] } {
  if (Buffer.byteLength(note) > MAX_NOTE_BYTES) throw refused(`a note is larger than ${MAX_NOTE_BYTES} bytes`)
  const split = note.lastIndexOf('\n\n')
  if (split < 0) throw refused('a note has no signature block')
  const text = note.slice(0, split + 1)
  checkText(text)
  const block = note.slice(split + 2)
  if (!block.endsWith('\n')) throw refused('the signature block does not end in a newline')
  const lines = block.slice(0, -1).split('\n')
  if (lines.length > MAX_SIGNATURES) throw refused(`a note has more than ${MAX_SIGNATURES} signature lines`)
  return { text, lines }
}

function parseSignatureLine(line: string): { name: string; keyId: string; bytes: Uint8Array } {
  const [dash, name, encoded, ...rest] = line.split(' ')
  if (dash !== DASH || name === undefined || encoded === undefined || rest.length > 0) {
    throw refused('a signature line is malformed')
  }
  checkName(name)
  const payload = decodePart(encoded)
  if (payload.length <= KEY_ID_BYTES) throw refused('a signature is too short')
  return {
    name,
    keyId: Buffer.from(payload.subarray(0, KEY_ID_BYTES)).toString('hex'),
    bytes: payload.subarray(KEY_ID_BYTES),
  }
}

function decodePart(encoded: string): Uint8Array {
  try {
    return decodeBase64(encoded, 'note')
  } catch (cause) {
    throw new ZtError('ZT-422-NOTE', 'a part of a note is not canonical base64', { cause })
  }
}

function verifies(key: NoteVerifier, text: Uint8Array, signature: Uint8Array): boolean {
  return signature.length === SIGNATURE_BYTES && verify(null, text, key.publicKey, signature)
}

// C2SP signed-note: "the text MUST NOT contain any Unicode control characters other than U+000A", and ends in one.
function checkText(text: string): void {
  if (!text.endsWith('\n')) throw refused('the text of a note does not end in a newline')
  if (!text.isWellFormed() || /[^\n\P{Cc}]/u.test(text)) throw refused('a note holds control characters')
}

// C2SP signed-note: "key names MUST be non-empty, and MUST NOT contain any Unicode spaces or plus characters".
function checkName(name: string): void {
  if (name === '' || /[\s+\p{Cc}\p{Z}]/u.test(name) || !name.isWellFormed()) {
    throw refused('the name of a note key is not allowed')
  }
}

function refused(message: string): ZtError {
  return new ZtError('ZT-422-NOTE', message)
}
