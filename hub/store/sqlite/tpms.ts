// The TPMs that names stand for: one name an EK, one name an AK, one TPM a name. Called within the transactions of nodes.ts.
import { ZtError } from '#shared/errors/error.ts'
import type { PcrBank, PcrValues } from '#shared/protocol/pcr-policy.ts'
import type { QuoteStep, TpmClock, TpmIdentity, TpmQuote, TpmRecord } from '../store.ts'
import type { Database, Row } from './database.ts'

/** Whether the EK or the AK stands for another name than `node`. */
export function isTaken(db: Database, node: string, { ek, ak }: TpmIdentity): boolean {
  const sql = 'SELECT 1 FROM tpms WHERE (ek = ? OR ak = ?) AND node <> ?'
  return db.get(sql, ek, ak, node) !== undefined
}

/** Whether the name stands for this EK. */
export function standsFor(db: Database, node: string, { ek }: TpmIdentity): boolean {
  return db.get('SELECT 1 FROM tpms WHERE node = ? AND ek = ?', node, ek) !== undefined
}

/** The name stands for this TPM from now on, or for none. */
export function bindTpm(db: Database, node: string, tpm: TpmIdentity | undefined): void {
  db.run('DELETE FROM tpms WHERE node = ?', node)
  if (tpm === undefined) return
  const sql = 'INSERT INTO tpms (node, ek, root, ak, maker) VALUES (?, ?, ?, ?, ?)'
  db.run(sql, node, tpm.ek, tpm.root, tpm.ak, tpm.maker)
}

/** The TPM was vouched for anew, perhaps by another root than before. */
export function keepRoot(db: Database, node: string, { root }: TpmIdentity): void {
  db.run('UPDATE tpms SET root = ? WHERE node = ?', root, node)
}

export function tpmOf(db: Database, node: string): TpmRecord | undefined {
  const row = db.get('SELECT * FROM tpms WHERE node = ?', node)
  if (row === undefined) return undefined
  const drifted =
    row['drifted_at'] === null ? undefined : { at: Number(row['drifted_at']), row: Number(row['drift_row']) }
  return {
    ek: String(row['ek']),
    root: String(row['root']),
    ak: row['ak'] as Uint8Array,
    maker: String(row['maker']),
    quote: quoteOf(row),
    drifted,
  }
}

/**
 * Keeps the quote in the place of the one before. The row is the one judged against, or ZT-401-NONCE: of two quotes that
 * were judged at once the second may be the older one.
 */
export function stepQuote(db: Database, node: string, { quote, before }: QuoteStep): void {
  const { resets, restarts, clock, safe, firmware } = quote.clock
  const changed = db.run(
    `UPDATE tpms SET resets = ?, restarts = ?, clock = ?, safe = ?, firmware = ?, quoted_at = ?, bank = ?, pcrs = ?
     WHERE node = ? AND resets IS ? AND restarts IS ? AND clock IS ?`,
    resets,
    restarts,
    clock,
    safe ? 1 : 0,
    firmware,
    quote.at,
    quote.bank,
    JSON.stringify(quote.pcrs),
    node,
    before?.resets ?? null,
    before?.restarts ?? null,
    before?.clock ?? null,
  )
  if (changed !== 1) throw new ZtError('ZT-401-NONCE', 'another quote of this node came between')
}

export function setDrift(
  db: Database,
  node: string,
  drifted: { readonly at: number; readonly row: number } | undefined,
): void {
  if (drifted === undefined)
    db.run('UPDATE tpms SET drifted_at = NULL, drift_row = NULL WHERE node = ?', node)
  else
    db.run(
      'UPDATE tpms SET drifted_at = coalesce(drifted_at, ?), drift_row = ? WHERE node = ?',
      drifted.at,
      drifted.row,
      node,
    )
}

function quoteOf(row: Row): TpmQuote | undefined {
  if (row['quoted_at'] === null) return undefined
  const clock: TpmClock = {
    resets: Number(row['resets']),
    restarts: Number(row['restarts']),
    clock: Number(row['clock']),
    safe: row['safe'] === 1,
    firmware: String(row['firmware']),
  }
  return {
    at: Number(row['quoted_at']),
    bank: String(row['bank']) as PcrBank,
    pcrs: JSON.parse(String(row['pcrs'])) as PcrValues,
    clock,
  }
}
