// How far a message came, and what was proved of it on the way: what a row about its refusal may say. Unproved claims
// of a message never get in here.
import type { VerifiedSvid } from '#shared/x509/svid.ts'
import type { RowDraft } from '#shared/log/row.ts'
import type { CapabilityClaims } from '#shared/protocol/capability.ts'
import type { CommandEnvelope } from '#shared/protocol/envelope.ts'

export class Trail {
  /** number of the check that runs (authority-and-audit.md §4.4) */
  check = 0
  /** base64url SHA-256 of the bytes as they came */
  envelopeSha256: string | undefined
  /** set after check 5 */
  sender: VerifiedSvid | undefined
  /** set after check 7: read, and from its signer to us */
  envelope: CommandEnvelope | undefined
  /** set after check 10 */
  claims: CapabilityClaims | undefined

  /** Runs one check under its number. */
  run<T>(check: number, action: () => T): T {
    this.check = check
    return action()
  }

  /** The fields that accepted and refused messages have in common. */
  row(): Pick<RowDraft, 'actor' | 'req' | 'pol' | 'cmd' | 'txn'> {
    const { sender, envelope, claims, envelopeSha256: env } = this
    return {
      ...(envelope !== undefined && { cmd: envelope.jti }),
      ...(claims !== undefined && { txn: claims.txn, pol: policyOf(claims) }),
      ...(sender !== undefined && { actor: actorOf(sender, claims) }),
      ...(env !== undefined && { req: { env, ...requestOf(envelope, claims) } }),
    }
  }
}

function actorOf(sender: VerifiedSvid, claims: CapabilityClaims | undefined): NonNullable<RowDraft['actor']> {
  const peer = { caller: sender.id, x5t: sender.thumbprint }
  return claims === undefined ? peer : { ...peer, sub: claims.sub, executor: claims.aud }
}

function requestOf(
  envelope: CommandEnvelope | undefined,
  claims: CapabilityClaims | undefined,
): NonNullable<RowDraft['req']> {
  return {
    ...(envelope !== undefined && { tok: envelope.tth, nonce: envelope.nonce }),
    ...(claims !== undefined && { jti: claims.jti }),
  }
}

function policyOf(claims: CapabilityClaims): NonNullable<RowDraft['pol']> {
  const { bundle, ver, decision, reasons } = claims.pol
  return {
    bundle,
    ver,
    decision,
    reasons: reasons.map((reason) => reason.replace(/[^ -~]/g, '?').slice(0, 256)),
  }
}
