// What the kernel calls this start of the machine: times of the monotonic clock can be compared only within one.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { ZtError } from '#shared/errors/error.ts'

const FORM = /^[A-Za-z0-9-]{8,64}$/

function readBootId(): string {
  if (process.platform !== 'darwin') return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')
  return execFileSync('/usr/sbin/sysctl', ['-n', 'kern.bootsessionuuid'], { encoding: 'utf8' })
}

/** Throws ZT-500-INTERNAL if the system does not say: then no row could be put in order. */
export function bootId(): string {
  let id: string
  try {
    id = readBootId().trim()
  } catch (cause) {
    throw new ZtError('ZT-500-INTERNAL', 'the boot id of the machine cannot be read', { cause })
  }
  if (FORM.test(id)) return id
  throw new ZtError('ZT-500-INTERNAL', 'the boot id of the machine does not have the accepted form')
}
