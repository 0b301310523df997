// The verbs about machines' proofs and the PCR policy: a part of the table in verbs.ts.
import { NOTHING, type VerbSpec } from './verb-spec.ts'

const NODE = [{ name: 'NAME', required: true, complete: 'node' }] as const
const FILE = [{ name: 'FILE', required: true, complete: 'file' }] as const

export const ATTESTATION_VERBS: readonly VerbSpec[] = [
  {
    ...NOTHING,
    name: 'node inspect',
    summary: 'show how a node last proved itself, and what it was issued for it',
    detail:
      "The row numbers say where the hub's log has the same; `ztctl audit verify` says whether it is intact.",
    examples: [
      { what: 'level, evidence and policy', line: 'ztctl node inspect mac-mini' },
      { what: 'for a script', line: 'ztctl node inspect mac-mini -o json' },
    ],
    operands: NODE,
    flags: ['output'],
  },
  {
    ...NOTHING,
    name: 'node attest',
    summary: "show what a node's TPM has measured, beside what the PCR policy expects",
    detail:
      'The values are those of the newest quote, proved to the hub; the comparison is made here. Exit code 1 if no set\n' +
      'of the policy accepts them: the node is then not renewed.',
    examples: [
      { what: 'PCR by PCR, for each set', line: 'ztctl node attest mac-mini' },
      { what: 'for a monitor', line: 'ztctl node attest mac-mini -o json' },
    ],
    operands: NODE,
    flags: ['output', 'no-headers'],
  },
  {
    ...NOTHING,
    name: 'pcr-policy keygen',
    summary: 'make a key that signs PCR policies, and print its public half for the hub',
    examples: [
      { what: 'on the machine where it stays', line: 'ztctl pcr-policy keygen pcr.mesh.example pcr.key' },
    ],
    operands: [
      { name: 'KEY-NAME', required: true },
      { name: 'FILE', required: true, complete: 'file' },
    ],
    flags: ['output'],
  },
  {
    ...NOTHING,
    name: 'pcr-policy draft',
    summary: 'print the next PCR policy: the one in force, and a set of what a node has measured',
    detail:
      'Not signed: read it, give old sets an end (notAfter, milliseconds since 1970), remove what is not needed, then\n' +
      'sign it. The values are those of the newest quote, accepted or not.',
    examples: [{ what: 'after an update of the OS', line: 'ztctl pcr-policy draft mac-mini > policy.json' }],
    operands: NODE,
    flags: [],
  },
  {
    ...NOTHING,
    name: 'pcr-policy sign',
    summary: 'print a PCR policy as a signed note; asks nobody',
    examples: [
      { what: 'sign a policy', line: 'ztctl pcr-policy sign policy.json --key pcr.key > policy.note' },
    ],
    operands: FILE,
    flags: ['key'],
  },
  {
    ...NOTHING,
    name: 'pcr-policy apply',
    summary: 'put a signed PCR policy in force; an older version is refused',
    examples: [{ what: 'apply it', line: 'ztctl pcr-policy apply policy.note' }],
    operands: FILE,
    flags: ['output'],
  },
  {
    ...NOTHING,
    name: 'pcr-policy show',
    summary: 'show the PCR policy in force',
    examples: [
      { what: 'its sets', line: 'ztctl pcr-policy show' },
      { what: 'the signed note itself', line: 'ztctl pcr-policy show -q' },
    ],
    flags: ['output', 'quiet', 'no-headers'],
  },
]
