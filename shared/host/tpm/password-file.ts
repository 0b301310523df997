// The password of a TPM's hierarchy, from a file that nobody else can read: never from a configuration, an argument or the environment.
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { ZtError } from '#shared/errors/error.ts'

export interface PasswordFiles {
  readonly owner: string | undefined
  readonly endorsement: string | undefined
}

// An authorisation value is at most as long as the longest digest (Part 1 §19.3).
const MAX_BYTES = 64

/** What a TpmAttester takes; a hierarchy without a file has no password. ZT-400-CONFIG if a file cannot be used. */
export async function readPasswords(
  files: PasswordFiles,
): Promise<{ readonly ownerPassword: Uint8Array; readonly endorsementPassword: Uint8Array }> {
  return {
    ownerPassword: await readPassword(files.owner),
    endorsementPassword: await readPassword(files.endorsement),
  }
}

/** The file's bytes without one newline at their end. */
async function readPassword(path: string | undefined): Promise<Uint8Array> {
  if (path === undefined) return new Uint8Array()
  // O_NONBLOCK: a pipe in this place must not hold the agent.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const file = await open(path, flags).catch((cause: unknown) => {
    throw unusable(path, 'cannot be read', cause)
  })
  try {
    const facts = await file.stat()
    if (!facts.isFile()) throw unusable(path, 'is no file')
    if ((facts.mode & 0o077) !== 0) throw unusable(path, 'can be read by others: its mode must be 0600')
    if (facts.size > MAX_BYTES + 1) throw unusable(path, `is over ${MAX_BYTES} bytes`)
    const bytes = await file.readFile()
    const end = bytes.at(-1) === 0x0a ? bytes.length - 1 : bytes.length
    if (end === 0 || end > MAX_BYTES) throw unusable(path, `does not hold 1 to ${MAX_BYTES} bytes`)
    return new Uint8Array(bytes.subarray(0, end))
  } finally {
    await file.close()
  }
}

function unusable(path: string, what: string, cause?: unknown): ZtError {
  return new ZtError('ZT-400-CONFIG', `tpm password file ${path} ${what}`, { cause, details: { file: path } })
}
