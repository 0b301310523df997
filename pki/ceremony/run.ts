// One ceremony from its file to its outputs. Nothing is created before everything that can be checked was checked, and
// a failure leaves a transcript that says how far it came.
import { readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { isZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import { hex } from './certify.ts'
import { parseCeremony, refuse, type Ceremony } from './file.ts'
import { CeremonyFolder, requireAbsent } from './folder.ts'
import { runLadder } from './ladder.ts'
import { describeKeyStore, openKeyStore, readLocal, type KeyStoreLocation } from './local.ts'
import { runRoot } from './root.ts'
import { Transcript } from './transcript.ts'

export interface CeremonyRun {
  /** the ceremony file; outputs are written beside it */
  readonly file: string
  /** the local file: see local.ts */
  readonly local: string
  readonly clock: Clock
  /** told one line a step */
  readonly tell: (line: string) => void
}

export interface CeremonyResult {
  readonly transcript: string
  /** hash of the transcript's last line: what witnesses compare and sign */
  readonly head: string
}

/**
 * Runs the ceremony. Throws ZT-422-CEREMONY, ZT-400-CONFIG, ZT-409-EXISTS before anything is created or signed, and
 * what root.ts and ladder.ts throw after that.
 */
export async function runCeremony(run: CeremonyRun): Promise<CeremonyResult> {
  const content = await readCeremony(run.file)
  const ceremony = parseCeremony(content)
  const location = await readLocal(run.local)
  const folder = dirname(resolve(run.file))
  await requireAbsent(folder, Object.values(ceremony.outputs))
  const file = join(folder, ceremony.outputs.transcript)
  const transcript = await Transcript.create({ file, clock: run.clock, tell: run.tell })
  try {
    await transcript.write('ceremony', {
      type: ceremony.type,
      sha256: hex(content),
      demo: String(ceremony.demo),
    })
    await perform(ceremony, {
      location,
      folder: new CeremonyFolder(folder, transcript),
      transcript,
      now: run.clock.now(),
    })
    await transcript.write('done')
    return { transcript: file, head: transcript.head }
  } catch (error) {
    await transcript.write('failed', { code: isZtError(error) ? error.code : 'ZT-500-INTERNAL' })
    throw error
  } finally {
    await transcript.close()
  }
}

interface Place {
  readonly location: KeyStoreLocation
  readonly folder: CeremonyFolder
  readonly transcript: Transcript
  readonly now: number
}

async function perform(ceremony: Ceremony, { location, folder, transcript, now }: Place): Promise<void> {
  const keys = await openKeyStore(location)
  try {
    await transcript.write('opened key store', describeKeyStore(location))
    const desk = { keys, folder, transcript, now }
    await (ceremony.type === 'root' ? runRoot(ceremony, desk) : runLadder(ceremony, desk))
  } finally {
    await keys.close()
  }
}

async function readCeremony(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file)
  } catch (error) {
    throw refuse('the ceremony file cannot be read', error)
  }
}
