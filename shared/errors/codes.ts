// Every code that a program of ztmesh can answer with: stable, public, never reused. The exit status is that of
// ztctl for verbs that run no process of their own. docs/errors.md is held against this table by a test.

export interface ErrorEntry {
  readonly section: string
  /** exit status of ztctl */
  readonly exit: number
  readonly summary: string
  readonly remedy: string
}

// One table is one idea: it is longer than a file should be, and has no logic.
export const ERROR_TABLE = {
  // Usage and configuration
  'ZT-400-USAGE': {
    section: 'Usage and configuration',
    exit: 2,
    summary: 'the command line is not one that the program knows',
    remedy: 'read `--help` of the verb',
  },
  'ZT-400-CONFIG': {
    section: 'Usage and configuration',
    exit: 2,
    summary: 'a configuration file is missing, malformed or contradicts itself',
    remedy: 'correct the named field; `--check-config` prints what is in force',
  },
  'ZT-409-EXISTS': {
    section: 'Usage and configuration',
    exit: 1,
    summary: 'an output that would be created exists already',
    remedy: 'move the old one away; nothing is ever overwritten',
  },
  // Messages
  'ZT-400-MALFORMED': {
    section: 'Messages',
    exit: 1,
    summary: 'bytes that are not a message of the expected shape',
    remedy: 'update the older of the two sides',
  },
  'ZT-400-KID': {
    section: 'Messages',
    exit: 1,
    summary: 'sealed to an encryption key that the receiver does not hold',
    remedy: 'retry: the sender fetches the current key',
  },
  'ZT-401-SIG': {
    section: 'Messages',
    exit: 4,
    summary: 'a signature does not verify over the received bytes',
    remedy: 'none: the message was changed or is not from whom it says',
  },
  'ZT-408-STALE': {
    section: 'Messages',
    exit: 1,
    summary: 'the message or token is too old, too new or lives too long',
    remedy: 'check both clocks, then retry',
  },
  'ZT-408-CLOCK': {
    section: 'Messages',
    exit: 1,
    summary: 'the local clock went back behind its own recorded past',
    remedy: 'set the clock; the node refuses until time has caught up',
  },
  'ZT-409-REPLAY': {
    section: 'Messages',
    exit: 4,
    summary: 'this message was seen before',
    remedy: 'send a new command; a copy never runs twice',
  },
  'ZT-413-SIZE': { section: 'Messages', exit: 1, summary: 'input over its size limit', remedy: 'send less' },
  'ZT-421-MISDIRECTED': {
    section: 'Messages',
    exit: 4,
    summary: 'a message for another receiver, subject or reply address',
    remedy: 'send it to the named receiver',
  },
  'ZT-422-SCHEMA': {
    section: 'Messages',
    exit: 1,
    summary: 'a field is missing, unknown or of the wrong type',
    remedy: 'correct the named field',
  },
  'ZT-429-RATE': {
    section: 'Messages',
    exit: 1,
    summary: 'too many requests from one sender',
    remedy: 'slow down',
  },
  // Identity
  'ZT-401-CERT': {
    section: 'Identity',
    exit: 6,
    summary: 'a certificate chain that does not prove an identity of this mesh',
    remedy: 'log in or join again; details.reason says which rule failed',
  },
  'ZT-401-EVIDENCE': {
    section: 'Identity',
    exit: 4,
    summary: 'the proof of what a machine or a person is does not hold',
    remedy: 'join or log in again from the machine itself',
  },
  'ZT-401-LOGIN': {
    section: 'Identity',
    exit: 6,
    summary: 'the login was refused',
    remedy: "log in as a user that the hub's configuration names",
  },
  'ZT-401-SESSION': {
    section: 'Identity',
    exit: 6,
    summary: 'there is no session, or it has expired',
    remedy: 'run `ztctl login`',
  },
  'ZT-401-JWT-SVID': {
    section: 'Identity',
    exit: 4,
    summary: 'a JWT-SVID that does not hold',
    remedy: 'fetch a new one; details.reason says which rule failed',
  },
  'ZT-401-FEDERATION': {
    section: 'Identity',
    exit: 4,
    summary: 'a bundle endpoint did not prove itself, or offers a bundle that may not be taken',
    remedy: 'details.reason says which; compare the relation with what the other trust domain says of itself',
  },
  'ZT-503-FEDERATION': {
    section: 'Identity',
    exit: 7,
    summary: 'the bundle endpoint of a foreign trust domain does not answer',
    remedy: 'none: it is asked again at the next interval, and the bundle that is held stays in use',
  },
  'ZT-404-TRUST-DOMAIN': {
    section: 'Identity',
    exit: 3,
    summary: 'the hub holds no bundle of that trust domain',
    remedy: '`ztctl federation ls` lists those that it fetches',
  },
  'ZT-422-SPIFFE-BUNDLE': {
    section: 'Identity',
    exit: 4,
    summary: 'text that is not a SPIFFE bundle',
    remedy: 'fetch the bundle from its endpoint again; the message names the place',
  },
  'ZT-403-TASK': {
    section: 'Identity',
    exit: 4,
    summary: 'an identity asked for a task that is not its own, has ended or was never granted',
    remedy: 'start the process with `--cap identity:<agent>`; its own node asks for it while it runs',
  },
  'ZT-404-CERT': {
    section: 'Identity',
    exit: 3,
    summary: 'no living certificate of this mesh has that fingerprint',
    remedy: 'one that has ended needs no revocation; revoke the identity, or compare with `ztctl whoami`',
  },
  'ZT-503-DENY-LIST': {
    section: 'Identity',
    exit: 7,
    summary: 'the deny list could not be had or does not hold, so it is not known which data is suspect',
    remedy: 'ask again when the hub answers; offline, name the saved list with --deny-list',
  },
  'ZT-403-REVOKED': {
    section: 'Identity',
    exit: 4,
    summary: 'the identity is on the deny list',
    remedy: 'ask an operator; a revoked name joins again with a new token only after it is allowed',
  },
  'ZT-409-NOT-REVOKED': {
    section: 'Identity',
    exit: 1,
    summary: 'whoever is to be allowed again is not revoked',
    remedy:
      '`ztctl node ls` shows how a node stands; where one certificate alone was revoked, allow that by its fingerprint',
  },
  'ZT-412-SESSION-DIR': {
    section: 'Identity',
    exit: 6,
    summary: 'there is no folder in memory, yours alone, to keep a session in',
    remedy: 'set ZTMESH_RUNTIME_DIR to a tmpfs folder of yours with mode 0700',
  },
  'ZT-422-CERT': {
    section: 'Identity',
    exit: 1,
    summary: 'bytes that are not a certificate of the accepted form',
    remedy: 'none: made by something else',
  },
  'ZT-422-CSR': {
    section: 'Identity',
    exit: 1,
    summary: 'a certificate request that does not prove possession of a P-256 key',
    remedy: 'make a new request',
  },
  'ZT-422-CSR-WISH': {
    section: 'Identity',
    exit: 1,
    summary: 'the certificate request of a node has a subject or attributes, which are not its to decide',
    remedy: 'make a request with an empty subject and no attributes',
  },
  'ZT-422-LINK': {
    section: 'Identity',
    exit: 1,
    summary:
      'a node asks for a certificate of its connection though its SVID serves for that, or for the same key',
    remedy: 'leave it out, or keep the key of the SVID in the TPM',
  },
  'ZT-422-NAME': {
    section: 'Identity',
    exit: 2,
    summary: 'a name that is not allowed',
    remedy: 'use a-z, 0-9 and inner hyphens, at most 63 characters',
  },
  'ZT-422-SPIFFE-ID': {
    section: 'Identity',
    exit: 1,
    summary: 'text that is not a SPIFFE ID of the accepted form',
    remedy:
      'write spiffe://TRUST-DOMAIN/KIND/NAME: KIND is node, operator or ci, or agent/NAME/task/ID for a process',
  },
  // Joining
  'ZT-401-NONCE': {
    section: 'Joining',
    exit: 1,
    summary: 'the challenge is unknown, used or expired',
    remedy: 'start again; a challenge lives 60 seconds',
  },
  'ZT-403-JOIN': {
    section: 'Joining',
    exit: 4,
    summary: 'the join token is not for this node or this key',
    remedy:
      'make one for this node: `ztctl node join-token NAME`, with --replace for the name of another machine',
  },
  'ZT-409-JOIN-SPENT': {
    section: 'Joining',
    exit: 4,
    summary: 'the join token was used already',
    remedy: 'make a new token',
  },
  'ZT-410-JOIN-EXPIRED': {
    section: 'Joining',
    exit: 4,
    summary: 'the join token is past its ten minutes',
    remedy: 'make a new token',
  },
  // Attestation
  'ZT-412-EK': {
    section: 'Attestation',
    exit: 4,
    summary: "the TPM has no endorsement key that its maker's certificate names",
    remedy: 'join with a token; details.reason says what is missing',
  },
  'ZT-422-TPM': {
    section: 'Attestation',
    exit: 1,
    summary: 'bytes that are not what a TPM makes',
    remedy: 'none: not from a TPM, changed on the way, or a faulty TPM',
  },
  'ZT-503-TPM': {
    section: 'Attestation',
    exit: 7,
    summary: 'the TPM does not answer, or refuses a command',
    remedy: "details.rc names the TPM's own code; check the device, its group and its passwords",
  },
  'ZT-412-TPM': {
    section: 'Attestation',
    exit: 4,
    summary: 'a TPM is demanded and was not used, or was used where the hub takes none',
    remedy: 'configure `tpm` on the hub and on the node: docs/attestation.md',
  },
  'ZT-409-TPM': {
    section: 'Attestation',
    exit: 4,
    summary: 'the name stands for another TPM, or the TPM for another name',
    remedy: '`ztctl node join-token --replace`, or revoke and allow the name that has it',
  },
  'ZT-403-PCR': {
    section: 'Attestation',
    exit: 4,
    summary: 'the machine has not started what the PCR policy expects',
    remedy: '`ztctl node attest NAME` shows measured against expected',
  },
  'ZT-403-PCR-POLICY': {
    section: 'Attestation',
    exit: 4,
    summary: 'a PCR policy that no configured key signed, or that is not one',
    remedy: 'sign it with a key that the hub names: `ztctl pcr-policy sign`',
  },
  'ZT-401-TPM-EK-CERT': {
    section: 'Attestation',
    exit: 4,
    summary: 'a certificate that is not one of an endorsement key',
    remedy: 'none: made by something else, or changed; details.reason says which rule it breaks',
  },
  'ZT-401-TPM-EK-CHAIN': {
    section: 'Attestation',
    exit: 4,
    summary: 'an endorsement certificate that leads to no configured vendor root',
    remedy: 'configure the roots of the TPM vendors that you trust; details.reason says what is wrong',
  },
  'ZT-401-TPM-EK': {
    section: 'Attestation',
    exit: 4,
    summary: 'an endorsement key that is not the one of its certificate, or that can be factored',
    remedy: "none: two TPMs were mixed; or a firmware with weak keys: update it with its maker's tool",
  },
  'ZT-401-TPM-EK-TEMPLATE': {
    section: 'Attestation',
    exit: 4,
    summary: 'an endorsement key of another form than the TCG has for one',
    remedy: 'none: such a key might do more than open secrets',
  },
  'ZT-403-TPM-EK': {
    section: 'Attestation',
    exit: 4,
    summary: 'the endorsement key is barred here',
    remedy: 'take it off the deny list, or put it on the allow list',
  },
  'ZT-401-TPM-AK': {
    section: 'Attestation',
    exit: 4,
    summary: 'an attestation key that signs more than attestations, can leave its TPM or is too weak',
    remedy: 'none: details.reason says which property is wrong',
  },
  'ZT-401-TPM-CREATION': {
    section: 'Attestation',
    exit: 4,
    summary: 'evidence of creation that is not that of the attestation key',
    remedy: 'join again from the machine itself',
  },
  'ZT-401-TPM-ACTIVATION': {
    section: 'Attestation',
    exit: 4,
    summary: 'the TPM of the endorsement key does not hold the attestation key',
    remedy: 'join again from the machine itself',
  },
  'ZT-401-TPM-ALG': {
    section: 'Attestation',
    exit: 4,
    summary: 'an attestation signed in another scheme than that of its key',
    remedy: 'none: not made by the TPM',
  },
  'ZT-401-TPM-SIG': {
    section: 'Attestation',
    exit: 4,
    summary: 'an attestation that the attestation key did not sign',
    remedy: 'none: changed on the way, or by another TPM',
  },
  'ZT-401-TPM-MAGIC': {
    section: 'Attestation',
    exit: 4,
    summary: 'an attestation that was not made inside a TPM',
    remedy: 'none: it is forged',
  },
  'ZT-401-TPM-TYPE': {
    section: 'Attestation',
    exit: 4,
    summary: 'an attestation of another kind than was asked for',
    remedy: 'none: it is made up from another one',
  },
  'ZT-401-TPM-EXTRA': {
    section: 'Attestation',
    exit: 4,
    summary: 'an attestation that answers another challenge',
    remedy: 'start again; a lasting one is a replay or a relay',
  },
  'ZT-401-TPM-SELECTION': {
    section: 'Attestation',
    exit: 4,
    summary: 'a quote over other PCRs, or another bank, than were asked for',
    remedy: 'give the TPM the bank that the hub asks for; else none',
  },
  'ZT-401-TPM-DIGEST': {
    section: 'Attestation',
    exit: 4,
    summary: 'PCR values that are not the quoted ones',
    remedy: 'retry: a PCR may have changed between the two; else none',
  },
  'ZT-401-TPM-CLOCK': {
    section: 'Attestation',
    exit: 4,
    summary: "the TPM's clock or counters went back",
    remedy: 'a virtual TPM was put back to a snapshot: remove stateDir, and join with a token that replaces',
  },
  'ZT-401-TPM-UNSAFE': {
    section: 'Attestation',
    exit: 4,
    summary: 'the TPM does not vouch for its clock, and the policy demands it',
    remedy: 'wait for the TPM to write its clock (some minutes), or restart cleanly',
  },
  'ZT-401-TPM-EVENTLOG': {
    section: 'Attestation',
    exit: 4,
    summary: 'an event log that does not lead to the quoted values, or has events out of place',
    remedy: 'none: details.reason says what is wrong; details.event and details.pcr where, if one event is',
  },
  'ZT-401-TPM-CERTIFY': {
    section: 'Attestation',
    exit: 4,
    summary: 'a key of an SVID that the TPM did not certify as its own',
    remedy: 'none: details.reason says which property is wrong',
  },
  'ZT-409-PCR-POLICY': {
    section: 'Attestation',
    exit: 4,
    summary: 'a PCR policy that is not newer than the one in force',
    remedy: 'raise its version: a hub never goes back',
  },
  // Authority
  'ZT-401-TOKEN': {
    section: 'Authority',
    exit: 4,
    summary: 'a capability token that does not hold',
    remedy: 'ask the hub for a new one',
  },
  'ZT-403-HOLDER': {
    section: 'Authority',
    exit: 4,
    summary: 'a capability token used by somebody other than its holder',
    remedy: 'none: tokens are bound to the key of their holder',
  },
  'ZT-403-CHAIN': {
    section: 'Authority',
    exit: 4,
    summary: 'a trust chain that this node cannot verify',
    remedy: 'send no chain: this version accepts none',
  },
  'ZT-403-APPROVAL': {
    section: 'Authority',
    exit: 4,
    summary: 'approvals that this node cannot verify, or that are missing',
    remedy: 'none in this version: approvals are refused, not ignored',
  },
  'ZT-403-POLICY': {
    section: 'Authority',
    exit: 4,
    summary: 'policy does not permit it',
    remedy: '`ztctl can-i` says what would be permitted',
  },
  'ZT-409-CONSUMED': {
    section: 'Authority',
    exit: 4,
    summary: 'the capability token was used already',
    remedy: 'ask the hub for a new one',
  },
  'ZT-409-IDENTIFIER': {
    section: 'Authority',
    exit: 4,
    summary: 'a second token was asked for the same process',
    remedy: 'use a new process id',
  },
  'ZT-412-POLICY-STALE': {
    section: 'Authority',
    exit: 4,
    summary: 'decided under a policy older than the one in force',
    remedy: 'retry',
  },
  'ZT-422-CMD': {
    section: 'Authority',
    exit: 4,
    summary: 'the command is not the one that the token allows',
    remedy: 'none: the command was changed after it was granted',
  },
  // Nodes and processes
  'ZT-404-EXE': {
    section: 'Nodes and processes',
    exit: 127,
    summary: 'the program does not exist on the node',
    remedy: "name a program that the node has; the node's search path is in its configuration",
  },
  'ZT-403-EXE': {
    section: 'Nodes and processes',
    exit: 126,
    summary: 'the program cannot be executed',
    remedy: 'check its mode, and that it is a file',
  },
  'ZT-404-NODE': {
    section: 'Nodes and processes',
    exit: 3,
    summary: 'no such node',
    remedy: '`ztctl node ls` lists them',
  },
  'ZT-404-PROC': {
    section: 'Nodes and processes',
    exit: 3,
    summary: 'no such process on that node',
    remedy: '`ztctl ps -a` lists them',
  },
  'ZT-412-FACT': {
    section: 'Nodes and processes',
    exit: 4,
    summary: 'the node itself does not allow it: program, user, folder or capability',
    remedy: 'details.fact says which',
  },
  'ZT-500-SPAWN': {
    section: 'Nodes and processes',
    exit: 125,
    summary: 'the process could not be started',
    remedy: "read the node agent's log; the token stays consumed",
  },
  'ZT-503-NODE': {
    section: 'Nodes and processes',
    exit: 7,
    summary: 'the node does not answer',
    remedy: 'check that the node agent runs and reaches the hub',
  },
  'ZT-503-SANDBOX': {
    section: 'Nodes and processes',
    exit: 125,
    summary: 'the sandbox cannot be made on this machine',
    remedy: '`ztctl doctor` names what is missing; nothing runs without a sandbox',
  },
  'ZT-504-OUTCOME-UNKNOWN': {
    section: 'Nodes and processes',
    exit: 255,
    summary: 'the command was sent and its outcome is not known',
    remedy: '`ztctl ps -a` on the node shows it; it never runs twice',
  },
  'ZT-504-TIMEOUT': {
    section: 'Nodes and processes',
    exit: 7,
    summary: 'no answer in the time given',
    remedy: 'retry, or give a longer --request-timeout',
  },
  // Hub
  'ZT-403-SUBJECT': {
    section: 'Hub',
    exit: 4,
    summary: 'the message broker does not let this identity use the subject',
    remedy: 'none: each identity has its own subjects',
  },
  'ZT-500-INTERNAL': {
    section: 'Hub',
    exit: 1,
    summary: 'a fault in ztmesh itself',
    remedy: 'report it with the request id; the log has the details',
  },
  'ZT-503-HUB': {
    section: 'Hub',
    exit: 7,
    summary: 'the hub does not answer',
    remedy: 'check that the hub runs: `ztctl doctor`',
  },
  'ZT-503-LADDER': {
    section: 'Hub',
    exit: 1,
    summary: 'the hub has no intermediate for this moment',
    remedy: 'run a ladder ceremony; the hub issues nothing without one',
  },
  'ZT-503-NATS': {
    section: 'Hub',
    exit: 7,
    summary: 'the message broker does not answer',
    remedy: 'check that nats-server runs; the hub restarts its own',
  },
  'ZT-503-STORE': {
    section: 'Hub',
    exit: 1,
    summary: "the hub's store cannot be read or written",
    remedy: 'check the disk; the hub refuses until it can write',
  },
  // Keys and ceremonies
  'ZT-404-KEY': {
    section: 'Keys and ceremonies',
    exit: 1,
    summary: 'no key of that label',
    remedy: 'check the label and the token',
  },
  'ZT-409-LABEL': {
    section: 'Keys and ceremonies',
    exit: 1,
    summary: 'a key of that label exists',
    remedy: 'use a new label; keys are never replaced',
  },
  'ZT-412-KEY-ATTRIBUTE': {
    section: 'Keys and ceremonies',
    exit: 1,
    summary: 'the key store does not protect the key as it must',
    remedy: 'do not use this module: the key could be taken out',
  },
  'ZT-412-LINT': {
    section: 'Keys and ceremonies',
    exit: 1,
    summary: 'a certificate broke a rule of its profile, and was not signed',
    remedy: 'correct the ceremony file; details.rule names the rule',
  },
  'ZT-500-KEYSTORE': {
    section: 'Keys and ceremonies',
    exit: 1,
    summary: 'the key store failed',
    remedy: 'see the cause; check token label, PIN file and module',
  },
  'ZT-401-BUNDLE': {
    section: 'Keys and ceremonies',
    exit: 9,
    summary: 'a trust bundle that no trusted root signed, or an older one than is held',
    remedy: 'fetch the bundle again; pin the right root',
  },
  'ZT-403-QUORUM': {
    section: 'Keys and ceremonies',
    exit: 4,
    summary: 'the approvals or signatures of the officers do not make a quorum; details.reason says why',
    remedy:
      'get the approvals that are missing, for this very file; the set of officers changes by a ceremony',
  },
  'ZT-403-UNCONFIRMED': {
    section: 'Keys and ceremonies',
    exit: 4,
    summary: 'a step of a ceremony was not confirmed by those present',
    remedy: 'read the plan again; what was done until then is in the transcript',
  },
  'ZT-412-ONLINE': {
    section: 'Keys and ceremonies',
    exit: 4,
    summary: 'the machine of a ceremony has a network',
    remedy: 'take every interface down or unplug it, then begin again',
  },
  'ZT-412-RETIRE': {
    section: 'Keys and ceremonies',
    exit: 4,
    summary: 'a root cannot be retired yet; details.reason says why',
    remedy: 'wait until both roots were trusted for seven days and no live SVID leads to the old one',
  },
  'ZT-422-CEREMONY': {
    section: 'Keys and ceremonies',
    exit: 2,
    summary: 'a ceremony file, request or response that breaks its rules',
    remedy: 'correct the named field',
  },
  'ZT-409-CEREMONY': {
    section: 'Keys and ceremonies',
    exit: 4,
    summary: 'another ceremony that goes on from the same one is anchored',
    remedy: 'details.head names it: find out who held two, before anything of either is used',
  },
  // Evidence
  'ZT-503-AUDIT': {
    section: 'Evidence',
    exit: 125,
    summary: 'the audit row could not be written, so the action did not happen',
    remedy: 'free the disk of the node or the hub',
  },
  'ZT-503-ANCHOR': {
    section: 'Evidence',
    exit: 7,
    summary: "the node's log is not anchored in the hub freshly enough",
    remedy: "wait for the next anchor; check the node's link to the hub",
  },
  'ZT-409-ANCHOR': {
    section: 'Evidence',
    exit: 7,
    summary: 'the anchor goes on from another head than the one that the hub holds',
    remedy: 'the node sends it again from details.size; a lasting one means a lost or restored log',
  },
  'ZT-490-ROW': {
    section: 'Evidence',
    exit: 9,
    summary: 'a row is not what it was',
    remedy: 'details.seq names the row',
  },
  'ZT-490-CHAIN': {
    section: 'Evidence',
    exit: 9,
    summary: 'rows are missing, moved or inserted',
    remedy: 'details.seq names the first bad row',
  },
  'ZT-490-TRUNCATED': {
    section: 'Evidence',
    exit: 9,
    summary: 'the log is shorter than a signed or anchored head says',
    remedy: 'keep both files: they are the evidence',
  },
  'ZT-490-FORK': {
    section: 'Evidence',
    exit: 9,
    summary: 'two signed heads of one log contradict each other',
    remedy: 'keep both notes: they are the evidence',
  },
  'ZT-490-TIME': {
    section: 'Evidence',
    exit: 9,
    summary: 'rows claim times in an impossible order',
    remedy: "compare with the anchors' times",
  },
  'ZT-490-SIGNATURE': {
    section: 'Evidence',
    exit: 9,
    summary: "a signed head does not verify under the log's key",
    remedy: 'check which key the log was registered with',
  },
  'ZT-490-PROOF': {
    section: 'Evidence',
    exit: 9,
    summary: 'an inclusion or consistency proof does not hold',
    remedy: 'ask for the proof again; then keep it: it is evidence',
  },
  'ZT-490-ANCHOR': {
    section: 'Evidence',
    exit: 9,
    summary: "a head of the node's log is not in the hub's log as it should be",
    remedy: 'compare both logs with `ztctl audit verify`',
  },
  'ZT-490-UNVERIFIABLE': {
    section: 'Evidence',
    exit: 9,
    summary: 'the check could not run, which counts as failed',
    remedy: 'make the named input readable',
  },
  'ZT-422-NOTE': {
    section: 'Evidence',
    exit: 9,
    summary: 'text that is not a signed note of the C2SP form',
    remedy: 'none: made by something else',
  },
} as const

export type ErrorCode = keyof typeof ERROR_TABLE

export const ERROR_CODES: ReadonlyMap<ErrorCode, ErrorEntry> = new Map(
  Object.entries<ErrorEntry>(ERROR_TABLE) as [ErrorCode, ErrorEntry][],
)

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_TABLE, text)
}
