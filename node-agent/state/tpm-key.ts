// The attestation key of a node with a TPM: two blobs that only that TPM can use, so the file is worth nothing on another
// machine. It is made when the node first joins; what it said of its own creation is kept until then and shown with it.
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { bytes, literal, object, type ObjectOf, type Parser } from '#shared/encoding/shape.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError, isZtError } from '#shared/errors/error.ts'
import { createSecretFile, readSecretFile } from './secret-file.ts'

export interface TpmKey {
  /** TPM2B_PUBLIC */
  readonly public: Uint8Array
  /** TPM2B_PRIVATE: encrypted by the TPM for itself */
  readonly private: Uint8Array
  readonly creation: {
    /** TPMS_CREATION_DATA */
    readonly data: Uint8Array
    /** TPMS_ATTEST */
    readonly certifyInfo: Uint8Array
    /** TPMT_SIGNATURE */
    readonly signature: Uint8Array
  }
}

const MAX_BYTES = 16 * 1024
const blob = bytes({ min: 2, max: 2048 })

const FIELDS = {
  v: literal(1),
  public: blob,
  private: blob,
  creation: object({ data: blob, certifyInfo: blob, signature: blob }),
} as const

const parse: Parser<ObjectOf<typeof FIELDS>> = object(FIELDS)

/** The key of the file at `path`, or undefined if there is none. ZT-400-CONFIG for a file that is not one. */
export function loadTpmKey(path: string): TpmKey | undefined {
  const content = readSecretFile(path)
  if (content === undefined) return undefined
  try {
    const { v: _v, ...key } = parse(parseStrictJson(content, { maxBytes: MAX_BYTES }), '')
    return key
  } catch (cause) {
    if (!isZtError(cause)) throw cause
    throw new ZtError('ZT-400-CONFIG', `${path}: ${cause.message}`, { cause })
  }
}

/** Keeps a new key; ZT-409-EXISTS if there is one. */
export function keepTpmKey(path: string, { public: area, private: secret, creation }: TpmKey): void {
  const { data, certifyInfo, signature } = creation
  const file = {
    v: 1,
    public: encodeBase64url(area),
    private: encodeBase64url(secret),
    creation: {
      data: encodeBase64url(data),
      certifyInfo: encodeBase64url(certifyInfo),
      signature: encodeBase64url(signature),
    },
  }
  createSecretFile(path, canonicalJson(file))
}
