// A17, A21 and A22: evidence that was good once, and attempts to do without any.
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseNodeName } from '#shared/identity/names.ts'
import { parseAttest, type ClockInfo } from '#shared/tpm/attest.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import { TpmAttester } from '#shared/host/tpm/attester.ts'
import { softAk } from '../../forged-tpm.ts'
import { logOf, NODE } from '../asked.ts'
import type { AttackCase, CaseEvidence } from '../case.ts'
import {
  challengeFor,
  genuineJoin,
  genuineRenewal,
  knownTo,
  quoteOf,
  registered,
  type Machine,
  type Rig,
} from '../rig.ts'
import { attackCase, FROM_TPM, SOFT_KEY, type CaseParts } from './made.ts'
import { softQuote } from './soft-quote.ts'

export async function stateCases(rig: Rig): Promise<AttackCase[]> {
  const { evidence, challenge, known } = await genuineRenewal(rig)
  const nonce = { attack: 'A17', made: FROM_TPM, expect: 'ZT-401-NONCE' } as const
  return [
    attackCase(
      'a17-used-challenge',
      { ...nonce, what: 'genuine evidence, and the challenge was answered before' },
      { evidence, challenge: { ...challenge, used: true }, known },
    ),
    attackCase(
      'a17-expired-challenge',
      { ...nonce, what: 'genuine evidence, a minute too late' },
      { evidence, challenge, known: { ...known, now: challenge.expires } },
    ),
    attackCase(
      'a17-used-at-once',
      { ...nonce, times: 20, what: 'genuine evidence, handed in twenty times at once: it is good for one' },
      await genuineRenewal(rig),
    ),
    attackCase(
      'a17-joined-at-once',
      { ...nonce, times: 20, what: 'a machine joins, with its evidence handed in twenty times at once' },
      { ...(await genuineJoin(rig, rig.x)), known: knownTo(rig) },
    ),
    ...fallbacks(rig),
    ...drifts(rig, { evidence, challenge, known }),
    ...clocks(rig),
    await restoredSnapshot(rig),
  ]
}

/** A22: all that a machine without a TPM would be asked for, under a name that stands for one. */
function fallbacks(rig: Rig): AttackCase[] {
  const { svid, csr } = rig.x
  const made = 'there is no evidence of a TPM'
  const words = { attack: 'A22', made, expect: 'ZT-412-TPM' } as const
  const thief = generateP256()
  const ak = softAk()
  return [
    attackCase(
      'a22-join-token-instead',
      {
        ...words,
        what: 'a node that is registered with a TPM comes with a join token, even one that may take the name over',
      },
      {
        evidence: { joinToken: true, csr },
        challenge: challengeFor(rig, svid, { log: logOf(NODE, 2), replaces: true }),
        known: knownTo(rig, { registered: [registered(rig, rig.x)] }),
        device: thief,
      },
    ),
    attackCase(
      'a22-device-key-instead',
      {
        ...words,
        made: SOFT_KEY,
        what: 'a node that is registered with a TPM renews with a signature by the key that is registered, and no quote',
      },
      {
        evidence: { deviceKey: true, csr },
        challenge: challengeFor(rig, svid),
        known: knownTo(rig, { registered: [registered(rig, { ak })] }),
        device: ak,
      },
    ),
  ]
}

/** T13: the quote is genuine, and what it says is not what the policy accepts. */
function drifts(rig: Rig, { evidence, challenge, known }: CaseParts): AttackCase[] {
  const words = { attack: 'T13', made: FROM_TPM, expect: 'ZT-403-PCR' } as const
  const [set] = rig.policy.sets
  if (set === undefined) throw new Error('the policy has a set')
  const under = (change: Partial<typeof set>): CaseParts => ({
    evidence,
    challenge,
    known: { ...known, pcrPolicy: { ...rig.policy, sets: [{ ...set, ...change }] } },
  })
  return [
    attackCase(
      't13-drift',
      { ...words, what: 'the machine has started another boot loader than the policy accepts' },
      under({ values: { ...set.values, 4: 'ab'.repeat(32) } }),
    ),
    attackCase(
      't13-ended-set',
      { ...words, what: 'the set that accepts it has ended' },
      under({ notAfter: rig.now }),
    ),
    attackCase(
      't13-set-of-another-node',
      { ...words, what: 'the set that accepts it is for another node' },
      under({ nodes: [parseNodeName('build-box')] }),
    ),
  ]
}

/** A21, by numbers */
function clocks(rig: Rig): AttackCase[] {
  const before: ClockInfo = { clock: 100_000, resetCount: 7, restartCount: 3, safe: true }
  const rolled = (
    attest: Partial<{ clock: number; resetCount: number; restartCount: number; safe: number }>,
  ): CaseParts => {
    const { evidence, challenge, known } = softQuote(rig, { attest })
    const [machine] = known.registered
    if (machine === undefined) throw new Error('a renewal has a registered machine')
    return { evidence, challenge, known: { ...known, registered: [{ ...machine, clock: before }] } }
  }
  const words = { attack: 'A21', made: SOFT_KEY, expect: 'ZT-401-TPM-CLOCK' } as const
  const unsafe = rolled({ safe: 0 })
  return [
    attackCase(
      'a21-fewer-resets',
      { ...words, what: 'fewer resets than the last quote said' },
      rolled({ resetCount: 6, clock: 900_000 }),
    ),
    attackCase(
      'a21-fewer-restarts',
      { ...words, what: 'as many resets, fewer restarts' },
      rolled({ restartCount: 2, clock: 900_000 }),
    ),
    attackCase(
      'a21-earlier-clock',
      { ...words, what: 'as many resets and restarts, an earlier clock' },
      rolled({ clock: 99_999 }),
    ),
    attackCase(
      'a21-unsafe-clock',
      {
        ...words,
        expect: 'ZT-401-TPM-UNSAFE',
        what: 'a clock that is not safe, where the policy requires one',
      },
      { ...unsafe, known: { ...unsafe.known, pcrPolicy: { ...rig.policy, requireSafeClock: true } } },
    ),
  ]
}

/** A21, by a TPM that was put back to what it was two starts before. Leaves machine Y with its registers reset. */
async function restoredSnapshot(rig: Rig): Promise<AttackCase> {
  const { y } = rig
  const state = join(y.swtpm.stateDir, 'tpm2-00.permall')
  const kept = join(y.swtpm.dir, 'snapshot')
  await copyFile(state, kept)
  await y.swtpm.reset()
  await y.swtpm.reset()
  const last = await quoteNow(rig, y)
  await y.swtpm.stop()
  await copyFile(kept, state)
  await y.swtpm.reset()
  const { evidence, challenge } = await quoteNow(rig, y)
  const clock = parseAttest(last.evidence.quote?.attest ?? new Uint8Array()).clockInfo
  // The registers of a machine that has started nothing are not the policy's: the clock is to be what refuses.
  const { pcrPolicy: _policy, ...known } = knownTo(rig, { registered: [{ ...registered(rig, y), clock }] })
  return attackCase(
    'a21-restored-snapshot',
    {
      attack: 'A21',
      what: 'a TPM in software is put back to a snapshot from before its last quote',
      made: 'every byte by swtpm, whose state was copied, and copied back two starts later',
      expect: 'ZT-401-TPM-CLOCK',
    },
    { evidence, challenge, known },
  )
}

async function quoteNow(
  rig: Rig,
  machine: Machine,
): Promise<{ evidence: CaseEvidence; challenge: ReturnType<typeof challengeFor> }> {
  const attester = await TpmAttester.open(machine.swtpm.open())
  const challenge = challengeFor(rig, machine.svid)
  const quote = await quoteOf({ attester, ak: machine.ak }, challenge)
  await attester.close()
  return { evidence: { quote, csr: machine.csr }, challenge }
}
