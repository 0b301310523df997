// Does what was planned and approved, one step after the other, each written down before the next. Nothing is written out
// before everything is signed and checked: a failure on the way leaves keys and signatures that nobody has seen.
import { hex, certify } from './certify.ts'
import { bundleFacts, bundleOf } from './bundle.ts'
import { LintedBundle } from '../lint/bundle.ts'
import { keystoreFailed, requireKey, type KeyStore, type StoredKey } from '../keystore/keystore.ts'
import { PROFILES } from '../issuance/profile.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import { refuse } from './fields.ts'
import type { Ceremony } from './file.ts'
import { writeOutput } from './folder.ts'
import { confirm, type Operator } from './operator.ts'
import type { Prepared } from './prepare.ts'
import type { Transcript } from './transcript.ts'
import type { Made, NewRoot, Work } from './work.ts'

export interface Desk {
  readonly prepared: Prepared
  /** the notes that were counted */
  readonly approvals: readonly string[]
  readonly transcript: Transcript
  readonly operator: Operator
  /** UTC, milliseconds */
  readonly now: number
}

interface Signer {
  readonly key: StoredKey
  readonly root: Certificate
}

/** The questions that a ceremony asks while it is performed, in order. */
export function stepsOf(work: Work): string[] {
  const steps: [string, boolean][] = [
    ['make-key', work.newRoot !== undefined],
    ['sign', signatureCount(work) > 0],
    ['destroy-key', work.destroys !== undefined],
    ['change-officers', work.changesOfficers === true],
  ]
  return steps.filter(([, asked]) => asked).map(([id]) => id)
}

/** True if the ceremony needs a key store. */
export function touchesKeys(work: Work): boolean {
  return signatureCount(work) > 0 || work.destroys !== undefined
}

/** Throws what certify(), bundleOf() and the key store throw; see whatIsLeft() in run.ts for the state that leaves. */
export async function perform(desk: Desk, openKeys: () => Promise<KeyStore>): Promise<void> {
  const { work } = desk.prepared
  const made = touchesKeys(work) ? await withKeys(desk, openKeys) : { certificates: [] }
  if (work.changesOfficers === true)
    await ask(
      desk,
      { id: 'change-officers', text: 'To put these officers in force, type: change officers' },
      'change officers',
    )
  const { folder } = desk.prepared.reviewed
  for (const [file, content] of work.outputs(made, desk.approvals)) {
    await writeOutput(folder, file, content)
    await desk.transcript.write('wrote', { file, sha256: hex(Buffer.from(content)) })
  }
}

async function withKeys(desk: Desk, openKeys: () => Promise<KeyStore>): Promise<Made> {
  const { work } = desk.prepared
  const keys = await openKeys()
  try {
    await desk.transcript.write('opened key store')
    if (work.destroys === undefined) return await sign(desk, keys)
    await destroyKey(work.destroys, desk, keys)
  } finally {
    await keys.close()
  }
  // A session of its own: what the token says now is not what this program remembers.
  await showGone(work.destroys.label, desk, await openKeys())
  return { certificates: [] }
}

async function sign(desk: Desk, keys: KeyStore): Promise<Made> {
  const { work, reviewed } = desk.prepared
  const old = await existingSigner(desk, keys)
  const newKey = work.newRoot === undefined ? undefined : await makeKey(work.newRoot, desk, keys)
  const count = signatureCount(work)
  const label = labelOf(reviewed.ceremony)
  const text = `To sign ${count} ${count === 1 ? 'thing' : 'things'} with the key "${label}", type: sign ${count}`
  await ask(desk, { id: 'sign', text }, `sign ${count}`)
  const newRoot =
    newKey === undefined || work.newRoot === undefined
      ? undefined
      : await certify(work.newRoot.planOf(newKey.spki), { ...desk, keys, key: newKey })
  const signer =
    old ?? (newKey === undefined || newRoot === undefined ? undefined : { key: newKey, root: newRoot })
  if (signer === undefined) throw refuse('the ceremony has no key to sign with')
  const certificates: Certificate[] = []
  // One after the other: a token signs one thing at a time, and the transcript is in order.
  for (const plan of work.certificates)
    certificates.push(await certify(plan, { ...desk, keys, key: signer.key }))
  const bundle = await signBundle(desk, signer, newRoot)
  return {
    certificates,
    ...(newRoot === undefined ? {} : { newRoot }),
    ...(bundle === undefined ? {} : { bundle }),
  }
}

/** C6: the key in the token is the key of the certificate that we are about to issue under. */
async function existingSigner({ prepared }: Desk, keys: KeyStore): Promise<Signer | undefined> {
  const { root, reviewed } = prepared
  if (root === undefined) return undefined
  const key = await requireKey(keys, labelOf(reviewed.ceremony))
  if (Buffer.compare(key.spki, root.spki) !== 0)
    throw refuse('the key of that label is not the key of the root')
  return { key, root }
}

async function makeKey({ label }: NewRoot, desk: Desk, keys: KeyStore): Promise<StoredKey> {
  const text = `To make the key in the token, type its label: ${label}`
  await ask(desk, { id: 'make-key', text }, label)
  const key = await keys.generate({ label, curve: PROFILES.root.curve })
  // If we crash here, the key is in the token and has signed nothing.
  await desk.transcript.write('made key', { label: key.label, spki: hex(key.spki) })
  return key
}

async function signBundle(
  desk: Desk,
  signer: Signer,
  newRoot: Certificate | undefined,
): Promise<string | undefined> {
  const { bundle: wish } = desk.prepared.work
  if (wish === undefined) return undefined
  const bundle = wish.of(newRoot)
  const linted = LintedBundle.check(bundle, { held: wish.held, now: desk.now })
  const text = await bundleOf(linted, { ...signer, now: desk.now })
  await desk.transcript.write('signed bundle', bundleFacts(text, bundle, signer.root))
  return text
}

async function destroyKey(
  { label, spki }: NonNullable<Work['destroys']>,
  desk: Desk,
  keys: KeyStore,
): Promise<void> {
  const key = await requireKey(keys, label)
  if (hex(key.spki) !== spki)
    throw refuse('the key of that label is not the one that the ceremony file names')
  const text = `To destroy this key for ever, type its label: ${label}`
  await ask(desk, { id: 'destroy-key', text }, label)
  await keys.destroy(label)
  await desk.transcript.write('destroyed key', { label, spki })
}

async function showGone(label: string, desk: Desk, keys: KeyStore): Promise<void> {
  try {
    if ((await keys.find(label)) !== undefined) throw keystoreFailed('the key is still in the token')
    await desk.transcript.write('key is gone', { label })
  } finally {
    await keys.close()
  }
}

async function ask(
  { operator, transcript }: Desk,
  question: { readonly id: string; readonly text: string },
  expected: string,
): Promise<void> {
  const answer = await confirm(operator, question, expected)
  await transcript.write('confirmed', { question: question.id, answer })
}

/** How many things the ceremony signs. */
export function signatureCount({ newRoot, certificates, bundle }: Work): number {
  return certificates.length + (newRoot === undefined ? 0 : 1) + (bundle === undefined ? 0 : 1)
}

function labelOf(ceremony: Ceremony): string {
  return ceremony.type === 'officers' ? '' : ceremony.keyLabel
}
