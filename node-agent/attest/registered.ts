// With what a machine that has joined proves that it is still the same one. The configuration says it, and the state
// folder must agree: a node with a TPM never falls back to a key on its disk, and one without never acts as if it had one.
import { existsSync } from 'node:fs'
import { ZtError } from '#shared/errors/error.ts'
import type { NodeConfig } from '../config.ts'
import { loadDeviceKey } from '../state/device-key.ts'
import type { StatePaths } from '../state/state-dir.ts'
import { loadTpmKey } from '../state/tpm-key.ts'
import type { Attestor } from './attestor.ts'
import { deviceKeyAttestor } from './device-key.ts'
import { tpmAttestor } from './tpm.ts'

/** ZT-400-CONFIG if the machine did not join in the way that its configuration says. */
export function registeredAttestor({ tpm }: Pick<NodeConfig, 'tpm'>, paths: StatePaths): Attestor {
  if (tpm !== undefined) {
    if (loadTpmKey(paths.tpmKey) !== undefined) return tpmAttestor({ settings: tpm, keyFile: paths.tpmKey })
    throw refuse(paths, 'has not joined with the TPM that its configuration names')
  }
  if (existsSync(paths.tpmKey)) throw refuse(paths, 'joined with a TPM, and its configuration names none')
  const device = loadDeviceKey(paths.deviceKey)
  if (device !== undefined) return deviceKeyAttestor(device)
  throw refuse(paths, 'has not joined: `node-agent join`')
}

function refuse({ dir }: StatePaths, what: string): ZtError {
  return new ZtError('ZT-400-CONFIG', `the node of ${dir} ${what}`)
}
