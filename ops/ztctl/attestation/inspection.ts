// How the proof of a node is shown. The hub's answer names the rows of its log that say the same.
import type { NodeEntry } from '#shared/protocol/hub-ops.ts'
import type { NodeAttestation, NodeInspection } from '#shared/protocol/node-inspection.ts'
import { safeText } from '../output/safe-text.ts'
import { rfc3339, shortDuration } from '../output/time.ts'

const ASSURANCE = ['-', 'join token', 'TPM', 'TPM + image'] as const

const HOW = {
  'join-token': 'by its join token',
  'device-key': 'by its device key',
  tpm: 'by a quote of its TPM',
} as const
const SVID_KEY = {
  soft: 'in the memory of the agent',
  tpm: 'in the TPM, certified by it',
} as const

/** The level, in words; identity.md §4 T9: a key in memory is never shown as one in the TPM. */
export function assuranceText({ lvl, svidKey }: Pick<NodeEntry, 'lvl' | 'svidKey'>): string {
  const level = ASSURANCE[lvl] ?? String(lvl)
  return lvl > 1 && svidKey === 'soft' ? `${level}, soft key` : level
}

/** Lines of a label and a value, for people. */
export function inspectionText(node: NodeInspection, now: number): string {
  const lines: [string, string][] = [
    ['node', node.id],
    ['state', node.state],
    ['assurance', assuranceText({ lvl: node.lvl, svidKey: node.attestation?.svidKey ?? null })],
    ...attestationLines(node.attestation, now),
    ...policyLines(node),
    ...tpmLines(node, now),
    ['device', node.device === null ? 'none' : `sha-256:${node.device}`],
    ['boot', `${node.boot === '' ? 'none' : node.boot}, fence ${node.fence}`],
    ['log', node.log ?? 'none'],
  ]
  return lines.map(([label, value]) => `${label.padEnd(12)} ${safeText(value)}\n`).join('')
}

function attestationLines(attestation: NodeAttestation | null, now: number): [string, string][] {
  if (attestation === null) return [['proved', 'never']]
  const { at, how, evidence, svid, svidKey, link, rows } = attestation
  const left = svid.notAfter - now
  const life = left > 0 ? `${shortDuration(left)} left` : `ended ${shortDuration(-left)} ago`
  const lines: [string, string][] = [
    ['proved', `${shortDuration(now - at)} ago, ${HOW[how]}; row ${rows.attested} of the hub's log`],
    ['evidence', evidence],
    ['svid', `serial ${svid.serial}, ${life}; row ${rows.issued} of the hub's log`],
    ['svid key', SVID_KEY[svidKey]],
  ]
  if (link !== undefined) lines.push(['link', `${link.x5t}: its connection, with a key in memory`])
  return lines
}

function policyLines({ attestation, tpm, policy }: NodeInspection): [string, string][] {
  if (tpm === null || attestation === null) return []
  const accepted = attestation.policy
  if (accepted !== null)
    return [['accepted by', `set ${accepted.set} of PCR policy ${accepted.version} (${accepted.digest})`]]
  return [['accepted by', policy === null ? 'no PCR policy: any values' : 'no PCR policy at that time']]
}

function tpmLines({ tpm }: NodeInspection, now: number): [string, string][] {
  if (tpm === null) return []
  const lines: [string, string][] = [
    ['tpm', tpm.maker],
    ['ek', `sha-256 ${tpm.ek}`],
  ]
  if (tpm.quote !== null) {
    const { resets, restarts, safe, firmware } = tpm.quote.clock
    const clock = `${resets} resets, ${restarts} restarts, clock ${safe ? 'safe' : 'not safe'}`
    lines.push(['quoted', `${shortDuration(now - tpm.quote.at)} ago: ${clock}, firmware ${firmware}`])
  }
  if (tpm.drifted !== null) {
    const { at, row } = tpm.drifted
    lines.push(['drifted', `${shortDuration(now - at)} ago; row ${row} of the hub's log`])
  }
  return lines
}

/** The same for programs: times as RFC 3339. */
export function inspectionJson(node: NodeInspection): Readonly<Record<string, unknown>> {
  const { attestation, tpm, policy, lvl, ...rest } = node
  return {
    ...rest,
    assurance: lvl,
    attestation: attestation && {
      ...attestation,
      at: rfc3339(attestation.at),
      svid: {
        ...attestation.svid,
        notBefore: rfc3339(attestation.svid.notBefore),
        notAfter: rfc3339(attestation.svid.notAfter),
      },
    },
    tpm: tpm && {
      ...tpm,
      quote: tpm.quote && { ...tpm.quote, at: rfc3339(tpm.quote.at) },
      drifted: tpm.drifted && { ...tpm.drifted, at: rfc3339(tpm.drifted.at) },
    },
    policy: policy && {
      ...policy,
      sets: policy.sets.map((set) => ({ ...set, notAfter: rfc3339(set.notAfter ?? undefined) })),
    },
  }
}
