// Two software TPMs of one maker and what a hub would know of them: from it, every case of the corpus is made, and made again live.
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sealActivation } from '#hub/attestation/activation.ts'
import { verifyAk } from '#hub/attestation/attestation-key.ts'
import { readConfiguredAuthority } from '#hub/attestation/ek-certificate.ts'
import { verifyEndorsement, type VerifiedEk } from '#hub/attestation/endorsement.ts'
import type { QuoteEvidence } from '#hub/attestation/evidence.ts'
import { parseNodeName, type NodeName } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { TpmAttester, type CreatedAk } from '#shared/host/tpm/attester.ts'
import { generateP256, type P256KeyPair } from '#shared/jose/keys.ts'
import { activationProof } from '#shared/protocol/tpm-evidence.ts'
import type { PcrPolicy, PcrValues } from '#shared/protocol/pcr-policy.ts'
import type { EndorsementKind } from '#shared/tpm/templates.ts'
import type { PcrSelection } from '#shared/tpm/pcr.ts'
import type { TpmBlob } from '#shared/tpm/object-calls.ts'
import { createCsr } from '#shared/x509/csr.ts'
import { certificatesFromPem } from '#shared/x509/pem.ts'
import { startSwtpm, type Swtpm } from '../swtpm.ts'
import type { CaseChallenge, CaseEvidence, CaseKnowledge, RegisteredMachine } from './case.ts'
import { bootLog, measureBoot } from './measured-boot.ts'
import { transcriptOf } from './judge.ts'

export const NODE: NodeName = parseNodeName('mac-mini')
export const SELECTION = { bank: 'sha256', indices: [0, 1, 2, 3, 4, 5, 6, 7] } as const
const CHALLENGE_MS = 60_000
const FRESH_MS = 2000

/** One machine: its TPM, a registered AK, and the key that it wants an SVID for. */
export interface Machine {
  readonly swtpm: Swtpm
  readonly attester: TpmAttester
  readonly ak: CreatedAk
  readonly svid: P256KeyPair
  readonly csr: Uint8Array
}

export interface Rig {
  /** the machine that is to be admitted */
  readonly x: Machine
  /** another machine with a TPM of the same maker: an attacker's */
  readonly y: Machine
  readonly authorities: Pick<CaseKnowledge, 'roots' | 'intermediates'>
  readonly eventLog: Uint8Array
  readonly policy: PcrPolicy
  /** UTC, milliseconds: the time of every case */
  readonly now: number
}

interface TestLike {
  after(action: () => Promise<void>): void
}

/** Takes some seconds. Everything is stopped and removed after `test`. */
export async function startRig(test: TestLike): Promise<Rig> {
  const first = await startSwtpm(test, { eccP256: true })
  const second = await startSwtpm(test, { caDir: first.caDir })
  const x = await machineOf(test, first)
  const y = await machineOf(test, second)
  for (const { attester } of [x, y]) await measureBoot(attester)
  const quote = await x.attester.readPcrs(SELECTION)
  return {
    x,
    y,
    authorities: await authoritiesOf(first),
    eventLog: bootLog(),
    policy: policyOf(hexValues(quote)),
    // The certificates are made in this very second.
    now: Date.now() + FRESH_MS,
  }
}

export function hexValues(values: ReadonlyMap<number, Uint8Array>): PcrValues {
  return Object.fromEntries(
    [...values].map(([index, value]) => [String(index), Buffer.from(value).toString('hex')]),
  )
}

export function policyOf(values: PcrValues): PcrPolicy {
  const { bank, indices } = SELECTION
  const sets = [{ name: 'as-measured', values }]
  return {
    v: 1,
    td: 'mesh.example' as PcrPolicy['td'],
    version: 1,
    bank,
    indices: [...indices],
    sets,
    eventLog: 'ignored',
  }
}

/** The challenge of a hub for that request, fresh. */
export function challengeFor(
  rig: Rig,
  csr: Pick<P256KeyPair, 'spki'>,
  change: Partial<CaseChallenge> = {},
): CaseChallenge {
  const challenge = {
    hub: parseSpiffeId('spiffe://mesh.example/hub/h1'),
    session: encodeBase64url(randomBytes(16)),
    nonce: encodeBase64url(randomBytes(32)),
    node: NODE,
    enc: encodeBase64url(randomBytes(32)),
    nats: `U${'A'.repeat(55)}`,
    log: {
      vkey: `mesh.example/log/node/${NODE}/e1+00000000+AA==`,
      origin: `mesh.example/log/node/${NODE}/e1`,
    },
    pcrs: { bank: SELECTION.bank, indices: [...SELECTION.indices] },
    expires: rig.now + CHALLENGE_MS,
    used: false,
    extraData: '',
    ...change,
  }
  return { ...challenge, extraData: Buffer.from(transcriptOf(challenge, csr.spki)).toString('hex') }
}

export const extraOf = ({ extraData }: CaseChallenge): Uint8Array =>
  Uint8Array.from(Buffer.from(extraData, 'hex'))

export function knownTo(rig: Rig, change: Partial<CaseKnowledge> = {}): CaseKnowledge {
  return { now: rig.now, ...rig.authorities, deniedEks: [], pcrPolicy: rig.policy, registered: [], ...change }
}

/** Genuine evidence of a machine that joins: what the hub asks and what its TPM answers. */
export async function genuineJoin(
  rig: Rig,
  machine: Machine,
  kind?: EndorsementKind,
): Promise<{ evidence: CaseEvidence; challenge: CaseChallenge; ek: VerifiedEk }> {
  const attester =
    kind === undefined
      ? machine.attester
      : await TpmAttester.open(machine.swtpm.open(), { endorsement: kind })
  const endorsement = await attester.endorsement()
  const ek = verifyEndorsement(endorsement, trustOf(rig), rig.now)
  const secret = Uint8Array.from(randomBytes(32))
  const challenge = challengeFor(rig, machine.svid, { secret })
  const sealed = sealActivation({ ek, ak: verifyAk({ public: machine.ak.public }) }, secret)
  const opened = await attester.activate(machine.ak, sealed.blob, sealed.encryptedSecret)
  const { data, certifyInfo, signature } = machine.ak.creation
  const evidence = {
    endorsement: { certificates: [...endorsement.certificates], public: endorsement.public },
    ak: { public: machine.ak.public, creation: { data, attest: certifyInfo, signature } },
    activation: activationProof(opened, extraOf(challenge)),
    quote: await quoteOf(machine, challenge),
    csr: machine.csr,
  }
  if (kind !== undefined) await attester.close()
  return { evidence, challenge, ek }
}

/** Genuine evidence of a machine that renews: a quote by the AK that is registered. */
export async function genuineRenewal(
  rig: Rig,
  machine: Machine = rig.x,
): Promise<{ evidence: CaseEvidence; challenge: CaseChallenge; known: CaseKnowledge }> {
  const challenge = challengeFor(rig, machine.svid)
  const evidence = { quote: await quoteOf(machine, challenge), csr: machine.csr }
  return { evidence, challenge, known: knownTo(rig, { registered: [registered(machine)] }) }
}

export async function quoteOf(
  { attester, ak }: Pick<Machine, 'attester'> & { readonly ak: TpmBlob },
  challenge: CaseChallenge,
  selection: PcrSelection = SELECTION,
): Promise<QuoteEvidence> {
  const { attest, signature, pcrs } = await attester.quote(ak, extraOf(challenge), selection)
  return { attest, signature, pcrs: hexValues(pcrs) }
}

export function registered(
  machine: { readonly ak: Pick<TpmBlob, 'public'> },
  ek: string = '00'.repeat(32),
): RegisteredMachine {
  return { node: NODE, ek, ak: machine.ak.public }
}

export function trustOf({ authorities }: Rig): Parameters<typeof verifyEndorsement>[1] {
  const read = (der: Uint8Array): ReturnType<typeof readConfiguredAuthority> =>
    readConfiguredAuthority(der, 'rig')
  return {
    roots: authorities.roots.map(read),
    intermediates: authorities.intermediates.map(read),
    denied: new Set(),
  }
}

async function machineOf(test: TestLike, swtpm: Swtpm): Promise<Machine> {
  const attester = await TpmAttester.open(swtpm.open())
  test.after(() => attester.close())
  const svid = generateP256()
  return { swtpm, attester, ak: await attester.createAk(), svid, csr: createCsr(svid) }
}

async function authoritiesOf({ caDir }: Swtpm): Promise<Rig['authorities']> {
  const read = async (name: string): Promise<Uint8Array[]> =>
    certificatesFromPem(await readFile(join(caDir, name), 'utf8'))
  return {
    roots: await read('swtpm-localca-rootca-cert.pem'),
    intermediates: await read('issuercert.pem'),
  }
}
