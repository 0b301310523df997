// The verbs about roots, bundles, ladders and ceremonies: a part of the table in verbs.ts.
import { NOTHING, type VerbSpec } from './verb-spec.ts'

export const TRUST_VERBS: readonly VerbSpec[] = [
  {
    ...NOTHING,
    name: 'bundle show',
    summary: 'show the roots that the mesh trusts, and what is revoked',
    examples: [{ what: 'show them', line: 'ztctl bundle show' }],
    flags: ['output', 'no-headers'],
  },
  {
    ...NOTHING,
    name: 'bundle import',
    summary: 'put a trust bundle from the ceremony in force, at once',
    detail:
      'The hub takes it only if a root that it trusts has signed it, and if it is newer than the one in force. Nodes and\n' +
      'operators take it at their next renewal, by the same rule; who is away catches up when it comes back.',
    examples: [{ what: 'after a ceremony', line: 'ztctl bundle import bundle-2.jws' }],
    operands: [{ name: 'FILE', required: true, complete: 'file' }],
    flags: ['output', 'no-headers'],
  },
  {
    ...NOTHING,
    name: 'ladder status',
    summary: 'show the rungs that are left, and live SVIDs for each root',
    detail: 'Exit code 1 while fewer than three rungs are left: a ladder ceremony is due.',
    examples: [
      { what: 'show them', line: 'ztctl ladder status' },
      { what: 'for a monitor', line: 'ztctl ladder status -o json' },
    ],
    flags: ['output', 'no-headers'],
  },
  {
    ...NOTHING,
    name: 'ladder request',
    summary: 'write the request for the next rungs to a new file, and print its SHA-256',
    detail:
      'The file goes to the ceremony by hand, and its digest into the ceremony file. It goes on where the ladder ends; with\n' +
      '--fresh it begins now, under new keys: after a theft, and for the first ladder under a new root.',
    examples: [
      { what: 'the next week', line: 'ztctl ladder request request.json' },
      { what: 'thirty days, beginning now', line: 'ztctl ladder request request.json --rungs 30 --fresh' },
    ],
    operands: [{ name: 'OUT', required: true }],
    flags: ['rungs', 'fresh', 'output'],
  },
  {
    ...NOTHING,
    name: 'ladder import',
    summary: 'give the hub the rungs that the ceremony has signed',
    examples: [{ what: 'after a ceremony', line: 'ztctl ladder import ladder-response.json' }],
    operands: [{ name: 'FILE', required: true, complete: 'file' }],
    flags: ['output', 'no-headers'],
  },
  {
    ...NOTHING,
    name: 'ladder usage',
    summary: "write the hub's signed count of live SVIDs for each root to a new file",
    detail: 'The ceremony that retires a root demands it: no root is retired while anything chains to it.',
    examples: [{ what: 'before a root is retired', line: 'ztctl ladder usage usage.jws' }],
    operands: [{ name: 'OUT', required: true }],
    flags: ['output'],
  },
  {
    ...NOTHING,
    name: 'ceremony anchor',
    summary: "write the head of a ceremony's transcript into the hub's log",
    examples: [{ what: 'after each ceremony', line: 'ztctl ceremony anchor ladder.transcript' }],
    operands: [{ name: 'TRANSCRIPT', required: true, complete: 'file' }],
    flags: ['output'],
  },
]
