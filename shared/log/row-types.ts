// The closed catalogue of what a row can be about. A new one is added here, and old verifiers then refuse it.

export const ROW_TYPES = [
  // the log itself
  'log.genesis',
  'log.recovered',
  'log.forked',
  'key.rotated',
  'clock.stepped',
  'heartbeat',
  'flood.aggregated',
  // identities
  'node.joining',
  'node.joined',
  'node.attested',
  'node.refused',
  'join.token_issued',
  'svid.issued',
  'svid.rotated',
  'svid.denied',
  'jwt.issued',
  'jwt.key_made',
  'task.ended',
  'operator.login',
  'operator.refused',
  'identity.revoked',
  'identity.restored',
  'deny.updated',
  'nats.jwt_issued',
  'ladder.stepped',
  'ladder.alarm',
  'ladder.requested',
  'ladder.imported',
  'root.usage',
  'bundle.imported',
  'ceremony.anchored',
  // commands and processes
  'cmd.accepted',
  'cmd.rejected',
  'cmd.failed',
  'cmd.outcome_unknown',
  'proc.started',
  'proc.exited',
  'proc.killed',
  'proc.watched',
  'proc.listed',
  'sandbox.blocked',
  // authority
  'token.minted',
  'token.refused',
  'token.expired_unused',
  'approval.requested',
  'approval.decided',
  'policy.staged',
  'policy.activated',
  'policy.rejected',
  'elevation.granted',
  'elevation.denied',
  'chain.verified',
  'chain.rejected',
  // evidence
  'checkpoint.signed',
  'anchor.sent',
  'anchor.received',
  'anchor.confirmed',
  'anchor.rejected',
  'anchor.stale',
  'witness.cosigned',
  'equivocation.detected',
  'audit.read',
  'audit.exported',
  'audit.verified',
] as const

export type RowType = (typeof ROW_TYPES)[number]

export const ROW_OUTCOMES = ['allow', 'deny', 'error', 'info'] as const

export type RowOutcome = (typeof ROW_OUTCOMES)[number]
