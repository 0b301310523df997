// The machine's TPM, one user at a time. The device is opened for one piece of work and closed after it, so a TPM that was
// reset, or a software TPM that was restarted, is met anew each time, and an idle agent holds nothing of it. What keeps the
// node admitted goes ahead of what it has to sign: however much that is, it must not cost the node its name.
import { TpmAttester } from '#shared/host/tpm/attester.ts'
import { openTpm } from '#shared/host/tpm/device.ts'
import { readPasswords } from '#shared/host/tpm/password-file.ts'
import type { TpmSettings } from '../config.ts'

export interface Signing {
  /** of an admission: not behind other signatures */
  readonly ahead: boolean
  /** Asked when its turn comes; what it throws ends the work before the TPM is touched. */
  readonly requireWanted: () => void
}

interface Opening {
  readonly passwords: boolean
  /** for each command; the device's own unless given */
  readonly timeoutMs?: number
}

type Piece = () => Promise<void>

// Even a slow TPM signs within a second: one that takes this long for it hangs.
const SIGNATURE_TIMEOUT_MS = 5_000

export class TpmAccess {
  readonly settings: TpmSettings
  readonly #ahead: Piece[] = []
  readonly #behind: Piece[] = []
  #working = false

  constructor(settings: TpmSettings) {
    this.settings = settings
  }

  /** What `work` gives, ahead of all signatures that wait. Errors: ZT-400-CONFIG for a password file, ZT-503-TPM, its own. */
  prove<T>(work: (tpm: TpmAttester) => Promise<T>): Promise<T> {
    return this.#inTurn(this.#ahead, () => this.#open(work, { passwords: true }))
  }

  /** The same for a signature, which needs no password. Errors: ZT-503-TPM, its own, and those of `requireWanted`. */
  sign<T>(work: (tpm: TpmAttester) => Promise<T>, { ahead, requireWanted }: Signing): Promise<T> {
    return this.#inTurn(ahead ? this.#ahead : this.#behind, async () => {
      requireWanted()
      return this.#open(work, { passwords: false, timeoutMs: SIGNATURE_TIMEOUT_MS })
    })
  }

  #inTurn<T>(lane: Piece[], work: () => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    lane.push(() => work().then(resolve, reject))
    void this.#workOff()
    return promise
  }

  async #workOff(): Promise<void> {
    if (this.#working) return
    this.#working = true
    for (let piece = this.#next(); piece !== undefined; piece = this.#next()) await piece()
    this.#working = false
  }

  #next(): Piece | undefined {
    return this.#ahead.shift() ?? this.#behind.shift()
  }

  async #open<T>(work: (tpm: TpmAttester) => Promise<T>, { passwords, timeoutMs }: Opening): Promise<T> {
    const { where, passwords: files } = this.settings
    const known = files === undefined || !passwords ? {} : await readPasswords(files)
    const device = openTpm({ ...where, ...(timeoutMs !== undefined && { timeoutMs }) })
    let tpm: TpmAttester
    try {
      tpm = await TpmAttester.open(device, known)
    } catch (error) {
      await device.close()
      throw error
    }
    try {
      return await work(tpm)
    } finally {
      await tpm.close()
    }
  }
}
