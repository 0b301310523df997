// The tables of the store, as the steps that made them: a release adds steps at the end and never changes one, so that
// every store, whatever its age, comes to the same tables.

const FIRST = `
CREATE TABLE join_tokens (
  hash BLOB PRIMARY KEY, node TEXT NOT NULL, replaces INTEGER NOT NULL, created_by TEXT NOT NULL,
  expires INTEGER NOT NULL, device BLOB, replaced INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE nodes (
  name TEXT PRIMARY KEY, device BLOB, lvl INTEGER NOT NULL, boot TEXT NOT NULL, fence INTEGER NOT NULL,
  log_origin TEXT, log_vkey TEXT, enc_key TEXT, joined_at INTEGER NOT NULL, last_seen INTEGER NOT NULL,
  anchor_size INTEGER, anchor_root TEXT, anchor_note TEXT, anchor_at INTEGER,
  revoked_at INTEGER, distrusted_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE origins (origin TEXT PRIMARY KEY, vkey TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE equivocations (
  id INTEGER PRIMARY KEY, node TEXT NOT NULL, held TEXT NOT NULL, received TEXT NOT NULL, at INTEGER NOT NULL
) STRICT;
CREATE TABLE denials (
  one INTEGER PRIMARY KEY CHECK (one = 1), ver INTEGER NOT NULL, entries TEXT NOT NULL
) STRICT;
INSERT INTO denials VALUES (1, 0, '[]');
CREATE TABLE credentials (
  nats_key TEXT PRIMARY KEY, id TEXT NOT NULL, thumbprint TEXT NOT NULL, expires INTEGER NOT NULL, device BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX credentials_by_id ON credentials (id, expires);
CREATE INDEX credentials_by_expiry ON credentials (expires);
CREATE TABLE seen_nonces (
  iss TEXT NOT NULL, nonce TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (iss, nonce)
) STRICT, WITHOUT ROWID;
CREATE INDEX seen_nonces_by_time ON seen_nonces (until);
CREATE TABLE seen_jtis (jti TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX seen_jtis_by_time ON seen_jtis (until);
CREATE TABLE identifiers (
  identifier TEXT PRIMARY KEY, claimed_by TEXT NOT NULL, at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX identifiers_by_time ON identifiers (at);
CREATE TABLE enc_keys (
  kid TEXT PRIMARY KEY, sealed BLOB NOT NULL, not_after INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE policies (ver INTEGER PRIMARY KEY, digest TEXT NOT NULL) STRICT;
`

const TASKS = `
CREATE TABLE jwt_keys (kid TEXT PRIMARY KEY, sealed BLOB NOT NULL, active INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE tasks (
  proc TEXT PRIMARY KEY, node TEXT NOT NULL, agent TEXT NOT NULL, owner TEXT NOT NULL, owner_x5t TEXT NOT NULL,
  boot TEXT NOT NULL, fence INTEGER NOT NULL, minted INTEGER NOT NULL, until INTEGER NOT NULL, ended INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX tasks_by_end ON tasks (until, ended);
`

const FEDERATION = `
CREATE TABLE published_bundle (
  one INTEGER PRIMARY KEY CHECK (one = 1), digest TEXT NOT NULL, sequence INTEGER NOT NULL
) STRICT;
CREATE TABLE federated_bundles (
  trust_domain TEXT PRIMARY KEY, document TEXT NOT NULL, fetched_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`

/** Nodes with a TPM, how every node last proved itself, and PCR policies. */
const ATTESTATION = `
ALTER TABLE join_tokens ADD COLUMN requires_tpm INTEGER NOT NULL DEFAULT 0;
CREATE TABLE tpms (
  node TEXT PRIMARY KEY, ek TEXT NOT NULL UNIQUE, ak BLOB NOT NULL, maker TEXT NOT NULL,
  resets INTEGER, restarts INTEGER, clock INTEGER, safe INTEGER, firmware TEXT,
  quoted_at INTEGER, bank TEXT, pcrs TEXT, drifted_at INTEGER, drift_row INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE attestations (node TEXT PRIMARY KEY, facts TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE pcr_policies (
  version INTEGER PRIMARY KEY, digest TEXT NOT NULL, note TEXT NOT NULL, applied_at INTEGER NOT NULL,
  applied_by TEXT NOT NULL
) STRICT;
`

const SVIDS = `
CREATE TABLE svids (
  thumbprint TEXT PRIMARY KEY, id TEXT NOT NULL, issuer TEXT NOT NULL, root TEXT NOT NULL, expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX svids_by_expiry ON svids (expires);
INSERT OR IGNORE INTO svids SELECT thumbprint, id, '', '', expires FROM credentials;
`

/** The vendor's root behind a TPM, and a way to find a TPM by its attestation key. */
const TPM_ROOTS = `
ALTER TABLE tpms ADD COLUMN root TEXT NOT NULL DEFAULT '';
CREATE INDEX tpms_by_ak ON tpms (ak);
`

/** Ceremonies that were anchored, by the one before; '' is before that of the root. */
const CEREMONIES = `
CREATE TABLE ceremonies (previous TEXT PRIMARY KEY, head TEXT NOT NULL) STRICT, WITHOUT ROWID;
`

/** Which bundle the operator had given for a trust domain: it counts once, and not again at every start. */
const GIVEN_BUNDLES = `
ALTER TABLE federated_bundles ADD COLUMN given TEXT;
`

// Version 1 was never released.
const FIRST_VERSION = 2
const STEPS: readonly string[] = [
  FIRST,
  TASKS,
  FEDERATION,
  ATTESTATION,
  SVIDS,
  TPM_ROOTS,
  CEREMONIES,
  GIVEN_BUNDLES,
]

export const SCHEMA_VERSION: number = FIRST_VERSION + STEPS.length - 1

/** Whether this program can bring a store of `version` up to SCHEMA_VERSION. */
export function isKnownVersion(version: number): boolean {
  return version >= FIRST_VERSION && version <= SCHEMA_VERSION
}

/** The steps that a store of `version` lacks; all of them for one that is empty. */
export function stepsAfter(version: number | 'empty'): readonly string[] {
  return version === 'empty' ? STEPS : STEPS.slice(version - FIRST_VERSION + 1)
}
