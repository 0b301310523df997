// What the hub remembers for the identities of tasks: to which node it granted each, and the keys that sign their
// tokens.
import type { JwtKeyStore, SealedJwtKey, TaskGrant, TaskSelection, TaskStore } from '../store.ts'
import type { Database } from './database.ts'

/** How long a task that has ended keeps its name to itself, milliseconds. */
export const TASK_MEMORY_MS: number = 30 * 24 * 60 * 60_000

export class SqliteTasks implements TaskStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  add(grant: TaskGrant): Promise<boolean> {
    const { proc, node, agent, owner, ownerThumbprint, boot, fence, minted, until } = grant
    return this.#db.write(
      () =>
        this.#db.run(
          `INSERT INTO tasks (proc, node, agent, owner, owner_x5t, boot, fence, minted, until)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
          proc,
          node,
          agent,
          owner,
          ownerThumbprint,
          boot,
          fence,
          minted,
          until,
        ) === 1,
    )
  }

  find(proc: string): Promise<TaskGrant | undefined> {
    return this.#db.read(() => {
      const row = this.#db.get('SELECT * FROM tasks WHERE proc = ?', proc)
      if (row === undefined) return undefined
      return {
        proc,
        node: String(row['node']),
        agent: String(row['agent']),
        owner: String(row['owner']),
        ownerThumbprint: String(row['owner_x5t']),
        boot: String(row['boot']),
        fence: Number(row['fence']),
        minted: Number(row['minted']),
        until: Number(row['until']),
        ...(row['ended'] !== null && { ended: Number(row['ended']) }),
      }
    })
  }

  end(proc: string, now: number): Promise<boolean> {
    return this.#db.write(
      () => this.#db.run('UPDATE tasks SET ended = ? WHERE proc = ? AND ended IS NULL', now, proc) === 1,
    )
  }

  endAll(of: TaskSelection, time: { readonly now: number; readonly before?: number }): Promise<void> {
    // No column of these is ever NULL, so what is not selected by is equal to nothing.
    const { owner = null, ownerThumbprint = null, node = null, proc = null } = of
    const { now, before = Number.MAX_SAFE_INTEGER } = time
    return this.#db.write(() => {
      this.#db.run(
        `UPDATE tasks SET ended = ? WHERE ended IS NULL AND minted < ?
         AND (owner = ? OR owner_x5t = ? OR node = ? OR proc = ?)`,
        now,
        before,
        owner,
        ownerThumbprint,
        node,
        proc,
      )
    })
  }
}

export class SqliteJwtKeys implements JwtKeyStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  add({ kid, sealed, active }: SealedJwtKey): Promise<void> {
    return this.#db.write(() => {
      this.#db.run('INSERT INTO jwt_keys (kid, sealed, active) VALUES (?, ?, ?)', kid, sealed, active)
    })
  }

  list(): Promise<readonly SealedJwtKey[]> {
    return this.#db.read(() =>
      this.#db.all('SELECT kid, sealed, active FROM jwt_keys ORDER BY active DESC').map((row) => ({
        kid: String(row['kid']),
        sealed: row['sealed'] as Uint8Array,
        active: Number(row['active']),
      })),
    )
  }

  forget(kid: string): Promise<void> {
    return this.#db.write(() => {
      this.#db.run('DELETE FROM jwt_keys WHERE kid = ?', kid)
    })
  }
}
