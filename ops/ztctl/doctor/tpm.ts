// Whether this machine can prove itself by a TPM, and whether tests and the demo find one in software: only the first is for real
// nodes, and a node without it joins by token, at the lower level.
import { existsSync } from 'node:fs'
import { isZtError } from '#shared/errors/error.ts'
import { TpmAttester } from '#shared/host/tpm/attester.ts'
import { openTpm } from '#shared/host/tpm/device.ts'
import { ok, warn, type Check } from './check.ts'
import { findProgram } from './program.ts'

const DEVICE = '/dev/tpmrm0'
const TIMEOUT_MS = 5_000

/** The TPM at `path`: it is asked for its maker and for a certificate of its endorsement key. */
export function tpmAt(path: string): Check {
  return async () => {
    const about = { name: 'tpm', neededBy: 'node, to join by TPM' }
    if (!existsSync(path))
      return warn(
        about,
        `no ${path}: nodes here join by token`,
        "switch the TPM on in the machine's firmware",
      )
    try {
      const attester = await TpmAttester.open(openTpm({ path, timeoutMs: TIMEOUT_MS }))
      try {
        return ok(about, `${path}: ${await attester.manufacturer()}, ${(await attester.endorsement()).kind}`)
      } finally {
        await attester.close()
      }
    } catch (error) {
      if (!isZtError(error)) throw error
      const remedy =
        error.code === 'ZT-412-EK'
          ? 'join by token: this TPM came without a certificate'
          : `let the node agent's user open ${path}, mostly by the group tss`
      return warn(about, error.message, remedy)
    }
  }
}

export const checkTpm: Check = tpmAt(DEVICE)

/** The TPM in software: nothing but tests and the demo use it. */
export const checkSwtpm: Check = async ({ env }) => {
  const about = { name: 'swtpm', neededBy: 'tests and the demo alone' }
  const missing = ['swtpm', 'swtpm_setup', 'swtpm_localca'].filter(
    (name) => findProgram(name, env) === undefined,
  )
  return missing.length === 0
    ? ok(about, 'installed')
    : warn(about, `not installed: ${missing.join(', ')}`, 'install the packages swtpm and swtpm-tools')
}
