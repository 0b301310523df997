// The machine's TPM, one user at a time. The device is opened for one piece of work and closed after it, so a TPM that was
// reset, or a software TPM that was restarted, is met anew each time, and an idle agent holds nothing of it.
import { TpmAttester } from '#shared/host/tpm/attester.ts'
import { openTpm } from '#shared/host/tpm/device.ts'
import { readPasswords } from '#shared/host/tpm/password-file.ts'
import type { TpmSettings } from '../config.ts'

export class TpmAccess {
  readonly settings: TpmSettings
  #last: Promise<unknown> = Promise.resolve()

  constructor(settings: TpmSettings) {
    this.settings = settings
  }

  /** What `work` gives, once those before it are done. Errors: ZT-400-CONFIG for a password file, ZT-503-TPM, and its own. */
  use<T>(work: (tpm: TpmAttester) => Promise<T>): Promise<T> {
    const result = this.#last.then(() => this.#open(work))
    this.#last = result.catch(() => undefined)
    return result
  }

  async #open<T>(work: (tpm: TpmAttester) => Promise<T>): Promise<T> {
    const { where, passwords: files } = this.settings
    const passwords = files === undefined ? {} : await readPasswords(files)
    const device = openTpm(where)
    let tpm: TpmAttester
    try {
      tpm = await TpmAttester.open(device, passwords)
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
