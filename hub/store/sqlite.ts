// HubStore in one SQLite file (WAL, synchronous FULL): the default, for one hub.
import { IDENTIFIER_MEMORY_MS, SqliteCredentials, SqliteDenials, SqliteEncKeys } from './sqlite/ledgers.ts'
import { SqliteIdentifiers, SqliteMessages, SqlitePolicyVersions } from './sqlite/ledgers.ts'
import { SqliteCeremonies } from './sqlite/ceremonies.ts'
import { createDatabase, openDatabase, type Database } from './sqlite/database.ts'
import { SqliteFederation } from './sqlite/federation.ts'
import { SqliteJoinTokens, SqliteNodes } from './sqlite/nodes.ts'
import { SqlitePcrPolicies } from './sqlite/pcr-policies.ts'
import { SqliteJwtKeys, SqliteTasks, TASK_MEMORY_MS } from './sqlite/tasks.ts'
import { SqliteSvids } from './sqlite/svids.ts'
import type { HubStore } from './store.ts'

class SqliteHubStore implements HubStore {
  readonly #db: Database
  readonly joinTokens: SqliteJoinTokens
  readonly nodes: SqliteNodes
  readonly denials: SqliteDenials
  readonly credentials: SqliteCredentials
  readonly svids: SqliteSvids
  readonly messages: SqliteMessages
  readonly identifiers: SqliteIdentifiers
  readonly encKeys: SqliteEncKeys
  readonly policyVersions: SqlitePolicyVersions
  readonly pcrPolicies: SqlitePcrPolicies
  readonly ceremonies: SqliteCeremonies
  readonly federation: SqliteFederation
  readonly jwtKeys: SqliteJwtKeys
  readonly tasks: SqliteTasks

  constructor(db: Database) {
    this.#db = db
    this.joinTokens = new SqliteJoinTokens(db)
    this.nodes = new SqliteNodes(db)
    this.denials = new SqliteDenials(db)
    this.credentials = new SqliteCredentials(db)
    this.svids = new SqliteSvids(db)
    this.messages = new SqliteMessages(db)
    this.identifiers = new SqliteIdentifiers(db)
    this.encKeys = new SqliteEncKeys(db)
    this.policyVersions = new SqlitePolicyVersions(db)
    this.pcrPolicies = new SqlitePcrPolicies(db)
    this.ceremonies = new SqliteCeremonies(db)
    this.federation = new SqliteFederation(db)
    this.jwtKeys = new SqliteJwtKeys(db)
    this.tasks = new SqliteTasks(db)
  }

  voidJoinTokens(createdBy: string): Promise<void> {
    return this.#db.write(() => {
      this.#db.run('DELETE FROM join_tokens WHERE created_by = ? AND device IS NULL', createdBy)
    })
  }

  prune(now: number): Promise<void> {
    return this.#db.write(() => {
      this.#db.run('DELETE FROM join_tokens WHERE expires <= ?', now - IDENTIFIER_MEMORY_MS)
      this.#db.run('DELETE FROM credentials WHERE expires <= ?', now)
      this.#db.run('DELETE FROM svids WHERE expires <= ?', now)
      this.#db.run('DELETE FROM seen_nonces WHERE until <= ?', now)
      this.#db.run('DELETE FROM seen_jtis WHERE until <= ?', now)
      this.#db.run('DELETE FROM identifiers WHERE at <= ?', now - IDENTIFIER_MEMORY_MS)
      this.#db.run('DELETE FROM enc_keys WHERE not_after <= ?', now)
      this.#db.run('DELETE FROM tasks WHERE min(until, ifnull(ended, until)) <= ?', now - TASK_MEMORY_MS)
    })
  }

  close(): Promise<void> {
    return this.#db.close()
  }
}

/** Makes an empty store file, mode 0600. Throws ZT-409-EXISTS if there is one. */
export function createSqliteStore(file: string): void {
  createDatabase(file)
}

/** Opens a store that `createSqliteStore` made; holds it alone until it is closed. Throws ZT-503-STORE. */
export function openSqliteStore(file: string): HubStore {
  return new SqliteHubStore(openDatabase(file))
}
