// ztctl pcr-policy keygen: a key that signs PCR policies. The secret goes to a new file of this user's alone; the public
// half, which the hub's configuration names, to stdout.
import { closeSync, constants, fsyncSync, openSync, writeSync } from 'node:fs'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { generateNoteKey, type NoteKey } from '#shared/log/note-key.ts'
import type { Invocation } from '../grammar/invocation.ts'
import { quoted, usageError } from '../grammar/usage-error.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const [name = '', file = ''] = call.operands
  const { signer, secret } = keyNamed(name)
  keep(file, `${secret}\n`)
  if (wantsJson(call)) printJson({ kind: 'PolicyKey', name, file, vkey: signer.vkey }, io)
  else io.stdout.write(`${signer.vkey}\n`)
  return 0
}

function keyNamed(name: string): NoteKey {
  try {
    return generateNoteKey(name)
  } catch (error) {
    if (!isZtError(error, 'ZT-422-NOTE')) throw error
    throw usageError(
      `${quoted(name)} cannot be the name of a key`,
      'a name has a character at least, and no space, "+" or control character: for example pcr.mesh.example',
    )
  }
}

function keep(file: string, secret: string): void {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  let fd: number
  try {
    fd = openSync(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') throw new ZtError('ZT-409-EXISTS', `${quoted(file)} exists already`)
    throw usageError(`${quoted(file)} cannot be made (${code ?? 'unknown'})`, 'name another file')
  }
  try {
    writeSync(fd, secret)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
