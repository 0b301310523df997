// Part of check 17: what was proved when the message came may have ended while its program was opened and hashed, which
// takes as long as the file is large. Looked at once more in the transaction that accepts the command, and nothing waits
// between that and the commit.
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { DenyList } from '#shared/protocol/deny-list.ts'
import { checkFreshness } from '#shared/protocol/envelope.ts'
import type { GrantedCommand } from '../handler.ts'

export interface StillJudge {
  readonly clock: Clock
  readonly deny: DenyList
}

/** Throws ZT-403-REVOKED, ZT-408-STALE, ZT-401-TOKEN or ZT-401-CERT for what does not hold any more. */
export function checkStillGranted(
  { sender, hub, claims, envelope }: Pick<GrantedCommand, 'sender' | 'hub' | 'claims' | 'envelope'>,
  { clock, deny }: StillJudge,
): void {
  const now = clock.now()
  deny.check(sender)
  deny.check(hub)
  if (deny.deniesId(claims.sub))
    throw new ZtError('ZT-403-REVOKED', 'the authority behind the token is revoked')
  checkFreshness({ iat: envelope.iat, exp: envelope.exp, now })
  if (now >= claims.exp * 1000) throw new ZtError('ZT-401-TOKEN', 'the token has expired')
  // RFC 5280 §4.1.2.5: the second that notAfter names is the last one.
  if (now >= sender.notAfter + 1000)
    throw new ZtError('ZT-401-CERT', 'the certificate of the sender has ended', {
      details: { reason: 'expired' },
    })
}
