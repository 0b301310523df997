// The trust bundle of the hub's own machine: opened with the root that the configuration pins, then only ever replaced
// by a newer one that a root trusted before has signed. The hub hands it on as it is; it could not change it.
import { readFile } from 'node:fs/promises'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import { openBundle } from '#shared/x509/bundle.ts'
import { SvidValidator } from '#shared/x509/svid.ts'

export interface TrustOptions {
  readonly file: string
  /** hex SHA-256 of the root certificate */
  readonly root: string
  readonly clock: Clock
}

async function readBundle(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (cause) {
    throw new ZtError('ZT-400-CONFIG', 'bundleFile cannot be read', { cause })
  }
}

export class Trust {
  readonly #options: TrustOptions
  /** One for the whole hub: it is told of new bundles in place. */
  readonly validator: SvidValidator
  #text: string

  private constructor(options: TrustOptions, validator: SvidValidator, text: string) {
    this.#options = options
    this.validator = validator
    this.#text = text
  }

  /** Throws ZT-400-CONFIG, ZT-401-BUNDLE. */
  static async open(options: TrustOptions): Promise<Trust> {
    const text = await readBundle(options.file)
    const bundle = openBundle(text, { pinnedRoot: options.root }, options.clock.now())
    return new Trust(options, new SvidValidator(bundle), text)
  }

  /** The signed bundle in force. */
  get text(): string {
    return this.#text
  }

  /** True if the file held a newer bundle, which is in force from now on. Throws ZT-400-CONFIG, ZT-401-BUNDLE. */
  async refresh(): Promise<boolean> {
    const text = await readBundle(this.#options.file)
    if (text === this.#text) return false
    const bundle = openBundle(text, { trusted: this.validator.bundle }, this.#options.clock.now())
    this.validator.replaceBundle(bundle)
    this.#text = text
    return true
  }
}
