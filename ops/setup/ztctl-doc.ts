// Writes docs/ztctl.md from the tables that ztctl itself parses with; a test fails while the two differ.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FLAGS, type FlagName, type FlagSpec } from '#ops/ztctl/grammar/flags.ts'
import { usageLine } from '#ops/ztctl/grammar/parse.ts'
import { GLOBAL_FLAGS, VERBS } from '#ops/ztctl/grammar/verbs.ts'
import {
  CAPABILITY_ROWS,
  EXIT_STATUSES,
  REMOTE_EXIT_STATUSES,
  RESERVED_CAPABILITY_ROWS,
} from '#ops/ztctl/output/help-text.ts'

const INTRODUCTION = `# ztctl

\`ztctl help\` and \`ztctl help VERB\` say the same as this page, with examples.

- Flags stand before or after the verb. What stands after \`--\` is the argument vector of the remote program, byte for
  byte: no shell sees it.
- stdout is data. Everything else goes to stderr: \`ztctl: error: … (CODE)\` and \`ztctl: hint: …\`. Codes are in
  [errors.md](errors.md).
- \`-o json\` prints one object with \`apiVersion: ztmesh/v1\` and \`kind\`; a list has \`items\`, and \`errors\` for what did
  not answer. With it an error is a JSON object on stderr too.
- A process is named NODE/PROC, PROC, or by the first characters of its id that tell it apart.
- A flag wins over its environment variable, and that over the context.

This page is written by \`node ops/setup/ztctl-doc.ts\`, and a test holds it to the code.
`

const BEHAVIOUR = `## What to count on

**Login.** \`ztctl login\` proves the uid by a file that only this uid can make, to a hub that is known by the fingerprint
of its root and its exact SPIFFE ID. The session (key, certificate, NATS seed) is one file of mode 0600 in a folder of
mode 0700 on a tmpfs, and nowhere else: \`$XDG_RUNTIME_DIR/ztmesh\`, or \`/dev/shm/ztmesh-UID\`, or \`ZTMESH_RUNTIME_DIR\`.
It is renewed by whichever ztctl finds less than 40 % of its life left, one at a time.

**run.** Output is asked for in the same command, so that not a byte is missed. The first ^C sends INT to the tree, a
second one within two seconds ends it, a third lets go of it (exit code 130). TERM is passed on; HUP lets go (129). A
reader that has gone (\`ztctl run … | head\`) ends the tree, as in any pipeline (141). A lost link ends nothing: ztctl
connects again for a minute, then says how to attach and exits 255.

**logs.** Replays what the node keeps, then follows with \`-f\`. Each byte comes once and in order; what the node no longer
keeps is named. ^C ends the printing (130), never the process.

**revoke, and what is quarantined.** A revocation denies from now on; \`--since\` says from when on what the identity did
is in doubt. \`ps\`, \`logs\`, \`run\`, \`node ls\` and \`audit verify\` show that data, with \`quarantined\` in JSON and a
warning on stderr, also after \`allow\`. A reader that cannot have the deny list fails with \`ZT-503-DENY-LIST\`; output that
was followed for more than 15 s is looked at again at its end. \`audit verify --save\` keeps the signed list, and
\`--file\` reads the one beside the copy, or the hub's log, or says that it is not known (exit code 7). Processes go on unless
\`--kill\` is given. \`allow\` of who is not revoked is refused (\`ZT-409-NOT-REVOKED\`).

**Nodes that cannot be asked.** A node that does not answer is named, in \`errors\` and on stderr, with exit code 8. One that
is revoked, or was allowed again and has not joined since, nobody may ask: \`ps\`, \`revoke --kill\` and a process that is
not found name it (\`notAsked\` in the JSON of \`ps\`), and \`audit verify\` shows what the hub anchored of its log.

**kill.** TERM, then KILL for what is left of the tree after \`--grace\` (10 s). With \`-s\` and no \`--grace\` the signal is
all that is sent.

**audit verify.** Everything is checked by ztctl: the hub's whole log against the key that login vouched for and against
the head that was verified last; then each node's rows against the key and the anchors that the hub's log names for it.
Offline, \`--file\` takes a copy of a node's database or a saved \`.ztlog\`; keys come from \`--hub-log\`, \`--vkey\`, or a hub
that was verified before. A log that cannot be checked is a log that failed: exit code 9.

## Files

| path | what |
| --- | --- |
| \`~/.config/ztmesh/contexts.json\` | known meshes: hub, hubId, root fingerprint (\`ZTMESH_CONFIG_DIR\` moves the folder) |
| \`~/.config/ztmesh/hub-head-*.json\` | newest head of each hub's log that was verified |
| \`~/.config/ztmesh/cache/\` | names for completion |

A context file for \`login --context-file\`: \`{"hub": "https://HOST:PORT", "hubId": "spiffe://TD/hub/NAME", "root": "HEX"}\`,
with \`name\` and \`td\` if wanted.
`

const CAPABILITIES_HEAD = `## Capabilities

What \`--cap\` names. Without it a process gets the first four; \`--cap CAP\` gives what is named instead, \`--cap +CAP\` adds to
it. Policy decides, and then the node: it gives those in its \`allow.capabilities\` ([node-agent.md](node-agent.md)).

`
const RESERVED_HEAD = `These can be named, so that policy can speak of them; no node of this version gives them (\`ZT-412-FACT\`):

`

/** The whole text of docs/ztctl.md. */
export function ztctlDoc(): string {
  return [
    INTRODUCTION,
    `## Verbs\n\n${table(['usage', 'what it does'], verbRows())}`,
    `## Flags\n\n${table(['flag', 'meaning', 'variable', 'verbs'], flagRows())}`,
    `${CAPABILITIES_HEAD}${capabilityTable(CAPABILITY_ROWS)}`,
    `${RESERVED_HEAD}${capabilityTable(RESERVED_CAPABILITY_ROWS)}`,
    `## Exit codes\n\n${table(['code', 'meaning'], EXIT_STATUSES)}`,
    `\`run\`, and \`logs -f\` and \`spawn -f\`, answer with the program's own:\n\n${table(['code', 'meaning'], REMOTE_EXIT_STATUSES)}`,
    BEHAVIOUR,
  ].join('\n')
}

function capabilityTable(rows: readonly (readonly [string, string])[]): string {
  return table(
    ['capability', 'what it gives'],
    rows.map(([name, gives]) => [code(name), gives]),
  )
}

function verbRows(): readonly (readonly string[])[] {
  return VERBS.map((verb) => [`\`${usageLine(verb).replaceAll('|', '\\|')}\``, verb.summary])
}

function flagRows(): readonly (readonly string[])[] {
  return [...FLAGS].map(([name, spec]) => [flag(name, spec), spec.summary, code(spec.env), users(name)])
}

function flag(name: FlagName, { short, placeholder }: FlagSpec): string {
  const letter = short === undefined ? '' : `-${short}, `
  return `\`${letter}--${name}${placeholder === undefined ? '' : ` ${placeholder}`}\``
}

function users(name: FlagName): string {
  if (GLOBAL_FLAGS.includes(name)) return 'all'
  return VERBS.filter((verb) => verb.flags.includes(name))
    .map((verb) => verb.name)
    .join(', ')
}

function code(text: string | undefined): string {
  return text === undefined ? '' : `\`${text}\``
}

function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`
  return [headings, headings.map(() => '---'), ...rows].map(line).join('')
}

if (import.meta.main) writeFileSync(join(import.meta.dirname, '..', '..', 'docs', 'ztctl.md'), ztctlDoc())
