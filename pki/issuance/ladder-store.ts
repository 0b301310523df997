// A hub's ladder on disk: requests and responses as they crossed the air gap, numbered, beside the sealed keys. Opening
// it verifies every response again under the trusted roots; a file that was changed stops the hub.
import { randomBytes, type KeyObject } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ZtError } from '#shared/errors/error.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { trustDomainOf } from '#shared/identity/spiffe-id.ts'
import { parseTrustDomain } from '#shared/identity/names.ts'
import { rootFingerprint, type TrustBundle } from '#shared/x509/bundle.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import { createFile, privateFolder } from '../keystore/private-file.ts'
import type { SealedKeyStore } from '../keystore/sealed-file.ts'
import { Ladder, type Rung, type RungIssuer } from './ladder.ts'
import {
  broken,
  encodeLadderRequest,
  fileDigest,
  MAX_RUNGS,
  parseLadderRequest,
  provePossession,
  type LadderHead,
  type LadderRequest,
  type RequestedKey,
  type RequestedRung,
  type Role,
  type Slot,
} from './ladder-request.ts'
import {
  parseLadderResponse,
  verifyLadderResponse,
  type LadderResponse,
  type SignedRung,
} from './ladder-response.ts'
import { RUNG_MARGIN_MS, RUNG_MS } from './profile.ts'

export interface LadderStoreOptions {
  /** made if it is missing, mode 0700 */
  readonly dir: string
  /** where the intermediates' keys are sealed */
  readonly keys: SealedKeyStore
  readonly hub: SpiffeId
  /** UTC, milliseconds: rungs that are over need no key */
  readonly now: number
}

export interface WrittenRequest {
  /** what goes to the ceremony */
  readonly file: string
  /** hex SHA-256 of it: what the ceremony file must say */
  readonly sha256: string
  readonly request: LadderRequest
}

/** One ceremony's part of the ladder. */
interface Step {
  readonly digest: string
  readonly response: LadderResponse
  /** absent: its root is not trusted any more, so its rungs are not used */
  readonly request?: LadderRequest
}

/** Where a new request begins. */
interface FirstSlot {
  readonly index: number
  /** UTC, milliseconds */
  readonly from: number
}

/** Under what the ladder stands. */
interface Trust {
  readonly bundle: TrustBundle | undefined
  /** UTC, milliseconds */
  readonly now: number
}

const RESPONSE_FILE = /^response-\d{6}\.json$/

export class LadderStore {
  readonly #options: LadderStoreOptions
  // Written only by importResponse(): the file first, then these.
  #steps: readonly Step[] = []
  #ladder = new Ladder([])

  private constructor(options: LadderStoreOptions) {
    this.#options = options
  }

  /**
   * Reads and verifies what is there. Rungs of a root that `bundle` does not have, and rungs that it revokes, are not
   * used, so without a bundle the ladder is empty. Throws ZT-422-CEREMONY, ZT-412-LINT or ZT-401-CERT for a response
   * that does not verify, ZT-404-KEY for a rung whose key is gone.
   */
  static async open(options: LadderStoreOptions, bundle: TrustBundle | undefined): Promise<LadderStore> {
    await privateFolder(options.dir, 'ladder folder')
    const store = new LadderStore(options)
    const names = (await readdir(options.dir)).filter((name) => RESPONSE_FILE.test(name)).toSorted()
    for (const [at, name] of names.entries()) {
      if (name !== responseName(at)) throw broken('check-chain', `file "${responseName(at)}" is missing`)
      const content = await readFile(join(options.dir, name))
      store.#steps = [...store.#steps, await store.#read(content, bundle)]
    }
    store.#ladder = await store.#build(store.#steps, { bundle, now: options.now })
    return store
  }

  /** The ladder as it is now; importResponse() makes a new one. */
  get ladder(): Ladder {
    return this.#ladder
  }

  /**
   * Makes keys for `count` rungs, seals them, and writes the request. It goes on where the last rung ends; if that is
   * past, or if `fresh`, it begins anew at `now`. Throws ZT-422-CEREMONY for a count that is not 1 to 30.
   */
  async makeRequest(wish: {
    readonly count: number
    readonly now: number
    readonly fresh?: boolean
  }): Promise<WrittenRequest> {
    if (!Number.isSafeInteger(wish.count) || wish.count < 1 || wish.count > MAX_RUNGS) {
      throw broken('check-count', `a ladder has 1 to ${MAX_RUNGS} rungs`)
    }
    const { head, first } = this.#start(wish.now, wish.fresh === true)
    const rungs: RequestedRung[] = []
    for (let at = 0; at < wish.count; at += 1) {
      const from = first.from + at * RUNG_MS
      rungs.push(await this.#requestRung(head, { index: first.index + at, from, until: from + RUNG_MS }))
    }
    const request = { ...head, rungs }
    const content = encodeLadderRequest(request)
    const sha256 = fileDigest(content)
    const file = join(this.#options.dir, requestName(sha256))
    await createFile(file, content)
    return { file, sha256, request }
  }

  /**
   * Verifies a response against its request, the trusted roots and what was imported before, keeps it, and steps onto
   * it. `announce` is awaited when all is verified and nothing is kept yet. Throws as open() does, and what `announce`
   * throws; ZT-409-EXISTS for one that was imported before.
   */
  async importResponse(
    content: Uint8Array,
    trust: { readonly bundle: TrustBundle; readonly now: number },
    announce: (response: LadderResponse) => Promise<void> = () => Promise.resolve(),
  ): Promise<Ladder> {
    if (this.#steps.some((known) => known.digest === fileDigest(content))) {
      throw new ZtError('ZT-409-EXISTS', 'this ladder response was imported before')
    }
    const step = await this.#read(content, trust.bundle)
    if (step.request === undefined)
      throw broken('check-root', 'the response is of a root that is not trusted')
    const steps = [...this.#steps, step]
    // Its keys must open before it is kept: a rung without a key would stop the hub at its next start.
    const ladder = await this.#build(steps, trust)
    await announce(step.response)
    await createFile(join(this.#options.dir, responseName(this.#steps.length)), content)
    // If we crash here, open() finds the file and takes the same step.
    this.#steps = steps
    this.#ladder = ladder
    return ladder
  }

  #start(now: number, fresh: boolean): { head: LadderHead; first: FirstSlot } {
    const { hub } = this.#options
    const nonce = randomBytes(32).toString('hex')
    const head = { trustDomain: parseTrustDomain(trustDomainOf(hub)), hub, nonce }
    const last = this.#steps.at(-1)
    const end = last?.response.rungs.at(-1)
    if (fresh || last === undefined || end === undefined || end.until <= now) {
      return { head: { ...head, previous: null }, first: { index: 0, from: Math.floor(now / 1000) * 1000 } }
    }
    return { head: { ...head, previous: last.digest }, first: { index: end.index + 1, from: end.until } }
  }

  async #requestRung(head: LadderHead, slot: Slot): Promise<RequestedRung> {
    return {
      ...slot,
      workload: await this.#requestKey(head, slot, 'workload'),
      infra: await this.#requestKey(head, slot, 'infra'),
    }
  }

  async #requestKey(head: LadderHead, slot: Slot, role: Role): Promise<RequestedKey> {
    const { keys } = this.#options
    const label = keyLabel(head.nonce, slot.index, role)
    const { spki } = await keys.generate({ label, curve: 'P-256' })
    return provePossession(head, slot, { role, spki, privateKey: await keys.unseal(label) })
  }

  async #read(content: Uint8Array, bundle: TrustBundle | undefined): Promise<Step> {
    const response = parseLadderResponse(content)
    const digest = fileDigest(content)
    this.#checkChain(response)
    const root = bundle?.roots.find((known) => rootFingerprint(known) === response.root)
    if (root === undefined) return { digest, response }
    const request = parseLadderRequest(await this.#readRequest(response.request))
    if (request.hub !== this.#options.hub) throw broken('check-request', 'the response is for another hub')
    verifyLadderResponse(response, { request, requestDigest: response.request, root })
    return { digest, response, request }
  }

  /** A response goes on from the last one, or begins anew; it never goes on from an older one. */
  #checkChain(response: LadderResponse): void {
    if (response.previous !== null && response.previous !== this.#steps.at(-1)?.digest) {
      throw broken('check-chain', 'the response does not go on from the last one that was imported')
    }
  }

  async #readRequest(digest: string): Promise<Uint8Array> {
    let content: Uint8Array
    try {
      content = await readFile(join(this.#options.dir, requestName(digest)))
    } catch (error) {
      throw broken('check-request', 'the response answers a request that is not here', error)
    }
    if (fileDigest(content) !== digest)
      throw broken('check-request', 'the request was changed since it was made')
    return content
  }

  async #build(steps: readonly Step[], trust: Trust): Promise<Ladder> {
    const revoked = new Set(trust.bundle?.revokedIntermediates)
    const isUsable = ({ until, workload, infra }: SignedRung): boolean =>
      until + RUNG_MARGIN_MS > trust.now && !revoked.has(workload.keyId) && !revoked.has(infra.keyId)
    const rungs: Rung[] = []
    for (const { response, request } of steps) {
      if (request === undefined) continue
      const { nonce } = request
      for (const rung of response.rungs.filter(isUsable)) {
        const issuer = async (role: Role): Promise<RungIssuer> => ({
          root: response.root,
          certificate: rung[role],
          key: await this.#unseal(keyLabel(nonce, rung.index, role), rung[role]),
        })
        rungs.push({
          index: rung.index,
          from: rung.from,
          until: rung.until,
          workload: await issuer('workload'),
          infra: await issuer('infra'),
        })
      }
    }
    return new Ladder(rungs)
  }

  async #unseal(label: string, certificate: Certificate): Promise<KeyObject> {
    const { keys } = this.#options
    const stored = await keys.find(label)
    if (stored !== undefined && Buffer.compare(stored.spki, certificate.spki) !== 0) {
      throw broken('check-keys', 'a sealed key is not that of its intermediate')
    }
    return keys.unseal(label)
  }
}

function keyLabel(nonce: string, index: number, role: Role): string {
  return `ladder-${nonce.slice(0, 16)}-${index}-${role}`
}

function requestName(digest: string): string {
  return `request-${digest}.json`
}

function responseName(at: number): string {
  return `response-${String(at).padStart(6, '0')}.json`
}
