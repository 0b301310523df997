// What a thief of evidence would do: edits one row in a copy of a node's audit database, tripwires removed first.
import { DatabaseSync } from 'node:sqlite'

/** Copies the database that `file` names, consistently and while it is in use. */
export function copyLog(file: string, copy: string): void {
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    database.prepare('VACUUM INTO ?').run(copy)
  } finally {
    database.close()
  }
}

/** Changes one digit of the time in the last row of `type`; answers the number of that row. */
export function tamper(copy: string, type: string): number {
  const database = new DatabaseSync(copy)
  try {
    for (const { name } of database.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all()) {
      database.exec(`DROP TRIGGER "${String(name)}"`)
    }
    const row = database
      .prepare('SELECT seq, body FROM audit WHERE instr(body, ?) > 0 ORDER BY seq DESC LIMIT 1')
      .get(Buffer.from(`"type":"${type}"`))
    if (row === undefined) throw new Error(`the log has no row of type ${type}`)
    const body = Buffer.from(row['body'] as Uint8Array)
    const at = body.indexOf('"ts":') + '"ts":'.length + 6
    body[at] = body[at] === 0x31 ? 0x32 : 0x31
    database.prepare('UPDATE audit SET body = ? WHERE seq = ?').run(body, row['seq'] as number)
    return Number(row['seq'])
  } finally {
    database.close()
  }
}
