// Runs every rule over a certificate. A LintedTbs is the only thing that a ceremony signs: it proves that the very bytes
// were signed once with a throw-away key, parsed and linted.
import { generateKeyPairSync, sign } from 'node:crypto'
import { ZtError } from '#shared/errors/error.ts'
import { parseCertificate, type Certificate } from '#shared/x509/certificate.ts'
import { assembleCertificate } from '../issuance/tbs.ts'
import { basicConstraints } from './basic-constraints.ts'
import { extendedKeyUsage } from './extended-key-usage.ts'
import { issuer } from './issuer.ts'
import { keyIdentifiers } from './key-identifiers.ts'
import { keyUsage } from './key-usage.ts'
import { knownExtensions } from './known-extensions.ts'
import { lifetime } from './lifetime.ts'
import { nameConstraints } from './name-constraints.ts'
import { otherNames } from './other-names.ts'
import { quorum } from './quorum.ts'
import type { LintContext, Rule } from './rule.ts'
import { serialNumber } from './serial-number.ts'
import { signatureAlgorithm } from './signature-algorithm.ts'
import { spiffeId } from './spiffe-id.ts'
import { subjectKey } from './subject-key.ts'
import { subject } from './subject.ts'

export const RULES: readonly Rule[] = [
  basicConstraints,
  extendedKeyUsage,
  issuer,
  keyIdentifiers,
  keyUsage,
  knownExtensions,
  lifetime,
  nameConstraints,
  otherNames,
  quorum,
  serialNumber,
  signatureAlgorithm,
  spiffeId,
  subjectKey,
  subject,
]

/** Throws ZT-412-LINT with `details.rule` for the first rule that `certificate` breaks. */
export function lintCertificate(certificate: Certificate, context: LintContext): void {
  for (const { name, citation, holds } of RULES) {
    if (!holds(certificate, context)) {
      throw new ZtError(
        'ZT-412-LINT',
        `a certificate of profile ${context.profile.name} breaks ${name} (${citation})`,
        {
          details: { rule: name, profile: context.profile.name },
        },
      )
    }
  }
}

export class LintedTbs {
  readonly #tbs: Uint8Array
  #redeemed = false

  private constructor(tbs: Uint8Array) {
    this.#tbs = tbs
  }

  /** Signs `tbs` with a key that is thrown away, parses the result and lints it. ZT-422-CERT, ZT-412-LINT. */
  static check(tbs: Uint8Array, context: LintContext): LintedTbs {
    const copy = Uint8Array.from(tbs)
    const { issuerCurve } = context.profile
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: issuerCurve })
    const hash = issuerCurve === 'P-256' ? 'sha256' : 'sha384'
    const signature = sign(hash, copy, { key: privateKey, dsaEncoding: 'der' })
    lintCertificate(parseCertificate(assembleCertificate(copy, issuerCurve, signature)), context)
    return new LintedTbs(copy)
  }

  /** The bytes to sign, once: ZT-412-LINT the second time. */
  redeem(): Uint8Array {
    if (this.#redeemed) throw new ZtError('ZT-412-LINT', 'a linted certificate was to be signed twice')
    this.#redeemed = true
    return this.#tbs
  }
}
