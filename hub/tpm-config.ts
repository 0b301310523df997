// The part of a hub's configuration that says which TPMs it takes evidence of. Nothing is trusted that is not named here:
// no vendor is built in, and neither is the CA of a software TPM.
import { array, object, optional, parsed, string, type Parser } from '#shared/encoding/shape.ts'
import { ZtError } from '#shared/errors/error.ts'
import { parseVkey } from '#shared/log/note.ts'

export interface TpmConfig {
  /** PEM files: whom an EK certificate must chain to */
  readonly roots: readonly string[]
  /** PEM files of what stands between, where the machines do not have it */
  readonly intermediates: readonly string[]
  /** lower-case hex SHA-256 of EKs (DER SubjectPublicKeyInfo): if given, no others are admitted */
  readonly allowEk: readonly string[] | undefined
  readonly denyEk: readonly string[]
  /** C2SP verifier keys of whoever may sign PCR policies */
  readonly policyKeys: readonly string[]
  /** a signed PCR policy that is applied when the hub starts, if it is newer than the one in force */
  readonly policyFile: string | undefined
}

/** The same as the file has it. */
interface TpmConfigFile {
  readonly roots: readonly string[]
  readonly intermediates?: readonly string[]
  readonly allowEk?: readonly string[]
  readonly denyEk?: readonly string[]
  readonly policyKeys?: readonly string[]
  readonly policyFile?: string
}

const path = string({ min: 1, max: 4096 })
const digests = array(string({ max: 64, pattern: /^[0-9a-f]{64}$/ }), { max: 3000 })
const vkey: Parser<string> = parsed((value) => parseVkey(string({ min: 1, max: 300 })(value, 'key')).vkey)

export const tpmConfigField: Parser<TpmConfigFile> = object({
  roots: array(path, { min: 1, max: 64 }),
  intermediates: optional(array(path, { max: 64 })),
  allowEk: optional(digests),
  denyEk: optional(digests),
  policyKeys: optional(array(vkey, { max: 16 })),
  policyFile: optional(path),
})

/** `at` makes a path of the file an absolute one. Throws ZT-400-CONFIG. */
export function tpmConfigOf(file: TpmConfigFile, at: (path: string) => string): TpmConfig {
  const { policyKeys = [], policyFile } = file
  if (policyFile !== undefined && policyKeys.length === 0)
    throw new ZtError('ZT-400-CONFIG', 'configuration: tpm.policyFile needs tpm.policyKeys')
  return {
    roots: file.roots.map(at),
    intermediates: (file.intermediates ?? []).map(at),
    allowEk: file.allowEk,
    denyEk: file.denyEk ?? [],
    policyKeys,
    policyFile: policyFile === undefined ? undefined : at(policyFile),
  }
}
