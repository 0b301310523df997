// Which addresses count as one peer.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { peerOf } from '#hub/http/connection-limit.ts'

const peers: Record<string, readonly [string, string]> = {
  'an IPv4 address is itself': ['192.0.2.7', '192.0.2.7'],
  'an IPv4 address on an IPv6 socket is the same peer': ['::ffff:192.0.2.7', '192.0.2.7'],
  'an IPv6 address is its /64': ['2001:db8:1:2:a:b:c:d', '2001:db8:1:2'],
  'zeros that are left out count': ['2001:db8::1', '2001:db8:0:0'],
  'another host of that /64 is the same peer': ['2001:db8::ffff:1', '2001:db8:0:0'],
  'a zone is left out': ['fe80::1%eth0', 'fe80:0:0:0'],
  'the loopback address is a peer': ['::1', '0:0:0:0'],
}
for (const [claim, [address, peer]] of Object.entries(peers))
  it(claim, () => assert.equal(peerOf(address), peer))
