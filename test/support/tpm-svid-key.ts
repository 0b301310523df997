// A renewal whose SVID key stays in the TPM, certified there by the attestation key. Our agent cannot use such an SVID, so
// this is what an agent of somebody else's would send.
import { loadTpmKey } from '#node-agent/state/tpm-key.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256, sha256Text } from '#shared/encoding/digest.ts'
import { TpmAttester, type SigningKey } from '#shared/host/tpm/attester.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { attestTranscript, parseChallenge, type Challenge } from '#shared/protocol/admission.ts'
import type { TpmEvidence } from '#shared/protocol/tpm-evidence.ts'
import { parsePublic2b } from '#shared/tpm/public.ts'
import { parseTpmSignature } from '#shared/tpm/signature.ts'
import { spkiOfPublic } from '#shared/tpm/spki.ts'
import { explicit, integer, oid, sequence, wholeBits } from '#shared/x509/der-writer.ts'
import { OID } from '#shared/x509/oid.ts'
import { freshKeys, httpsTo, type FreshKeys } from './hub-client.ts'
import type { TestHub } from './hub.ts'
import type { TpmMachine } from './tpm-machine.ts'

interface Renewal {
  readonly hub: TestHub
  readonly machine: TpmMachine
  readonly tpm: TpmAttester
  readonly key: SigningKey
  readonly keys: FreshKeys
}

/** Renews with a key that the TPM makes now; `certify` may name another key than the request's. */
export async function renewWithTpmKey(
  hub: TestHub,
  machine: TpmMachine,
  certify: 'the key' | 'another' = 'the key',
): Promise<void> {
  const tpm = await TpmAttester.open(machine.tpm.open())
  try {
    const key = await tpm.createSigningKey()
    const certified = certify === 'the key' ? key : await tpm.createSigningKey()
    await renew({ hub, machine, tpm, key, keys: freshKeys() }, certified)
  } finally {
    await tpm.close()
  }
}

async function renew(renewal: Renewal, certified: SigningKey): Promise<void> {
  const { hub, machine, tpm, key, keys } = renewal
  const https = httpsTo(hub)
  const node = parseNodeName(machine.name)
  const challenge = parseChallenge(await https.post('/v1/challenge', { node }), '')
  const spki = spkiOfPublic(parsePublic2b(key.public))
  const transcript = transcriptOf(renewal, challenge, spki)
  await https.post('/v1/attest', {
    session: challenge.session,
    node,
    evidence: await evidence(renewal, { challenge, transcript, certified }),
    csr: encodeBase64url(await request(tpm, key, spki)),
    nats: { publicKey: keys.nats.publicKey, proof: encodeBase64url(keys.nats.sign(transcript)) },
    enc_key: encodeBase64url(keys.enc.publicKey),
    log: machine.log,
    boot: 'boot-1',
  })
}

function transcriptOf(
  { hub, machine, keys }: Renewal,
  { session, nonce }: Challenge,
  spki: Uint8Array,
): Uint8Array {
  return attestTranscript({
    hub: parseSpiffeId(hub.id),
    session,
    nonce,
    node: parseNodeName(machine.name),
    spki: sha256Text(spki),
    enc: encodeBase64url(keys.enc.publicKey),
    nats: keys.nats.publicKey,
    log: machine.log,
  })
}

async function evidence(
  { machine, tpm }: Renewal,
  parts: { readonly challenge: Challenge; readonly transcript: Uint8Array; readonly certified: SigningKey },
): Promise<TpmEvidence> {
  const { challenge, transcript, certified } = parts
  const ak = loadTpmKey(machine.keyFile)
  if (ak === undefined || challenge.pcrs === undefined) throw new Error('the machine has not joined')
  const quote = await tpm.quote(ak, transcript, challenge.pcrs)
  const said = await tpm.certify(ak, certified, transcript)
  const pcrs = Array.from(quote.pcrs, ([index, value]) => [index, Buffer.from(value).toString('hex')])
  return {
    type: 'tpm',
    quote: encodeBase64url(quote.attest),
    signature: encodeBase64url(quote.signature),
    pcrs: Object.fromEntries(pcrs) as TpmEvidence['pcrs'],
    key: {
      public: encodeBase64url(certified.public),
      certify: encodeBase64url(said.attest),
      signature: encodeBase64url(said.signature),
    },
  }
}

/** PKCS#10, signed inside the TPM. */
async function request(tpm: TpmAttester, key: SigningKey, spki: Uint8Array): Promise<Uint8Array> {
  const info = sequence(Uint8Array.of(0x02, 0x01, 0x00), sequence(), spki, explicit(0))
  const signature = parseTpmSignature(await tpm.sign(key, sha256(info)))
  if (signature.algorithm !== 'ecdsa') throw new Error('the key is not elliptic')
  const der = sequence(integer(signature.r), integer(signature.s))
  return sequence(info, sequence(oid(OID.ecdsaWithSha256)), wholeBits(der))
}
