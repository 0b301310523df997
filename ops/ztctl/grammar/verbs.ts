// Every verb of ztctl, once: what it takes, what it prints, and examples that work. No code of a verb is loaded from
// here, so `help`, completion and a refusal cost nothing; loaders.ts says where the code is.
import type { FlagName } from './flags.ts'
import { ATTESTATION_VERBS } from './attestation-verbs.ts'
import { TRUST_VERBS } from './trust-verbs.ts'
import { NOTHING, type VerbSpec } from './verb-spec.ts'

export const GLOBAL_FLAGS: readonly FlagName[] = ['context', 'request-timeout', 'color', 'help']
const LISTING: readonly FlagName[] = ['output', 'quiet', 'no-headers']
const PROCESS: readonly FlagName[] = [
  'node',
  'workdir',
  'env',
  'env-file',
  'cap',
  'exe-sha256',
  'timeout',
  'output',
]

export const VERBS: readonly VerbSpec[] = [
  {
    ...NOTHING,
    name: 'login',
    summary: 'open a session: prove who you are to the hub',
    detail:
      'The hub sees who you are by a file that only you can make. The key never leaves memory: the session is kept in\n' +
      'a tmpfs folder of yours and renews itself. The first login pins the hub by root fingerprint and SPIFFE ID.',
    examples: [
      { what: 'log in to the mesh used last', line: 'ztctl login' },
      { what: 'log in to a new mesh, described by a file', line: 'ztctl login --context-file mesh.json' },
      {
        what: 'the same, by hand',
        line: 'ztctl login --hub https://127.0.0.1:7443 --hub-id spiffe://mesh.example/hub/h1 --root-fingerprint 3f…9c',
      },
    ],
    flags: ['hub', 'hub-id', 'root-fingerprint', 'context-file', 'output'],
  },
  {
    ...NOTHING,
    name: 'logout',
    summary: 'end the session: erase its key from memory',
    examples: [{ what: 'log out', line: 'ztctl logout' }],
    flags: [],
  },
  {
    ...NOTHING,
    name: 'whoami',
    summary: 'show who you are to the mesh, and for how long',
    examples: [
      { what: 'show the identity', line: 'ztctl whoami' },
      { what: 'just the SPIFFE ID', line: 'ztctl whoami -q' },
    ],
    flags: ['output', 'quiet'],
  },
  {
    ...NOTHING,
    name: 'node ls',
    summary: 'list the nodes',
    examples: [
      { what: 'list the nodes', line: 'ztctl node ls' },
      { what: 'names only, for a loop', line: 'ztctl node ls -q' },
    ],
    flags: LISTING,
  },
  {
    ...NOTHING,
    name: 'node join-token',
    summary: 'make a join string for a new node: one use, ten minutes',
    examples: [
      {
        what: 'make one, readable by you alone',
        line: '(umask 077; ztctl node join-token mac-mini > join.txt)',
      },
      {
        what: 'for a machine that has to prove itself by its TPM as well',
        line: '(umask 077; ztctl node join-token mac-mini --require-tpm > join.txt)',
      },
    ],
    operands: [{ name: 'NAME', required: true }],
    flags: ['replace', 'require-tpm', 'output'],
  },
  {
    ...NOTHING,
    name: 'node revoke',
    summary: 'cut a node off, everywhere, at once',
    detail:
      'What its machine wrote is shown as quarantined by every reader, from --since on or from now on. It stays so when\n' +
      'the node is allowed again.',
    examples: [
      {
        what: 'cut a lost laptop off',
        line: 'ztctl node revoke laptop-7 --since 2h --reason "lost in a train"',
      },
      { what: 'the same, without being asked', line: 'ztctl node revoke laptop-7 --yes' },
    ],
    operands: [{ name: 'NAME', required: true, complete: 'node' }],
    flags: ['reason', 'since', 'yes', 'output'],
  },
  {
    ...NOTHING,
    name: 'revoke',
    summary: 'deny an identity, or one certificate, everywhere, at once',
    detail:
      'What it did is shown as quarantined by every reader, from --since on or from now on. Its processes go on unless\n' +
      '--kill is given. A fingerprint, as `ztctl whoami` prints it, denies that certificate alone.',
    examples: [
      { what: 'deny an operator', line: 'ztctl revoke operator/mallory --reason "left"' },
      { what: 'and end what it has running', line: 'ztctl revoke operator/mallory --kill' },
      {
        what: 'deny a certificate whose key was copied an hour ago',
        line: 'ztctl revoke sha256:5c…e1 --since 1h --yes',
      },
      {
        what: 'deny any identity by its SPIFFE ID',
        line: 'ztctl revoke spiffe://mesh.example/ci/nightly --yes',
      },
    ],
    operands: [{ name: 'SPIFFE-ID|FINGERPRINT', required: true, fingerprint: true }],
    flags: ['reason', 'since', 'kill', 'yes', 'output'],
  },
  {
    ...NOTHING,
    name: 'allow',
    summary: 'lift a revocation; a node then needs a new join token',
    detail: 'What was quarantined because of the revocation stays quarantined.',
    examples: [
      { what: 'let an operator in again', line: 'ztctl allow operator/alice' },
      { what: 'let a node join again', line: 'ztctl allow node/laptop-7' },
    ],
    operands: [{ name: 'SPIFFE-ID|FINGERPRINT', required: true, fingerprint: true }],
    flags: ['output'],
  },
  {
    ...NOTHING,
    name: 'spawn',
    summary: 'start a program on a node and print its id',
    detail:
      'The program runs in a sandbox and goes on after ztctl has ended. It is named by its absolute path, or by a bare\n' +
      'name that the node looks up. Without --cap it gets network, read_anywhere, subprocess and workspace_rw.\n' +
      'With --cap identity:AGENT it has a SPIFFE Workload API of its own; read_anywhere cannot be given beside it.',
    examples: [
      { what: 'start a program', line: 'ztctl spawn -n mac-mini -- sleep 60' },
      { what: 'the flag may stand before the verb', line: 'ztctl --node mac-mini spawn -- sleep 60' },
      { what: 'start it and follow its output', line: 'ztctl spawn -n mac-mini -f -- make test' },
      {
        what: 'without the network, and only if the file is the expected one',
        line: 'ztctl spawn -n mac-mini --cap workspace_rw --cap read_anywhere --exe-sha256 5c…e1 -- /opt/tool',
      },
      {
        what: 'as the agent "reports", with SVIDs of its own',
        line: 'ztctl spawn -n mac-mini --cap identity:reports --cap network -- /opt/report',
      },
    ],
    flags: [...PROCESS, 'quiet', 'follow'],
    command: 'required',
    nodes: 'one',
    remoteExit: 'with-follow',
  },
  {
    ...NOTHING,
    name: 'run',
    summary: 'run a program on a node: its output, its exit code',
    detail:
      'The first ^C sends INT to the process, a second one within 2 s ends its whole tree, a third leaves it running.\n' +
      'A lost link never ends the process: ztctl then says how to attach again, and exits 255.',
    examples: [
      { what: 'run a program', line: 'ztctl run -n mac-mini -- uname -a' },
      { what: 'a pipeline needs a shell of its own', line: "ztctl run -n mac-mini -- sh -c 'ls | wc -l'" },
      { what: 'end it after a minute', line: 'ztctl run -n mac-mini --timeout 60s -- make test' },
    ],
    flags: [...PROCESS, 'quiet', 'detach', 'status-file'],
    command: 'required',
    nodes: 'one',
    remoteExit: 'always',
  },
  {
    ...NOTHING,
    name: 'ps',
    summary: 'list processes',
    examples: [
      { what: 'running processes of all nodes', line: 'ztctl ps' },
      { what: 'one node, ended ones too', line: 'ztctl ps -a -n mac-mini' },
    ],
    flags: ['node', 'all', ...LISTING],
    nodes: 'many',
  },
  {
    ...NOTHING,
    name: 'logs',
    summary: 'print what a process wrote',
    detail: 'With -f the exit code is that of the process; ^C stops the printing, not the process.',
    examples: [
      { what: 'print all of it', line: 'ztctl logs mac-mini/p-4xk2' },
      { what: 'the last lines, then follow', line: 'ztctl logs -f --tail 20 p-4xk2' },
    ],
    operands: [{ name: '[NODE/]PROC', required: true, complete: 'process' }],
    flags: ['node', 'follow', 'tail', 'stdout', 'stderr'],
    nodes: 'one',
    remoteExit: 'with-follow',
  },
  {
    ...NOTHING,
    name: 'kill',
    summary: 'end a process and everything it started',
    detail:
      'TERM first, and KILL for what is left after --grace. With -s and no --grace the signal is all that is sent.',
    examples: [
      { what: 'TERM, then KILL after ten seconds', line: 'ztctl kill mac-mini/p-4xk2' },
      { what: 'at once', line: 'ztctl kill -s KILL p-4xk2' },
      { what: 'only a signal', line: 'ztctl kill -s HUP mac-mini/p-4xk2' },
    ],
    operands: [{ name: '[NODE/]PROC', required: true, repeat: true, complete: 'process' }],
    flags: ['node', 'signal', 'grace', 'output', 'quiet'],
    nodes: 'one',
  },
  {
    ...NOTHING,
    name: 'audit verify',
    summary: "verify nodes' logs, and their anchors in the hub's log",
    detail:
      'The verifier runs here: neither the node nor the hub is believed. Exit code 9 names a log that is not intact.',
    examples: [
      { what: 'all nodes', line: 'ztctl audit verify' },
      { what: 'one node, keeping the evidence', line: 'ztctl audit verify -n mac-mini --save evidence' },
      {
        what: 'offline, a copy of a database against the kept log of the hub',
        line: 'ztctl audit verify --file copy.db --hub-log evidence/hub.ztlog',
      },
    ],
    flags: ['node', 'save', 'file', 'hub-log', 'deny-list', 'root-fingerprint', 'vkey', ...LISTING],
    nodes: 'many',
  },
  {
    ...NOTHING,
    name: 'can-i',
    summary: 'ask whether policy would permit it: exit code 0 or 1',
    examples: [
      { what: 'may I run this there', line: 'ztctl can-i spawn -n mac-mini -- uname -a' },
      { what: 'may I end processes there', line: 'ztctl can-i kill -n mac-mini' },
    ],
    operands: [
      {
        name: 'ACTION',
        required: true,
        choices: ['spawn', 'run', 'watch', 'logs', 'list', 'ps', 'kill', 'audit'],
      },
    ],
    flags: ['node', 'cap', 'workdir', 'output', 'quiet'],
    command: 'optional',
    nodes: 'one',
  },
  ...ATTESTATION_VERBS,
  ...TRUST_VERBS,
  {
    ...NOTHING,
    name: 'federation ls',
    summary: 'list the foreign trust domains whose bundles the hub fetches',
    examples: [
      { what: 'list them, and what fails', line: 'ztctl federation ls' },
      { what: 'for a script', line: 'ztctl federation ls -o json' },
    ],
    flags: LISTING,
  },
  {
    ...NOTHING,
    name: 'federation bundle',
    summary: "print a trust domain's SPIFFE bundle; our own without a name",
    detail:
      'What is printed is public. The other side needs ours once, to trust the endpoint that serves it from then on.',
    examples: [
      { what: 'our own, for the other side', line: 'ztctl federation bundle > mesh.example.json' },
      { what: 'the one that the hub fetched', line: 'ztctl federation bundle other.example' },
      {
        what: 'all of them, for a program that reads a map',
        line: 'ztctl federation bundle --map > map.json',
      },
    ],
    operands: [{ name: 'TRUST-DOMAIN', required: false }],
    flags: ['map'],
  },
  {
    ...NOTHING,
    name: 'doctor',
    summary: 'say what is missing on this machine, and the remedy',
    examples: [
      { what: 'check everything', line: 'ztctl doctor' },
      { what: 'for a script', line: 'ztctl doctor -o json' },
    ],
    flags: ['output', 'quiet', 'no-headers'],
  },
  {
    ...NOTHING,
    name: 'version',
    summary: 'print the version',
    examples: [{ what: 'print the version', line: 'ztctl version' }],
    flags: ['output', 'quiet'],
  },
  {
    ...NOTHING,
    name: 'completion',
    summary: 'print a completion script for your shell',
    examples: [
      { what: 'bash, now', line: 'source <(ztctl completion bash)' },
      { what: 'zsh, for good', line: 'ztctl completion zsh > "${fpath[1]}/_ztctl"' },
      { what: 'fish, for good', line: 'ztctl completion fish > ~/.config/fish/completions/ztctl.fish' },
    ],
    operands: [{ name: 'SHELL', required: true, choices: ['bash', 'zsh', 'fish'] }],
    flags: [],
  },
  {
    ...NOTHING,
    name: 'help',
    summary: 'show help for a verb',
    examples: [{ what: 'help for a verb', line: 'ztctl help run' }],
    operands: [{ name: 'VERB', required: false, repeat: true, complete: 'verb' }],
    flags: [],
  },
]

/** The verb of that full name, or undefined. */
export function findVerb(name: string): VerbSpec | undefined {
  return VERBS.find((verb) => verb.name === name)
}

/** First words that need a second one, such as `node` and `audit`. */
export const GROUPS: ReadonlySet<string> = new Set(
  VERBS.filter((verb) => verb.name.includes(' ')).map((verb) => verb.name.slice(0, verb.name.indexOf(' '))),
)
