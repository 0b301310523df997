// The programs of test/interop/go-spiffe, built once for a test file from what go.sum pins.
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { tempDir } from './temp-dir.ts'

const MODULE = join(import.meta.dirname, '..', 'interop', 'go-spiffe')
const run = promisify(execFile)

/** For the option `skip` of a test. */
export function needsGo(): string | false {
  const required = (process.env['ZTMESH_REQUIRE'] ?? '').includes('go')
  return required || spawnSync('go', ['version']).status === 0 ? false : 'needs go'
}

/** Builds `cmd/<name>` into `dir`, and returns the program. */
export function buildGo(dir: string, name: string): string {
  const program = join(dir, name)
  execFileSync('go', ['build', '-mod=readonly', '-o', program, `./cmd/${name}`], { cwd: MODULE })
  return program
}

/** Writes `input` to a file of its own. */
export async function jsonFile(t: TestContext, input: unknown): Promise<string> {
  const file = join(await tempDir(t), 'input.json')
  await writeFile(file, JSON.stringify(input))
  return file
}

/** What the program prints when it is given `args`. Rejects with what it said if it failed. */
export async function askGo(program: string, args: readonly string[]): Promise<unknown> {
  const { stdout } = await run(program, [...args], { maxBuffer: 16 * 1024 * 1024 })
  return JSON.parse(stdout) as unknown
}
