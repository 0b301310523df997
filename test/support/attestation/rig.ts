// Two software TPMs of one maker and what a hub would know of them: from it, every case of the corpus is made, and made again live.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sealActivation } from '#hub/attestation/activation.ts'
import { verifyAk } from '#hub/attestation/attestation-key.ts'
import { readConfiguredAuthority } from '#hub/attestation/ek-certificate.ts'
import { verifyEndorsement, type EndorsementTrust, type VerifiedEk } from '#hub/attestation/endorsement.ts'
import type { AkEvidence, EndorsementEvidence, QuoteEvidence } from '#hub/attestation/evidence.ts'
import { TpmAttester, type CreatedAk } from '#shared/host/tpm/attester.ts'
import { generateP256, type P256KeyPair } from '#shared/jose/keys.ts'
import type { LogIdentity } from '#shared/protocol/admission.ts'
import { activationProof } from '#shared/protocol/tpm-evidence.ts'
import type { PcrPolicy, PcrValues } from '#shared/protocol/pcr-policy.ts'
import type { EndorsementKind } from '#shared/tpm/templates.ts'
import type { PcrSelection } from '#shared/tpm/pcr.ts'
import type { TpmBlob } from '#shared/tpm/object-calls.ts'
import { createCsr } from '#shared/x509/csr.ts'
import { certificatesFromPem } from '#shared/x509/pem.ts'
import { startSwtpm, type Swtpm } from '../swtpm.ts'
import { ask, claimOf, extraOf, logOf, NODE, SELECTION, type Asked, type Asking } from './asked.ts'
import type { CaseChallenge, CaseEvidence, CaseKnowledge, RegisteredMachine } from './case.ts'
import { bootLog, measureBoot } from './measured-boot.ts'

const FRESH_MS = 2000

/** One machine: its TPM, a registered AK, and the key that it wants an SVID for. */
export interface Machine {
  readonly swtpm: Swtpm
  readonly attester: TpmAttester
  readonly ek: Pick<VerifiedEk, 'sha256' | 'root'>
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
  /** that of the machine that is to be admitted */
  readonly log: LogIdentity
}

interface TestLike {
  after(action: () => Promise<void>): void
}

/** Takes some seconds. Everything is stopped and removed after `test`. */
export async function startRig(test: TestLike): Promise<Rig> {
  const first = await startSwtpm(test, { eccP256: true })
  const second = await startSwtpm(test, { caDir: first.caDir })
  const authorities = await authoritiesOf(first)
  // The certificates are made in this very second.
  const now = Date.now() + FRESH_MS
  const x = await machineOf(test, first, { authorities, now })
  const y = await machineOf(test, second, { authorities, now })
  for (const { swtpm } of [x, y]) await measureBoot(swtpm.open())
  const { pcrs } = await x.attester.quote(x.ak, new Uint8Array(32), SELECTION)
  return {
    x,
    y,
    authorities,
    eventLog: bootLog(),
    policy: policyOf(hexValues(pcrs)),
    now,
    log: logOf(NODE),
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

/** The challenge of a hub for a key, fresh. */
export function challengeFor(rig: Rig, csr: Pick<P256KeyPair, 'spki'>, change: Partial<Asking> = {}): Asked {
  const { now, log, policy } = rig
  return ask(csr, { now, log, policy, ...change })
}

export function knownTo(rig: Rig, change: Partial<CaseKnowledge> = {}): CaseKnowledge {
  return { now: rig.now, ...rig.authorities, deniedEks: [], pcrPolicy: rig.policy, registered: [], ...change }
}

export interface JoinChange {
  /** the preferred of its TPM unless given */
  readonly kind?: EndorsementKind
  /** what it shows of the EK, from what it has */
  readonly shown?: (genuine: EndorsementEvidence) => EndorsementEvidence
  readonly asking?: Partial<Asking>
}

/** Genuine evidence of a machine that joins: what the hub asks and what its TPM answers. */
export async function genuineJoin(
  rig: Rig,
  machine: Machine,
  { kind, shown = (genuine) => genuine, asking }: JoinChange = {},
): Promise<{ evidence: CaseEvidence; challenge: Asked; ek: VerifiedEk }> {
  const attester =
    kind === undefined
      ? machine.attester
      : await TpmAttester.open(machine.swtpm.open(), { endorsement: kind })
  const { certificates, public: area } = await attester.endorsement()
  const ek = verifyEndorsement({ certificates, public: area }, trustOf(rig.authorities), rig.now)
  const hello = { endorsement: shown({ certificates, public: area }), ak: akOf(machine.ak) }
  const claim = claimOf(hello, ek)
  const challenge = challengeFor(rig, machine.svid, { claim, ...asking })
  const sealed = sealActivation({ ek, ak: verifyAk({ public: machine.ak.public }) }, secretOf(challenge))
  const opened = await attester.activate(machine.ak, sealed.blob, sealed.encryptedSecret)
  const evidence = {
    ...hello,
    activation: activationProof(opened, extraOf(challenge)),
    quote: await quoteOf(machine, challenge),
    csr: machine.csr,
  }
  if (kind !== undefined) await attester.close()
  return { evidence, challenge, ek }
}

/** What a key says of its creation. */
export function akOf({
  public: area,
  creation,
}: {
  readonly public: Uint8Array
  readonly creation: Pick<CreatedAk['creation'], 'data' | 'certifyInfo' | 'signature'>
}): Required<AkEvidence> {
  const { data, certifyInfo, signature } = creation
  return { public: area, creation: { data, attest: certifyInfo, signature } }
}

export function secretOf({ secret }: CaseChallenge): Uint8Array {
  if (secret === undefined) throw new Error('the challenge is not for a machine that joins')
  return secret
}

/** Genuine evidence of a machine that renews: a quote by the AK that is registered. */
export async function genuineRenewal(
  rig: Rig,
  machine: Machine = rig.x,
  change: Partial<Asking> = {},
): Promise<{ evidence: CaseEvidence; challenge: Asked; known: CaseKnowledge }> {
  const challenge = challengeFor(rig, machine.svid, change)
  const evidence = { quote: await quoteOf(machine, challenge), csr: machine.csr }
  return { evidence, challenge, known: knownTo(rig, { registered: [registered(rig, machine)] }) }
}

export async function quoteOf(
  { attester, ak }: Pick<Machine, 'attester'> & { readonly ak: TpmBlob },
  challenge: CaseChallenge,
  selection: PcrSelection = SELECTION,
): Promise<QuoteEvidence> {
  const { attest, signature, pcrs } = await attester.quote(ak, extraOf(challenge), selection)
  return { attest, signature, pcrs: hexValues(pcrs) }
}

/** The EK is that of machine X, unless another is said. */
export function registered(
  { x, log }: Pick<Rig, 'x' | 'log'>,
  { ak, ek = x.ek }: { readonly ak: Pick<TpmBlob, 'public'>; readonly ek?: Machine['ek'] },
): RegisteredMachine {
  return { node: NODE, ek: ek.sha256, root: ek.root, ak: ak.public, log }
}

export function trustOf(authorities: Rig['authorities']): EndorsementTrust {
  const read = (der: Uint8Array): ReturnType<typeof readConfiguredAuthority> =>
    readConfiguredAuthority(der, 'rig')
  return {
    roots: authorities.roots.map(read),
    intermediates: authorities.intermediates.map(read),
    denied: new Set(),
  }
}

async function machineOf(
  test: TestLike,
  swtpm: Swtpm,
  { authorities, now }: Pick<Rig, 'authorities' | 'now'>,
): Promise<Machine> {
  const attester = await TpmAttester.open(swtpm.open())
  test.after(() => attester.close())
  const ek = verifyEndorsement(await attester.endorsement(), trustOf(authorities), now)
  const svid = generateP256()
  return { swtpm, attester, ek, ak: await attester.createAk(), svid, csr: createCsr(svid) }
}

async function authoritiesOf({ caDir }: Swtpm): Promise<Rig['authorities']> {
  const read = async (name: string): Promise<Uint8Array[]> =>
    certificatesFromPem(await readFile(join(caDir, name), 'utf8'))
  return {
    roots: await read('swtpm-localca-rootca-cert.pem'),
    intermediates: await read('issuercert.pem'),
  }
}
