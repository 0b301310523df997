// Every bundle that the hub ever put in force, one file each, numbered in the order of their import: what a node that
// slept through a rotation, and a hub that starts after it, need to go from the root that they know to the one in force.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { integer, literal, object, string, type Parser } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { bundleSigner, MAX_BUNDLE_BYTES, openSignedBundle } from '#shared/x509/bundle-history.ts'
import type { FollowedBundle } from '#shared/x509/bundle-history.ts'
import type { BundleTrust } from '#shared/x509/bundle.ts'
import {
  createFile,
  isErrno,
  privateFolder,
  readPrivateFile,
  syncFolder,
} from '#pki/keystore/private-file.ts'

export interface KeptBundle {
  /** UTC, milliseconds: when it was put in force */
  readonly imported: number
  readonly text: string
}

export type HeldBundle = KeptBundle & FollowedBundle

const FILE = /^bundle-\d{6}\.json$/
const MAX_FILE_BYTES = MAX_BUNDLE_BYTES + 1024

const parseKept: Parser<{ readonly v: 1 } & KeptBundle> = object({
  v: literal(1),
  imported: integer({ min: 0 }),
  text: string({ min: 5, max: MAX_BUNDLE_BYTES, pattern: /^[A-Za-z0-9_.-]+$/ }),
})

/** What is kept, the oldest first; nothing of it is proved. Throws ZT-401-BUNDLE for a gap or a damaged file. */
export async function readBundleHistory(dir: string): Promise<readonly KeptBundle[]> {
  const names = (await filesOf(dir)).filter((name) => FILE.test(name)).toSorted()
  const kept: KeptBundle[] = []
  for (const [at, name] of names.entries()) {
    if (name !== fileName(at)) throw refuse(`${fileName(at)} is missing`)
    kept.push(await readKept(join(dir, name), name))
  }
  return kept
}

/**
 * Proves `kept` from the pinned root on, each bundle under the one before it and at the time of its import: a root whose
 * ten years are over still proves what it signed in them. Bundles before the first that the pin signed are left out.
 * Throws ZT-401-BUNDLE.
 */
export function proveHistory(kept: readonly KeptBundle[], pinnedRoot: string): readonly HeldBundle[] {
  const start = kept.findIndex(({ text }) => bundleSigner(text) === pinnedRoot)
  if (start < 0) throw refuse('the root that the configuration pins signed none of it')
  const held: HeldBundle[] = []
  for (const { imported, text } of kept.slice(start)) {
    const before = held.at(-1)
    const trust: BundleTrust = before === undefined ? { pinnedRoot } : { trusted: before.bundle }
    const next = openSignedBundle(text, trust, imported)
    if (before !== undefined && next.bundle.sequence === before.bundle.sequence)
      throw refuse('a bundle comes twice')
    held.push({ ...next, imported })
  }
  return held
}

/**
 * Keeps one more, and resolves when it is durable to what is kept. That is the file which is there already if it has the
 * same bundle: one whose folder could not be synced left it. Throws ZT-409-EXISTS if it has another.
 */
export async function keepBundle(dir: string, at: number, bundle: KeptBundle): Promise<KeptBundle> {
  const { imported, text } = bundle
  await privateFolder(dir, 'bundle folder')
  const name = fileName(at)
  try {
    await createFile(join(dir, name), canonicalJson(parseKept({ v: 1, imported, text }, '')))
    return bundle
  } catch (error) {
    if (!isZtError(error, 'ZT-409-EXISTS')) throw error
    const there = await readKept(join(dir, name), name)
    if (there.text !== text) throw error
    await syncFolder(dir)
    return there
  }
}

async function filesOf(dir: string): Promise<readonly string[]> {
  try {
    return await readdir(dir)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return []
    throw error
  }
}

async function readKept(path: string, name: string): Promise<KeptBundle> {
  const content = await readPrivateFile(path, name, MAX_FILE_BYTES)
  try {
    const { imported, text } = parseKept(parseStrictJson(content, { maxBytes: MAX_FILE_BYTES }), '')
    return { imported, text }
  } catch (cause) {
    if (!isZtError(cause)) throw cause
    throw refuse(`${name} is damaged`, cause)
  }
}

function fileName(at: number): string {
  return `bundle-${String(at).padStart(6, '0')}.json`
}

function refuse(what: string, cause?: unknown): ZtError {
  return new ZtError('ZT-401-BUNDLE', `the history of trust bundles is refused: ${what}`, { cause })
}
