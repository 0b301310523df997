import assert from 'node:assert/strict'
import { chmod, link, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parseNodeName, parseTrustDomain } from '#shared/identity/names.ts'
import { nodeId, parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { readBundleFile, writeBundleFile } from '#node-agent/state/bundle-file.ts'
import { createDeviceKey, loadDeviceKey } from '#node-agent/state/device-key.ts'
import { acquireInstanceLock } from '#node-agent/state/instance-lock.ts'
import { createLogKey, loadLogKey } from '#node-agent/state/log-key.ts'
import { chooseLogOrigin } from '#node-agent/state/log-origin.ts'
import { createMembership, loadMembership, type Membership } from '#node-agent/state/membership.ts'
import { createSecretFile, readSecretFile } from '#node-agent/state/secret-file.ts'
import { createStateDir, requireStateDir } from '#node-agent/state/state-dir.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { makeTestPki } from '#test/support/test-pki.ts'

const td = parseTrustDomain('mesh.example')
const node = parseNodeName('mac-mini')
const NOW = Date.UTC(2026, 10, 22, 12)

describe('a secret file', () => {
  it('is for its owner alone', async (test) => {
    const path = join(await tempDir(test), 'key')
    createSecretFile(path, 'secret')
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    assert.equal(readSecretFile(path)?.toString(), 'secret')
  })

  it('is never overwritten', async (test) => {
    const path = join(await tempDir(test), 'key')
    createSecretFile(path, 'first')
    assert.throws(() => createSecretFile(path, 'second'), { code: 'ZT-409-EXISTS' })
    assert.equal(await readFile(path, 'utf8'), 'first')
  })

  it('is not created through a link', async (test) => {
    const dir = await tempDir(test)
    await symlink(join(dir, 'target'), join(dir, 'key'))
    assert.throws(() => createSecretFile(join(dir, 'key'), 'x'), { code: 'ZT-409-EXISTS' })
  })

  it('is absent, not broken, when there is none', async (test) => {
    assert.equal(readSecretFile(join(await tempDir(test), 'key')), undefined)
  })

  const spoiled: Record<string, (path: string) => Promise<void>> = {
    'that others may read': (path) => chmod(path, 0o644),
    'that the group may read': (path) => chmod(path, 0o640),
    'that has a second name': (path) => link(path, `${path}2`),
  }
  for (const [what, spoil] of Object.entries(spoiled)) {
    it(`is refused when it is one ${what}`, async (test) => {
      const path = join(await tempDir(test), 'key')
      createSecretFile(path, 'secret')
      await spoil(path)
      assert.throws(() => readSecretFile(path), { code: 'ZT-400-CONFIG' })
    })
  }

  it('is refused when it is a link, or a folder', async (test) => {
    const dir = await tempDir(test)
    createSecretFile(join(dir, 'key'), 'secret')
    await symlink(join(dir, 'key'), join(dir, 'link'))
    await mkdir(join(dir, 'folder'), { mode: 0o700 })
    for (const name of ['link', 'folder']) {
      assert.throws(() => readSecretFile(join(dir, name)), { code: 'ZT-400-CONFIG' })
    }
  })
})

describe('the state folder', () => {
  it('is made closed, and refused when it is open', async (test) => {
    const dir = join(await tempDir(test), 'state')
    createStateDir(dir)
    assert.equal((await stat(dir)).mode & 0o777, 0o700)
    await chmod(dir, 0o755)
    assert.throws(() => requireStateDir(dir), { code: 'ZT-400-CONFIG' })
  })

  it('is refused when it is missing, or a link to one that is sound', async (test) => {
    const dir = await tempDir(test)
    await mkdir(join(dir, 'real'), { mode: 0o700 })
    await symlink(join(dir, 'real'), join(dir, 'link'))
    for (const name of ['missing', 'link']) {
      assert.throws(() => requireStateDir(join(dir, name)), { code: 'ZT-400-CONFIG' })
    }
  })

  it('admits one agent at a time', async (test) => {
    const path = join(await tempDir(test), 'lock')
    const lock = acquireInstanceLock(path)
    assert.throws(() => acquireInstanceLock(path), { code: 'ZT-409-EXISTS' })
    lock.release()
    acquireInstanceLock(path).release()
  })

  it('is free again after an agent was killed with -9', async (test) => {
    const dir = await tempDir(test)
    const path = join(dir, 'lock')
    const script = join(dir, 'hold.mjs')
    const source = join(import.meta.dirname, '../../../../node-agent/state/instance-lock.ts')
    await writeFile(
      script,
      `const { acquireInstanceLock } = await import(${JSON.stringify(source)})
       // Kept: a lock that nobody refers to is collected, and let go of.
       globalThis.lock = acquireInstanceLock(${JSON.stringify(path)})
       process.send('held'); setInterval(() => undefined, 1000)`,
    )
    const child = fork(script)
    test.after(() => child.kill('SIGKILL'))
    await once(child, 'message')
    assert.throws(() => acquireInstanceLock(path), { code: 'ZT-409-EXISTS' })
    child.kill('SIGKILL')
    await once(child, 'exit')
    acquireInstanceLock(path).release()
  })
})

describe('the keys of a node', () => {
  it('are found again', async (test) => {
    const dir = await tempDir(test)
    const device = createDeviceKey(join(dir, 'device'))
    assert.deepEqual(loadDeviceKey(join(dir, 'device'))?.spki, device.spki)
    const log = createLogKey(join(dir, 'log'))
    assert.ok(loadLogKey(join(dir, 'log'))?.equals(log))
  })

  it('are not each other, and not made twice', async (test) => {
    const dir = await tempDir(test)
    createDeviceKey(join(dir, 'device'))
    createLogKey(join(dir, 'log'))
    createSecretFile(join(dir, 'noise'), 'noise')
    for (const load of [
      () => loadDeviceKey(join(dir, 'log')),
      () => loadLogKey(join(dir, 'device')),
      () => loadDeviceKey(join(dir, 'noise')),
      () => loadLogKey(join(dir, 'noise')),
    ]) {
      assert.throws(load, { code: 'ZT-400-CONFIG' })
    }
    assert.throws(() => createDeviceKey(join(dir, 'device')), { code: 'ZT-409-EXISTS' })
  })
})

const membership: Membership = {
  v: 1,
  hub: 'https://127.0.0.1:8443',
  hubId: parseSpiffeId('spiffe://mesh.example/hub/h1'),
  td,
  node,
  id: nodeId(td, node),
  logOrigin: 'mesh.example/log/node/mac-mini/e1',
  hubLog: { origin: 'mesh.example/log/hub/h1/e1', vkey: 'mesh.example/log/hub/h1/e1+00000000+AAAA' },
  joined: NOW,
}

describe('the membership', () => {
  it('is found again, and written once', async (test) => {
    const path = join(await tempDir(test), 'membership.json')
    assert.equal(loadMembership(path), undefined)
    createMembership(path, membership)
    assert.deepEqual({ ...loadMembership(path) }, membership)
    assert.throws(() => createMembership(path, membership), { code: 'ZT-409-EXISTS' })
  })

  it('is refused when its id is not that of its node', async (test) => {
    const path = join(await tempDir(test), 'membership.json')
    createMembership(path, { ...membership, id: parseSpiffeId('spiffe://mesh.example/node/other') })
    assert.throws(() => loadMembership(path), { code: 'ZT-400-CONFIG' })
  })
})

describe("the name of the node's log", () => {
  it('stays the same when joining is tried again', async (test) => {
    const path = join(await tempDir(test), 'log.origin')
    const first = chooseLogOrigin(path, { td, node }, NOW)
    assert.match(first, /^mesh\.example\/log\/node\/mac-mini\/e[1-9][0-9]{8}$/)
    assert.equal(chooseLogOrigin(path, { td, node }, NOW + 5000), first)
  })

  it('is another one for another joining', async (test) => {
    const dir = await tempDir(test)
    const names = [0, 1000].map((later) =>
      chooseLogOrigin(join(dir, String(later)), { td, node }, NOW + later),
    )
    assert.equal(new Set(names).size, 2)
  })

  it('is refused when it is that of another node', async (test) => {
    const path = join(await tempDir(test), 'log.origin')
    chooseLogOrigin(path, { td, node }, NOW)
    const other = { td, node: parseNodeName('build-box') }
    assert.throws(() => chooseLogOrigin(path, other, NOW), { code: 'ZT-400-CONFIG' })
  })
})

describe('the kept trust bundle', () => {
  it('opens with the root that signed it', async (test) => {
    const path = join(await tempDir(test), 'bundle')
    const pki = await makeTestPki({ now: NOW })
    writeBundleFile(path, pki.signedBundle)
    assert.equal(readBundleFile(path, NOW).sequence, 1)
  })

  it('does not open when the text is of another root than the kept fingerprint', async (test) => {
    const path = join(await tempDir(test), 'bundle')
    const [pki, foreign] = [await makeTestPki({ now: NOW }), await makeTestPki({ now: NOW })]
    writeBundleFile(path, pki.signedBundle)
    const [fingerprint] = (await readFile(path, 'utf8')).split('\n')
    await writeFile(path, `${fingerprint}\n${foreign.signedBundle}\n`)
    assert.throws(() => readBundleFile(path, NOW), { code: 'ZT-401-BUNDLE' })
  })

  it('is refused when it is damaged, and asked for by joining when it is missing', async (test) => {
    const path = join(await tempDir(test), 'bundle')
    assert.throws(() => readBundleFile(path, NOW), { code: 'ZT-400-CONFIG' })
    await writeFile(path, 'half a line')
    assert.throws(() => readBundleFile(path, NOW), { code: 'ZT-401-BUNDLE' })
  })
})
