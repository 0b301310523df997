// A secret that only one TPM can read, and only while it holds one certain key: TPM2_MakeCredential, in software (TPM 2.0 Part 1
// §24, Annexes B.10.4 and C.6.4). Who answers with the secret has the endorsement key and the object of that name in the same TPM.
import {
  constants,
  createCipheriv,
  createHmac,
  diffieHellman,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
} from 'node:crypto'
import { coordinateBytes, curveOf } from '#shared/x509/ec-spki.ts'
import { digestBytes, type TpmHash } from './hash.ts'
import { kdfa, kdfe } from './kdf.ts'
import type { EccPublic, RsaPublic, TpmPublic, TpmSymmetric } from './public.ts'
import { fullCoordinate, keyOfPublic } from './spki.ts'
import { malformedTpm, sized, TpmWriter } from './wire.ts'

export interface CredentialRequest {
  /** the endorsement key, already verified */
  readonly ek: TpmPublic
  /** the attestation key's name, computed here from its public area, never taken from the peer */
  readonly akName: Uint8Array
  /** at most as long as a digest of the endorsement key's nameAlg */
  readonly secret: Uint8Array
}

export interface Credential {
  /** TPM2B_ID_OBJECT */
  readonly blob: Uint8Array
  /** TPM2B_ENCRYPTED_SECRET */
  readonly encryptedSecret: Uint8Array
}

interface Seed {
  readonly seed: Uint8Array
  /** the contents of the TPM2B_ENCRYPTED_SECRET */
  readonly encrypted: Uint8Array
}

const LABEL = 'IDENTITY'
const FIELD = 'endorsement key'

/**
 * Seals `secret` to the TPM that holds both keys. Throws ZT-422-TPM if `ek` is no key that can decrypt so: not a
 * restricted decryption key with AES in CFB mode, or no valid public key.
 */
export function makeCredential({ ek, akName, secret }: CredentialRequest): Credential {
  if (ek.type === 'keyedHash' || !ek.attributes.has('restricted') || !ek.attributes.has('decrypt'))
    throw malformedTpm(FIELD, 'is not a restricted decryption key')
  const hash = ek.nameAlg
  if (secret.length === 0 || secret.length > digestBytes(hash))
    throw malformedTpm('credential', `is of ${secret.length} bytes, for a key of ${hash}`)
  const { seed, encrypted } = ek.type === 'rsa' ? rsaSeed(ek) : eccSeed(ek)
  const identity = encryptIdentity({ hash, seed, akName, symmetric: ek.symmetric }, secret)
  const hmacKey = kdfa(seed, digestBytes(hash), { hash, label: 'INTEGRITY' })
  const hmac = createHmac(hash, hmacKey).update(identity).update(akName).digest()
  return {
    blob: sized(new TpmWriter().sized(hmac).bytes(identity).done()),
    encryptedSecret: sized(encrypted),
  }
}

interface IdentityKey {
  readonly hash: TpmHash
  readonly seed: Uint8Array
  readonly akName: Uint8Array
  readonly symmetric: TpmSymmetric | undefined
}

function encryptIdentity({ hash, seed, akName, symmetric }: IdentityKey, secret: Uint8Array): Uint8Array {
  // Part 1 §24.4: the protection of a storage key is in CFB mode, with an initial vector of zeros, for a key that is used once.
  if (symmetric?.mode !== 'cfb') throw malformedTpm(FIELD, 'has no cipher in cfb mode')
  const key = kdfa(seed, symmetric.keyBits / 8, { hash, label: 'STORAGE', contextU: akName })
  const cipher = createCipheriv(`aes-${symmetric.keyBits}-cfb`, key, new Uint8Array(16))
  return new Uint8Array(Buffer.concat([cipher.update(sized(secret)), cipher.final()]))
}

function rsaSeed(ek: RsaPublic): Seed {
  const seed = randomBytes(digestBytes(ek.nameAlg))
  const options = {
    key: keyOfPublic(ek),
    padding: constants.RSA_PKCS1_OAEP_PADDING,
    // B.4: the hash of the key's name, since an endorsement key has no scheme; the label has its zero octet.
    oaepHash: ek.nameAlg,
    oaepLabel: Buffer.from(`${LABEL}\0`),
  }
  return { seed, encrypted: new Uint8Array(publicEncrypt(options, seed)) }
}

function eccSeed(ek: EccPublic): Seed {
  const publicKey = keyOfPublic(ek)
  const ephemeral = generateKeyPairSync('ec', { namedCurve: ek.curve })
  const z = diffieHellman({ privateKey: ephemeral.privateKey, publicKey })
  const spki = ephemeral.publicKey.export({ format: 'der', type: 'spki' })
  if (curveOf(spki) !== ek.curve) throw new Error('an ephemeral key of another curve')
  const length = coordinateBytes(ek.curve)
  const x = spki.subarray(-2 * length, -length)
  const y = spki.subarray(-length)
  const hash = ek.nameAlg
  const contextV = fullCoordinate(ek.unique.x, ek.curve)
  const seed = kdfe(z, digestBytes(hash), { hash, label: LABEL, contextU: x, contextV })
  return { seed, encrypted: new TpmWriter().sized(x).sized(y).done() }
}
