// What one check of `ztctl doctor` says. A check that could not run is a failed one.
import type { Environment } from '../grammar/invocation.ts'

export type CheckState = 'ok' | 'warn' | 'fail'

export interface CheckResult {
  readonly name: string
  readonly state: CheckState
  /** which part of ztmesh needs it */
  readonly neededBy: string
  readonly detail: string
  /** what to do about it; absent when all is well */
  readonly remedy?: string
}

export interface CheckInput {
  readonly env: Environment
  readonly uid: number
}

export type Check = (input: CheckInput) => Promise<CheckResult>

interface About {
  readonly name: string
  readonly neededBy: string
}

/** All is well. */
export function ok(about: About, detail: string): CheckResult {
  return { ...about, state: 'ok', detail }
}

/** It works, less well or not for everything. */
export function warn(about: About, detail: string, remedy: string): CheckResult {
  return { ...about, state: 'warn', detail, remedy }
}

/** It does not work. */
export function fail(about: About, detail: string, remedy: string): CheckResult {
  return { ...about, state: 'fail', detail, remedy }
}
