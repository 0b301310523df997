// Reads the project's own source text for the tests that hold its structure and its docs against it.
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix, sep } from 'node:path'

export const ROOT: string = join(import.meta.dirname, '..', '..')

export interface SourceFile {
  /** from the root, with forward slashes */
  readonly path: string
  readonly text: string
}

/** Every TypeScript file under `area`, a folder from the root. */
export function sourceFiles(area: string): SourceFile[] {
  return readdirSync(join(ROOT, area), { recursive: true, encoding: 'utf8' })
    .filter((entry) => entry.endsWith('.ts') && !entry.includes('node_modules'))
    .map((entry) => `${area}/${entry.split(sep).join('/')}`)
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }))
}

// A statement begins its line; `import(` may stand anywhere.
const SPECIFIER =
  /^\s*(?:import|export)\b[^'"]*?\bfrom\s*['"]([^'"]+)['"]|^\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm

/** What a file imports: a path from the root for our own files, the bare specifier otherwise. */
export function importsOf(file: SourceFile): string[] {
  return [...file.text.matchAll(SPECIFIER)].map((match) => {
    const specifier = match[1] ?? match[2] ?? match[3] ?? ''
    if (specifier.startsWith('#')) return specifier.slice(1)
    if (specifier.startsWith('.')) return posix.join(posix.dirname(file.path), specifier)
    return specifier
  })
}

export function isOwn(path: string): boolean {
  return /^(?:shared|pki|hub|node-agent|ops|test)\//.test(path)
}
