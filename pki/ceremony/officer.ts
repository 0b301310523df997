// What an officer does: approve a ceremony file before it is held, and sign its transcript afterwards. Both look first at
// everything that can be looked at.
import { open, readFile } from 'node:fs/promises'
import type { NoteSigner } from '#shared/log/note.ts'
import { createFile } from '../keystore/private-file.ts'
import { approve, refused } from './approval.ts'
import { describe, digestLines } from './briefing.ts'
import { hex } from './certify.ts'
import type { Ceremony } from './file.ts'
import { createOfficerKey, MIN_PASSPHRASE, openOfficerKey } from './officer-key.ts'
import { confirm, unconfirmed, type Operator } from './operator.ts'
import { prepare, readCeremonyFile } from './prepare.ts'
import { officersOf, type Quorum } from './quorum.ts'
import { addSignature, signHead, SIGNATURES } from './signatures.ts'
import { verifyCeremony } from './verify.ts'

/** Makes an officer's key and answers its public part; the passphrase is asked for unless it is to be plain. */
export async function makeKey(
  path: string,
  name: string,
  { operator }: { readonly operator: Operator | undefined },
): Promise<string> {
  if (operator === undefined) return createOfficerKey(path, name, undefined)
  const passphrase = await operator.ask({
    id: 'passphrase',
    text: `A passphrase of ${MIN_PASSPHRASE} characters or more for this key:`,
    secret: true,
  })
  if (passphrase.length < MIN_PASSPHRASE)
    throw unconfirmed(`a passphrase has ${MIN_PASSPHRASE} characters or more`)
  const again = await operator.ask({ id: 'passphrase-again', text: 'The same once more:', secret: true })
  if (again !== passphrase) throw unconfirmed('the two passphrases differ')
  return createOfficerKey(path, name, passphrase)
}

export interface OfficerDesk {
  /** of the officer's key */
  readonly key: string
  readonly operator: Operator
  /** UTC, milliseconds */
  readonly now: number
}

/**
 * Writes the approval of a ceremony file to `out`, after all checks that the machine of the ceremony will make, and
 * answers the file's digest. Throws what prepare() throws, ZT-403-QUORUM, ZT-403-UNCONFIRMED, ZT-409-EXISTS.
 */
export async function approveFile(path: string, out: string, desk: OfficerDesk): Promise<string> {
  const reviewed = await readCeremonyFile(path)
  const prepared = await prepare(reviewed, desk.now)
  requireMode(reviewed.ceremony, desk)
  const signer = await openKey(desk, { quorum: prepared.quorum, demo: reviewed.ceremony.demo })
  for (const line of describe(prepared)) desk.operator.tell(line)
  const text = 'Compare the words with those of the others. To approve, type: approve'
  await confirm(desk.operator, { id: 'approve', text }, 'approve')
  await createFile(out, approve(reviewed, signer, desk.now), 0o644)
  return hex(reviewed.canonical)
}

/** Signs the head of a transcript beside it and answers the head. Throws as verifyCeremony(), and as approveFile(). */
export async function signTranscript(path: string, desk: OfficerDesk): Promise<string> {
  const { summary, prepared, found } = await verifyCeremony({ transcript: path, unsigned: true })
  const { ceremony } = prepared.reviewed
  requireMode(ceremony, desk)
  const signer = await openKey(desk, { quorum: prepared.quorum, demo: ceremony.demo })
  for (const line of found) desk.operator.tell(line)
  for (const line of digestLines('the transcript', headHex(summary.head))) desk.operator.tell(line)
  const text = 'Compare the words with those of the others. To sign, type: sign'
  await confirm(desk.operator, { id: 'sign', text }, 'sign')
  const file = `${path}${SIGNATURES}`
  const held = await readFile(file, 'utf8').catch(() => undefined)
  if (held === undefined) await createFile(file, signHead(summary, [signer]), 0o644)
  else await append(file, addSignature(held, summary, signer).slice(held.length))
  return summary.head
}

/** The head of a transcript in hex, for its words. */
export function headHex(head: string): string {
  return Buffer.from(head, 'base64url').toString('hex')
}

/** Only a demonstration may be answered from a file. */
function requireMode({ demo }: Ceremony, { operator }: OfficerDesk): void {
  if (!operator.present && !demo) throw unconfirmed('only a demonstration may be answered from a file')
}

/** The officer's key, if it is that of an officer in force. */
async function openKey(
  { key, operator }: OfficerDesk,
  { quorum, demo }: { readonly quorum: Quorum; readonly demo: boolean },
): Promise<NoteSigner> {
  const asked = { sealed: false }
  const signer = await openOfficerKey(key, (name) => {
    asked.sealed = true
    return operator.ask({ id: 'passphrase', text: `Passphrase of ${name}:`, secret: true })
  })
  if (!asked.sealed && !demo) throw unconfirmed('a key without a passphrase is for demonstrations')
  if (!officersOf(quorum).some(({ vkey }) => vkey === signer.vkey))
    throw refused('foreign', `${signer.name} is not an officer in force`)
  return signer
}

/** Adds a line; a crash leaves the note without it, or with it whole or in part, which the next reader refuses. */
async function append(file: string, line: string): Promise<void> {
  const handle = await open(file, 'a')
  try {
    await handle.write(line)
    await handle.sync()
  } finally {
    await handle.close()
  }
}
