// Join tokens and the nodes that they register. Both are here because redeeming one registers the other in a single
// transaction: a token that is spent without a device, or a device without a spent token, cannot exist.
import { ZtError } from '#shared/errors/error.ts'
import type { NodeAttestation } from '#shared/protocol/node-inspection.ts'
import type {
  AnchoredHead,
  Attestation,
  Equivocation,
  JoinToken,
  JoinTokenStore,
  LogName,
  NodeMachine,
  NodeRecord,
  NodeStore,
  NodeVoice,
  QuoteStep,
  Redemption,
  RedemptionOutcome,
  RedemptionRefusal,
} from '../store.ts'
import type { Database, Row } from './database.ts'
import { bindTpm, isTaken, keepRoot, setDrift, standsFor, stepQuote, tpmOf } from './tpms.ts'

const TPM_LEVEL = 2

const refused = (reason: RedemptionRefusal): RedemptionOutcome => ({ kind: 'refused', reason })

const sameBytes = (a: unknown, b: Uint8Array): boolean =>
  a instanceof Uint8Array && Buffer.compare(a, b) === 0

const isLogOf = (node: Row, { origin, vkey }: LogName): boolean =>
  node['log_origin'] === origin && node['log_vkey'] === vkey

export class SqliteJoinTokens implements JoinTokenStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  add(token: JoinToken): Promise<void> {
    return this.#db.write(() => {
      this.#db.run(
        `INSERT INTO join_tokens (hash, node, replaces, created_by, expires, requires_tpm)
         VALUES (?, ?, ?, ?, ?, ?)`,
        token.hash,
        token.node,
        token.replace ? 1 : 0,
        token.createdBy,
        token.expires,
        token.requiresTpm === true ? 1 : 0,
      )
    })
  }

  redeem(redemption: Redemption): Promise<RedemptionOutcome> {
    return this.#db.write(() => this.#redeem(redemption))
  }

  foresee(redemption: Redemption): Promise<RedemptionOutcome> {
    return this.#db.read(() => this.#judge(redemption))
  }

  outstanding(now: number): Promise<readonly string[]> {
    const sql = 'SELECT DISTINCT node FROM join_tokens WHERE device IS NULL AND expires > ? ORDER BY node'
    return this.#db.read(() => this.#db.all(sql, now).map((row) => String(row['node'])))
  }

  #redeem(redemption: Redemption): RedemptionOutcome {
    const outcome = this.#judge(redemption)
    if (outcome.kind !== 'joined') return outcome
    const node = this.#node(redemption)
    this.#spend(redemption, outcome.replaced)
    if (!this.#holds(node, redemption)) this.#register(redemption)
    else if (redemption.tpm !== undefined) keepRoot(this.#db, redemption.node, redemption.tpm)
    return outcome
  }

  #judge(redemption: Redemption): RedemptionOutcome {
    const token = this.#db.get('SELECT * FROM join_tokens WHERE hash = ?', redemption.hash)
    if (token === undefined || token['node'] !== redemption.node) return refused('unknown')
    if (Number(token['expires']) <= redemption.now) return refused('expired')
    const node = this.#node(redemption)
    if (node !== undefined && node['revoked_at'] !== null) return refused('revoked')
    // Only an operator lifts distrust: a node must not get rid of the evidence against it by joining again.
    if (node !== undefined && node['distrusted_at'] !== null) return refused('distrusted')
    const tpm = this.#judgeTpm(token, node, redemption)
    if (tpm !== undefined) return refused(tpm)
    if (token['device'] !== null) return this.#repeat(token, node, redemption)
    const same = this.#holds(node, redemption)
    const taken = node !== undefined && node['device'] !== null && !same
    if (taken && token['replaces'] !== 1) return refused('taken')
    if (!(same ? isLogOf(node, redemption.log) : this.#isNewLog(redemption.log))) return refused('log')
    return { kind: 'joined', replaced: node !== undefined }
  }

  // identity.md §4 T10, A22: where a TPM is asked for or stands, nothing less will do; and a TPM stands for one name.
  #judgeTpm(
    token: Row,
    node: Row | undefined,
    { tpm, node: name }: Redemption,
  ): RedemptionRefusal | undefined {
    const needed = token['requires_tpm'] === 1 || Number(node?.['lvl'] ?? 0) >= TPM_LEVEL
    if (tpm === undefined) return needed ? 'needs-tpm' : undefined
    return isTaken(this.#db, name, tpm) ? 'tpm-taken' : undefined
  }

  /** The name is that machine's: its key, and with a TPM its EK too. */
  #holds(node: Row | undefined, { node: name, device, tpm }: Redemption): node is Row {
    if (node === undefined || !sameBytes(node['device'], device)) return false
    return tpm === undefined || standsFor(this.#db, name, tpm)
  }

  #node({ node }: Redemption): Row | undefined {
    return this.#db.get('SELECT * FROM nodes WHERE name = ?', node)
  }

  // Only the device that won may ask again, and only while the name is still its own.
  #repeat(token: Row, node: Row | undefined, redemption: Redemption): RedemptionOutcome {
    const own = sameBytes(token['device'], redemption.device) && this.#holds(node, redemption)
    return own ? { kind: 'repeated', replaced: token['replaced'] === 1 } : refused('spent')
  }

  // Whoever begins without an anchored head begins a log that was never anchored: else a history that is not the one
  // which was anchored under this name could follow it unseen.
  #isNewLog({ origin }: LogName): boolean {
    return this.#db.get('SELECT 1 FROM origins WHERE origin = ?', origin) === undefined
  }

  #spend({ hash, node, device, now }: Redemption, replaced: boolean): void {
    const own = 'UPDATE join_tokens SET device = ?, replaced = ? WHERE hash = ?'
    this.#db.run(own, device, replaced ? 1 : 0, hash)
    const others = 'UPDATE join_tokens SET expires = min(expires, ?) WHERE node = ? AND device IS NULL'
    this.#db.run(others, now, node)
  }

  // A machine that takes a name over starts a history of its own; fence goes on counting, so that no token for the
  // machine before it can fit.
  #register({ node, device, log, tpm, now }: Redemption): void {
    bindTpm(this.#db, node, tpm)
    this.#db.run('INSERT INTO origins (origin, vkey) VALUES (?, ?)', log.origin, log.vkey)
    this.#db.run(
      `INSERT INTO nodes (name, device, lvl, boot, fence, log_origin, log_vkey, joined_at, last_seen)
       VALUES (?, ?, ?, '', 0, ?, ?, ?, ?)
       ON CONFLICT (name) DO UPDATE SET device = excluded.device, lvl = excluded.lvl, boot = '',
         log_origin = excluded.log_origin, log_vkey = excluded.log_vkey, enc_key = NULL,
         joined_at = excluded.joined_at, last_seen = excluded.last_seen,
         anchor_size = NULL, anchor_root = NULL, anchor_note = NULL, anchor_at = NULL`,
      node,
      device,
      // At once, so that a crash before the first attestation leaves no name that a TPM stands for and a key could take.
      tpm === undefined ? 0 : TPM_LEVEL,
      log.origin,
      log.vkey,
      now,
      now,
    )
  }
}

const optional = <T>(value: unknown, as: (value: unknown) => T): T | undefined =>
  value === null || value === undefined ? undefined : as(value)

function nodeOf(row: Row, proved: Pick<NodeRecord, 'svidKey' | 'tpm'>): NodeRecord {
  const anchor = optional(row['anchor_size'], (size) => ({
    size: Number(size),
    root: String(row['anchor_root']),
    note: String(row['anchor_note']),
    at: Number(row['anchor_at']),
  }))
  const log = optional(row['log_origin'], (origin) => ({
    origin: String(origin),
    vkey: String(row['log_vkey']),
  }))
  return {
    name: String(row['name']),
    device: optional(row['device'], (device) => device as Uint8Array),
    lvl: Number(row['lvl']),
    boot: String(row['boot']),
    fence: Number(row['fence']),
    log,
    encKey: optional(row['enc_key'], String),
    joinedAt: Number(row['joined_at']),
    lastSeen: Number(row['last_seen']),
    anchor,
    revokedAt: optional(row['revoked_at'], Number),
    distrustedAt: optional(row['distrusted_at'], Number),
    ...proved,
  }
}

/** Of a row of nodes: a credential of this id and thumbprint was given to the machine that is registered. */
const SPEAKS = 'device = (SELECT c.device FROM credentials AS c WHERE c.id = ? AND c.thumbprint = ?)'

export class SqliteNodes implements NodeStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  find(name: string): Promise<NodeRecord | undefined> {
    return this.#db.read(() => this.#find(name))
  }

  list(): Promise<readonly NodeRecord[]> {
    return this.#db.read(() =>
      this.#db.all('SELECT * FROM nodes ORDER BY name').map((row) => this.#record(row)),
    )
  }

  attest({ name, lvl, boot, log, quote, now }: Attestation): Promise<NodeRecord> {
    return this.#db.write(() => {
      if (quote !== undefined) this.#accept(name, quote)
      // SQLite computes every right side from the row before the update, so `boot <> ?` is about the earlier boot.
      this.#mustChange(
        `UPDATE nodes SET fence = fence + (boot <> ?), boot = ?, lvl = ?, last_seen = ?
         WHERE name = ? AND device IS NOT NULL`,
        [boot, boot, lvl, now, name],
      )
      const node = this.#find(name)
      if (node === undefined) throw new ZtError('ZT-404-NODE', 'node is not registered')
      if (node.log?.origin !== log.origin || node.log.vkey !== log.vkey)
        throw new ZtError('ZT-490-FORK', 'the node has another log than the one that is registered')
      return node
    })
  }

  recordDrift(name: string, step: QuoteStep, row: number): Promise<void> {
    return this.#db.write(() => {
      stepQuote(this.#db, name, step)
      setDrift(this.#db, name, { at: step.quote.at, row })
    })
  }

  recordAttestation({ name, device }: NodeMachine, attestation: NodeAttestation): Promise<void> {
    const sql = `INSERT INTO attestations SELECT name, ? FROM nodes WHERE name = ? AND device = ?
       ON CONFLICT (node) DO UPDATE SET facts = excluded.facts`
    return this.#db.write(() => {
      this.#db.run(sql, JSON.stringify(attestation), name, device)
    })
  }

  attestation(name: string): Promise<NodeAttestation | undefined> {
    const sql = 'SELECT facts FROM attestations WHERE node = ?'
    return this.#db.read(() =>
      optional(this.#db.get(sql, name)?.['facts'], (facts) => JSON.parse(String(facts)) as NodeAttestation),
    )
  }

  speaks({ name, id, thumbprint }: NodeVoice): Promise<boolean> {
    const sql = `SELECT 1 FROM nodes WHERE name = ? AND ${SPEAKS}`
    return this.#db.read(() => this.#db.get(sql, name, id, thumbprint) !== undefined)
  }

  // Judged in the same transaction, so that a name which changes hands meanwhile gets no key of the machine before.
  recordEncKey({ name, id, thumbprint }: NodeVoice, statement: string): Promise<boolean> {
    const sql = `UPDATE nodes SET enc_key = ? WHERE name = ? AND revoked_at IS NULL AND ${SPEAKS}`
    return this.#db.write(() => this.#db.run(sql, statement, name, id, thumbprint) === 1)
  }

  touch(name: string, now: number): Promise<void> {
    return this.#db.write(() =>
      this.#mustChange('UPDATE nodes SET last_seen = ? WHERE name = ?', [now, name]),
    )
  }

  anchor(name: string, expectSize: number, head: AnchoredHead): Promise<boolean> {
    return this.#db.write(() => {
      const changed = this.#db.run(
        `UPDATE nodes SET anchor_size = ?, anchor_root = ?, anchor_note = ?, anchor_at = ?, last_seen = ?
         WHERE name = ? AND coalesce(anchor_size, 0) = ?`,
        head.size,
        head.root,
        head.note,
        head.at,
        head.at,
        name,
        expectSize,
      )
      return changed === 1
    })
  }

  recordEquivocation({ node, held, received, now }: Equivocation): Promise<void> {
    return this.#db.write(() => {
      this.#db.run(
        'INSERT INTO equivocations (node, held, received, at) VALUES (?, ?, ?, ?)',
        node,
        held,
        received,
        now,
      )
      this.#mustChange('UPDATE nodes SET distrusted_at = coalesce(distrusted_at, ?) WHERE name = ?', [
        now,
        node,
      ])
    })
  }

  revoke(name: string, now: number): Promise<void> {
    return this.#db.write(() =>
      this.#mustChange('UPDATE nodes SET revoked_at = coalesce(revoked_at, ?) WHERE name = ?', [now, name]),
    )
  }

  allow(name: string): Promise<void> {
    return this.#db.write(() => {
      bindTpm(this.#db, name, undefined)
      this.#mustChange(
        'UPDATE nodes SET revoked_at = NULL, distrusted_at = NULL, device = NULL WHERE name = ?',
        [name],
      )
    })
  }

  #accept(name: string, step: QuoteStep): void {
    stepQuote(this.#db, name, step)
    setDrift(this.#db, name, undefined)
  }

  #record(row: Row): NodeRecord {
    const name = String(row['name'])
    const sql = "SELECT facts ->> 'svidKey' AS key FROM attestations WHERE node = ?"
    const svidKey = this.#db.get(sql, name)?.['key'] === 'tpm' ? 'tpm' : 'soft'
    return nodeOf(row, { svidKey, tpm: tpmOf(this.#db, name) })
  }

  #find(name: string): NodeRecord | undefined {
    return optional(this.#db.get('SELECT * FROM nodes WHERE name = ?', name), (row) =>
      this.#record(row as Row),
    )
  }

  #mustChange(sql: string, values: readonly (string | number)[]): void {
    if (this.#db.run(sql, ...values) !== 1) throw new ZtError('ZT-404-NODE', 'node is not registered')
  }
}
