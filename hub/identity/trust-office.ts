// What operators do with bundles and ladders: see them, ask for the next ladder, put in force what comes back from the
// ceremony, and state for it which roots are still in use. Policy is asked for each, and each change is a row before it
// is a change. Nothing here is believed because an operator sent it: a root has signed it, or it is refused.
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Identity } from '#shared/identity/identity.ts'
import type { HubAction } from '#shared/policy/facts.ts'
import { inflateLadder } from '#shared/protocol/ladder-transfer.ts'
import type { HubParams, HubResults } from '#shared/protocol/hub-ops.ts'
import { signRootUsage, type RootUsage } from '#shared/protocol/root-usage.ts'
import { rootFingerprint } from '#shared/x509/bundle.ts'
import type { Rung } from '#pki/issuance/ladder.ts'
import { actorOf, type RowWriter, type WrittenRow } from '../audit/rows.ts'
import { requireAllowed, type Policy } from '../authority/policy.ts'
import type { Asking, Done } from '../registry/registry.ts'
import type { CeremonyLedger, SvidLedger } from '../store/store.ts'
import type { Rungs } from './rungs.ts'
import type { HeldBundle } from './bundle-history.ts'
import type { ImportFacts, Trust } from './trust.ts'

export interface TrustOfficeParts {
  readonly trust: Trust
  readonly rungs: Rungs
  readonly svids: Pick<SvidLedger, 'count'>
  readonly ceremonies: CeremonyLedger
  readonly policy: Policy
  readonly rows: RowWriter
  readonly clock: Clock
  readonly identity: () => Identity
  /** Brings what the hub and its broker show, and who is connected, in line with what is in force now. */
  readonly changed: () => Promise<void>
}

export class TrustOffice {
  readonly #parts: TrustOfficeParts

  constructor(parts: TrustOfficeParts) {
    this.#parts = parts
  }

  /** ZT-403-POLICY. */
  async showBundle(asking: Asking): Promise<Done<HubResults['bundle.show']>> {
    this.#require(asking, 'trust.read')
    return { result: this.#bundle() }
  }

  /** Puts a bundle in force at once. ZT-403-POLICY, ZT-401-BUNDLE, ZT-503-AUDIT. */
  async importBundle(
    { bundle }: HubParams['bundle.import'],
    asking: Asking,
  ): Promise<Done<HubResults['bundle.import']>> {
    const facts = this.#require(asking, 'bundle.import')
    const { trust, rows, changed } = this.#parts
    const { row } = await trust.import(bundle, rows, facts)
    await changed()
    return { result: this.#bundle(), row }
  }

  /** ZT-403-POLICY, ZT-503-STORE. */
  async ladder(asking: Asking): Promise<Done<HubResults['ladder.status']>> {
    this.#require(asking, 'trust.read')
    return { result: await this.#status() }
  }

  /** ZT-403-POLICY, ZT-422-CEREMONY, ZT-500-KEYSTORE, ZT-503-AUDIT. */
  async requestLadder(
    { rungs: count, fresh }: HubParams['ladder.request'],
    asking: Asking,
  ): Promise<Done<HubResults['ladder.request']>> {
    const facts = this.#require(asking, 'ladder.request')
    const { content, sha256 } = await this.#parts.rungs.request({ count, fresh })
    const obj = { sha256, rungs: count, fresh }
    const row = await this.#parts.rows.append({ type: 'ladder.requested', out: 'allow', ...facts, obj })
    return { result: { request: encodeBase64url(content), sha256 }, row }
  }

  /** ZT-403-POLICY, ZT-503-AUDIT, and those of Rungs.import(). */
  async importLadder(
    { response }: HubParams['ladder.import'],
    asking: Asking,
  ): Promise<Done<HubResults['ladder.import']>> {
    const facts = this.#require(asking, 'ladder.import')
    const { rungs, rows, changed } = this.#parts
    const content = inflateLadder(response)
    let row: WrittenRow | undefined
    await rungs.import(content, async ({ root, rungs: signed, request }) => {
      const obj = { sha256: sha256Text(content), request, root, rungs: signed.length }
      row = await rows.append({ type: 'ladder.imported', out: 'allow', ...facts, obj })
    })
    await changed()
    return { result: await this.#status(), ...(row !== undefined && { row }) }
  }

  /** The signed count for the ceremony that retires a root. ZT-403-POLICY, ZT-503-STORE, ZT-503-AUDIT. */
  async statement(asking: Asking): Promise<Done<HubResults['ladder.usage']>> {
    const facts = this.#require(asking, 'trust.read')
    const { rows, clock, identity } = this.#parts
    const roots = await this.#usage()
    const obj = { roots: roots.map(({ fingerprint, live }) => ({ root: fingerprint, live })) }
    const row = await rows.append({ type: 'root.usage', out: 'info', ...facts, obj })
    return { result: { statement: signRootUsage(identity(), { roots, now: clock.now() }), roots }, row }
  }

  /**
   * Ties a ceremony to this log. Of two that go on from the same one, or of two roots', the second is refused here
   * (ZT-409-CEREMONY); it could still be shown to who does not look into this log. ZT-403-POLICY, ZT-503-AUDIT, ZT-503-STORE.
   */
  async anchorCeremony(
    anchor: HubParams['ceremony.anchor'],
    asking: Asking,
  ): Promise<Done<HubResults['ceremony.anchor']>> {
    const facts = this.#require(asking, 'ceremony.anchor')
    const { ceremonies, rows } = this.#parts
    const link = { previous: anchor.previous ?? '', head: anchor.head }
    const known = await ceremonies.after(link.previous)
    if (known !== undefined && known !== link.head) throw forked(known)
    const row = await rows.append({ type: 'ceremony.anchored', out: 'info', ...facts, obj: { ...anchor } })
    // If we crash before this, the row stands, and the same ceremony can be anchored again.
    if (!(await ceremonies.add(link))) throw forked(await ceremonies.after(link.previous))
    return { result: row, row }
  }

  #require({ caller, request }: Asking, action: HubAction): ImportFacts {
    const judgement = this.#parts.policy.onHub(caller.id, { action })
    requireAllowed(judgement)
    return { actor: actorOf(caller), req: request, pol: judgement.row }
  }

  #bundle(): HubResults['bundle.show'] {
    const { trust } = this.#parts
    const { bundle } = trust.validator
    return {
      td: bundle.trustDomain,
      sequence: bundle.sequence,
      signer: trust.signer,
      roots: bundle.roots.map((root) => {
        const fingerprint = rootFingerprint(root)
        return { fingerprint, until: root.notAfter, since: trust.trustedSince(fingerprint) ?? 0 }
      }),
      revoked: bundle.revokedIntermediates,
      history: trust.history.slice(-MAX_HISTORY).map(historyEntry),
    }
  }

  async #status(): Promise<HubResults['ladder.status']> {
    const { rungs } = this.#parts
    const { remaining, alarm, current, next, until } = rungs.status()
    return {
      remaining,
      alarm,
      current: current ?? null,
      next: next ?? null,
      until: until ?? null,
      rungs: rungs.ahead().map(rungEntry),
      usage: await this.#usage(),
    }
  }

  /** Of every trusted root, and of any other that a live SVID chains to. */
  async #usage(): Promise<readonly RootUsage[]> {
    const { trust, svids, clock } = this.#parts
    const counts = new Map((await svids.count(clock.now())).map(({ root, live }) => [root, live]))
    // Issued by a release that did not say below which root: until those end, minutes after the update, any may be.
    const unknown = counts.get('') ?? 0
    counts.delete('')
    const trusted = trust.validator.bundle.roots.map(rootFingerprint)
    const fingerprints = [...new Set([...trusted, ...counts.keys()])]
    return fingerprints.map((fingerprint) => {
      const live = (counts.get(fingerprint) ?? 0) + unknown
      const since = trust.trustedSince(fingerprint)
      // Rounded up: the root is to be trusted no less long than the statement says.
      return { fingerprint, live, ...(since !== undefined && { since: Math.ceil(since / 1000) }) }
    })
  }
}

const MAX_HISTORY = 64

function forked(known: string | undefined): ZtError {
  return new ZtError('ZT-409-CEREMONY', 'another ceremony that goes on from the same one is anchored', {
    details: { head: known ?? '' },
  })
}

function historyEntry({ bundle, text, signer, imported }: HeldBundle): {
  readonly sequence: number
  readonly imported: number
  readonly signer: string
  readonly sha256: string
} {
  return { sequence: bundle.sequence, imported, signer, sha256: sha256Text(Buffer.from(text)) }
}

function rungEntry({
  index,
  from,
  until,
  workload,
  infra,
}: Rung): HubResults['ladder.status']['rungs'][number] {
  return {
    index,
    from,
    until,
    root: workload.root,
    workload: workload.certificate.keyId,
    infra: infra.certificate.keyId,
  }
}
