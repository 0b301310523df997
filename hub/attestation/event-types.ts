// EventTypes of the TCG PC Client Platform Firmware Profile (§10.4.1), by what the check of a log needs to know of them.

export const EVENT = { noAction: 0x3, separator: 0x4, efiVariableAuthority: 0x8000_00e0 } as const

const EFI = 0x8000_0000

// EV_UNUSED (2) and everything that a later profile may add is unknown: it fails where its register counts.
const PREBOOT_CERT = 0x0
const POST_CODE = 0x1
const ACTION = 0x5
const EVENT_TAG = 0x6
const CRTM_CONTENTS = 0x7
const CRTM_VERSION = 0x8
const CPU_MICROCODE = 0x9
const PLATFORM_CONFIG_FLAGS = 0xa
const TABLE_OF_DEVICES = 0xb
const COMPACT_HASH = 0xc
const IPL = 0xd
const IPL_PARTITION_DATA = 0xe
const NONHOST_CODE = 0xf
const NONHOST_CONFIG = 0x10
const NONHOST_INFO = 0x11
const OMIT_BOOT_DEVICE = 0x12
const POST_CODE_2 = 0x13
const EFI_VARIABLE_DRIVER_CONFIG: number = EFI + 0x1
const EFI_VARIABLE_BOOT: number = EFI + 0x2
const EFI_BOOT_SERVICES_APPLICATION: number = EFI + 0x3
const EFI_BOOT_SERVICES_DRIVER: number = EFI + 0x4
const EFI_RUNTIME_SERVICES_DRIVER: number = EFI + 0x5
const EFI_GPT_EVENT: number = EFI + 0x6
const EFI_ACTION: number = EFI + 0x7
const EFI_PLATFORM_FIRMWARE_BLOB: number = EFI + 0x8
const EFI_HANDOFF_TABLES: number = EFI + 0x9
const EFI_PLATFORM_FIRMWARE_BLOB2: number = EFI + 0xa
const EFI_HANDOFF_TABLES2: number = EFI + 0xb
const EFI_VARIABLE_BOOT2: number = EFI + 0xc
const EFI_GPT_EVENT2: number = EFI + 0xd
const EFI_HCRTM_EVENT: number = EFI + 0x10
const EFI_SPDM_FIRMWARE_BLOB: number = EFI + 0xe1
const EFI_SPDM_FIRMWARE_CONFIG: number = EFI + 0xe2
const EFI_SPDM_DEVICE_POLICY: number = EFI + 0xe3
const EFI_SPDM_DEVICE_AUTHORITY: number = EFI + 0xe4

/** Of the firmware alone, from before it hands over: nothing of them comes after the separator of its register. */
export const PRE_BOOT_EVENTS: ReadonlySet<number> = new Set([
  PREBOOT_CERT,
  POST_CODE,
  POST_CODE_2,
  CRTM_CONTENTS,
  CRTM_VERSION,
  CPU_MICROCODE,
  PLATFORM_CONFIG_FLAGS,
  TABLE_OF_DEVICES,
  NONHOST_CODE,
  NONHOST_CONFIG,
  NONHOST_INFO,
  EFI_VARIABLE_DRIVER_CONFIG,
  EFI_PLATFORM_FIRMWARE_BLOB,
  EFI_PLATFORM_FIRMWARE_BLOB2,
  EFI_HCRTM_EVENT,
])

/**
 * Whose digest is the hash of their data: with other data, they are another event under this name. EV_EVENT_TAG is not one of
 * them, whatever the profile says: Linux measures an initrd under it.
 */
export const SELF_DIGESTED_EVENTS: ReadonlySet<number> = new Set([
  EVENT.separator,
  ACTION,
  CRTM_VERSION,
  EFI_VARIABLE_DRIVER_CONFIG,
  EFI_VARIABLE_BOOT2,
  EFI_GPT_EVENT,
  EFI_ACTION,
  EVENT.efiVariableAuthority,
])

export const KNOWN_EVENTS: ReadonlySet<number> = new Set([
  ...PRE_BOOT_EVENTS,
  ...SELF_DIGESTED_EVENTS,
  EVENT.noAction,
  EVENT_TAG,
  COMPACT_HASH,
  IPL,
  IPL_PARTITION_DATA,
  OMIT_BOOT_DEVICE,
  EFI_VARIABLE_BOOT,
  EFI_BOOT_SERVICES_APPLICATION,
  EFI_BOOT_SERVICES_DRIVER,
  EFI_RUNTIME_SERVICES_DRIVER,
  EFI_HANDOFF_TABLES,
  EFI_HANDOFF_TABLES2,
  EFI_GPT_EVENT2,
  EFI_SPDM_FIRMWARE_BLOB,
  EFI_SPDM_FIRMWARE_CONFIG,
  EFI_SPDM_DEVICE_POLICY,
  EFI_SPDM_DEVICE_AUTHORITY,
])
