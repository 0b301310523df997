// C2SP tlog-checkpoint: the signed head of one log. Opening one proves that a known key of that very log signed that
// size and root, no more: whether the rows agree is for verify-log.ts to say.
import { decodeBase64, encodeBase64 } from '#shared/encoding/base64url.ts'
import { ZtError } from '#shared/errors/error.ts'
import { HASH_BYTES, type Hash } from './hash.ts'
import { openNote, signNote, type NoteSigner, type NoteVerifier } from './note.ts'

export interface TreeHead {
  readonly size: number
  readonly root: Hash
}

export interface Checkpoint extends TreeHead {
  readonly origin: string
  /** the signed note, exactly as it was made */
  readonly note: string
}

export interface OpenedCheckpoint extends Checkpoint {
  readonly signers: readonly NoteVerifier[]
}

/** The three lines that are signed. */
export function formatCheckpoint(origin: string, head: TreeHead): string {
  return `${origin}\n${head.size}\n${encodeBase64(head.root)}\n`
}

/** Signs a head under the name of the signer, which is the origin of the log. */
export function signCheckpoint(head: TreeHead, signer: NoteSigner): Checkpoint {
  const note = signNote(formatCheckpoint(signer.name, head), [signer])
  return { origin: signer.name, size: head.size, root: head.root, note }
}

/**
 * Opens the checkpoint of the log `origin`, signed by one of `known`.
 * Errors: ZT-422-NOTE when malformed (a size with leading zeros, negative or beyond 2^53−1 included);
 * ZT-490-SIGNATURE for another log's checkpoint, an unknown key or a bad signature.
 */
export function openCheckpoint(
  note: string,
  origin: string,
  known: readonly NoteVerifier[],
): OpenedCheckpoint {
  // C2SP tlog-checkpoint: a log's keys are named after its origin, so no other log's key can speak for it.
  const ofLog = known.filter((key) => key.name === origin)
  const { text, signers } = openNote(note, ofLog)
  const head = parseCheckpointText(text)
  if (head.origin !== origin) {
    throw new ZtError('ZT-490-SIGNATURE', 'the checkpoint is of another log', { details: { origin } })
  }
  return { ...head, note, signers }
}

/** The head that a note claims, signature unchecked: only for choosing the key to check it with. */
export function claimedHead(note: string): TreeHead & { readonly origin: string } {
  const end = note.lastIndexOf('\n\n')
  if (end < 0) throw refused('it has no signature block')
  return parseCheckpointText(note.slice(0, end + 1))
}

function parseCheckpointText(text: string): TreeHead & { origin: string } {
  // Extension lines are allowed by C2SP and used by no log of ours: refused, so that nothing unread is ever signed for.
  const [origin, size, root, end, ...rest] = text.split('\n')
  if (origin === undefined || origin === '' || size === undefined || root === undefined) {
    throw refused('it does not have three lines')
  }
  if (end !== '' || rest.length > 0) throw refused('it has extension lines')
  return { origin, size: parseSize(size), root: parseRoot(root) }
}

function parseSize(text: string): number {
  const size = /^(?:0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(size)) throw refused('its size is not a canonical number')
  return size
}

function parseRoot(text: string): Hash {
  let root: Hash
  try {
    root = decodeBase64(text, 'root')
  } catch (cause) {
    throw new ZtError('ZT-422-NOTE', 'not a checkpoint: its root is not canonical base64', { cause })
  }
  if (root.length !== HASH_BYTES) throw refused('its root is not 32 bytes')
  return root
}

function refused(why: string): ZtError {
  return new ZtError('ZT-422-NOTE', `not a checkpoint: ${why}`)
}
