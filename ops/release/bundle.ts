// `make dist`: each program as one file, so that a measurement, a read-only bind or a signature covers a program
// whole. Trusts esbuild. Everything is written beside dist/ first: a failure leaves the old dist/ as it was.
import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'

const ROOT = join(import.meta.dirname, '..', '..')

const PROGRAMS: ReadonlyMap<string, string> = new Map([
  ['hub', 'hub/main.ts'],
  ['node-agent', 'node-agent/main.ts'],
  ['keeper', 'node-agent/keeper/main.ts'],
  ['ztctl', 'ops/ztctl/main.ts'],
  ['ceremony', 'pki/ceremony/main.ts'],
  ['pkcs11-child', 'pki/keystore/pkcs11-child.ts'],
])

// CommonJS packages inside an ES module ask for these two.
const BANNER = `import { createRequire as ztCreateRequire } from 'node:module'
const require = ztCreateRequire(import.meta.url)
const __dirname = import.meta.dirname`

/** pkcs11js is a native addon: the ceremony finds it in node_modules, or in a copy beside the bundle. */
async function bundleInto(directory: string): Promise<void> {
  await build({
    entryPoints: Object.fromEntries([...PROGRAMS].map(([name, file]) => [name, join(ROOT, file)])),
    outdir: directory,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    external: ['pkcs11js'],
    banner: { js: BANNER },
    legalComments: 'none',
    minifySyntax: true,
    logLevel: 'warning',
  })
  const cedar = dirname(createRequire(import.meta.url).resolve('@cedar-policy/cedar-wasm/nodejs'))
  for (const name of readdirSync(cedar).filter((file) => file.endsWith('.wasm'))) {
    copyFileSync(join(cedar, name), join(directory, name))
  }
}

function writeManifest(directory: string): void {
  const lines = readdirSync(directory)
    .toSorted()
    .map(
      (name) =>
        `${createHash('sha256')
          .update(readFileSync(join(directory, name)))
          .digest('hex')}  ${name}\n`,
    )
  writeFileSync(join(directory, 'SHA256SUMS'), lines.join(''))
}

const staged = mkdtempSync(join(ROOT, 'dist-'))
try {
  await bundleInto(staged)
  for (const name of PROGRAMS.keys()) chmodSync(join(staged, `${name}.js`), 0o755)
  // The launcher, which finds the bundle beside it.
  copyFileSync(join(ROOT, 'ztctl'), join(staged, 'ztctl'))
  writeManifest(staged)
  chmodSync(staged, 0o755)
  rmSync(join(ROOT, 'dist'), { recursive: true, force: true })
  renameSync(staged, join(ROOT, 'dist'))
} catch (error) {
  rmSync(staged, { recursive: true, force: true })
  throw error
}
