// The proof by TPM: which TPM this is, at the first join, and from then on what it has measured, quoted over each session,
// beside the certification of the SVID's key.
import { readFile } from 'node:fs/promises'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import type { TpmAttester } from '#shared/host/tpm/attester.ts'
import type { Challenge } from '#shared/protocol/admission.ts'
import {
  activationProof,
  MAX_EVENT_LOG_BYTES,
  type PcrWish,
  type TpmEvidence,
  type TpmHello,
} from '#shared/protocol/tpm-evidence.ts'
import type { Attestation } from '#shared/tpm/attest-calls.ts'
import type { TpmSettings } from '../config.ts'
import { keepTpmKey, loadTpmKey, type TpmKey } from '../state/tpm-key.ts'
import type { Attestor } from './attestor.ts'
import { TpmAccess } from './tpm-access.ts'
import { TpmSvidKey } from './tpm-svid-key.ts'

export interface TpmAttestorParts {
  readonly settings: TpmSettings
  /** where the attestation key's blobs are */
  readonly keyFile: string
}

/**
 * The first proof: the token authorises the name, the TPM proves the machine. Errors: ZT-503-TPM and ZT-412-EK for a TPM
 * that does not answer or has no certificate; ZT-412-TPM if the hub takes no TPMs.
 */
export function tpmJoinAttestor(token: string, { settings, keyFile }: TpmAttestorParts): Attestor {
  const access = new TpmAccess(settings)
  return {
    kind: 'tpm',
    hello: () => access.prove((tpm) => greet(tpm, keyFile)),
    ...keyMaker(access),
    attest: (transcript, challenge, svid) =>
      access.prove(async (tpm) => {
        const key = requireKey(keyFile)
        const { credential } = challenge
        if (credential === undefined) throw new ZtError('ZT-412-TPM', 'the hub takes no evidence of a TPM')
        const blob = decodeBase64url(credential.blob, 'credential.blob')
        const secret = await tpm.activate(key, blob, decodeBase64url(credential.secret, 'credential.secret'))
        const activation = encodeBase64url(activationProof(secret, transcript))
        const proof = await prove(tpm, { key, wish: requireWish(challenge), transcript, svid }, settings)
        return { ...proof, join: { token, activation } }
      }),
  }
}

/** Every later proof, at restart and at each renewal: a fresh quote by the key that was registered. */
export function tpmAttestor({ settings, keyFile }: TpmAttestorParts): Attestor {
  const access = new TpmAccess(settings)
  return {
    kind: 'tpm',
    ...keyMaker(access),
    attest: (transcript, challenge, svid) =>
      access.prove((tpm) => {
        const key = requireKey(keyFile)
        return prove(tpm, { key, wish: requireWish(challenge), transcript, svid }, settings)
      }),
  }
}

function keyMaker(access: TpmAccess): Pick<Attestor, 'createKey'> {
  return access.settings.svidKey === 'memory' ? {} : { createKey: () => TpmSvidKey.create(access) }
}

async function greet(tpm: TpmAttester, keyFile: string): Promise<TpmHello> {
  const { certificates, public: ek } = await tpm.endorsement()
  const { public: ak, creation } = (await keptKey(tpm, keyFile)) ?? (await newKey(tpm, keyFile))
  return {
    ek: { certificates: certificates.map((der) => encodeBase64url(der)), public: encodeBase64url(ek) },
    ak: {
      public: encodeBase64url(ak),
      creation: {
        data: encodeBase64url(creation.data),
        attest: encodeBase64url(creation.certifyInfo),
        signature: encodeBase64url(creation.signature),
      },
    },
  }
}

async function keptKey(tpm: TpmAttester, keyFile: string): Promise<TpmKey | undefined> {
  const key = loadTpmKey(keyFile)
  if (key === undefined) return undefined
  try {
    await tpm.checkAk(key)
  } catch (cause) {
    if (!isZtError(cause, 'ZT-503-TPM') || cause.details['rc'] !== 'TPM_RC_INTEGRITY') throw cause
    // Not replaced: whether it is the key of a TPM that is still somewhere is for the operator to say.
    const what = 'is of another TPM, or of this one before it was cleared: remove it to join with a new key'
    throw new ZtError('ZT-400-CONFIG', `${keyFile} ${what}`, { cause })
  }
  return key
}

// Kept before the hub hears of it, so that a try that was cut off is repeated with the same key.
async function newKey(tpm: TpmAttester, keyFile: string): Promise<TpmKey> {
  const key = await tpm.createAk()
  keepTpmKey(keyFile, key)
  return key
}

interface Asked {
  readonly key: TpmKey
  readonly wish: PcrWish
  readonly transcript: Uint8Array
  /** of the SVID, where it is in the TPM */
  readonly svid: TpmSvidKey | undefined
}

async function prove(
  tpm: TpmAttester,
  { key, wish, transcript, svid }: Asked,
  settings: TpmSettings,
): Promise<TpmEvidence> {
  const { attest, signature, pcrs } = await tpm.quote(key, transcript, wish)
  const certified = svid === undefined ? undefined : await tpm.certify(key, svid.key, transcript)
  const values = Array.from(pcrs, ([index, value]) => [String(index), Buffer.from(value).toString('hex')])
  return {
    type: 'tpm',
    quote: encodeBase64url(attest),
    signature: encodeBase64url(signature),
    pcrs: Object.fromEntries(values) as TpmEvidence['pcrs'],
    ...(wish.eventLog && { eventLog: encodeBase64url(await readEventLog(settings.eventLog)) }),
    ...(svid !== undefined && certified !== undefined && { key: certificationOf(svid, certified) }),
  }
}

function certificationOf(
  { key }: TpmSvidKey,
  { attest, signature }: Attestation,
): NonNullable<TpmEvidence['key']> {
  return {
    public: encodeBase64url(key.public),
    certify: encodeBase64url(attest),
    signature: encodeBase64url(signature),
  }
}

function requireKey(keyFile: string): TpmKey {
  const key = loadTpmKey(keyFile)
  if (key !== undefined) return key
  throw new ZtError('ZT-400-CONFIG', `${keyFile} is missing: this machine did not join with its TPM`)
}

function requireWish({ pcrs }: Challenge): PcrWish {
  if (pcrs !== undefined) return pcrs
  throw new ZtError('ZT-412-TPM', 'the hub takes no evidence of a TPM')
}

async function readEventLog(file: string): Promise<Uint8Array> {
  let log: Uint8Array
  try {
    log = await readFile(file)
  } catch (cause) {
    throw new ZtError('ZT-412-TPM', `the hub asks for the event log, and ${file} cannot be read`, { cause })
  }
  if (log.length <= MAX_EVENT_LOG_BYTES) return log
  throw new ZtError('ZT-413-SIZE', `the event log is over ${MAX_EVENT_LOG_BYTES} bytes`)
}
