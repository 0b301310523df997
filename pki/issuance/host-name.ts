// Host names and addresses that a certificate of the hub, NATS or frp may carry.
import { isIPv4, isIPv6 } from 'node:net'
import { ZtError } from '#shared/errors/error.ts'

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
const HOST_NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`)

/** ZT-422-NAME unless `value` is a lower-case host name without wildcard and final period, not an address. */
export function parseHostName(value: unknown): string {
  if (typeof value !== 'string' || value.length > 253 || !HOST_NAME.test(value) || isIPv4(value)) {
    throw new ZtError('ZT-422-NAME', 'host name does not have the accepted form')
  }
  return value
}

/** The 4 or 16 octets of an address; ZT-422-NAME for anything else, zones and networks included. */
export function parseIpAddress(value: unknown): Uint8Array {
  if (typeof value === 'string' && isIPv4(value)) return Uint8Array.from(value.split('.'), Number)
  if (typeof value === 'string' && isIPv6(value) && !/[%.]/.test(value)) return ipv6Octets(value)
  throw new ZtError('ZT-422-NAME', 'ip address does not have the accepted form')
}

function ipv6Octets(text: string): Uint8Array {
  const [head = '', tail] = text.split('::')
  const [before, after] = [groups(head), groups(tail ?? '')]
  const zeros = Array.from({ length: tail === undefined ? 0 : 8 - before.length - after.length }, () => 0)
  return Uint8Array.from([...before, ...zeros, ...after].flatMap((group) => [group >> 8, group & 0xff]))
}

function groups(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
}
