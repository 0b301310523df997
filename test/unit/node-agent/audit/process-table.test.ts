// The index of processes of an agent that was replaced by a newer one.
import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { describe, it } from 'node:test'
import { ProcessTable } from '#node-agent/audit/process-table.ts'
import { parseProcId } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'

const OLD = `CREATE TABLE process (
  proc TEXT PRIMARY KEY, jti TEXT NOT NULL, txn TEXT NOT NULL, owner TEXT NOT NULL, exe TEXT NOT NULL,
  exe_sha256 TEXT NOT NULL, state TEXT NOT NULL, started INTEGER, began_ms INTEGER, ended_ms INTEGER, code INTEGER,
  signal TEXT, limited TEXT
) STRICT;
INSERT INTO process VALUES ('p-aaaaaaaaaaaaaaaaaaaa', 'j', 't', 'spiffe://td/operator/alice', '/bin/x', 'h', 'running',
  1, 1, NULL, NULL, NULL, NULL)`

describe('the index of processes', () => {
  it('that an older agent made is read, and says what it did not write down', () => {
    const database = new DatabaseSync(':memory:')
    database.exec(OLD)
    const [old, next] = [parseProcId('p-aaaaaaaaaaaaaaaaaaaa'), parseProcId('p-bbbbbbbbbbbbbbbbbbbb')]
    const table = new ProcessTable(database)
    const { ownerX5t, agent } = table.find(old) ?? {}
    assert.deepEqual([ownerX5t, agent], [null, null])
    const owner = parseSpiffeId('spiffe://td/operator/alice')
    const made = { jti: 'k', txn: 't', owner, ownerX5t: 'x', agent: 'reports', exe: '/bin/x', exeSha256: 'h' }
    new ProcessTable(database).add({ proc: next, ...made })
    assert.deepEqual({ ...table.find(next), ...made }, table.find(next))
    database.close()
  })
})
