// What the hub remembers, behind one interface so that the place may change (one file now, a replicated stream later).
// Every method is atomic and durable when its promise resolves, and rejects with ZT-503-STORE when it could not be:
// a caller that did not hear "done" must act as if it was not. Times are milliseconds since 1970.

import type { DenyEntry } from '#shared/protocol/deny-list.ts'
import type { NodeAttestation } from '#shared/protocol/node-inspection.ts'
import type { PcrBank, PcrValues } from '#shared/protocol/pcr-policy.ts'

export interface JoinToken {
  /** SHA-256 of the token's bytes; the token itself is never stored */
  readonly hash: Uint8Array
  readonly node: string
  /** may take the name over from a device that is registered already */
  readonly replace: boolean
  /** good only for a machine that proves itself with a TPM as well */
  readonly requiresTpm?: boolean
  /** SPIFFE ID of who had it made */
  readonly createdBy: string
  readonly expires: number
}

export interface LogName {
  readonly origin: string
  readonly vkey: string
}

export interface Redemption {
  readonly hash: Uint8Array
  readonly node: string
  /** DER public key of the device that joins */
  readonly device: Uint8Array
  /** the log that it keeps: part of the registration */
  readonly log: LogName
  /** the TPM that the machine proved: `device` is then its attestation key */
  readonly tpm?: TpmIdentity
  readonly now: number
}

/** `needs-tpm`: the token, or the name, is for a TPM only. `tpm-taken`: the TPM stands for another name. */
export type RedemptionRefusal =
  | 'unknown'
  | 'expired'
  | 'spent'
  | 'taken'
  | 'revoked'
  | 'distrusted'
  | 'log'
  | 'needs-tpm'
  | 'tpm-taken'

/** `repeated` is the same device asking again within the token's life, because an answer was lost. */
export type RedemptionOutcome =
  | { readonly kind: 'joined'; readonly replaced: boolean }
  | { readonly kind: 'repeated'; readonly replaced: boolean }
  | { readonly kind: 'refused'; readonly reason: RedemptionRefusal }

export interface JoinTokenStore {
  add(token: JoinToken): Promise<void>
  /**
   * Consumes the token and registers the device under the node's name in one step: one winner among any number. The
   * name's other tokens are void from then on.
   */
  redeem(redemption: Redemption): Promise<RedemptionOutcome>
  /** What redeem() would do now; changes nothing. */
  foresee(redemption: Redemption): Promise<RedemptionOutcome>
  /** Names of nodes that have a token which is alive at `now` and not used. */
  outstanding(now: number): Promise<readonly string[]>
}

export interface AnchoredHead {
  readonly size: number
  /** base64url */
  readonly root: string
  readonly note: string
  readonly at: number
}

/** Which TPM a name stands for. It changes only when an operator has the name replaced, or revoked and allowed. */
export interface TpmIdentity {
  /** SHA-256 of the public EK, lower-case hex */
  readonly ek: string
  /** SHA-256 of the vendor's root certificate that vouched for it, lower-case hex; empty if an earlier release bound it */
  readonly root: string
  /** TPM2B_PUBLIC of the attestation key */
  readonly ak: Uint8Array
  /** manufacturer, model and version that the EK certificate names, for people */
  readonly maker: string
}

/** TPMS_CLOCK_INFO of a quote, and its firmwareVersion as 16 hex digits. */
export interface TpmClock {
  readonly resets: number
  readonly restarts: number
  /** milliseconds that the TPM was powered */
  readonly clock: number
  readonly safe: boolean
  readonly firmware: string
}

export interface TpmQuote {
  readonly at: number
  readonly bank: PcrBank
  readonly pcrs: PcrValues
  readonly clock: TpmClock
}

export interface TpmRecord extends TpmIdentity {
  /** the newest that held, whether or not policy accepted its values */
  readonly quote: TpmQuote | undefined
  /** since when policy refuses what the machine has measured, and the newest row that says so */
  readonly drifted: { readonly at: number; readonly row: number } | undefined
}

export interface NodeRecord {
  readonly name: string
  /** DER public key of the device key; undefined after an operator allowed a revoked name to join again */
  readonly device: Uint8Array | undefined
  /** 1 join token, 2 TPM */
  readonly lvl: number
  /** of its newest SVID */
  readonly svidKey: 'soft' | 'tpm'
  readonly boot: string
  /** counts the boots that the hub has seen: a token names it, so an older boot's token is void */
  readonly fence: number
  readonly log: { readonly origin: string; readonly vkey: string } | undefined
  /** the node's newest zt-enckey+jws */
  readonly encKey: string | undefined
  readonly joinedAt: number
  readonly lastSeen: number
  readonly anchor: AnchoredHead | undefined
  readonly revokedAt: number | undefined
  /** set when two heads of its log contradicted each other, until an operator lets the name join again */
  readonly distrustedAt: number | undefined
  readonly tpm: TpmRecord | undefined
}

export interface Attestation {
  readonly name: string
  readonly lvl: number
  readonly boot: string
  readonly log: LogName
  /** of a node with a TPM */
  readonly quote?: QuoteStep
  readonly now: number
}

/** A quote that holds, and the clock that was known when it was judged: of two judged at once, one is refused. */
export interface QuoteStep {
  readonly quote: TpmQuote
  readonly before: TpmClock | undefined
}

/** Who says something in the name of a node. */
export interface NodeVoice {
  readonly name: string
  /** its SPIFFE ID */
  readonly id: string
  /** of its certificate */
  readonly thumbprint: string
}

export interface NodeMachine {
  readonly name: string
  /** DER public key of its device key */
  readonly device: Uint8Array
}

export interface Equivocation {
  readonly node: string
  readonly held: string
  readonly received: string
  readonly now: number
}

export interface NodeStore {
  find(name: string): Promise<NodeRecord | undefined>
  /** every node, by name */
  list(): Promise<readonly NodeRecord[]>
  /**
   * Records that the node proved itself; fence grows by one if the boot is a new one. The node must be registered
   * (ZT-404-NODE), and its log must be the registered one (ZT-490-FORK). A quote is kept and lifts drift; ZT-401-NONCE
   * if another one came between.
   */
  attest(attestation: Attestation): Promise<NodeRecord>
  /** Keeps a quote that holds and that policy refuses, and its row; drift begins unless it had. ZT-401-NONCE as above. */
  recordDrift(name: string, step: QuoteStep, row: number): Promise<void>
  /** How the node last proved itself, and what it was issued for it; nothing if its name is another machine's by now. */
  recordAttestation(machine: NodeMachine, attestation: NodeAttestation): Promise<void>
  attestation(name: string): Promise<NodeAttestation | undefined>
  /** True if that credential was issued to the machine that holds the name now, not to one before it. */
  speaks(voice: NodeVoice): Promise<boolean>
  /** Keeps the statement if `voice` speaks for the node and the node is not revoked; false when it does not. */
  recordEncKey(voice: NodeVoice, statement: string): Promise<boolean>
  touch(name: string, now: number): Promise<void>
  /** Replaces the anchored head if it is still of `expectSize` (0: none yet); false when it is not. */
  anchor(name: string, expectSize: number, head: AnchoredHead): Promise<boolean>
  /** Keeps both notes as evidence and latches distrust of the node. */
  recordEquivocation(evidence: Equivocation): Promise<void>
  revoke(name: string, now: number): Promise<void>
  /**
   * Lifts revocation and distrust; the machine is forgotten, its TPM too, so the name joins again with a token. `lvl`
   * stays: a name that a TPM stood for takes another TPM and nothing less.
   */
  allow(name: string): Promise<void>
}

export interface Denials {
  readonly ver: number
  readonly entries: readonly DenyEntry[]
}

export interface DenyStore {
  read(): Promise<Denials>
  /** Replaces the list if it is still of `expectVer`, which is below `next.ver`; false when it is not. */
  replace(expectVer: number, next: Denials): Promise<boolean>
}

export interface IssuedCredential {
  /** SPIFFE ID */
  readonly id: string
  /** NATS user public key, `U…` */
  readonly natsKey: string
  readonly thumbprint: string
  readonly expires: number
  /** DER public key of the machine, for a node */
  readonly device?: Uint8Array
}

export interface CredentialStore {
  add(credential: IssuedCredential): Promise<void>
  /** Those of `id` that have not expired at `now`. */
  live(id: string, now: number): Promise<readonly IssuedCredential[]>
  /** Those that came with the certificate of this thumbprint and have not expired at `now`: one, or none. */
  ofCertificate(thumbprint: string, now: number): Promise<readonly IssuedCredential[]>
}

/** An SVID that was given out, or that the hub made for itself. */
export interface SvidRecord {
  readonly thumbprint: string
  /** SPIFFE ID */
  readonly id: string
  /** base64url SHA-256 of the key of its intermediate */
  readonly issuer: string
  /** hex SHA-256 of the root that it chains to */
  readonly root: string
  readonly expires: number
}

export interface RootCount {
  /** empty: of a release that did not record it */
  readonly root: string
  readonly live: number
}

export interface SvidLedger {
  record(svid: SvidRecord): Promise<void>
  /** The one of this thumbprint, unless it has expired at `now`. */
  find(thumbprint: string, now: number): Promise<SvidRecord | undefined>
  /** How many of `id` have not expired at `now`. */
  live(id: string, now: number): Promise<number>
  /** Forgets the others of `id`, which nobody shows any more. */
  endOthers(id: string, thumbprint: string): Promise<void>
  /** How many have not expired at `now`, for each root that has any. */
  count(now: number): Promise<readonly RootCount[]>
  /** NATS user keys of the live credentials whose SVID is below that intermediate. */
  natsKeysBelow(issuer: string, now: number): Promise<readonly string[]>
}

export interface SeenMessage {
  readonly iss: string
  readonly nonce: string
  readonly jti: string
  /** until when a copy could still be accepted for its time alone */
  readonly until: number
}

export interface MessageStore {
  /** Remembers the message; false if its nonce (of that issuer) or its jti was seen before: then it is a replay. */
  remember(message: SeenMessage): Promise<boolean>
}

export interface IdentifierStore {
  /** Takes the identifier for one mint; false if it was taken in the last day. Nothing gives it back. */
  claim(claim: { readonly identifier: string; readonly by: string; readonly now: number }): Promise<boolean>
}

export interface SealedEncKey {
  readonly kid: string
  /** private key, sealed under the hub's sealing key */
  readonly sealed: Uint8Array
  readonly notAfter: number
}

export interface EncKeyStore {
  add(key: SealedEncKey): Promise<void>
  /** newest first */
  list(now: number): Promise<readonly SealedEncKey[]>
}

export interface SealedJwtKey {
  readonly kid: string
  /** private key, sealed under the hub's sealing key */
  readonly sealed: Uint8Array
  /** it signs from then on, until a later one does */
  readonly active: number
}

export interface JwtKeyStore {
  add(key: SealedJwtKey): Promise<void>
  /** the one that signs last first */
  list(): Promise<readonly SealedJwtKey[]>
  forget(kid: string): Promise<void>
}

/** That one process on one node may be given the identity of an agent. */
export interface TaskGrant {
  readonly proc: string
  /** SPIFFE ID */
  readonly node: string
  readonly agent: string
  /** SPIFFE ID of who had it spawned */
  readonly owner: string
  /** of the certificate with which the owner asked */
  readonly ownerThumbprint: string
  /** the start and the joining of the node for which its token was minted */
  readonly boot: string
  readonly fence: number
  readonly minted: number
  /** the identity ends then, whether or not the process does */
  readonly until: number
  readonly ended?: number
}

export interface TaskStore {
  /** False if there is a task of that process id already, on whichever node: a name is one task's alone. */
  add(grant: TaskGrant): Promise<boolean>
  find(proc: string): Promise<TaskGrant | undefined>
  /** False if it had ended before, or never was. */
  end(proc: string, now: number): Promise<boolean>
  /** Ends the tasks of the selection that have not ended, of those minted before `before` if it is given. */
  endAll(of: TaskSelection, time: { readonly now: number; readonly before?: number }): Promise<void>
}

/** Tasks of which one of these is true. */
export type TaskSelection = Partial<Pick<TaskGrant, 'owner' | 'ownerThumbprint' | 'node' | 'proc'>>

export interface PublishedBundle {
  /** of its content, without the number */
  readonly digest: string
  readonly sequence: number
}

export interface FederatedBundle {
  readonly trustDomain: string
  /** its bundle document, as ours writes one */
  readonly document: string
  readonly fetchedAt: number
  /** digest of the bundle that the operator had given by then, if one was */
  readonly given?: string
}

export interface FederationStore {
  /** our own document that was published last */
  published(): Promise<PublishedBundle | undefined>
  /** Replaces it. Rejects unless the number is higher than every one before. */
  publish(bundle: PublishedBundle): Promise<void>
  /** what was fetched last from each trust domain, by name */
  list(): Promise<readonly FederatedBundle[]>
  /** Replaces the bundle of that trust domain and of no other. */
  put(bundle: FederatedBundle): Promise<void>
  remove(trustDomain: string): Promise<void>
}

export interface PolicyVersionStore {
  /** The version number of the policy with this digest: one more than the last one's if the digest is a new one. */
  activate(digest: string): Promise<{ readonly ver: number; readonly changed: boolean }>
}

export interface StoredPcrPolicy {
  readonly version: number
  readonly digest: string
  /** the signed note */
  readonly note: string
  readonly appliedAt: number
  /** SPIFFE ID of who applied it: an operator, or the hub itself */
  readonly appliedBy: string
}

export interface PcrPolicyStore {
  /** that of the highest version */
  current(): Promise<StoredPcrPolicy | undefined>
  /** Keeps the policy if its version is higher than every one before; false when it is not. */
  apply(policy: StoredPcrPolicy): Promise<boolean>
}

export interface CeremonyLedger {
  /** The head of the ceremony that was anchored after `previous`, the head before it, which is empty for a root's. */
  after(previous: string): Promise<string | undefined>
  /** Remembers `head` as the one after `previous`, unless another is: then false. */
  add(link: { readonly previous: string; readonly head: string }): Promise<boolean>
}

export interface HubStore {
  readonly joinTokens: JoinTokenStore
  readonly nodes: NodeStore
  readonly denials: DenyStore
  readonly credentials: CredentialStore
  readonly svids: SvidLedger
  readonly messages: MessageStore
  readonly identifiers: IdentifierStore
  readonly encKeys: EncKeyStore
  readonly policyVersions: PolicyVersionStore
  readonly pcrPolicies: PcrPolicyStore
  readonly ceremonies: CeremonyLedger
  readonly federation: FederationStore
  readonly jwtKeys: JwtKeyStore
  readonly tasks: TaskStore
  /** Makes the tokens that `createdBy` had made void, as if nobody had made them; those that are spent stay spent. */
  voidJoinTokens(createdBy: string): Promise<void>
  /** Forgets what can have no effect any more: expired tokens, credentials, messages and keys. */
  prune(now: number): Promise<void>
  close(): Promise<void>
}
