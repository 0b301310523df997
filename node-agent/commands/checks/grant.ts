// Checks 10 to 14 of authority-and-audit.md §4.4: whether somebody who may say so has allowed exactly this command, once,
// to this sender, on this node, and whether the node's owner has not forbidden it.
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { matchCommand, type AuthorizationDetail } from '#shared/protocol/authorization.ts'
import {
  checkApprovals,
  checkTrustChain,
  verifyCapability,
  type CapabilityClaims,
} from '#shared/protocol/capability.ts'
import type { Command } from '#shared/protocol/command.ts'
import type { DenyList } from '#shared/protocol/deny-list.ts'
import { identityAgent } from '#shared/protocol/sandbox-capability.ts'
import type { SvidValidator, VerifiedSvid } from '#shared/x509/svid.ts'
import type { Marks } from '../../audit/marks.ts'
import { refuseBeforeMemory } from '../../audit/memory-start.ts'
import type { Trail } from '../trail.ts'
import type { ProvenEnvelope } from './envelope.ts'

/** What the node's owner allows, whatever the hub says: it can only take away. */
export interface LocalPolicy {
  readonly capabilities: readonly string[]
  /** exact SPIFFE IDs; undefined: whoever the hub lets through */
  readonly callers: readonly string[] | undefined
}

export interface GrantJudge {
  readonly me: SpiffeId
  readonly clock: Clock
  readonly trust: SvidValidator
  readonly deny: DenyList
  readonly marks: Marks
  readonly policy: LocalPolicy
  /** this start of the machine, and this joining, as the hub counts */
  readonly boot: string
  readonly fence: () => number
}

export interface Grant {
  readonly claims: CapabilityClaims
  readonly detail: AuthorizationDetail
  /** that signed the token */
  readonly hub: VerifiedSvid
}

/** The token's claims and the one thing that it grants. Throws the code of its check. */
export function proveGrant(proven: ProvenEnvelope, judge: GrantJudge, trail: Trail): Grant {
  const { envelope, sender } = proven
  const { claims, detail, hub } = trail.run(10, () => proveToken(proven, judge))
  trail.claims = claims
  trail.run(11, () => matchCommand(envelope.cmd, detail))
  trail.run(12, () => checkTrustChain(envelope.chain, claims))
  trail.run(13, () => checkApprovals(claims))
  trail.run(14, () => {
    checkPolicyVersion(claims, judge.marks)
    checkLocalPolicy({ cmd: envelope.cmd, caller: sender.id, origin: claims.sub }, judge.policy)
  })
  return { claims, detail, hub }
}

function proveToken({ envelope, sender }: ProvenEnvelope, judge: GrantJudge): Grant {
  const { claims, detail, hub } = verifyCapability(envelope.tok, {
    trust: judge.trust,
    now: judge.clock.now(),
    aud: judge.me,
    holder: { id: sender.id, thumbprint: sender.thumbprint },
    tth: envelope.tth,
    boot: judge.boot,
    fence: judge.fence(),
  })
  // A hub that was revoked grants nothing; a revoked person lends nobody their authority.
  judge.deny.check(hub)
  if (judge.deny.deniesId(claims.sub))
    throw new ZtError('ZT-403-REVOKED', 'the authority behind the token is revoked')
  refuseBeforeMemory(judge.marks, 'token', claims.iat)
  return { claims, detail, hub }
}

/**
 * A decision under an older policy may be one that the newer would not make. Every token that verified says what the
 * hub's version is, so it also teaches the node.
 */
function checkPolicyVersion({ pol }: CapabilityClaims, marks: Marks): void {
  const newest = marks.value('policy') ?? 0
  if (pol.ver < newest || pol.ver < pol.min_ver) {
    throw new ZtError(
      'ZT-412-POLICY-STALE',
      'the token was decided under an older policy than the one in force',
      {
        details: { decided: pol.ver, newest: Math.max(newest, pol.min_ver) },
      },
    )
  }
  marks.raise('policy', pol.ver)
}

function checkLocalPolicy(
  asked: { readonly cmd: Command; readonly caller: SpiffeId; readonly origin: string },
  policy: LocalPolicy,
): void {
  const { callers } = policy
  const known = callers === undefined || (callers.includes(asked.caller) && callers.includes(asked.origin))
  if (!known) throw refuse('caller', 'this node takes no commands from this caller')
  if (asked.cmd.op !== 'process.spawn') return
  const refused = asked.cmd.sandbox.caps.find((capability) => !gives(policy, capability))
  if (refused !== undefined)
    throw refuse('capability', 'this node does not give a capability that was asked for', refused)
}

/** `identity:*` stands for the identity of any agent; every other name is exact. */
function gives({ capabilities }: LocalPolicy, asked: string): boolean {
  const isIdentity = identityAgent([asked]) !== undefined
  return capabilities.includes(asked) || (isIdentity && capabilities.includes('identity:*'))
}

function refuse(rule: string, what: string, value?: string): ZtError {
  const details = value === undefined ? { local: rule } : { local: rule, value: value.slice(0, 256) }
  return new ZtError('ZT-403-POLICY', what, { details })
}
