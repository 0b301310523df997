// Names for what a TPM answers instead of a result (TPM 2.0 Part 2 §6.6), for people who look for the cause.
const FORMAT_ZERO: ReadonlyMap<number, string> = new Map([
  [0x100, 'TPM_RC_INITIALIZE'],
  [0x101, 'TPM_RC_FAILURE'],
  [0x120, 'TPM_RC_DISABLED'],
  [0x124, 'TPM_RC_AUTH_TYPE'],
  [0x125, 'TPM_RC_AUTH_MISSING'],
  [0x126, 'TPM_RC_POLICY'],
  [0x127, 'TPM_RC_PCR'],
  [0x12f, 'TPM_RC_AUTH_UNAVAILABLE'],
  [0x142, 'TPM_RC_COMMAND_SIZE'],
  [0x143, 'TPM_RC_COMMAND_CODE'],
  [0x144, 'TPM_RC_AUTHSIZE'],
  [0x145, 'TPM_RC_AUTH_CONTEXT'],
  [0x149, 'TPM_RC_NV_AUTHORIZATION'],
  [0x14a, 'TPM_RC_NV_UNINITIALIZED'],
  [0x14e, 'TPM_RC_NEEDS_TEST'],
  [0x901, 'TPM_RC_CONTEXT_GAP'],
  [0x902, 'TPM_RC_OBJECT_MEMORY'],
  [0x903, 'TPM_RC_SESSION_MEMORY'],
  [0x904, 'TPM_RC_MEMORY'],
  [0x905, 'TPM_RC_SESSION_HANDLES'],
  [0x906, 'TPM_RC_OBJECT_HANDLES'],
  [0x908, 'TPM_RC_YIELDED'],
  [0x909, 'TPM_RC_CANCELED'],
  [0x90a, 'TPM_RC_TESTING'],
  [0x910, 'TPM_RC_REFERENCE_H0'],
  [0x920, 'TPM_RC_NV_RATE'],
  [0x921, 'TPM_RC_LOCKOUT'],
  [0x922, 'TPM_RC_RETRY'],
  [0x923, 'TPM_RC_NV_UNAVAILABLE'],
])

const FORMAT_ONE: ReadonlyMap<number, string> = new Map([
  [0x01, 'TPM_RC_ASYMMETRIC'],
  [0x02, 'TPM_RC_ATTRIBUTES'],
  [0x03, 'TPM_RC_HASH'],
  [0x04, 'TPM_RC_VALUE'],
  [0x05, 'TPM_RC_HIERARCHY'],
  [0x07, 'TPM_RC_KEY_SIZE'],
  [0x0a, 'TPM_RC_TYPE'],
  [0x0b, 'TPM_RC_HANDLE'],
  [0x0e, 'TPM_RC_AUTH_FAIL'],
  [0x12, 'TPM_RC_SCHEME'],
  [0x15, 'TPM_RC_SIZE'],
  [0x16, 'TPM_RC_SYMMETRIC'],
  [0x18, 'TPM_RC_SELECTOR'],
  [0x1a, 'TPM_RC_INSUFFICIENT'],
  [0x1b, 'TPM_RC_SIGNATURE'],
  [0x1c, 'TPM_RC_KEY'],
  [0x1d, 'TPM_RC_POLICY_FAIL'],
  [0x1f, 'TPM_RC_INTEGRITY'],
  [0x20, 'TPM_RC_TICKET'],
  [0x21, 'TPM_RC_RESERVED_BITS'],
  [0x22, 'TPM_RC_BAD_AUTH'],
  [0x23, 'TPM_RC_EXPIRED'],
  [0x25, 'TPM_RC_BINDING'],
  [0x26, 'TPM_RC_CURVE'],
  [0x27, 'TPM_RC_ECC_POINT'],
])

export const RC_SUCCESS = 0
export const RC_INITIALIZE = 0x100

const TRY_AGAIN: ReadonlySet<number> = new Set([0x908, 0x90a, 0x922])

/** The specification's name, without the number of the parameter, handle or session that format one carries. */
export function responseCodeName(code: number): string {
  // Part 1 §39.4: bit 7 says format one, whose error is in bits 0 to 5.
  const name = (code & 0x80) === 0 ? FORMAT_ZERO.get(code) : FORMAT_ONE.get(code & 0x3f)
  return name ?? 'unknown'
}

/** True for the three codes after which the same command may be sent again as it is. */
export function mayTryAgain(code: number): boolean {
  return TRY_AGAIN.has(code)
}
