// How many connections one peer may hold open at a time, so that one of them cannot take all that the server has. Counted
// from the first byte of TCP, before TLS: a handshake that is never finished counts too. It proves nothing about anybody.
import { isIPv6, Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** What addresses of one machine have in common: IPv6 gives each network a /64, and a machine may use all of it. */
export function peerOf(address: string): string {
  const [plain = ''] = address.toLowerCase().split('%')
  if (plain.startsWith('::ffff:') && plain.includes('.')) return plain.slice('::ffff:'.length)
  return isIPv6(plain) ? networkOf(plain) : plain
}

function networkOf(address: string): string {
  const [left = [], right = []] = address
    .split('::')
    .map((side) => side.split(':').filter((group) => group !== ''))
  const zeros = Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0')
  return [...left, ...zeros, ...right].slice(0, 4).join(':')
}

export class ConnectionLimit {
  readonly #max: number
  readonly #open = new Map<string, number>()

  constructor(max: number) {
    this.#max = max
  }

  /** Counts the connection until it closes; ends it at once if its peer holds `max` already. */
  admit(socket: Duplex): void {
    // A peer that has gone already has no address and holds nothing.
    if (!(socket instanceof Socket) || socket.remoteAddress === undefined) return
    const peer = peerOf(socket.remoteAddress)
    const open = this.#open.get(peer) ?? 0
    if (open >= this.#max) {
      socket.destroy()
      return
    }
    this.#open.set(peer, open + 1)
    socket.once('close', () => this.#release(peer))
  }

  #release(peer: string): void {
    const open = (this.#open.get(peer) ?? 1) - 1
    if (open > 0) this.#open.set(peer, open)
    else this.#open.delete(peer)
  }
}
