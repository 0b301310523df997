// Starts a plan's program with exactly the descriptors that the plan names, and nothing of our own environment.
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { Socket } from 'node:net'
import { ZtError } from '#shared/errors/error.ts'
import { READY_FD, STATUS_FD, type SandboxPlan } from './sandbox.ts'

export interface LaunchedPlan {
  readonly child: ChildProcess
  /** bubblewrap's status, JSON lines */
  readonly status: Socket
  /** resolves when the sandbox is complete but for its last step, which follows at once, or has ended */
  readonly ready: Promise<void>
}

/** Descriptors of the caller, who closes them. */
export interface LaunchDescriptors {
  readonly stdout: number | 'ignore'
  readonly stderr: number | 'ignore'
  /** read when the sandbox is complete: the program is executed when there is a byte to read, or the end */
  readonly gate: number
}

/** Takes over the plan: releases it, started or not. Errors: ZT-500-SPAWN if there is no such process at the end. */
export function launchPlan(plan: SandboxPlan, { stdout, stderr, gate }: LaunchDescriptors): LaunchedPlan {
  const stdio: StdioOptions = ['ignore', stdout, stderr, 'pipe', gate, 'pipe', ...plan.fds]
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
    const stdioOfChild: readonly unknown[] = child.stdio
    const [status, ready] = [stdioOfChild[STATUS_FD], stdioOfChild[READY_FD]]
    if (!(status instanceof Socket) || !(ready instanceof Socket)) throw new TypeError('no status channel')
    return { child, status, ready: closedByOther(ready) }
  } catch (cause) {
    throw new ZtError('ZT-500-SPAWN', 'the sandbox program could not be started', { cause })
  } finally {
    plan.release()
  }
}

/** Our side ends at once, so that the other reads an end; what we wait for is that it closes its own. */
function closedByOther(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve())
    socket.on('error', () => socket.destroy())
    socket.resume()
    socket.end()
  })
}
