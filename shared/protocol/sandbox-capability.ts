// The names of what a sandboxed process may be given (design §8). Closed: a name that is not here is refused, because
// a capability that nobody understands is one that nobody enforces.
import { array, refuseField, string, type Parser } from '#shared/encoding/shape.ts'

/** What a spawn asks for when the caller names nothing. */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  'network',
  'read_anywhere',
  'subprocess',
  'workspace_rw',
]

const HOST_PORT = '(?:[A-Za-z0-9.-]{1,253}|\\[[0-9a-fA-F:.]{2,45}\\]):(?:[1-9][0-9]{0,4}|\\*)'
// No segment of a path may be "." or "..": it would name something else than it says.
const PATH = '(?:/(?!\\.{1,2}(?:/|$))[^/\\x00-\\x1f\\x7f]+)+'
const AGENT = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'

export interface CapabilityForm {
  /** as people read it: capitals stand for what the caller chooses */
  readonly name: string
  /** the whole of a name of this form, as a regular expression; without one, `name` itself */
  readonly pattern?: string
  readonly gives: string
  /** known to policy, and refused by every node of this version (ZT-412-FACT) */
  readonly reserved?: true
}

/** Every capability that there is: what parses a command, and what help and docs/ztctl.md list. */
export const CAPABILITIES: readonly CapabilityForm[] = [
  { name: 'network', gives: "the machine's network and its resolver; without it there is loopback alone" },
  {
    name: 'read_anywhere',
    gives: "what the process's user may read of the machine, but for /run and /tmp; without it /usr and /etc",
  },
  { name: 'subprocess', gives: 'children; without it the program has threads alone' },
  {
    name: 'workspace_rw',
    gives: "writing in the caller's own folder, /workspace; without it that is read-only",
  },
  {
    name: 'identity:AGENT',
    pattern: `identity:${AGENT}`,
    gives: 'SVIDs as that agent, by a SPIFFE Workload API of its own; one, and no read_anywhere',
  },
  { name: 'write:PATH', pattern: `write:${PATH}`, gives: 'writing below that path', reserved: true },
  {
    name: 'network:HOST:PORT',
    pattern: `network:${HOST_PORT}`,
    gives: 'that address alone; * for any port',
    reserved: true,
  },
  {
    name: 'secret:NAME',
    pattern: 'secret:[a-z0-9][a-z0-9._-]{0,63}',
    gives: 'a secret that the machine keeps',
    reserved: true,
  },
  { name: 'full_disk_write', gives: 'writing anywhere', reserved: true },
  { name: 'pty', gives: 'a terminal', reserved: true },
  { name: 'devices', gives: 'the devices of the machine', reserved: true },
  { name: 'screen', gives: 'what the screen shows', reserved: true },
  { name: 'automation', gives: 'control of other programs', reserved: true },
  {
    name: 'tcc:SERVICE',
    pattern: 'tcc:[a-z][a-z0-9_]{0,63}',
    gives: 'a service that macOS asks its user for',
    reserved: true,
  },
  { name: 'no_sandbox', gives: 'no sandbox at all', reserved: true },
]

const FORM = new RegExp(`^(?:${CAPABILITIES.map(({ name, pattern = name }) => pattern).join('|')})$`)

const MAX_CHARACTERS = 1024
const capabilities = array(string({ min: 1, max: MAX_CHARACTERS, pattern: FORM }), { max: 64 })

/** True for a capability by its whole name. */
export function isCapability(name: string): boolean {
  return name.length <= MAX_CHARACTERS && FORM.test(name)
}

/** A strictly sorted list of known names: one set has one form, and so one digest. */
export const capabilitiesField: Parser<readonly string[]> = (value, path) => {
  const list = capabilities(value, path)
  list.forEach((name, index) => {
    const before = list[index - 1]
    if (before !== undefined && before >= name) refuseField(path, 'must be sorted and without repeats')
  })
  if (list.filter(isIdentity).length > 1) refuseField(path, 'must name one identity at most')
  return list
}

const IDENTITY = 'identity:'
const isIdentity = (name: string): boolean => name.startsWith(IDENTITY)

/** The agent in whose name a process with these capabilities gets its SVIDs; undefined for one that gets none. */
export function identityAgent(caps: readonly string[]): string | undefined {
  return caps.find(isIdentity)?.slice(IDENTITY.length)
}
