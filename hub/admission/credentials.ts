// Makes the credentials of an admitted principal: an SVID and a NATS user JWT that end together. They are released only
// when their row is written and the principal is still not denied.
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { thumbprint } from '#shared/jose/keys.ts'
import type { Credentials, LogIdentity, NatsAccess, NatsKeyProof } from '#shared/protocol/admission.ts'
import { verifyNkeySignature } from '#shared/nats/nkeys.ts'
import type { VerifiedCsr } from '#shared/x509/csr.ts'
import { issueSvid, type IssuedSvid } from '#pki/issuance/issue.ts'
import type { RungIssuer } from '#pki/issuance/ladder.ts'
import type { JsonObject } from '#shared/encoding/json-value.ts'
import type { NodeAttestation } from '#shared/protocol/node-inspection.ts'
import type { RowWriter, WrittenRow } from '../audit/rows.ts'
import type { Denials } from '../revocation/denials.ts'
import type { CredentialStore, NodeStore, NodeVoice, SvidLedger } from '../store/store.ts'

export interface CredentialParts {
  readonly clock: Clock
  readonly rows: RowWriter
  readonly store: CredentialStore
  readonly svids: Pick<SvidLedger, 'record'>
  readonly nodes: Pick<NodeStore, 'speaks'>
  readonly denials: Denials
  /** The workload CA of this moment. Throws ZT-503-LADDER. */
  readonly issuer: () => RungIssuer
  readonly svidTtlMs: number
  /** See NatsAuthority.userJwt(). */
  readonly userJwt: (user: {
    readonly id: SpiffeId
    readonly publicKey: string
    readonly expires: number
  }) => string
  /** Ends the NATS connections and tokens of these user keys; see Broker.revoke(). */
  readonly revokeUsers: (publicKeys: readonly string[]) => Promise<void>
  readonly nats: NatsAccess
  readonly bundle: () => string
  readonly hubKey: () => string
  readonly hubLog: LogIdentity
}

export interface CredentialOrder {
  readonly id: SpiffeId
  readonly csr: VerifiedCsr
  readonly natsKey: string
  /** of a node whose SVID is of no use for TLS: who it is on its connection */
  readonly link?: { readonly id: SpiffeId; readonly csr: VerifiedCsr }
  /** of a node: the machine that gets them */
  readonly machine?: { readonly name: string; readonly device: Uint8Array }
  /** ties the rows of one admission together */
  readonly txn: string
  /** what the SVID stands on, for its row */
  readonly grounds?: JsonObject
}

/** Credentials, and the row that says so. */
export interface Issued {
  readonly credentials: Credentials
  readonly link?: {
    /** base64url DER: leaf, intermediate */
    readonly chain: readonly string[]
    readonly serial: string
    readonly x5t: string
  }
  readonly svid: NodeAttestation['svid']
  readonly row: WrittenRow
}

/** Throws ZT-401-EVIDENCE unless the holder of the NATS key signed the transcript. */
export function requireNatsProof(nats: NatsKeyProof, transcript: Uint8Array): void {
  try {
    verifyNkeySignature(nats.publicKey, transcript, decodeBase64url(nats.proof, 'nats.proof'))
  } catch (cause) {
    throw new ZtError('ZT-401-EVIDENCE', 'the proof of the nats key does not hold', { cause })
  }
}

interface IssuedCertificate extends IssuedSvid {
  readonly id: SpiffeId
  /** base64url SHA-256 of the leaf */
  readonly thumbprint: string
}

const shown = ({ chain, serial, thumbprint: x5t }: IssuedCertificate): NonNullable<Issued['link']> => ({
  chain: chain.map(encodeBase64url),
  serial,
  x5t,
})

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

export class CredentialIssuer {
  readonly #parts: CredentialParts

  constructor(parts: CredentialParts) {
    this.#parts = parts
  }

  /** Throws ZT-401-EVIDENCE, ZT-403-REVOKED, ZT-503-LADDER, ZT-503-STORE, ZT-503-AUDIT: then nothing was given out. */
  async issue(order: CredentialOrder): Promise<Credentials> {
    return (await this.issueNoted(order)).credentials
  }

  /** The same, with what was written about it. */
  async issueNoted(order: CredentialOrder): Promise<Issued> {
    const { clock, denials, store, svids } = this.#parts
    const now = clock.now()
    const issuer = this.#parts.issuer()
    const svid = this.#certify(order, issuer, now)
    const link = order.link === undefined ? undefined : this.#certify(order.link, issuer, now)
    // The whole second in which SVID, link and user JWT end.
    const expires = svid.notAfter
    const natsJwt = this.#parts.userJwt({ id: order.id, publicKey: order.natsKey, expires })
    // Known to a revocation before it is known to its holder.
    const { id, natsKey, machine } = order
    const { thumbprint: print } = svid
    const device = machine === undefined ? {} : { device: machine.device }
    const below = { issuer: issuer.certificate.keyId, root: issuer.root, expires }
    await Promise.all([
      store.add({ id, natsKey, thumbprint: print, expires, ...device }),
      svids.record({ thumbprint: print, id, ...below }),
      link && svids.record({ thumbprint: link.thumbprint, id: link.id, ...below }),
    ])
    const row = await this.#writeRow(order, svid, link)
    // A machine that takes the name over during the writes above has ended the credential, or is found here.
    if (machine !== undefined) await this.#requireVoice({ name: machine.name, id, thumbprint: print })
    // A revocation during the writes above has either found the credential in the store, or is found here.
    denials.list.check({ id, thumbprint: print })
    if (link !== undefined) denials.list.check(link)
    const { serial, notBefore, notAfter } = svid
    return {
      credentials: this.#answer(svid, natsJwt),
      svid: { serial, x5t: print, notBefore, notAfter },
      ...(link !== undefined && { link: shown(link) }),
      row,
    }
  }

  /** Ends what other machines than this one hold under its name. Errors: those of Broker.revoke(). */
  async endOthers(id: SpiffeId, device: Uint8Array): Promise<void> {
    const { store, clock, revokeUsers } = this.#parts
    const live = await store.live(id, clock.now())
    const others = live.filter((held) => held.device === undefined || !sameBytes(held.device, device))
    await revokeUsers(others.map((held) => held.natsKey))
  }

  #certify(
    { id, csr }: Pick<CredentialOrder, 'id' | 'csr'>,
    issuer: RungIssuer,
    now: number,
  ): IssuedCertificate {
    const svid = issueSvid({ issuer, csr, id, ttlMs: this.#parts.svidTtlMs, now })
    return { ...svid, id, thumbprint: thumbprint(svid.chain[0] ?? new Uint8Array()) }
  }

  async #requireVoice(voice: NodeVoice): Promise<void> {
    if (await this.#parts.nodes.speaks(voice)) return
    throw new ZtError('ZT-401-EVIDENCE', 'another machine has taken the name over')
  }

  #writeRow(
    order: CredentialOrder,
    svid: IssuedCertificate,
    link: IssuedCertificate | undefined,
  ): Promise<WrittenRow> {
    return this.#parts.rows.append({
      type: 'svid.issued',
      out: 'allow',
      txn: order.txn,
      actor: { sub: order.id, x5t: svid.thumbprint },
      obj: {
        serial: svid.serial,
        not_before: svid.notBefore,
        not_after: svid.notAfter,
        nats: order.natsKey,
        ...(link !== undefined && { link: { serial: link.serial, x5t: link.thumbprint } }),
        ...order.grounds,
      },
    })
  }

  #answer(svid: IssuedSvid, natsJwt: string): Credentials {
    const { nats, bundle, hubKey, hubLog } = this.#parts
    return {
      svid: svid.chain.map(encodeBase64url),
      nats_jwt: natsJwt,
      nats,
      bundle: bundle(),
      hub_key: hubKey(),
      hub_log: hubLog,
      expires: svid.notAfter,
    }
  }
}
