import assert from 'node:assert/strict'
import { it } from 'node:test'
import { HostSockets, parseRelativeListeners, parseUnixSockets } from '#node-agent/sandbox/host-sockets.ts'

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
  new HostSockets().requireNone([])
})

it('reads who listens by a name of no folder, and not the connections that it took', () => {
  const lines = [
    '0000000000000000: 00000002 00000000 00010000 0001 01 3841061 private/a folder',
    '0000000000000000: 00000003 00000000 00000000 0001 03 3841062 private/a folder',
    '0000000000000000: 00000002 00000000 00010000 0001 01 3841063 /run/s',
    '0000000000000000: 00000002 00000000 00010000 0001 01 3841064 @abstract',
    '0000000000000000: 00000002 00000000 00010000 0001 01 3841065',
  ]
  assert.deepEqual(parseRelativeListeners(HEAD + lines.join('\n') + '\n'), ['3841061 private/a folder'])
})

it('lets a listener be that was named from a folder which is shown to nobody', () => {
  const line = '0000000000000000: 00000002 00000000 00010000 0001 01 3841061 private/nowhere-to-be-found'
  new HostSockets(() => HEAD + line).requireNone([])
})
