// A19 and A20: bytes that are almost what they should be, and signatures that some verifiers take.
import { hashId, type TpmHash } from '#shared/tpm/hash.ts'
import { ALGORITHM } from '#shared/tpm/constants.ts'
import { parsePublic2b } from '#shared/tpm/public.ts'
import { parseTpmSignature } from '#shared/tpm/signature.ts'
import { sized, TpmWriter } from '#shared/tpm/wire.ts'
import { ecdsaSignature, rsaSignature } from '../../forged-tpm.ts'
import type { AttackCase } from '../case.ts'
import { challengeFor, genuineJoin, genuineRenewal, knownTo, quoteOf, registered, type Rig } from '../rig.ts'
import { attackCase, type CaseParts } from './made.ts'
import { softQuote } from './soft-quote.ts'

const P256_ORDER = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551')
const BENT = 'by swtpm, and bent by hand'

export async function malformedCases(rig: Rig): Promise<AttackCase[]> {
  return [...(await structures(rig)), ...(await elliptic(rig)), ...(await rsa(rig))]
}

/** A19 */
async function structures(rig: Rig): Promise<AttackCase[]> {
  const join = await genuineJoin(rig, rig.x)
  const renewal = await genuineRenewal(rig)
  const quote = renewal.evidence.quote
  const ak = join.evidence.ak
  if (quote === undefined || ak === undefined) throw new Error('genuine evidence has both')
  const words = { attack: 'A19', made: BENT, expect: 'ZT-422-TPM' } as const
  const refusedBefore = { ...words, expect: 'ZT-422-SCHEMA', behind: 'ZT-413-SIZE' } as const
  const quoted = (change: Partial<typeof quote>): CaseParts => ({
    ...renewal,
    evidence: { ...renewal.evidence, quote: { ...quote, ...change } },
  })
  const keyed = (area: Uint8Array): CaseParts => ({
    ...join,
    known: knownTo(rig),
    evidence: { ...join.evidence, ak: { ...ak, public: area } },
  })
  const trailing = Buffer.of(0)
  const length = (value: number): Uint8Array =>
    Buffer.concat([Buffer.of(value >> 8, value & 0xff), ak.public.subarray(2)])
  return [
    attackCase(
      'a19-trailing-byte-signed',
      { ...words, made: 'by hand, signed with a software key', what: 'a signed quote with a byte after it' },
      softQuote(rig, { attest: { trailing } }),
    ),
    attackCase(
      'a19-trailing-byte',
      { ...words, what: 'a quote with a byte after it' },
      quoted({ attest: Buffer.concat([quote.attest, trailing]) }),
    ),
    attackCase(
      'a19-cut-short',
      { ...words, what: 'a quote that lacks its last byte' },
      quoted({ attest: quote.attest.subarray(0, -1) }),
    ),
    attackCase(
      'a19-quote-with-length',
      { ...words, what: 'a quote with the length of a TPM2B before it' },
      quoted({ attest: sized(quote.attest) }),
    ),
    attackCase(
      'a19-empty-quote',
      { ...refusedBefore, behind: 'ZT-422-TPM', what: 'a quote of no bytes' },
      quoted({ attest: new Uint8Array() }),
    ),
    attackCase(
      'a19-signature-trailing',
      { ...words, what: 'a signature with a byte after it' },
      quoted({ signature: Buffer.concat([quote.signature, trailing]) }),
    ),
    attackCase(
      'a19-key-trailing',
      { ...words, what: 'an AK with a byte after it' },
      keyed(Buffer.concat([ak.public, trailing])),
    ),
    attackCase(
      'a19-key-length-too-large',
      { ...words, what: 'an AK whose length is more than there is' },
      keyed(length(ak.public.length)),
    ),
    attackCase(
      'a19-key-length-negative',
      { ...words, what: 'an AK whose length is -1, if it had a sign' },
      keyed(length(0xffff)),
    ),
    attackCase('a19-key-length-zero', { ...words, what: 'an AK whose length is 0' }, keyed(length(0))),
    attackCase(
      'a19-huge-key',
      { ...refusedBefore, what: 'an AK of 5000 bytes' },
      keyed(new Uint8Array(5000)),
    ),
    attackCase(
      'a19-huge-quote',
      { ...refusedBefore, what: 'a quote of 5000 bytes' },
      quoted({ attest: new Uint8Array(5000) }),
    ),
  ]
}

/** A20, on curves */
async function elliptic(rig: Rig): Promise<AttackCase[]> {
  const renewal = await genuineRenewal(rig)
  const { quote } = renewal.evidence
  const signed = parseTpmSignature(quote?.signature ?? new Uint8Array())
  if (quote === undefined || signed.algorithm !== 'ecdsa') throw new Error('the AK signs with ECDSA')
  const { r, s } = signed
  const words = { attack: 'A20', made: BENT, expect: 'ZT-401-TPM-SIG' } as const
  const by = (signature: Uint8Array): CaseParts => ({
    ...renewal,
    evidence: { ...renewal.evidence, quote: { ...quote, signature } },
  })
  const zero = new Uint8Array(32)
  const order = bytesOf(P256_ORDER, 32)
  const alg = (hash: TpmHash): Uint8Array => ecdsaSignature(r, s, hash)
  return [
    attackCase('a20-r-zero', { ...words, what: 'r is 0' }, by(ecdsaSignature(zero, s))),
    attackCase('a20-s-zero', { ...words, what: 's is 0' }, by(ecdsaSignature(r, zero))),
    attackCase(
      'a20-both-zero',
      { ...words, what: 'r and s are 0 (CVE-2022-21449)' },
      by(ecdsaSignature(zero, zero)),
    ),
    attackCase(
      'a20-both-empty',
      { ...words, what: 'r and s have no bytes' },
      by(ecdsaSignature(new Uint8Array(), new Uint8Array())),
    ),
    attackCase(
      'a20-r-order',
      { ...words, what: 'r is the order of the group' },
      by(ecdsaSignature(order, s)),
    ),
    attackCase(
      'a20-s-order',
      { ...words, what: 's is the order of the group' },
      by(ecdsaSignature(r, order)),
    ),
    attackCase(
      'a20-hash-sha1',
      { ...words, expect: 'ZT-401-TPM-ALG', what: 'the signature says that it is over SHA-1' },
      by(alg('sha1')),
    ),
    attackCase(
      'a20-hash-sha384',
      { ...words, expect: 'ZT-401-TPM-ALG', what: 'the signature says that it is over SHA-384' },
      by(alg('sha384')),
    ),
    attackCase(
      'a20-other-scheme',
      { ...words, expect: 'ZT-401-TPM-ALG', what: 'the signature says that it is RSASSA' },
      by(rsaSignature(new Uint8Array(256).fill(1))),
    ),
    attackCase(
      'a20-hmac',
      { ...words, expect: 'ZT-422-TPM', what: 'the signature says that it is an HMAC' },
      by(new TpmWriter().u16(ALGORITHM.hmac).u16(hashId('sha256')).bytes(new Uint8Array(32)).done()),
    ),
  ]
}

/** A20, with RSA */
async function rsa(rig: Rig): Promise<AttackCase[]> {
  const { attester, svid, csr } = rig.x
  const ak = await attester.createAk('rsassa-2048')
  const area = parsePublic2b(ak.public)
  if (area.type !== 'rsa') throw new Error('an RSA key was asked for')
  const known = knownTo(rig, { registered: [registered(rig, { ak })] })
  const words = { attack: 'A20', made: BENT, expect: 'ZT-401-TPM-SIG' } as const
  const modulus = BigInt(`0x${Buffer.from(area.unique).toString('hex')}`)
  for (;;) {
    const challenge = challengeFor(rig, svid)
    const quote = await quoteOf({ attester, ak }, challenge)
    const signed = parseTpmSignature(quote.signature)
    if (signed.algorithm === 'ecdsa') throw new Error('an RSA key signed')
    const value = BigInt(`0x${Buffer.from(signed.bytes).toString('hex')}`)
    // Only some signatures leave room for the modulus in as many bytes: another nonce makes another signature.
    if (value + modulus >= 2n ** 2048n) continue
    const by = (signature: Uint8Array): CaseParts => ({
      evidence: { quote: { ...quote, signature }, csr },
      challenge,
      known,
    })
    return [
      attackCase(
        'a20-rsa-plus-modulus',
        {
          ...words,
          what: 'an RSA signature and the modulus added to it: the same number to who reduces it first',
        },
        by(rsaSignature(bytesOf(value + modulus, 256))),
      ),
      attackCase(
        'a20-rsa-leading-zero',
        { ...words, what: 'an RSA signature with a zero byte before it' },
        by(rsaSignature(Buffer.concat([Buffer.of(0), signed.bytes]))),
      ),
      attackCase(
        'a20-rsa-zero',
        { ...words, what: 'an RSA signature of 0' },
        by(rsaSignature(new Uint8Array(256))),
      ),
      attackCase(
        'a20-rsa-as-pss',
        { ...words, expect: 'ZT-401-TPM-ALG', what: 'the signature says that it is RSAPSS' },
        by(rsaSignature(signed.bytes, 'rsapss')),
      ),
    ]
  }
}

function bytesOf(value: bigint, length: number): Uint8Array {
  return Uint8Array.from(Buffer.from(value.toString(16).padStart(2 * length, '0'), 'hex'))
}
