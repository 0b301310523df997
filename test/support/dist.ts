// The bundles of `make dist`, for tests that run them: built by whoever needs them first, and again only when a source
// is newer. The kernel's lock on a file keeps two test files from building at once, and ends with its holder.
import { readdirSync, statSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { mustRun, ROOT } from '#ops/demo/programs.ts'

const SOURCES = ['hub', 'node-agent', 'ops/release', 'ops/ztctl', 'pki', 'shared']
const MANIFEST = join(ROOT, 'dist', 'SHA256SUMS')
const LOCK = join(ROOT, '.tools', 'dist.lock')

/** Resolves when dist/ is what `make dist` would make of the sources. */
export async function requireDist(): Promise<void> {
  if (isFresh()) return
  await mkdir(join(ROOT, '.tools'), { recursive: true })
  await mustRun(['flock', LOCK, process.execPath, import.meta.filename])
}

function isFresh(): boolean {
  const built = changedAt(MANIFEST)
  return built > changedAt(join(ROOT, 'package-lock.json')) && SOURCES.every((area) => newestIn(area) < built)
}

/** Folders count too: a file that was removed leaves no other trace. */
function newestIn(area: string): number {
  const entries = readdirSync(join(ROOT, area), { recursive: true, encoding: 'utf8' })
  return Math.max(...entries.map((entry) => changedAt(join(ROOT, area, entry))))
}

function changedAt(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

// Under the lock: somebody may have built it meanwhile.
if (import.meta.main && !isFresh()) {
  await mustRun([process.execPath, join(ROOT, 'ops', 'release', 'bundle.ts')])
}
