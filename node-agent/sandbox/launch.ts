// Starts a plan's program with exactly the descriptors that the plan names, and nothing of our own environment.
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { Socket } from 'node:net'
import { ZtError } from '#shared/errors/error.ts'
import type { SandboxPlan } from './sandbox.ts'

export interface LaunchedPlan {
  readonly child: ChildProcess
  /** bubblewrap's status, JSON lines; it waits before it does anything until one byte is written here */
  readonly status: Socket
}

export interface LaunchOutput {
  readonly stdout: number | 'ignore'
  readonly stderr: number | 'ignore'
}

/** Takes over the plan: releases it, started or not. Errors: ZT-500-SPAWN if there is no such process at the end. */
export function launchPlan(plan: SandboxPlan, output: LaunchOutput): LaunchedPlan {
  const stdio: StdioOptions = ['ignore', output.stdout, output.stderr, 'pipe', 'pipe', ...plan.fds]
  try {
    // Node closes every other descriptor in the child; env is empty, so nothing there steers bwrap's own loader.
    const child = spawn(plan.file, plan.args, {
      argv0: plan.argv0,
      cwd: '/',
      detached: true,
      env: {},
      stdio,
      ...plan.user,
    })
    const [, , , input, status] = child.stdio
    if (!(input instanceof Socket) || !(status instanceof Socket)) throw new TypeError('no status channel')
    // A bwrap that ended before it read everything is reported by its exit, not here.
    input.on('error', () => input.destroy())
    status.on('error', () => status.destroy())
    input.end(plan.input)
    return { child, status }
  } catch (cause) {
    throw new ZtError('ZT-500-SPAWN', 'the sandbox program could not be started', { cause })
  } finally {
    plan.release()
  }
}
