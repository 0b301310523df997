// The X25519 keys that requests to the hub are sealed to. A new one every hour; the one before is still taken for a
// while, since a client learns of the new one at its next renewal. They are kept sealed in the store, beside the
// memory of seen messages: whoever loses the one has lost the other, so no lost memory lets an old message in again.
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { generateX25519, x25519Raw } from '#shared/jose/keys.ts'
import { encKeyId, signEncKey } from '#shared/protocol/enc-key.ts'
import { parseSealedBlob, type Seal } from '#pki/keystore/seal.ts'
import type { EncKeyStore } from '../store/store.ts'

const ROTATE_MS = 60 * 60_000
const OVERLAP_MS = 15 * 60_000

interface Parts {
  readonly store: EncKeyStore
  readonly seal: Seal
  readonly clock: Clock
  /** the hub's SVID of this moment */
  readonly identity: () => Identity
}

interface HeldKey {
  readonly kid: string
  readonly privateKey: KeyObject
  readonly publicKey: Uint8Array
  /** UTC, milliseconds: not taken from then on */
  readonly notAfter: number
}

const contextOf = (kid: string): unknown => ({ purpose: 'ztmesh-hub-enc-key-v1', kid })

export class HubEncKeys {
  readonly #parts: Parts
  /** newest first; never empty after open() */
  #keys: readonly HeldKey[] = []
  #statement: { readonly for: string; readonly text: string } | undefined

  private constructor(parts: Parts) {
    this.#parts = parts
  }

  /** The keys of the store, and a new one if the newest is over an hour old. ZT-503-STORE, ZT-500-KEYSTORE. */
  static async open(parts: Parts): Promise<HubEncKeys> {
    const keys = new HubEncKeys(parts)
    const stored = await parts.store.list(parts.clock.now())
    keys.#keys = stored.map(({ kid, sealed, notAfter }) => keys.#unseal(kid, sealed, notAfter))
    await keys.rotate()
    return keys
  }

  /** Makes a new key when it is time, and forgets those that have ended. Called now and then. */
  async rotate(): Promise<void> {
    const now = this.#parts.clock.now()
    const live = this.#keys.filter((key) => key.notAfter > now)
    const newest = live[0]
    this.#keys =
      newest === undefined || newest.notAfter - OVERLAP_MS <= now ? [await this.#make(now), ...live] : live
  }

  /** The private key of that id, if it is still taken. */
  find(kid: string): KeyObject | undefined {
    const now = this.#parts.clock.now()
    return this.#keys.find((key) => key.kid === kid && key.notAfter > now)?.privateKey
  }

  /** The newest key, vouched for by the hub's SVID of this moment: a zt-enckey+jws. */
  statement(): string {
    const identity = this.#parts.identity()
    const [newest] = this.#keys
    if (newest === undefined) throw new Error('no encryption key is open')
    const about = `${identity.thumbprint} ${newest.kid}`
    if (this.#statement?.for !== about)
      this.#statement = { for: about, text: signEncKey(identity, newest.publicKey, this.#parts.clock.now()) }
    return this.#statement.text
  }

  async #make(now: number): Promise<HeldKey> {
    const { privateKey, publicKey } = generateX25519()
    const kid = encKeyId(publicKey)
    const notAfter = now + ROTATE_MS + OVERLAP_MS
    const secret = privateKey.export({ format: 'der', type: 'pkcs8' })
    const sealed = canonicalBytes(this.#parts.seal.close(secret, contextOf(kid)))
    // Stored before it is ever told to anybody, so that no restart makes it unknown.
    await this.#parts.store.add({ kid, sealed, notAfter })
    return { kid, privateKey, publicKey, notAfter }
  }

  #unseal(kid: string, sealed: Uint8Array, notAfter: number): HeldKey {
    const blob = parseSealedBlob(parseStrictJson(sealed, { maxBytes: 4096 }), '')
    const der = Buffer.from(this.#parts.seal.open(blob, contextOf(kid)))
    const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    const publicKey = x25519Raw(createPublicKey(privateKey))
    return { kid, privateKey, publicKey, notAfter }
  }
}
