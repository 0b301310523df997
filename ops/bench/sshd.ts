// The peer of `ztctl run`: an sshd of our own on loopback with user and host certificates. It runs in a mount namespace
// where root's shell is dash and its home is empty, so that no start-up file of the machine is timed.
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from '#ops/demo/free-port.ts'

const run = promisify(execFile)

export interface SshPeer {
  /** argv of a fresh connection that runs `command` */
  cold(command: readonly string[]): string[]
  /** the same over a connection that is already up */
  warm(command: readonly string[]): string[]
  close(): Promise<void>
}

async function makeKeys(dir: string): Promise<void> {
  for (const name of ['ca', 'host', 'user']) {
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', join(dir, name)])
  }
  await run('ssh-keygen', [
    '-q',
    '-s',
    join(dir, 'ca'),
    '-I',
    'b',
    '-n',
    'root',
    '-V',
    '+1h',
    join(dir, 'user.pub'),
  ])
  await run('ssh-keygen', [
    '-q',
    '-h',
    '-s',
    join(dir, 'ca'),
    '-I',
    'h',
    '-n',
    '127.0.0.1,bench',
    '-V',
    '+1h',
    join(dir, 'host.pub'),
  ])
}

function writeConfig(dir: string, port: number): void {
  const ca = readFileSync(join(dir, 'ca.pub'), 'utf8').trim()
  writeFileSync(join(dir, 'known_hosts'), `@cert-authority * ${ca}\n`)
  writeFileSync(
    join(dir, 'sshd_config'),
    [
      'ListenAddress 127.0.0.1',
      `Port ${port}`,
      `HostKey ${join(dir, 'host')}`,
      `HostCertificate ${join(dir, 'host-cert.pub')}`,
      `TrustedUserCAKeys ${join(dir, 'ca.pub')}`,
      `PidFile ${join(dir, 'sshd.pid')}`,
      'UsePAM no',
      'PasswordAuthentication no',
      'PermitRootLogin prohibit-password',
      'MaxStartups 200',
      'PrintMotd no',
      '',
    ].join('\n'),
  )
  writeFileSync(
    join(dir, 'ssh_config'),
    [
      'Host bench',
      '  HostName 127.0.0.1',
      `  Port ${port}`,
      '  User root',
      `  IdentityFile ${join(dir, 'user')}`,
      `  CertificateFile ${join(dir, 'user-cert.pub')}`,
      `  UserKnownHostsFile ${join(dir, 'known_hosts')}`,
      '  IdentitiesOnly yes',
      '  BatchMode yes',
      '  GSSAPIAuthentication no',
      '',
    ].join('\n'),
  )
}

/** dash as root's shell and an empty home, seen by this sshd alone. */
function startDaemon(dir: string): ChildProcess {
  const passwd = readFileSync('/etc/passwd', 'utf8').replace(
    /^root:.*$/m,
    `root:x:0:0:root:${join(dir, 'home')}:/bin/dash`,
  )
  mkdirSync(join(dir, 'home'))
  mkdirSync('/run/sshd', { recursive: true })
  writeFileSync(join(dir, 'passwd'), passwd)
  const script = 'mount --bind "$1/passwd" /etc/passwd && exec /usr/sbin/sshd -D -e -f "$1/sshd_config"'
  return spawn('unshare', ['-m', 'sh', '-c', script, 'sshd', dir], { stdio: 'ignore' })
}

async function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/** Starts the daemon and waits, at most 10 s, until it answers. Needs root, sshd and ssh. */
export async function startSshPeer(): Promise<SshPeer> {
  const dir = mkdtempSync(join(tmpdir(), 'zt-bench-ssh-'))
  const port = await freePort()
  await makeKeys(dir)
  writeConfig(dir, port)
  const daemon = startDaemon(dir)
  const deadline = Date.now() + 10_000
  while (!(await answers(port))) {
    if (daemon.exitCode !== null || Date.now() > deadline) throw new Error('sshd did not start')
  }
  const config = ['-F', join(dir, 'ssh_config')]
  const mux = ['-o', 'ControlMaster=auto', '-o', `ControlPath=${join(dir, 'mux')}`, '-o', 'ControlPersist=60']
  return {
    cold: (command) => ['ssh', ...config, 'bench', ...command],
    warm: (command) => ['ssh', ...config, ...mux, 'bench', ...command],
    async close() {
      await run('ssh', [...config, ...mux, '-O', 'exit', 'bench']).catch(() => undefined)
      const ended = new Promise((resolve) => daemon.once('exit', resolve))
      daemon.kill('SIGTERM')
      await ended
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
