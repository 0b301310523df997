// Ceremonies for tests: writes the files that people would review, and runs the real program's code on them.
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { runCeremony, type CeremonyResult } from '#pki/ceremony/run.ts'
import { fileDigest } from '#pki/issuance/ladder-request.ts'
import type { WrittenRequest } from '#pki/issuance/ladder-store.ts'
import { createSealSecret } from '#pki/keystore/seal.ts'
import type { Clock } from '#shared/host/clock.ts'
import { openBundle, type TrustBundle } from '#shared/x509/bundle.ts'
import { sha256 } from '#shared/encoding/digest.ts'
import { certificatesFromPem } from '#shared/x509/pem.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'

export const TRUST_DOMAIN = 'mesh.example'
export const KEY_LABEL = 'demo-root'

const DAY = 86_400_000

/** A folder with ceremony files in it, and the key store that they use. */
export class CeremonyTable {
  readonly dir: string
  readonly local: string
  readonly clock: Clock
  readonly told: string[] = []
  #runs = 0

  private constructor(dir: string, local: string, clock: Clock) {
    this.dir = dir
    this.local = local
    this.clock = clock
  }

  /** `keystore` is that part of the local file; a sealed-file store of its own unless given. */
  static async lay(dir: string, options: { keystore?: object; clock?: Clock } = {}): Promise<CeremonyTable> {
    const secretFile = join(dir, 'root-secret')
    if (options.keystore === undefined) await createSealSecret(secretFile)
    const keystore = options.keystore ?? { type: 'sealed-file', dir: join(dir, 'root-keys'), secretFile }
    const local = join(dir, 'local.json')
    await writeFile(local, JSON.stringify({ v: 1, keystore }))
    return new CeremonyTable(dir, local, options.clock ?? new ManualClock())
  }

  /** Runs a ceremony file of this content. */
  async run(content: object | string): Promise<CeremonyResult> {
    this.#runs += 1
    const file = join(this.dir, `ceremony-${this.#runs}.json`)
    await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content))
    return runCeremony({ file, local: this.local, clock: this.clock, tell: (line) => this.told.push(line) })
  }

  rootFile(change: object = {}): Record<string, unknown> {
    return {
      type: 'root',
      v: 1,
      demo: true,
      trustDomain: TRUST_DOMAIN,
      keyLabel: KEY_LABEL,
      notBefore: seconds(this.clock.now() - DAY),
      notAfter: seconds(this.clock.now() + 3650 * DAY),
      bundle: { sequence: 1, refreshHint: 300 },
      outputs: { certificate: 'root.pem', bundle: 'bundle.jws', transcript: 'root.transcript' },
      ...change,
    }
  }

  /** The file for a request, which is copied here as over an air gap. */
  async ladderFile(
    request: Pick<WrittenRequest, 'file' | 'sha256'>,
    change: object = {},
  ): Promise<Record<string, unknown>> {
    await copyFile(request.file, join(this.dir, basename(request.file)))
    return {
      type: 'ladder',
      v: 1,
      demo: true,
      trustDomain: TRUST_DOMAIN,
      keyLabel: KEY_LABEL,
      root: await this.input('root.pem'),
      request: { file: basename(request.file), sha256: request.sha256 },
      previous: null,
      infra: { dns: ['localhost'], ips: ['127.0.0.1', '::1'] },
      bundle: null,
      outputs: { response: 'ladder.json', transcript: 'ladder.transcript' },
      ...change,
    }
  }

  async input(file: string): Promise<{ file: string; sha256: string }> {
    return { file, sha256: fileDigest(await this.read(file)) }
  }

  read(file: string): Promise<Uint8Array> {
    return readFile(join(this.dir, file))
  }

  async text(file: string): Promise<string> {
    return readFile(join(this.dir, file), 'utf8')
  }

  /** The bundle in `file`, as a node opens it that pins the root. */
  async bundle(file: string = 'bundle.jws'): Promise<TrustBundle> {
    const [root = new Uint8Array()] = certificatesFromPem(await this.text('root.pem'))
    const pinnedRoot = Buffer.from(sha256(root)).toString('hex')
    return openBundle(await this.text(file), { pinnedRoot }, this.clock.now())
  }
}

export function seconds(atMs: number): string {
  return new Date(Math.floor(atMs / 1000) * 1000).toISOString().replace('.000Z', 'Z')
}
