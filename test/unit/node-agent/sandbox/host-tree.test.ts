import assert from 'node:assert/strict'
import { it } from 'node:test'
import { hostRoot, hostSystem, masks, parseMountInfo, pathsOf } from '#node-agent/sandbox/host-tree.ts'

const NOBODY = { uid: 65534, gid: 65534 }
const mount = (
  device: string,
  root: string,
  point: string,
): { device: string; root: string; point: string } => ({
  device,
  root,
  point,
})

it('reads the mounts of a process, with escaped characters in their paths', () => {
  const text = '26 1 254:0 / / rw - ext4 /dev/vda rw\n67 26 0:25 /a\\040b /mnt/x\\134y ro - tmpfs none ro\n'
  assert.deepEqual(parseMountInfo(text), [mount('254:0', '/', '/'), mount('0:25', '/a b', '/mnt/x\\y')])
})

it('finds a folder under every bind mount that shows it', () => {
  const mounts = [
    mount('8:1', '/', '/'),
    mount('8:1', '/var', '/srv/copy'),
    mount('8:1', '/var/lib/zt', '/srv/same'),
    mount('8:1', '/var/lib/zt/inner', '/srv/below'),
    mount('8:1', '/var/libx', '/srv/other'),
    mount('8:2', '/var/lib/zt', '/srv/foreign'),
  ]
  assert.deepEqual(pathsOf('/var/lib/zt', mounts), ['/var/lib/zt', '/srv/copy/lib/zt', '/srv/same'])
})

it('finds a folder by the mount on top, not by the one that it covers', () => {
  const mounts = [mount('8:1', '/', '/'), mount('8:2', '/', '/data'), mount('8:2', '/state', '/mnt/state')]
  assert.deepEqual(pathsOf('/data/state', mounts), ['/data/state', '/mnt/state'])
})

it('shows nothing of /dev, /proc, /run, /sys or /tmp as the host has it', () => {
  const shown = hostRoot(NOBODY)
  for (const path of ['/dev', '/proc', '/run', '/sys', '/tmp', '/workspace', '/sys/kernel', '/sys/fs']) {
    assert.ok(!shown.includes(path), path)
  }
  assert.ok(!shown.includes('--bind') && !shown.includes('--dev-bind'))
})

it('shows only system folders when that is all that is asked for', () => {
  const folders = new Set(
    ['bin', 'etc', 'lib', 'lib32', 'lib64', 'libx32', 'sbin', 'usr'].map((name) => `/${name}`),
  )
  const shown = hostSystem(NOBODY).filter((argument) => argument.startsWith('/'))
  assert.ok(shown.includes('/usr'))
  for (const path of shown) assert.ok(folders.has(path), path)
})

it('masks nothing twice, and nothing that is not shown', () => {
  assert.deepEqual(masks(['/tmp', '/run'], NOBODY), [])
  assert.deepEqual(masks(['/usr/share', '/usr/share'], NOBODY), [
    '--tmpfs',
    '/usr/share',
    '--remount-ro',
    '/usr/share',
  ])
})

it('runs nothing when a folder that must be hidden does not exist yet', () => {
  assert.throws(() => masks(['/usr/share', '/no/such/folder'], NOBODY), {
    code: 'ZT-412-FACT',
    details: { fact: 'mask' },
  })
})
