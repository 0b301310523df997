// The deny list kept beside saved evidence, so that who reads it later, and asks nobody, sees the same rows quarantined.
// It is believed for its signature: by a hub, under a bundle that a root signed which this user trusts.
import { readFileSync, writeFileSync } from 'node:fs'
import { literal, object, string, type Parser } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { MAX_DENY_BYTES, openDenyList, type DenyDocument } from '#shared/protocol/deny-list.ts'
import { millisField } from '#shared/protocol/fields.ts'
import { openBundle } from '#shared/x509/bundle.ts'
import { bundleSigner, MAX_BUNDLE_BYTES } from '#shared/x509/bundle-history.ts'
import { SvidValidator } from '#shared/x509/svid.ts'

export const DENY_COPY = 'deny-list.json'

interface DenyCopy {
  readonly apiVersion: string
  readonly kind: string
  /** when it was had from the hub, UTC milliseconds */
  readonly at: number
  readonly deny: string
  readonly bundle: string
}

export type SavedDenyList = DenyDocument & Pick<DenyCopy, 'at'>

const MAX_BYTES = MAX_DENY_BYTES + MAX_BUNDLE_BYTES + 1024

const parseCopy: Parser<DenyCopy> = object({
  apiVersion: literal('ztmesh/v1'),
  kind: literal('DenyListCopy'),
  at: millisField,
  deny: string({ min: 1, max: MAX_DENY_BYTES }),
  bundle: string({ min: 1, max: MAX_BUNDLE_BYTES }),
})

/** Writes a new copy, mode 0600; EEXIST if the file is there. */
export function writeDenyCopy(path: string, copy: Pick<DenyCopy, 'at' | 'deny' | 'bundle'>): void {
  const text = JSON.stringify({ apiVersion: 'ztmesh/v1', kind: 'DenyListCopy', ...copy }, undefined, 2)
  writeFileSync(path, `${text}\n`, { flag: 'wx', mode: 0o600 })
}

/**
 * Opens a copy as of the time at which it was made, `at`: the copy says it, and the SVID of the hub that signed the list
 * was alive then, so it can be wrong by minutes and not by more. `roots` are the fingerprints (hex) of those that are trusted.
 * ZT-503-DENY-LIST for one that does not hold, whatever the reason.
 */
export function openDenyCopy(path: string, roots: readonly string[]): SavedDenyList {
  try {
    const bytes = readFileSync(path)
    const { at, deny, bundle } = parseCopy(parseStrictJson(bytes, { maxBytes: MAX_BYTES }), '')
    const pinnedRoot = roots.find((root) => root === bundleSigner(bundle))
    if (pinnedRoot === undefined) throw refuse(path, 'is of a mesh whose root this user does not trust')
    const trust = new SvidValidator(openBundle(bundle, { pinnedRoot }, at))
    return { ...openDenyList(deny, { trust, now: at }), at }
  } catch (cause) {
    if (isZtError(cause, 'ZT-503-DENY-LIST')) throw cause
    throw refuse(path, `does not hold: ${cause instanceof Error ? cause.message : 'unknown'}`, cause)
  }
}

function refuse(path: string, what: string, cause?: unknown): ZtError {
  return new ZtError('ZT-503-DENY-LIST', `${path} ${what}`, {
    cause,
    details: {
      hint: 'give --root-fingerprint with the root that the mesh had, or another copy with --deny-list',
    },
  })
}
