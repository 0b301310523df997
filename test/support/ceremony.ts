// Ceremonies for tests: writes the files that people would review, has officers approve them, answers what is asked, and
// runs the real program's code on them, one after the other. The machine is said to be offline; test/attack has real ones.
import { generateKeyPairSync } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { approve, neededFor } from '#pki/ceremony/approval.ts'
import { parseCeremony, type Ceremony, type CeremonyFile } from '#pki/ceremony/file.ts'
import type { Quorum } from '#pki/ceremony/quorum.ts'
import { runCeremony, type CeremonyResult } from '#pki/ceremony/run.ts'
import { signHead } from '#pki/ceremony/signatures.ts'
import type { Surroundings } from '#pki/ceremony/surroundings.ts'
import { fileDigest } from '#pki/issuance/ladder-request.ts'
import type { WrittenRequest } from '#pki/issuance/ladder-store.ts'
import { createSealSecret } from '#pki/keystore/seal.ts'
import { isZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import { createNoteSigner, type NoteSigner } from '#shared/log/note.ts'
import { summarizeTranscript, verifyTranscript } from '#shared/protocol/ceremony-transcript.ts'
import { openBundle, type TrustBundle } from '#shared/x509/bundle.ts'
import { sha256 } from '#shared/encoding/digest.ts'
import { certificatesFromPem } from '#shared/x509/pem.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { ObligingOperator } from '#test/fakes/obliging-operator.ts'

export const TRUST_DOMAIN = 'mesh.example'
export const KEY_LABEL = 'demo-root'
export const NEW_KEY_LABEL = 'demo-root-2'

const HOUR = 3_600_000
const DAY = 86_400_000

/** A machine whose network cable is pulled. */
export const OFFLINE: Surroundings = {
  online: async () => ({ process: [], machine: [] }),
  tool: async () => '0'.repeat(64),
  facts: () => ({ node: 'test', platform: 'test' }),
}

export interface InputOf {
  readonly file: string
  readonly sha256: string
}

/** How a run differs from one in which everybody does what they should. */
export interface RunChange {
  /** notes; those of the first officers that are needed, unless given */
  readonly approvals?: readonly string[]
  readonly surroundings?: Surroundings
  readonly operator?: ObligingOperator
}

/** A new officer with a key in memory. */
export function makeOfficer(name: string): NoteSigner {
  return createNoteSigner(name, generateKeyPairSync('ed25519').privateKey)
}

/** A folder with ceremony files in it, the key store that they use, and three officers of whom two approve. */
export class CeremonyTable {
  readonly dir: string
  readonly local: string
  readonly clock: Clock
  /** TRUST_DOMAIN unless given */
  readonly trustDomain: string
  readonly told: string[] = []
  readonly officers: readonly NoteSigner[] = ['olga', 'omar', 'ona'].map(makeOfficer)
  /** transcript of the ceremony that was held last */
  last: string = 'root.transcript'
  /** the bundle in force: that of the ceremony that signed one last, and its number */
  held: string = 'bundle.jws'
  sequence: number = 1
  #runs = 0

  private constructor(dir: string, local: string, options: { clock?: Clock; trustDomain?: string }) {
    this.dir = dir
    this.local = local
    this.clock = options.clock ?? new ManualClock()
    this.trustDomain = options.trustDomain ?? TRUST_DOMAIN
  }

  /** `keystore` is that part of the local file; a sealed-file store of its own unless given. */
  static async lay(
    dir: string,
    options: { keystore?: object; clock?: Clock; trustDomain?: string } = {},
  ): Promise<CeremonyTable> {
    const secretFile = join(dir, 'root-secret')
    if (options.keystore === undefined) await createSealSecret(secretFile)
    const keystore = options.keystore ?? { type: 'sealed-file', dir: join(dir, 'root-keys'), secretFile }
    const local = join(dir, 'local.json')
    await writeFile(local, JSON.stringify({ v: 1, keystore }))
    return new CeremonyTable(dir, local, options)
  }

  /** Runs a ceremony file of this content; the officers approve it before and sign its transcript after. */
  async run(content: object | string, change: RunChange = {}): Promise<CeremonyResult> {
    this.#runs += 1
    const file = join(this.dir, `ceremony-${this.#runs}.json`)
    const text = typeof content === 'string' ? content : JSON.stringify(content)
    await writeFile(file, text)
    const reviewed = reviewedOf(text)
    const operator = change.operator ?? new ObligingOperator(reviewed, (line) => this.told.push(line))
    try {
      const result = await runCeremony({
        file,
        local: this.local,
        approvals: change.approvals ?? this.approvals(reviewed),
        clock: this.clock,
        surroundings: change.surroundings ?? OFFLINE,
        operator,
      })
      this.#note(reviewed)
      return result
    } finally {
      await this.#sign(reviewed)
    }
  }

  /** Approvals of a file by the first `count` officers; as many as it needs unless given. */
  approvals(reviewed: CeremonyFile | undefined, count?: number): string[] {
    if (reviewed === undefined) return []
    const needed = count ?? neededFor(reviewed.ceremony, this.quorum())
    return this.officers.slice(0, needed).map((officer) => approve(reviewed, officer, this.clock.now()))
  }

  quorum(): Quorum {
    return { threshold: 2, emergency: 3, officers: this.officers.map(({ vkey }) => vkey) }
  }

  #note(reviewed: CeremonyFile | undefined): void {
    if (reviewed === undefined) return
    const { ceremony } = reviewed
    if (!('bundle' in ceremony)) return
    if (isOfOther(ceremony)) return
    this.held = ceremony.outputs.bundle
    this.sequence = ceremony.bundle.sequence
  }

  /** Whatever transcript there is now is signed, so that the next ceremony can follow it. */
  async #sign(reviewed: CeremonyFile | undefined): Promise<void> {
    const name = reviewed?.ceremony.outputs.transcript
    if (name === undefined || !existsSync(join(this.dir, name))) return
    const sigs = join(this.dir, `${name}.sigs`)
    if (existsSync(sigs)) return
    const text = await this.text(name)
    if (text === 'precious') return
    const summary = summarizeTranscript(verifyTranscript(text))
    await writeFile(sigs, signHead(summary, this.officers))
    if (reviewed !== undefined && !isOfOther(reviewed.ceremony)) this.last = name
  }

  head(): Record<string, unknown> {
    return {
      v: 1,
      demo: true,
      trustDomain: this.trustDomain,
      requester: 'rita',
      tool: null,
      window: { from: seconds(this.clock.now() - HOUR), until: seconds(this.clock.now() + DAY) },
    }
  }

  /** What every ceremony after the root's names. */
  async later(): Promise<Record<string, unknown>> {
    return {
      ...this.head(),
      root: await this.input('root.pem'),
      officers: await this.input('officers.json'),
      after: await this.input(this.last),
    }
  }

  rootFile(change: object = {}): Record<string, unknown> {
    return {
      type: 'root',
      ...this.head(),
      keyLabel: KEY_LABEL,
      quorum: this.quorum(),
      ...this.life(),
      bundle: { sequence: 1, refreshHint: 300 },
      outputs: {
        certificate: 'root.pem',
        bundle: 'bundle.jws',
        officers: 'officers.json',
        transcript: 'root.transcript',
      },
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
      ...(await this.later()),
      keyLabel: KEY_LABEL,
      request: { file: basename(request.file), sha256: request.sha256 },
      held: await this.input(this.held),
      previous: null,
      infra: { dns: ['localhost'], ips: ['127.0.0.1', '::1'] },
      outputs: { response: 'ladder.json', transcript: 'ladder.transcript' },
      ...change,
    }
  }

  /** A second root beside the first: root-2.pem, and bundle-2.jws with both. */
  async rotateFile(change: object = {}): Promise<Record<string, unknown>> {
    return {
      type: 'rotate-root',
      ...(await this.later()),
      keyLabel: KEY_LABEL,
      newKeyLabel: NEW_KEY_LABEL,
      ...this.life(),
      bundle: await this.#newBundle(),
      outputs: { certificate: 'root-2.pem', bundle: 'bundle-2.jws', transcript: 'rotate.transcript' },
      ...change,
    }
  }

  /** The first root out of the bundle of rotateFile(): bundle-3.jws. `usage` are files in this folder. */
  async retireFile(usage: readonly string[], change: object = {}): Promise<Record<string, unknown>> {
    const statements: InputOf[] = []
    for (const file of usage) statements.push(await this.input(file))
    return {
      type: 'retire-root',
      ...(await this.later()),
      root: await this.input('root-2.pem'),
      keyLabel: NEW_KEY_LABEL,
      retiring: await this.input('root.pem'),
      rotation: await this.input('rotate.transcript'),
      usage: statements,
      hubs: [`spiffe://${this.trustDomain}/hub/h1`],
      emergency: false,
      forget: [],
      bundle: await this.#newBundle(),
      outputs: { bundle: 'bundle-3.jws', transcript: 'retire.transcript' },
      ...change,
    }
  }

  async crossSignFile(change: object = {}): Promise<Record<string, unknown>> {
    return {
      type: 'cross-sign',
      ...(await this.later()),
      keyLabel: KEY_LABEL,
      subject: await this.input('root-2.pem'),
      notBefore: seconds(this.clock.now()),
      notAfter: seconds(this.clock.now() + 90 * DAY),
      outputs: { certificate: 'cross.pem', transcript: 'cross.transcript' },
      ...change,
    }
  }

  async bundleFile(change: object = {}): Promise<Record<string, unknown>> {
    return {
      type: 'bundle',
      ...(await this.later()),
      keyLabel: KEY_LABEL,
      bundle: await this.#newBundle(),
      forget: [],
      outputs: { bundle: 'bundle-2.jws', transcript: 'bundle.transcript' },
      ...change,
    }
  }

  /** Every live intermediate of these responses, out of bundle.jws: bundle-2.jws. */
  async revokeFile(responses: readonly string[], change: object = {}): Promise<Record<string, unknown>> {
    const ladders: InputOf[] = []
    for (const file of responses) ladders.push(await this.input(file))
    return {
      type: 'revoke-intermediate',
      ...(await this.later()),
      keyLabel: KEY_LABEL,
      bundle: await this.#newBundle(),
      hub: `spiffe://${this.trustDomain}/hub/h1`,
      ladders,
      rungs: null,
      outputs: { bundle: 'bundle-2.jws', transcript: 'revoke.transcript' },
      ...change,
    }
  }

  async destroyFile(change: object = {}): Promise<Record<string, unknown>> {
    return {
      type: 'destroy',
      ...(await this.later()),
      keyLabel: KEY_LABEL,
      spki: '0'.repeat(64),
      held: await this.input(this.held),
      outputs: { transcript: 'destroy.transcript' },
      ...change,
    }
  }

  async officersFile(quorum: Quorum, change: object = {}): Promise<Record<string, unknown>> {
    return {
      type: 'officers',
      ...(await this.later()),
      quorum,
      outputs: { officers: 'officers-2.json', transcript: 'officers.transcript' },
      ...change,
    }
  }

  /** The number after the one in force. */
  async #newBundle(): Promise<object> {
    return { held: await this.input(this.held), sequence: this.sequence + 1, refreshHint: 300 }
  }

  life(): { notBefore: string; notAfter: string } {
    return { notBefore: seconds(this.clock.now() - DAY), notAfter: seconds(this.clock.now() + 3650 * DAY) }
  }

  async input(file: string): Promise<InputOf> {
    return { file, sha256: fileDigest(await this.read(file)) }
  }

  read(file: string): Promise<Uint8Array> {
    return readFile(join(this.dir, file))
  }

  async text(file: string): Promise<string> {
    return readFile(join(this.dir, file), 'utf8')
  }

  /** The bundle in `file`, as a node opens it that pins the root. */
  async bundle(file: string = 'bundle.jws', root: string = 'root.pem'): Promise<TrustBundle> {
    const [der = new Uint8Array()] = certificatesFromPem(await this.text(root))
    const pinnedRoot = Buffer.from(sha256(der)).toString('hex')
    return openBundle(await this.text(file), { pinnedRoot }, this.clock.now())
  }
}

/** A second root of its own is another mesh. */
function isOfOther(ceremony: Ceremony): boolean {
  return ceremony.type === 'root' && ceremony.outputs.certificate !== 'root.pem'
}

/** A file that the program will refuse has nothing that an officer could approve. */
function reviewedOf(text: string): CeremonyFile | undefined {
  try {
    return parseCeremony(Buffer.from(text))
  } catch (error) {
    if (isZtError(error, 'ZT-422-CEREMONY')) return undefined
    throw error
  }
}

export function seconds(atMs: number): string {
  return new Date(Math.floor(atMs / 1000) * 1000).toISOString().replace('.000Z', 'Z')
}
