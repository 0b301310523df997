// What an error of SQLite means to the code that ran a statement.

const UNIQUE = 2067 // SQLITE_CONSTRAINT_UNIQUE
const PRIMARY_KEY = 1555 // SQLITE_CONSTRAINT_PRIMARYKEY

/** True if a statement failed because the key it inserted is there already: how a replayed nonce shows. */
export function isUniqueViolation(error: unknown): boolean {
  const code = error instanceof Error && 'errcode' in error ? error.errcode : undefined
  return code === UNIQUE || code === PRIMARY_KEY
}
