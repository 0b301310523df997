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
const FORM = new RegExp(
  '^(?:workspace_rw|read_anywhere|network|subprocess|full_disk_write|screen|automation|devices|pty|no_sandbox|' +
    `identity:${AGENT}|write:${PATH}|network:${HOST_PORT}|tcc:[a-z][a-z0-9_]{0,63}|secret:[a-z0-9][a-z0-9._-]{0,63})$`,
)

const capabilities = array(string({ min: 1, max: 1024, pattern: FORM }), { max: 64 })

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
