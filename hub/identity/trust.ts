// The trust of the hub's own machine: the bundle in force and all before it, proved from the root that the configuration
// pins, and only ever replaced by a newer bundle that a root trusted before has signed. The hub hands them on as they
// are; it could not change one.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sha256Text } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { RowDraft } from '#shared/log/row.ts'
import { MAX_BUNDLES_EACH } from '#shared/protocol/admission.ts'
import { rootFingerprint } from '#shared/x509/bundle.ts'
import { openSignedBundle, type FollowedBundle } from '#shared/x509/bundle-history.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { isErrno } from '#pki/keystore/private-file.ts'
import type { RowWriter, WrittenRow } from '../audit/rows.ts'
import {
  keepBundle,
  proveHistory,
  readBundleHistory,
  type HeldBundle,
  type KeptBundle,
} from './bundle-history.ts'

export interface TrustOptions {
  readonly stateDir: string
  /** the first bundle, and a place in which newer ones may be put */
  readonly file: string
  /** hex SHA-256 of the root certificate */
  readonly root: string
  readonly clock: Clock
}

/** Who brings a bundle: facts for its row. */
export type ImportFacts = Pick<RowDraft, 'actor' | 'req' | 'pol'>

export interface Imported {
  readonly held: HeldBundle
  readonly row: WrittenRow
}

const bundlesDir = (stateDir: string): string => join(stateDir, 'bundles')

async function readBundle(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (cause) {
    if (isErrno(cause, 'ENOENT')) return undefined
    throw new ZtError('ZT-400-CONFIG', 'bundleFile cannot be read', { cause })
  }
}

export class Trust {
  readonly #options: TrustOptions
  /** One for the whole hub: it is told of new bundles in place. */
  readonly validator: SvidValidator
  /** the text of every file, those before the pinned root's included */
  readonly #kept: KeptBundle[]
  /** what is proved, the oldest first; the last is in force */
  readonly #held: HeldBundle[]
  /** in force and not kept yet: the first bundle of a new hub, until its log is open */
  #unkept: HeldBundle | undefined
  /** One import after the other. */
  #last: Promise<unknown> = Promise.resolve()

  private constructor(options: TrustOptions, kept: readonly KeptBundle[], held: readonly HeldBundle[]) {
    const current = held.at(-1)
    if (current === undefined) throw new ZtError('ZT-401-BUNDLE', 'the history of trust bundles is empty')
    this.#options = options
    this.validator = new SvidValidator(current.bundle)
    this.#kept = [...kept]
    this.#held = [...held]
    this.#unkept = kept.length === 0 ? current : undefined
  }

  /**
   * Proves all that is kept, from the pin on; a hub that has nothing yet begins with its bundleFile. Writes nothing.
   * Throws ZT-400-CONFIG, ZT-401-BUNDLE.
   */
  static async open(options: TrustOptions): Promise<Trust> {
    const kept = await readBundleHistory(bundlesDir(options.stateDir))
    if (kept.length > 0) return new Trust(options, kept, proveHistory(kept, options.root))
    const text = await readBundle(options.file)
    if (text === undefined) throw new ZtError('ZT-400-CONFIG', 'bundleFile cannot be read')
    const imported = options.clock.now()
    const first = openSignedBundle(text, { pinnedRoot: options.root }, imported)
    return new Trust(options, [], [{ ...first, imported }])
  }

  /** The signed bundle in force. */
  get text(): string {
    return this.#current.text
  }

  /** Hex fingerprint of the root that signed the bundle in force: what who comes anew pins. */
  get signer(): string {
    return this.#current.signer
  }

  /** All that is proved, the oldest first; the last is in force. */
  get history(): readonly HeldBundle[] {
    return this.#held
  }

  /** Since when this root is trusted without a break (UTC, milliseconds); undefined if it is not trusted now. */
  trustedSince(fingerprint: string): number | undefined {
    let since: number | undefined
    for (const { bundle, imported } of this.#held.toReversed()) {
      if (!bundle.roots.some((root) => rootFingerprint(root) === fingerprint)) return since
      since = imported
    }
    return since
  }

  /**
   * When everybody can have this root's bundle (UTC, milliseconds): who renews once in `svidTtlMs`, and who asks again only
   * when the bundle that it holds says so (spiffe_refresh_hint). undefined if the root is not trusted now.
   */
  publishedAt(fingerprint: string, svidTtlMs: number): number | undefined {
    const since = this.trustedSince(fingerprint)
    if (since === undefined) return undefined
    let at = since + svidTtlMs
    for (const [index, { bundle }] of this.#held.entries()) {
      // A bundle is taken by nobody any more once the next one is in force.
      const next = this.#held[index + 1]
      if (next === undefined || next.imported > since) break
      at = Math.max(at, next.imported + bundle.refreshHint * 1000)
    }
    return at
  }

  /** The next bundles after a sequence number, as a node that holds that one needs them. */
  after(sequence: number): { readonly bundles: readonly string[]; readonly more: boolean } {
    const newer = this.#held.filter(({ bundle }) => bundle.sequence > sequence)
    return {
      bundles: newer.slice(0, MAX_BUNDLES_EACH).map(({ text }) => text),
      more: newer.length > MAX_BUNDLES_EACH,
    }
  }

  /**
   * Puts a newer bundle in force, its row written before. Throws ZT-401-BUNDLE for one that no trusted root signed, or
   * that is not newer; ZT-503-AUDIT; ZT-409-EXISTS: then nothing changed.
   */
  import(text: string, rows: RowWriter, facts: ImportFacts = {}): Promise<Imported> {
    return this.#inTurn(async () => {
      const next = this.#open(text)
      if (next.bundle.sequence === this.#current.bundle.sequence)
        throw new ZtError('ZT-401-BUNDLE', 'trust bundle is the one in force')
      return this.#adopt(next, rows, facts)
    })
  }

  /**
   * Keeps the first bundle of a new hub, and takes up a newer one from bundleFile: true if there was one, which is in
   * force from now on. An older one that is in the history is passed over. Throws as import() does, and ZT-400-CONFIG.
   */
  refresh(rows: RowWriter): Promise<boolean> {
    return this.#inTurn(async () => {
      await this.#keepFirst(rows)
      const text = await readBundle(this.#options.file)
      if (text === undefined || this.#kept.some((kept) => kept.text === text)) return false
      const next = this.#open(text)
      if (next.bundle.sequence === this.#current.bundle.sequence) return false
      await this.#adopt(next, rows, {})
      return true
    })
  }

  get #current(): HeldBundle {
    const current = this.#held.at(-1)
    if (current === undefined) throw new Error('no bundle is in force')
    return current
  }

  #open(text: string): FollowedBundle {
    return openSignedBundle(text, { trusted: this.#current.bundle }, this.#options.clock.now())
  }

  async #keepFirst(rows: RowWriter): Promise<void> {
    const first = this.#unkept
    if (first === undefined) return
    await rows.append(rowOf(first, {}))
    await this.#keep(first)
    this.#unkept = undefined
  }

  async #adopt(next: FollowedBundle, rows: RowWriter, facts: ImportFacts): Promise<Imported> {
    const proved = { ...next, imported: this.#options.clock.now() }
    const row = await rows.append(rowOf(proved, facts))
    const held = { ...proved, ...(await this.#keep(proved)) }
    // If we crash before this, the next start finds the file and has the bundle in force.
    this.#held.push(held)
    this.validator.replaceBundle(held.bundle)
    return { held, row }
  }

  async #keep({ imported, text }: HeldBundle): Promise<KeptBundle> {
    const dir = bundlesDir(this.#options.stateDir)
    const kept = await keepBundle(dir, this.#kept.length, { imported, text })
    this.#kept.push(kept)
    return kept
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work)
    this.#last = done.catch(() => undefined)
    return done
  }
}

function rowOf({ bundle, text, signer }: FollowedBundle, facts: ImportFacts): RowDraft {
  return {
    type: 'bundle.imported',
    out: 'info',
    ...facts,
    obj: {
      sequence: bundle.sequence,
      sha256: sha256Text(Buffer.from(text)),
      signer,
      roots: bundle.roots.map(rootFingerprint),
      revoked: bundle.revokedIntermediates.length,
    },
  }
}
