// The machine on which a ceremony is held: whether it is cut off from every network, and which program runs. What cannot
// be found out counts as the worst that it could be.
import { readFile, readdir } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { basename, join, relative, resolve } from 'node:path'
import { ZtError } from '#shared/errors/error.ts'
import { hex } from './certify.ts'

/** Names of interfaces that are up, the loopback left out. */
export interface Interfaces {
  /** in the network namespace of this process: what it can reach */
  readonly process: readonly string[]
  /** as the machine's own sysfs shows them, whatever namespace this process was started in */
  readonly machine: readonly string[]
}

export interface Surroundings {
  /** rejects if it cannot be told */
  online(): Promise<Interfaces>
  /** lower-case hex SHA-256 of the program */
  tool(): Promise<string>
  /** what else a transcript says of the machine */
  facts(): Readonly<Record<string, string>>
}

const LOOPBACK = 'lo'
const SYSFS = '/sys/class/net'
const IFF_UP = 1
/** From the sources: what the program and the child that talks to the token are made of. */
const SOURCE_FOLDERS = ['pki', 'shared']

export const thisMachine: Surroundings = {
  online: async () => {
    const shown = (await readdir(SYSFS)).filter((name) => name !== LOOPBACK)
    const machine: string[] = []
    for (const name of shown) if (await isUp(name)) machine.push(name)
    const known = await knownInterfaces()
    // sysfs may show another namespace than this one, and says nothing about ours then.
    const isOurs = known.toSorted().join() === shown.toSorted().join()
    const up = new Set([...addressedInterfaces(), ...(isOurs ? machine : known)])
    return { process: [...up].toSorted(), machine }
  },
  tool: () => toolDigest(import.meta.filename),
  facts: () => ({ node: process.version, platform: `${process.platform} ${process.arch}` }),
}

/**
 * What was found, where it is offline. Throws ZT-412-ONLINE unless the machine has no interface up but the loopback. For a demonstration it is enough that
 * this process has none: it may run in a network namespace of its own.
 */
export async function requireOffline(surroundings: Surroundings, demo: boolean): Promise<Interfaces> {
  let found: Interfaces
  try {
    found = await surroundings.online()
  } catch (cause) {
    throw new ZtError('ZT-412-ONLINE', 'it cannot be told whether this machine is offline', { cause })
  }
  const up = demo ? found.process : [...new Set([...found.process, ...found.machine])]
  if (up.length > 0) {
    throw new ZtError('ZT-412-ONLINE', `this machine has network interfaces that are up: ${up.join(', ')}`, {
      details: { interfaces: up.join(' ') },
    })
  }
  return found
}

/**
 * SHA-256 of the lines that `sha256sum` prints for the program's files: the two bundled files where `file` lies among
 * them, and all TypeScript below pki/ and shared/ in a source tree.
 */
export async function toolDigest(file: string): Promise<string> {
  const root = resolve(file, '..', '..', '..')
  const isSource = relative(root, file).startsWith(join('pki', 'ceremony'))
  const [base, names] = isSource
    ? [root, await sourceFiles(root)]
    : [resolve(file, '..'), [basename(file), 'pkcs11-child.js'].toSorted()]
  const lines: string[] = []
  for (const name of names) lines.push(`${hex(await readFile(join(base, name)))}  ${name}\n`)
  return hex(Buffer.from(lines.join('')))
}

async function sourceFiles(root: string): Promise<string[]> {
  const found: string[] = []
  for (const folder of SOURCE_FOLDERS) {
    const names = await readdir(join(root, folder), { recursive: true })
    found.push(...names.filter((name) => name.endsWith('.ts')).map((name) => join(folder, name)))
  }
  return found.toSorted()
}

/** Interfaces that are up and have an address, in this process's own network namespace. */
function addressedInterfaces(): string[] {
  return Object.entries(networkInterfaces())
    .filter(([, addresses]) => addresses?.some(({ internal }) => !internal) === true)
    .map(([name]) => name)
}

/** Every interface of this network namespace, with an address or without one: proc(5), net/dev. */
async function knownInterfaces(): Promise<string[]> {
  const table = await readFile('/proc/self/net/dev', 'utf8')
  return table
    .split('\n')
    .slice(2)
    .flatMap((line) => /^\s*([^\s:]+):/.exec(line)?.[1] ?? [])
    .filter((name) => name !== LOOPBACK)
}

async function isUp(name: string): Promise<boolean> {
  const flags = await readFile(join(SYSFS, name, 'flags'), 'utf8')
  return (Number.parseInt(flags, 16) & IFF_UP) !== 0
}
