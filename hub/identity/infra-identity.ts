// Who the hub is: its own SVID from the infra CA, five minutes long like everybody's, renewed at half of its life. Its
// key is made anew each time and is in memory only. The broker's certificate is made here too, with a life of hours.
import { ZtError } from '#shared/errors/error.ts'
import type { Clock, Timer } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { Identity } from '#shared/identity/identity.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateP256, thumbprint } from '#shared/jose/keys.ts'
import { issueInfraLeaf } from '#pki/issuance/issue.ts'
import type { RungIssuer } from '#pki/issuance/ladder.ts'
import type { RowWriter } from '../audit/rows.ts'
import type { SvidLedger } from '../store/store.ts'

export interface InfraParts {
  readonly id: SpiffeId
  readonly dnsNames: readonly string[]
  /** Throws ZT-503-LADDER. */
  readonly issuer: () => RungIssuer
  readonly ttlMs: number
  readonly clock: Clock
  readonly rows: RowWriter
  readonly svids: Pick<SvidLedger, 'record'>
  readonly log: Logger
}

/** Called with each new identity, and again with it while it rejects; the identity is the current one in any case. */
export type RenewalListener = (identity: Identity) => Promise<void>

const RETRY_MS = 2000
const LOOK_MS = 5000

interface Made {
  readonly identity: Identity
  readonly serial: string
  readonly issuer: RungIssuer
}

function makeIdentity(parts: InfraParts): Made {
  const { id, dnsNames, ttlMs, clock } = parts
  const issuer = parts.issuer()
  const { privateKey, publicKey, spki } = generateP256()
  const order = { issuer, csr: { spki, publicKey }, id, ttlMs, now: clock.now(), dnsNames, ips: [] }
  const { chain, notBefore, notAfter, serial } = issueInfraLeaf(order)
  const leaf = chain[0] ?? new Uint8Array()
  const identity = { id, chain, key: privateKey, notBefore, notAfter, thumbprint: thumbprint(leaf) }
  return { identity: Object.freeze(identity), serial, issuer }
}

export class InfraIdentity {
  readonly #parts: InfraParts
  #current: Identity
  #issuedAt: number
  #timer: Timer | undefined
  #listener: RenewalListener | undefined
  #inUse = true
  /** One renewal after the other. */
  #last: Promise<unknown> = Promise.resolve()
  #closed = false

  private constructor(parts: InfraParts, first: Identity) {
    this.#parts = parts
    this.#current = first
    this.#issuedAt = parts.clock.now()
  }

  /** The first identity, its row written. Throws ZT-503-LADDER, ZT-503-AUDIT, ZT-422-NAME. */
  static async open(parts: InfraParts): Promise<InfraIdentity> {
    return new InfraIdentity(parts, await issued(parts))
  }

  /** The identity of this moment. Throws ZT-503-LADDER if it has ended and none could follow it. */
  current(): Identity {
    if (this.#parts.clock.now() < this.#current.notAfter) return this.#current
    throw new ZtError('ZT-503-LADDER', 'the identity of the hub has ended')
  }

  /** Renews by itself from now on. */
  start(listener: RenewalListener): void {
    this.#listener = listener
    this.#watch(this.#untilLook())
  }

  /**
   * Renews at once, and resolves when the new identity is in use. Throws ZT-503-LADDER, ZT-503-AUDIT: then the one before
   * stays; and what the listener rejects with: then it is offered the new one again.
   */
  renewNow(): Promise<void> {
    return this.#inTurn(async () => {
      this.#current = await issued(this.#parts)
      this.#issuedAt = this.#parts.clock.now()
      this.#inUse = false
      await this.#putInUse()
    })
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  #renewAt(): number {
    return (this.#issuedAt + this.#current.notAfter) / 2
  }

  // Looked at often rather than timed once: the wall clock, which decides, may jump.
  #watch(delayMs: number): void {
    if (this.#closed) return
    this.#timer = this.#parts.clock.after(delayMs, () => void this.#look())
  }

  #untilLook(): number {
    return Math.min(Math.max(0, this.#renewAt() - this.#parts.clock.now()), LOOK_MS)
  }

  async #look(): Promise<void> {
    const { log, id, clock } = this.#parts
    const now = clock.now()
    try {
      if (now >= this.#renewAt() || now < this.#current.notBefore) await this.renewNow()
      else if (!this.#inUse) await this.#inTurn(() => this.#putInUse())
      this.#watch(this.#untilLook())
    } catch (error) {
      log.error('an identity of the hub could not be renewed or put in use', { id, error })
      this.#watch(RETRY_MS)
    }
  }

  async #putInUse(): Promise<void> {
    await this.#listener?.(this.#current)
    this.#inUse = true
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(() => (this.#closed ? undefined : work()))
    this.#last = done.catch(() => undefined)
    return done
  }
}

async function issued(parts: InfraParts): Promise<Identity> {
  const { identity, serial, issuer } = makeIdentity(parts)
  const { id, thumbprint: print, notAfter } = identity
  await parts.rows.append({
    type: 'svid.rotated',
    out: 'allow',
    actor: { sub: id, x5t: print },
    obj: { serial, not_after: notAfter },
  })
  // Known to whoever counts before it is shown to anybody.
  const below = { issuer: issuer.certificate.keyId, root: issuer.root }
  await parts.svids.record({ thumbprint: print, id, expires: notAfter, ...below })
  return identity
}
