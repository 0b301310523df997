// Where signing keys live: a PKCS#11 token or a sealed file. A key goes in by being made there; nothing here takes one
// out, and what is destroyed is gone. test/contract/keystore.test.ts holds every implementation to this page.
import type { Curve } from '#shared/x509/ec-spki.ts'
import { ZtError } from '#shared/errors/error.ts'

export interface KeyRequest {
  /** see requireLabel() */
  readonly label: string
  readonly curve: Curve
}

export interface StoredKey {
  readonly label: string
  readonly curve: Curve
  /** DER SubjectPublicKeyInfo */
  readonly spki: Uint8Array
  /**
   * ECDSA over `data`, with SHA-256 for P-256 and SHA-384 for P-384, as a DER signature with the smaller s that has
   * been verified with `spki`. Throws ZT-500-KEYSTORE.
   */
  sign(data: Uint8Array): Promise<Uint8Array>
}

export interface KeyStore {
  /** Makes a key that can sign and nothing else. Throws ZT-409-LABEL if there is one; keys are never replaced. */
  generate(request: KeyRequest): Promise<StoredKey>
  /**
   * The key of that label, or undefined if there is none. Throws ZT-412-KEY-ATTRIBUTE if the store does not protect it
   * as it must, and ZT-500-KEYSTORE if it cannot be read.
   */
  find(label: string): Promise<StoredKey | undefined>
  /**
   * Destroys the key of that label, both halves, and looks that nothing is left under it. Throws ZT-404-KEY if there is
   * none, ZT-500-KEYSTORE if something is left. A crash on the way leaves what find() refuses, and destroy() ends.
   */
  destroy(label: string): Promise<void>
  /** Random octets from the store's own generator, at most 64. */
  random(bytes: number): Promise<Uint8Array>
  /** Gives up the session. Keys that it handed out sign no more. */
  close(): Promise<void>
}

const LABEL = /^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/

/** Throws ZT-422-NAME unless `label` is `[a-z0-9]` with inner dots and hyphens, 1 to 63 characters. */
export function requireLabel(label: string): void {
  if (!LABEL.test(label) || label.includes('..')) {
    throw new ZtError('ZT-422-NAME', 'key label does not have the accepted form')
  }
}

export function labelTaken(label: string): ZtError {
  return new ZtError('ZT-409-LABEL', `a key of label "${label}" exists already`)
}

export function keystoreFailed(what: string, cause?: unknown): ZtError {
  return new ZtError('ZT-500-KEYSTORE', `key store: ${what}`, { cause })
}

/** The key of that label; ZT-404-KEY if there is none. */
export async function requireKey(keys: KeyStore, label: string): Promise<StoredKey> {
  const key = await keys.find(label)
  if (key === undefined) throw new ZtError('ZT-404-KEY', `there is no key of label "${label}"`)
  return key
}
