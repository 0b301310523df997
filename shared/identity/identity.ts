// What a running program is: its SVID, and the private key to it, which is in memory or in a module that only signs.
import { sign, type KeyObject } from 'node:crypto'
import type { Signer, SvidSigner } from '#shared/jose/jws.ts'
import type { SpiffeId } from './spiffe-id.ts'

interface Svid {
  readonly id: SpiffeId
  /** DER: leaf, then intermediate */
  readonly chain: readonly Uint8Array[]
  /** UTC, milliseconds */
  readonly notBefore: number
  /** UTC, milliseconds */
  readonly notAfter: number
  /** base64url SHA-256 of the leaf */
  readonly thumbprint: string
}

export interface Identity extends Svid {
  /** P-256, private */
  readonly key: KeyObject
}

/** An identity whose key nobody can take out. */
export interface HeldIdentity extends Svid {
  /** ECDSA on P-256 with SHA-256, `r || s`; rejects if the module does not sign */
  readonly sign: (data: Uint8Array) => Promise<Uint8Array>
}

/** Signs with the SVID's key; synchronous, because the hot path must not wait for a thread. */
export function svidSigner(identity: Identity): SvidSigner {
  return {
    alg: 'ES256',
    x5c: identity.chain,
    sign: (data) => sign('sha256', data, { key: identity.key, dsaEncoding: 'ieee-p1363' }),
  }
}

/** Signs with the SVID's key, wherever it is. */
export function signerOf(identity: Identity | HeldIdentity): Signer {
  if ('key' in identity) return svidSigner(identity)
  return { alg: 'ES256', x5c: identity.chain, sign: identity.sign }
}
