// T2: the forms that an EK may have, which are the TCG's templates and no others (TCG EK Credential Profile for TPM 2.0,
// Annex B). An EK of another form might sign, be copied, or decrypt for whoever asks.
import { encodePublic, type TpmPublic } from '#shared/tpm/public.ts'
import { ENDORSEMENT_TEMPLATES } from '#shared/tpm/templates.ts'

/** True if everything of `area` but the key itself is as one of the templates says. */
export function hasEkTemplate(area: TpmPublic): boolean {
  for (const template of ENDORSEMENT_TEMPLATES.values()) {
    const expected = withKeyOf(template.area, area)
    if (expected !== undefined && Buffer.compare(encodePublic(expected), encodePublic(area)) === 0)
      return true
  }
  return false
}

function withKeyOf(form: TpmPublic, { type, ...key }: TpmPublic): TpmPublic | undefined {
  if (form.type === 'rsa' && type === 'rsa' && 'exponent' in key)
    // Part 2 §12.2.3.5: an exponent of 0 is 65537, and spkiOfPublic() has refused every other one.
    return { ...form, exponent: key.exponent, unique: key.unique }
  if (form.type === 'ecc' && type === 'ecc' && 'curve' in key) return { ...form, unique: key.unique }
  return undefined
}
