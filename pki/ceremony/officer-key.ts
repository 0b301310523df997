// An officer's private key in a file of its own, mode 0600: under a passphrase, or plain for demonstrations. The officer
// carries it; it is never on the machine of the ceremony unless its owner signs there.
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  generateKeyPairSync,
  randomBytes,
  scrypt,
  type KeyObject,
} from 'node:crypto'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { bytes, integer, literal, object, union, type Parser } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import { createNoteSigner, type NoteSigner } from '#shared/log/note.ts'
import { createFile, readPrivateFile } from '../keystore/private-file.ts'
import { officerKey, personName, readAs } from './fields.ts'

const MAX_BYTES = 4096
export const MIN_PASSPHRASE = 12
/** N = 2^17, r = 8: 128 MiB and about half a second for every guess. */
const SCRYPT = { logN: 17, r: 8, p: 1 } as const

const key = bytes({ min: 32, max: 128 })
const parseShape = union('seal', {
  none: object({ v: literal(1), vkey: officerKey, seal: literal('none'), key }),
  scrypt: object({
    v: literal(1),
    vkey: officerKey,
    seal: literal('scrypt'),
    logN: integer({ min: 14, max: 20 }),
    salt: bytes({ min: 32, max: 32 }),
    nonce: bytes({ min: 12, max: 12 }),
    key,
  }),
})
type KeyFile = typeof parseShape extends Parser<infer T> ? T : never

/** Makes a key for the officer `name` in a new file and answers its public part. ZT-409-EXISTS, ZT-422-SCHEMA. */
export async function createOfficerKey(
  path: string,
  name: string,
  passphrase: string | undefined,
): Promise<string> {
  personName(name, 'name')
  const { privateKey } = generateKeyPairSync('ed25519')
  const { vkey } = createNoteSigner(name, privateKey)
  const der = privateKey.export({ format: 'der', type: 'pkcs8' })
  const file = passphrase === undefined ? plain(vkey, der) : await sealed(vkey, der, passphrase)
  await createFile(path, `${JSON.stringify(file)}\n`)
  return vkey
}

/**
 * The officer of a key file; `askPassphrase` is asked if it is sealed. Throws ZT-400-CONFIG for a file that others can
 * read, ZT-403-UNCONFIRMED for a wrong passphrase, ZT-422-CEREMONY for anything that is no such file.
 */
export async function openOfficerKey(
  path: string,
  askPassphrase: (officer: string) => Promise<string>,
): Promise<NoteSigner> {
  const content = await readPrivateFile(path, 'officer key', MAX_BYTES)
  const file = readAs('officer key', () => parseShape(parseStrictJson(content, { maxBytes: MAX_BYTES }), ''))
  const [name = ''] = file.vkey.split('+', 1)
  const der = file.seal === 'none' ? file.key : await unseal(file, await askPassphrase(name))
  const signer = createNoteSigner(name, privateKeyOf(der))
  if (signer.vkey !== file.vkey) throw wrong('the private key in the file is not that of its public key')
  return signer
}

function plain(vkey: string, der: Uint8Array): object {
  return { v: 1, vkey, seal: 'none', key: encodeBase64url(der) }
}

async function sealed(vkey: string, der: Uint8Array, passphrase: string): Promise<object> {
  const [salt, nonce] = [randomBytes(32), randomBytes(12)]
  const cipher = createCipheriv('aes-256-gcm', await stretch(passphrase, salt, SCRYPT.logN), nonce)
  cipher.setAAD(canonicalBytes({ vkey }))
  const box = Buffer.concat([cipher.update(der), cipher.final(), cipher.getAuthTag()])
  const parts = { salt: encodeBase64url(salt), nonce: encodeBase64url(nonce), key: encodeBase64url(box) }
  return { v: 1, vkey, seal: 'scrypt', logN: SCRYPT.logN, ...parts }
}

async function unseal(file: KeyFile & { seal: 'scrypt' }, passphrase: string): Promise<Uint8Array> {
  const { vkey, logN, salt, nonce, key: box } = file
  const split = box.length - 16
  const options = { authTagLength: 16 }
  const cipher = createDecipheriv('aes-256-gcm', await stretch(passphrase, salt, logN), nonce, options)
  cipher.setAAD(canonicalBytes({ vkey }))
  try {
    cipher.setAuthTag(box.subarray(split))
    return Buffer.concat([cipher.update(box.subarray(0, split)), cipher.final()])
  } catch (error) {
    throw wrong('the passphrase does not open the officer key', error)
  }
}

function stretch(passphrase: string, salt: Uint8Array, logN: number): Promise<Uint8Array> {
  const { r, p } = SCRYPT
  const cost = { N: 2 ** logN, r, p, maxmem: 2 ** (logN + 8) * r }
  return new Promise((resolve, reject) => {
    scrypt(passphrase.normalize('NFKC'), salt, 32, cost, (error, stretched) => {
      if (error === null) resolve(stretched)
      else reject(wrong('the passphrase cannot be stretched', error))
    })
  })
}

function privateKeyOf(der: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' })
}

function wrong(what: string, cause?: unknown): ZtError {
  return new ZtError('ZT-403-UNCONFIRMED', what, { cause })
}
