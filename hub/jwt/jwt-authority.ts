// The keys that sign JWT-SVIDs. A new one every day, shown in the bundle two hours before it signs (Federation §5.2), and
// kept there until the last token of its own has ended. Each signs until its successor does, so a hub that slept goes on
// with a key that everybody knows. Kept sealed in the store, like the hub's other keys.
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import { ecJwkOf, jwkThumbprint, type EcJwk } from '#shared/spiffe/jwt-keys.ts'
import { MAX_JWT_SVID_LIFE_S, signJwtSvid, type JwtSvidClaims } from '#shared/spiffe/jwt-svid.ts'
import { parseSealedBlob, type Seal } from '#pki/keystore/seal.ts'
import type { RowWriter } from '../audit/rows.ts'
import type { JwtKeyStore } from '../store/store.ts'

const ROTATE_MS = 24 * 60 * 60_000
const PUBLISH_MS = 2 * 60 * 60_000
/** The most that a bundle with these keys may say as its refresh hint, seconds: a key is shown five hints before it signs. */
export const MAX_REFRESH_HINT_S: number = PUBLISH_MS / 5 / 1000
/** How far apart two clocks may be, milliseconds. */
const SKEW_MS = 60_000

export interface JwtAuthorityParts {
  readonly store: JwtKeyStore
  readonly seal: Pick<Seal, 'open' | 'close'>
  readonly clock: Clock
  readonly rows: RowWriter
}

export interface SignedJwtSvid {
  readonly token: string
  readonly kid: string
}

interface HeldKey {
  readonly kid: string
  readonly privateKey: KeyObject
  readonly jwk: EcJwk
  /** UTC, milliseconds: signs from then on, until a later one does */
  readonly active: number
}

const contextOf = (kid: string): unknown => ({ purpose: 'ztmesh-jwt-authority-v1', kid })

export class JwtAuthority {
  readonly #parts: JwtAuthorityParts
  /** the one that signs last first; never empty after open() */
  #keys: readonly HeldKey[] = []

  private constructor(parts: JwtAuthorityParts) {
    this.#parts = parts
  }

  /** The keys of the store, and those that it lacks by now. ZT-503-STORE, ZT-500-KEYSTORE, ZT-503-AUDIT. */
  static async open(parts: JwtAuthorityParts): Promise<JwtAuthority> {
    const authority = new JwtAuthority(parts)
    const stored = await parts.store.list()
    authority.#keys = stored.map((key) => authority.#unseal(key))
    await authority.rotate()
    return authority
  }

  /**
   * What a bundle shows with the use "jwt-svid": the key that signs, the one that will, and the one that did as long as
   * a token of it may live.
   */
  authorities(): readonly { readonly kid: string; readonly jwk: EcJwk }[] {
    return this.#keys.map(({ kid, jwk }) => ({ kid, jwk }))
  }

  /** Makes the next key when it is time, and forgets those whose tokens have ended. Called now and then. */
  async rotate(): Promise<void> {
    const { store, clock } = this.#parts
    const now = clock.now()
    const newest = this.#keys[0]
    // The very first key signs at once: nobody can know an older one, and nobody trusts its tokens before its bundle.
    if (newest === undefined) await this.#make(now)
    else if (newest.active + ROTATE_MS - PUBLISH_MS <= now)
      await this.#make(Math.max(newest.active + ROTATE_MS, now + PUBLISH_MS))
    const over = now - MAX_JWT_SVID_LIFE_S * 1000 - SKEW_MS
    const successor = this.#keys.findIndex((key) => key.active <= over)
    const gone = successor === -1 ? [] : this.#keys.slice(successor + 1)
    for (const { kid } of gone) {
      await store.forget(kid)
      this.#keys = this.#keys.filter((key) => key.kid !== kid)
    }
  }

  /** Signs with the key of this moment; errors of signJwtSvid(). */
  sign(claims: JwtSvidClaims): SignedJwtSvid {
    const key = this.signer()
    return { token: signJwtSvid(key, claims), kid: key.kid }
  }

  /** The key that signs now. */
  signer(): { readonly kid: string; readonly privateKey: KeyObject } {
    const now = this.#parts.clock.now()
    // A clock that went back finds no key active: the oldest is the one that everybody has.
    const key = this.#keys.find(({ active }) => active <= now) ?? this.#keys.at(-1)
    if (key === undefined) throw new ZtError('ZT-500-KEYSTORE', 'there is no key that signs jwt-svids')
    return key
  }

  async #make(active: number): Promise<void> {
    const { store, seal, rows } = this.#parts
    const { privateKey, publicKey } = generateP256()
    const jwk = ecJwkOf(publicKey)
    const kid = jwkThumbprint(jwk)
    const secret = privateKey.export({ format: 'der', type: 'pkcs8' })
    const sealed = canonicalBytes(seal.close(secret, contextOf(kid)))
    await rows.append({ type: 'jwt.key_made', out: 'info', obj: { kid, active } })
    // If we crash here, a row names a key that nobody will ever see: the next start makes another.
    await store.add({ kid, sealed, active })
    this.#keys = [{ kid, privateKey, jwk, active }, ...this.#keys]
  }

  #unseal({ kid, sealed, active }: Awaited<ReturnType<JwtKeyStore['list']>>[number]): HeldKey {
    const blob = parseSealedBlob(parseStrictJson(sealed, { maxBytes: 4096 }), '')
    const der = Buffer.from(this.#parts.seal.open(blob, contextOf(kid)))
    const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    return { kid, privateKey, jwk: ecJwkOf(createPublicKey(privateKey)), active }
  }
}
