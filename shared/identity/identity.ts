// What a running program is: its SVID and the private key to it, in memory only.
import { sign, type KeyObject } from 'node:crypto'
import type { SvidSigner } from '#shared/jose/jws.ts'
import type { SpiffeId } from './spiffe-id.ts'

export interface Identity {
  readonly id: SpiffeId
  /** DER: leaf, then intermediate */
  readonly chain: readonly Uint8Array[]
  /** P-256, private */
  readonly key: KeyObject
  /** UTC, milliseconds */
  readonly notBefore: number
  /** UTC, milliseconds */
  readonly notAfter: number
  /** base64url SHA-256 of the leaf */
  readonly thumbprint: string
}

/** Signs with the SVID's key; synchronous, because the hot path must not wait for a thread. */
export function svidSigner(identity: Identity): SvidSigner {
  return {
    alg: 'ES256',
    x5c: identity.chain,
    sign: (data) => sign('sha256', data, { key: identity.key, dsaEncoding: 'ieee-p1363' }),
  }
}
