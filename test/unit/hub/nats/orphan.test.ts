// A nats-server that outlived its hub is ended; any other process that the pid file happens to name is not.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { systemClock } from '#shared/host/clock.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { endOrphan } from '#hub/nats/orphan.ts'
import { startBroker } from '#hub/nats/broker.ts'
import { freePort } from '#ops/demo/free-port.ts'
import { NATS_BINARY, eventually, needsNats, testMesh } from '#test/support/nats.ts'

interface Scene {
  readonly dir: string
  readonly run: (command: string, args: readonly string[]) => ChildProcess
}

/** A folder, and processes that end before it is removed. */
async function scene(test: TestContext): Promise<Scene> {
  const dir = await mkdtemp(join(tmpdir(), 'ztmesh-orphan-'))
  const ends: Promise<unknown>[] = []
  const children: ChildProcess[] = []
  test.after(async () => {
    for (const child of children) child.kill('SIGKILL')
    await Promise.all(ends)
    await rm(dir, { recursive: true, force: true })
  })
  const run = (command: string, args: readonly string[]): ChildProcess => {
    const child = spawn(command, args, { stdio: 'ignore', detached: true })
    children.push(child)
    ends.push(once(child, 'exit'))
    return child
  }
  return { dir, run }
}

const running = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null

/** A nats-server with a configuration of its own. */
async function server({ dir, run }: Scene, binary: string = NATS_BINARY) {
  const configFile = join(dir, 'nats-server.json')
  const pidFile = join(dir, 'nats-server.pid')
  const config = { host: '127.0.0.1', port: await freePort(), pid_file: pidFile }
  await writeFile(configFile, JSON.stringify(config))
  return { child: run(binary, ['-c', configFile]), configFile, pidFile }
}

const end = (files: { configFile: string; pidFile: string }): Promise<void> =>
  endOrphan({ ...files, clock: systemClock, log: silentLogger })

describe('a nats-server left behind', { skip: needsNats }, () => {
  it('gives its port to the next hub, and clients come back', async (test) => {
    const mesh = await testMesh(test)
    const channel = await mesh.channel('/node/n1')
    const identity = join(mesh.options.dir, 'identity.pem')
    const key = readFileSync(identity)
    await mesh.broker.close()
    await eventually('the disconnection', () => !channel.connected)
    // As after kill -9 of the hub: the same server with its key, and nobody who watches it.
    writeFileSync(identity, key, { mode: 0o600 })
    const { run } = await scene(test)
    const orphan = run(NATS_BINARY, ['-c', join(mesh.options.dir, 'nats-server.json')])
    await eventually('the orphan', () => channel.connected)
    mesh.broker = await startBroker(mesh.options)
    await eventually('its end', () => !running(orphan))
    assert.notEqual(mesh.broker.serverPid, orphan.pid)
    await eventually('the client', () => channel.connected)
    await channel.flush()
  })

  it('is ended although its program was replaced since', async (test) => {
    const own = await scene(test)
    const binary = join(own.dir, 'nats-server')
    await copyFile(NATS_BINARY, binary)
    const { child, ...files } = await server(own, binary)
    await eventually('its pid file', () => existsSync(files.pidFile))
    await rm(binary)
    await end(files)
    await eventually('its end', () => !running(child))
  })

  it('is left alone if it has another configuration', async (test) => {
    const { child, pidFile } = await server(await scene(test))
    await eventually('its pid file', () => existsSync(pidFile))
    await end({ pidFile, configFile: '/elsewhere/nats-server.json' })
    assert.ok(running(child))
  })
})

describe('a pid file', () => {
  const files = async (test: TestContext, content: string | undefined) => {
    const { dir, run } = await scene(test)
    const pidFile = join(dir, 'nats-server.pid')
    if (content !== undefined) await writeFile(pidFile, content)
    return { dir, run, pidFile, configFile: join(dir, 'nats-server.json') }
  }
  const harmless: Record<string, string | undefined> = {
    'that is not there': undefined,
    'that is empty': '',
    'with text': 'nats',
    'with two numbers': '1 2',
    'with a negative number, which would be a process group': `-${process.pid}`,
    'with zero, which would be our own process group': '0',
    'with our own pid': `${process.pid}`,
    'of a process that ended': '4194304',
    'of the first process': '1',
  }
  for (const [what, content] of Object.entries(harmless)) {
    it(`${what} ends nothing`, async (test) => {
      await end(await files(test, content))
    })
  }

  it('of another program that was given our file ends nothing', async (test) => {
    const { run, pidFile, configFile } = await files(test, undefined)
    const child = run('sleep', ['60'])
    const reader = run(process.execPath, ['-e', 'setInterval(() => 0, 1e6)', '--', '-c', configFile])
    for (const other of [child, reader]) {
      await writeFile(pidFile, String(other.pid))
      await end({ pidFile, configFile })
      assert.ok(running(other))
    }
  })

  it('of a program that is only called nats-server by a link ends nothing', async (test) => {
    const { dir, run, pidFile, configFile } = await files(test, undefined)
    const link = join(dir, 'nats-server')
    await symlink('/bin/sleep', link)
    const child = run(link, ['60'])
    await writeFile(pidFile, String(child.pid))
    await end({ pidFile, configFile })
    assert.ok(running(child))
  })
})
