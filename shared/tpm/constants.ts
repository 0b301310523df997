// The numbers of TPM 2.0 that ztmesh speaks (Part 2, revision 1.59), and no others: what is not here is refused.

/** TPM_ST */
export const TAG = {
  noSessions: 0x8001,
  sessions: 0x8002,
  attestNv: 0x8014,
  attestCommandAudit: 0x8015,
  attestSessionAudit: 0x8016,
  attestCertify: 0x8017,
  attestQuote: 0x8018,
  attestTime: 0x8019,
  attestCreation: 0x801a,
  creationTicket: 0x8021,
  authSecretTicket: 0x8023,
} as const

/** TPM_GENERATED_VALUE: a TPM signs nothing from outside with a restricted key that begins so. */
export const GENERATED = 0xff544347

/** TPM_CC */
export const COMMAND = {
  createPrimary: 0x131,
  startup: 0x144,
  certify: 0x148,
  nvRead: 0x14e,
  certifyCreation: 0x14a,
  activateCredential: 0x147,
  policySecret: 0x151,
  create: 0x153,
  load: 0x157,
  quote: 0x158,
  sign: 0x15d,
  unseal: 0x15e,
  contextLoad: 0x161,
  contextSave: 0x162,
  flushContext: 0x165,
  nvReadPublic: 0x169,
  policyOr: 0x171,
  startAuthSession: 0x176,
  getCapability: 0x17a,
  pcrRead: 0x17e,
} as const

export type CommandName = keyof typeof COMMAND

/** TPM_RH and TPM_RS */
export const HANDLE = {
  owner: 0x4000_0001,
  null: 0x4000_0007,
  password: 0x4000_0009,
  endorsement: 0x4000_000b,
} as const

/** TPM_HT: the first handle of a kind. As a capability, 0x02 lists sessions in the TPM and 0x03 those saved outside. */
export const HANDLE_RANGE = {
  nvIndex: 0x0100_0000,
  hmacSession: 0x0200_0000,
  policySession: 0x0300_0000,
  transient: 0x8000_0000,
  persistent: 0x8100_0000,
} as const

/** TPM_ALG; hashes are in hash.ts */
export const ALGORITHM = {
  rsa: 0x0001,
  hmac: 0x0005,
  aes: 0x0006,
  mgf1: 0x0007,
  keyedHash: 0x0008,
  xor: 0x000a,
  null: 0x0010,
  rsassa: 0x0014,
  rsaes: 0x0015,
  rsapss: 0x0016,
  oaep: 0x0017,
  ecdsa: 0x0018,
  ecdh: 0x0019,
  ecschnorr: 0x001c,
  kdf1Sp800x56a: 0x0020,
  kdf2: 0x0021,
  kdf1Sp800x108: 0x0022,
  ecc: 0x0023,
  ctr: 0x0040,
  ofb: 0x0041,
  cbc: 0x0042,
  cfb: 0x0043,
  ecb: 0x0044,
} as const

/** TPM_ECC_CURVE */
export const CURVE = { 'P-256': 0x0003, 'P-384': 0x0004 } as const

/** TPM_CAP */
export const CAPABILITY = { handles: 1, properties: 6 } as const

/** TPM_PT */
export const PROPERTY = {
  manufacturer: 0x105,
  firmwareVersion1: 0x10b,
  firmwareVersion2: 0x10c,
  nvBufferMax: 0x12c,
  permanent: 0x200,
} as const

/** TPM_SE */
export const SESSION = { hmac: 0, policy: 1 } as const

/** TPM_SU */
export const STARTUP_CLEAR = 0

/** TPMA_OBJECT: the number of each attribute's bit. Bits that are not here are reserved and must be clear. */
export const ATTRIBUTE_BIT = {
  fixedTPM: 1,
  stClear: 2,
  fixedParent: 4,
  sensitiveDataOrigin: 5,
  userWithAuth: 6,
  adminWithPolicy: 7,
  firmwareLimited: 8,
  svnLimited: 9,
  noDA: 10,
  encryptedDuplication: 11,
  restricted: 16,
  decrypt: 17,
  sign: 18,
  x509sign: 19,
} as const

export type TpmAttribute = keyof typeof ATTRIBUTE_BIT
