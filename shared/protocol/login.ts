// Logging in with the operating system's word: the caller proves its uid to a hub on the same machine by a file that
// only that uid can have made, and the file's content binds the key that gets the SVID.
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { sha256, sha256Text } from '#shared/encoding/digest.ts'
import { integer, object, string, type Parser } from '#shared/encoding/shape.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import {
  credentialFields,
  csrField,
  natsProofField,
  sessionField,
  type Credentials,
  type NatsKeyProof,
} from './admission.ts'
import { bytes32Field, millisField, spiffeIdField } from './fields.ts'

export interface LoginChallengeRequest {
  readonly uid: number
}

export interface LoginChallenge {
  readonly session: string
  /** absolute folder in which the file is made, and its name */
  readonly dir: string
  readonly file: string
  /** base64url, 32 bytes */
  readonly nonce: string
  /** UTC, milliseconds */
  readonly expires: number
}

export interface LoginRequest {
  readonly session: string
  /** base64url DER PKCS#10 for a P-256 key */
  readonly csr: string
  readonly nats: NatsKeyProof
  /** base64url raw X25519 */
  readonly enc_key: string
}

export interface LoginResponse extends Credentials {
  readonly id: SpiffeId
}

/** The fields that the NATS key's proof covers. */
export interface LoginTranscript {
  readonly hub: SpiffeId
  readonly session: string
  readonly nonce: string
  readonly uid: number
  /** base64url SHA-256 of the request's SubjectPublicKeyInfo */
  readonly spki: string
  /** base64url raw X25519 */
  readonly enc: string
  /** NATS user public key */
  readonly nats: string
}

// 2^32 - 1 is (uid_t) -1, which no user has.
const uid = integer({ min: 0, max: 0xffff_fffe })

/** ZT-422-SCHEMA. */
export const parseLoginChallengeRequest: Parser<LoginChallengeRequest> = object({ uid })

/** ZT-422-SCHEMA. The file's name is one path segment, so it can only lie in the folder. */
export const parseLoginChallenge: Parser<LoginChallenge> = object({
  session: sessionField,
  dir: string({ max: 1024, pattern: /^(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)+$/ }),
  file: string({ max: 128, pattern: /^[A-Za-z0-9_-]+$/ }),
  nonce: bytes32Field,
  expires: millisField,
})

/** ZT-422-SCHEMA. */
export const parseLoginRequest: Parser<LoginRequest> = object({
  session: sessionField,
  csr: csrField,
  nats: natsProofField,
  enc_key: bytes32Field,
})

/** ZT-422-SCHEMA. */
export const parseLoginResponse: Parser<LoginResponse> = object({ ...credentialFields, id: spiffeIdField })

/** What the file holds: the digest of the request, so the file is of no use for another key. */
export function loginFileContent(csrDer: Uint8Array): string {
  return sha256Text(csrDer)
}

/** The 32 bytes that the NATS key signs. */
export function loginTranscript(transcript: LoginTranscript): Uint8Array {
  return sha256(canonicalBytes({ purpose: 'ztmesh-login-v1', ...transcript }))
}
