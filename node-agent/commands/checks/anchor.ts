// Check 16: a node whose history nobody else has seen for a minute does nothing that needs more than the default trust.
import { ZtError } from '#shared/errors/error.ts'
import type { Command } from '#shared/protocol/command.ts'
import { DEFAULT_CAPABILITIES } from '#shared/protocol/sandbox-capability.ts'

export interface AnchorRule {
  readonly requiredFor: 'privileged-spawns' | 'every-spawn'
  readonly maxAgeMs: number
}

/** True for a spawn with more than what every process may have. */
function isPrivileged(cmd: Command): boolean {
  return cmd.op === 'process.spawn' && cmd.sandbox.caps.some((name) => !DEFAULT_CAPABILITIES.includes(name))
}

/** True for what somebody may want undone and unseen: its rows are anchored at once, not with the next interval. */
export function isAnchoredAtOnce(cmd: Command): boolean {
  return cmd.op === 'process.kill' || isPrivileged(cmd)
}

/** `ageMs`: since the hub last confirmed a head of this log; Infinity if it never did. ZT-503-ANCHOR. */
export function checkAnchor(cmd: Command, ageMs: number, rule: AnchorRule): void {
  const needed = isPrivileged(cmd) || (rule.requiredFor === 'every-spawn' && cmd.op === 'process.spawn')
  if (!needed || ageMs <= rule.maxAgeMs) return
  throw new ZtError('ZT-503-ANCHOR', "this node's log is not anchored freshly enough for this command")
}
