// Stores of earlier releases are brought up to date when they are opened; those of later ones are left alone.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, it } from 'node:test'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import { SCHEMA_VERSION, stepsAfter } from '#hub/store/sqlite/schema.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const OLDEST = 2

function tablesOf(file: string): unknown[] {
  const db = new DatabaseSync(file)
  try {
    const tables = 'SELECT type, name, tbl_name FROM sqlite_schema ORDER BY type, name'
    // By name: a column that was added later comes last, wherever the table is made.
    const columns = `SELECT s.name AS "table", c.name, c.type, c."notnull", c.dflt_value, c.pk
      FROM sqlite_schema AS s, pragma_table_info(s.name) AS c WHERE s.type = 'table' ORDER BY s.name, c.name`
    return [...db.prepare(tables).all(), ...db.prepare(columns).all()]
  } finally {
    db.close()
  }
}

function makeOldest(file: string): void {
  const db = new DatabaseSync(file)
  db.exec(`${stepsAfter('empty')[0] ?? ''}PRAGMA user_version = ${OLDEST};`)
  db.exec("INSERT INTO policies VALUES (1, 'kept')")
  db.close()
}

describe('a store', () => {
  it('of the oldest release has the tables of a new one once it was opened, and what was in it', async (t) => {
    const dir = await tempDir(t)
    const [old, fresh] = [join(dir, 'old.db'), join(dir, 'fresh.db')]
    makeOldest(old)
    const store = openSqliteStore(old)
    assert.deepEqual(await store.policyVersions.activate('kept'), { ver: 1, changed: false })
    await store.close()
    createSqliteStore(fresh)
    assert.deepEqual(tablesOf(old), tablesOf(fresh))
  })

  for (const version of [0, OLDEST - 1, SCHEMA_VERSION + 1])
    it(`of version ${version} is refused, and left as it is`, async (t) => {
      const file = join(await tempDir(t), 'hub.db')
      createSqliteStore(file)
      const db = new DatabaseSync(file)
      db.exec(`PRAGMA user_version = ${version}`)
      db.close()
      const before = tablesOf(file)
      assert.throws(() => openSqliteStore(file), { code: 'ZT-503-STORE', message: /of version/ })
      assert.deepEqual(tablesOf(file), before)
    })
})
