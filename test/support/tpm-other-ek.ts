// A join with an endorsement key of the test's choice: a TPM has several, each with a certificate of its own.
import type { Attestor } from '#node-agent/attest/attestor.ts'
import { tpmAttestor } from '#node-agent/attest/tpm.ts'
import { keepTpmKey, loadTpmKey, type TpmKey } from '#node-agent/state/tpm-key.ts'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { TpmAttester } from '#shared/host/tpm/attester.ts'
import { parseJoinString } from '#shared/protocol/admission.ts'
import { activationProof } from '#shared/protocol/tpm-evidence.ts'
import type { EndorsementKind } from '#shared/tpm/templates.ts'
import type { TpmMachine } from './tpm-machine.ts'

/** Joins `machine` with a join string and the endorsement key of `endorsement`. */
export function joinWithEk(
  machine: TpmMachine,
  text: string,
  endorsement: EndorsementKind,
): ReturnType<TpmMachine['admit']> {
  const { tpm, keyFile } = machine
  const settings = { where: tpm.device, eventLog: '/nonexistent', svidKey: 'tpm' as const }
  const using = async <T>(work: (attester: TpmAttester) => Promise<T>): Promise<T> => {
    const attester = await TpmAttester.open(tpm.open(), { endorsement })
    try {
      return await work(attester)
    } finally {
      await attester.close()
    }
  }
  const attestor: Attestor = {
    kind: 'tpm',
    hello: () =>
      using(async (attester) => {
        const { certificates, public: ek } = await attester.endorsement()
        const key = loadTpmKey(keyFile) ?? (await newKey(attester, keyFile))
        const { data, certifyInfo, signature } = key.creation
        return {
          ek: { certificates: certificates.map((der) => encodeBase64url(der)), public: encodeBase64url(ek) },
          ak: {
            public: encodeBase64url(key.public),
            creation: {
              data: encodeBase64url(data),
              attest: encodeBase64url(certifyInfo),
              signature: encodeBase64url(signature),
            },
          },
        }
      }),
    attest: async (transcript, challenge) => {
      const [key, { credential }] = [loadTpmKey(keyFile), challenge]
      if (key === undefined || credential === undefined) throw new Error('no hello went before')
      const [blob, sealed] = [credential.blob, credential.secret].map((part) => decodeBase64url(part, ''))
      const secret = await using((attester) =>
        attester.activate(key, blob ?? new Uint8Array(), sealed ?? new Uint8Array()),
      )
      const proof = await tpmAttestor({ settings, keyFile }).attest(transcript, challenge)
      const activation = encodeBase64url(activationProof(secret, transcript))
      return Object.assign(proof, { join: { token: parseJoinString(text).token, activation } })
    },
  }
  return machine.admit(attestor)
}

async function newKey(attester: TpmAttester, keyFile: string): Promise<TpmKey> {
  const key = await attester.createAk()
  keepTpmKey(keyFile, key)
  return key
}
