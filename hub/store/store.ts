// What the hub remembers, behind one interface so that the place may change (one file now, a replicated stream later).
// Every method is atomic and durable when its promise resolves, and rejects with ZT-503-STORE when it could not be:
// a caller that did not hear "done" must act as if it was not. Times are milliseconds since 1970.

import type { DenyEntry } from '#shared/protocol/deny-list.ts'

export interface JoinToken {
  /** SHA-256 of the token's bytes; the token itself is never stored */
  readonly hash: Uint8Array
  readonly node: string
  /** may take the name over from a device that is registered already */
  readonly replace: boolean
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
  readonly now: number
}

export type RedemptionRefusal = 'unknown' | 'expired' | 'spent' | 'taken' | 'revoked' | 'distrusted' | 'log'

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

export interface NodeRecord {
  readonly name: string
  /** DER public key of the device key; undefined after an operator allowed a revoked name to join again */
  readonly device: Uint8Array | undefined
  /** 1 join token, 2 TPM */
  readonly lvl: number
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
}

export interface Attestation {
  readonly name: string
  readonly lvl: number
  readonly boot: string
  readonly log: LogName
  readonly now: number
}

/** Who says something in the name of a node. */
export interface NodeVoice {
  readonly name: string
  /** its SPIFFE ID */
  readonly id: string
  /** of its certificate */
  readonly thumbprint: string
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
   * (ZT-404-NODE), and its log must be the registered one (ZT-490-FORK).
   */
  attest(attestation: Attestation): Promise<NodeRecord>
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
  /** Lifts revocation and distrust; the device key is forgotten, so the name joins again with a token. */
  allow(name: string): Promise<void>
}

export interface Denials {
  readonly ver: number
  readonly entries: readonly DenyEntry[]
}

export interface DenyStore {
  read(): Promise<Denials>
  /** Replaces the list if it is still of `expectVer`, as version expectVer + 1; false when it is not. */
  replace(expectVer: number, entries: readonly DenyEntry[]): Promise<boolean>
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
}

export interface FederatedBundle {
  readonly trustDomain: string
  /** its bundle document, as ours writes one */
  readonly document: string
  readonly fetchedAt: number
}

export interface FederationStore {
  /**
   * The sequence number of our own document with this digest: that of before if it is the same, else higher than every
   * one before and at least `floor`.
   */
  publish(digest: string, floor: number): Promise<{ readonly sequence: number; readonly changed: boolean }>
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

export interface HubStore {
  readonly joinTokens: JoinTokenStore
  readonly nodes: NodeStore
  readonly denials: DenyStore
  readonly credentials: CredentialStore
  readonly messages: MessageStore
  readonly identifiers: IdentifierStore
  readonly encKeys: EncKeyStore
  readonly policyVersions: PolicyVersionStore
  readonly federation: FederationStore
  readonly jwtKeys: JwtKeyStore
  readonly tasks: TaskStore
  /** Makes the tokens that `createdBy` had made void, as if nobody had made them; those that are spent stay spent. */
  voidJoinTokens(createdBy: string): Promise<void>
  /** Forgets what can have no effect any more: expired tokens, credentials, messages and keys. */
  prune(now: number): Promise<void>
  close(): Promise<void>
}
