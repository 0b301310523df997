import assert from 'node:assert/strict'
import { it } from 'node:test'
import { parseUnixSockets, requireNoSockets } from '#node-agent/sandbox/host-sockets.ts'

const HEAD = 'Num       RefCount Protocol Flags    Type St Inode Path\n'

it('reads the paths of the kernel, and neither abstract names nor sockets without one', () => {
  const lines = [
    '0000000000000000: 00000002 00000000 00010000 0001 01 3841061 /run/dbus/system_bus_socket',
    '0000000000000000: 00000002 00000000 00010000 0001 01 3851061 /var/a folder/s',
    '0000000000000000: 00000003 00000000 00000000 0001 03 3851060 @/tmp/.X11-unix/X0',
    '0000000000000000: 00000003 00000000 00000000 0001 03 3851060',
  ]
  assert.deepEqual(parseUnixSockets(HEAD + lines.join('\n') + '\n'), [
    '/run/dbus/system_bus_socket',
    '/var/a folder/s',
  ])
})

it('finds no socket in the system folders of this machine', () => {
  requireNoSockets([])
})
