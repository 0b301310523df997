// A1 to A8, A12 and A13: quotes that are no quotes, of something else, by something else, or for somebody else.
import { parseNodeName } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { sha256 } from '#shared/encoding/digest.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import type { PcrSelection } from '#shared/tpm/pcr.ts'
import { signingKey } from '#shared/tpm/templates.ts'
import { createCsr } from '#shared/x509/csr.ts'
import { attest, quoteBody } from '../../forged-tpm.ts'
import { extraOf, SELECTION } from '../asked.ts'
import type { AttackCase, CaseChallenge, CaseEvidence } from '../case.ts'
import { transcriptOf } from '../requests.ts'
import { challengeFor, genuineRenewal, hexValues, knownTo, quoteOf, registered, type Rig } from '../rig.ts'
import { attackCase, FROM_TPM, createAsAk, joinWith, signAsAk, SOFT_KEY, type CaseParts } from './made.ts'
import { softQuote } from './soft-quote.ts'

const NO_BANK: PcrSelection = { bank: 'sha256', indices: [] }

export async function quoteCases(rig: Rig): Promise<AttackCase[]> {
  return [
    ...(await falseStructures(rig)),
    ...(await falseChallenges(rig)),
    ...(await falseRegisters(rig)),
    ...(await falseSigners(rig)),
  ]
}

/** A1, A2 */
async function falseStructures(rig: Rig): Promise<AttackCase[]> {
  const { attester, ak } = rig.x
  const { challenge, known, evidence } = await genuineRenewal(rig)
  const pcrs = evidence.quote?.pcrs ?? {}
  const key = await attester.createSigningKey()
  const certify = await attester.certify(ak, key, extraOf(challenge))
  const created = await attester.createAk('ecdsa-p256', extraOf(challenge))
  const creation = { attest: created.creation.certifyInfo, signature: created.creation.signature }
  const instead = (signed: { attest: Uint8Array; signature: Uint8Array }, by = ak): CaseParts => ({
    evidence: { quote: { ...signed, pcrs }, csr: rig.x.csr },
    challenge,
    known: { ...known, registered: [registered(rig, { ak: by })] },
  })
  const magic = { attack: 'A1', made: SOFT_KEY, expect: 'ZT-401-TPM-MAGIC' } as const
  const type = { attack: 'A2', made: FROM_TPM, expect: 'ZT-401-TPM-TYPE' } as const
  return [
    attackCase(
      'a01-wrong-magic',
      { ...magic, what: 'the quote begins with another magic (CVE-2024-29038)' },
      softQuote(rig, { attest: { magic: 0xdeadbeef } }),
    ),
    attackCase(
      'a01-magic-zero',
      { ...magic, what: 'the quote begins with zeros' },
      softQuote(rig, { attest: { magic: 0 } }),
    ),
    attackCase(
      'a02-certify-as-quote',
      { ...type, what: 'a TPM2_Certify over the right data instead of a quote' },
      instead(certify),
    ),
    attackCase(
      'a02-creation-as-quote',
      { ...type, what: 'a TPM2_CertifyCreation over the right data instead of a quote' },
      instead(creation, created),
    ),
    attackCase(
      'a02-unknown-type',
      { ...type, made: SOFT_KEY, what: 'a quote of a type that does not exist' },
      softQuote(rig, { attest: { type: 0x8fff } }),
    ),
  ]
}

/** A3, A4, A13 */
async function falseChallenges(rig: Rig): Promise<AttackCase[]> {
  const genuine = await genuineRenewal(rig)
  const { challenge, known, evidence } = genuine
  const other = generateP256()
  const extra = { made: FROM_TPM, expect: 'ZT-401-TPM-EXTRA' } as const
  const bound = async (extraData: Uint8Array): Promise<CaseParts> => {
    const { attest: bytes, signature, pcrs } = await rig.x.attester.quote(rig.x.ak, extraData, SELECTION)
    const quote = { attest: bytes, signature, pcrs: hexValues(pcrs) }
    return { challenge, known, evidence: { quote, csr: rig.x.csr } }
  }
  const data = extraOf(challenge)
  const meantFor = (change: Partial<CaseChallenge>): Promise<CaseParts> =>
    bound(transcriptOf({ ...challenge, ...change }, rig.x.svid.spki))
  const a3 = { ...extra, attack: 'A3' }
  const a4 = { ...extra, attack: 'A4' }
  const a13 = { ...extra, attack: 'A13' }
  return [
    attackCase(
      'a03-replayed-quote',
      { ...a3, what: 'a quote that answered an earlier challenge' },
      { ...genuine, challenge: challengeFor(rig, rig.x.svid) },
    ),
    attackCase(
      'a03-nonce-of-another-session',
      { ...a3, what: 'the quote is bound to the session, with the nonce of another' },
      await meantFor({ nonce: challengeFor(rig, rig.x.svid).nonce }),
    ),
    attackCase(
      'a04-prefix',
      { ...a4, what: 'only the first half of what the quote must be bound to' },
      await bound(data.subarray(0, 16)),
    ),
    attackCase('a04-suffix', { ...a4, what: 'only the last half' }, await bound(data.subarray(16))),
    attackCase(
      'a04-longer',
      { ...a4, what: 'all of it, and a byte more' },
      await bound(Buffer.concat([data, Buffer.of(0)])),
    ),
    attackCase('a04-empty', { ...a4, what: 'nothing' }, await bound(new Uint8Array())),
    attackCase(
      'a13-relayed-to-another-hub',
      { ...a13, what: 'evidence for one hub handed to another' },
      await meantFor({ hub: parseSpiffeId('spiffe://mesh.example/hub/h2') }),
    ),
    attackCase(
      'a13-for-another-key',
      { ...a13, what: 'genuine evidence with the request for a key of an attacker' },
      { ...genuine, evidence: { ...evidence, csr: createCsr(other) } },
    ),
    attackCase(
      'a13-for-another-node',
      { ...a13, what: 'evidence of one node handed in under the name of another' },
      await meantFor({ node: parseNodeName('build-box') }),
    ),
  ]
}

/** A5, A6, A7 */
async function falseRegisters(rig: Rig): Promise<AttackCase[]> {
  const { challenge, known, evidence } = await genuineRenewal(rig)
  const genuine = evidence.quote?.pcrs ?? {}
  const parts = (quote: CaseEvidence['quote']): CaseParts => ({
    challenge,
    known,
    evidence: { csr: rig.x.csr, ...(quote && { quote }) },
  })
  const over = async (asked: PcrSelection): Promise<CaseParts> =>
    parts(await quoteOf(rig.x, challenge, asked))
  const indices = SELECTION.indices
  const selection = { made: FROM_TPM, expect: 'ZT-401-TPM-SELECTION' } as const
  const digest = {
    attack: 'A5',
    made: 'a quote by swtpm, with other values beside it',
    expect: 'ZT-401-TPM-DIGEST',
  } as const
  const { 0: zero = '', 7: seven = '', ...between } = genuine
  const both = [SELECTION, NO_BANK].map(
    ({ indices: list }, at) => ({ bank: at === 0 ? 'sha256' : 'sha1', indices: list }) as const,
  )
  const elsewhere = await quoteOf(rig.x, challenge, {
    bank: 'sha256',
    indices: [8, 9, 10, 11, 12, 13, 14, 15],
  })
  const relabelled = Object.fromEntries(Object.values(elsewhere.pcrs).map((value, at) => [String(at), value]))
  return [
    attackCase(
      'a05-other-registers',
      {
        ...selection,
        attack: 'A5',
        what: 'a quote of PCR 8 to 15, whose values are handed in as those of 0 to 7 (CVE-2024-29039)',
      },
      parts({ ...elsewhere, pcrs: relabelled }),
    ),
    attackCase(
      'a05-values-of-others',
      { ...digest, what: 'a quote of the right PCRs with the values of others' },
      parts({ ...quoteBytes(evidence), pcrs: relabelled }),
    ),
    attackCase(
      'a05-values-swapped',
      { ...digest, what: 'the quoted values, two of them swapped' },
      parts({ ...quoteBytes(evidence), pcrs: { 0: seven, ...between, 7: zero } }),
    ),
    attackCase(
      'a06-one-more',
      { ...selection, attack: 'A6', what: 'one PCR more than was asked for' },
      await over({ bank: 'sha256', indices: [...indices, 8] }),
    ),
    attackCase(
      'a06-one-less',
      { ...selection, attack: 'A6', what: 'one PCR less than was asked for' },
      await over({ bank: 'sha256', indices: indices.slice(1) }),
    ),
    attackCase(
      'a06-sha1-bank',
      {
        ...selection,
        attack: 'A6',
        made: SOFT_KEY,
        what: 'the right values, in a quote that names the bank of SHA-1',
      },
      softQuote(rig, { attest: { body: quoteBody(genuine, [{ bank: 'sha1', indices }]) } }),
    ),
    attackCase(
      'a06-sha384-bank',
      { ...selection, attack: 'A6', what: 'the same PCRs of the bank of SHA-384' },
      await over({ bank: 'sha384', indices }),
    ),
    attackCase(
      'a06-two-banks',
      { ...selection, attack: 'A6', made: SOFT_KEY, what: 'a second bank beside the one that was asked for' },
      softQuote(rig, { attest: { body: quoteBody(genuine, both) } }),
    ),
    attackCase(
      'a07-empty-selection',
      { ...selection, attack: 'A7', made: SOFT_KEY, what: 'a quote of no PCR at all' },
      softQuote(rig, { attest: { body: quoteBody({}, [NO_BANK]) } }),
    ),
    attackCase(
      'a07-no-bank',
      { ...selection, attack: 'A7', made: SOFT_KEY, what: 'a quote of no bank at all' },
      softQuote(rig, { attest: { body: quoteBody({}, []) } }),
    ),
  ]
}

/** A8, A12 */
async function falseSigners(rig: Rig): Promise<AttackCase[]> {
  const { x } = rig
  const unrestricted = await createAsAk(x, signingKey())
  const join = await joinWith(rig, x, x.ak)
  const forged = await joinWith(rig, x, unrestricted)
  const handMade = async ({ challenge, evidence }: CaseParts): Promise<CaseEvidence> => {
    const pcrs = evidence.quote?.pcrs ?? {}
    const bytes = attest({ extraData: extraOf(challenge), body: quoteBody(pcrs, [SELECTION]) })
    const signature = await signAsAk(x, unrestricted, sha256(bytes))
    return { ...evidence, quote: { attest: bytes, signature, pcrs } }
  }
  const second = await x.attester.createAk()
  const bySecond = await quoteOf({ attester: x.attester, ak: second }, join.challenge)
  const renewal = await genuineRenewal(rig)
  const known = knownTo(rig, { registered: [registered(rig, rig.y)] })
  return [
    attackCase(
      'a08-unrestricted-key',
      {
        attack: 'A8',
        what: 'a quote put together by hand, signed by a key of the TPM that signs anything, which is handed in as the AK',
        made: 'the key, its activation and the signature by swtpm; the quote by hand',
        expect: 'ZT-401-TPM-AK',
      },
      { ...forged, evidence: await handMade(forged) },
    ),
    attackCase(
      'a08-hand-made-quote',
      {
        attack: 'A8',
        what: 'the same quote beside the genuine AK',
        made: 'the signature by swtpm with another key of the same TPM; the quote by hand',
        expect: 'ZT-401-TPM-SIG',
      },
      { ...join, evidence: await handMade(join) },
    ),
    attackCase(
      'a12-quote-by-another-ak',
      {
        attack: 'A12',
        what: 'one AK was activated, and another one of the same TPM quotes',
        made: FROM_TPM,
        expect: 'ZT-401-TPM-SIG',
      },
      { ...join, evidence: { ...join.evidence, quote: bySecond } },
    ),
    attackCase(
      'a12-renewal-by-another-tpm',
      {
        attack: 'A12',
        what: 'a machine renews with the quote of another machine',
        made: FROM_TPM,
        expect: 'ZT-401-TPM-SIG',
      },
      { ...renewal, known },
    ),
  ]
}

function quoteBytes({ quote }: CaseEvidence): {
  attest: Uint8Array
  signature: Uint8Array
  pcrs: Readonly<Record<string, string>>
} {
  if (quote === undefined) throw new Error('a renewal has a quote')
  return quote
}
