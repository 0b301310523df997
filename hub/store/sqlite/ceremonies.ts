// Heads of ceremonies, one after each: never pruned, since a fork may be shown years later.
import type { CeremonyLedger } from '../store.ts'
import type { Database } from './database.ts'

export class SqliteCeremonies implements CeremonyLedger {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  after(previous: string): Promise<string | undefined> {
    return this.#db.read(() => this.#after(previous))
  }

  add({ previous, head }: { readonly previous: string; readonly head: string }): Promise<boolean> {
    const sql = 'INSERT INTO ceremonies (previous, head) VALUES (?, ?) ON CONFLICT (previous) DO NOTHING'
    return this.#db.write(() => {
      this.#db.run(sql, previous, head)
      return this.#after(previous) === head
    })
  }

  #after(previous: string): string | undefined {
    const row = this.#db.get('SELECT head FROM ceremonies WHERE previous = ?', previous)
    return row === undefined ? undefined : String(row['head'])
  }
}
