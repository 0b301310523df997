// The ceremony program as people start it: a process of its own, cut off from the network, at a terminal of its own.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { run, type Finished } from '#ops/demo/programs.ts'
import { ROOT } from './sources.ts'

const PROGRAM = join(ROOT, 'pki', 'ceremony', 'main.ts')

/** How far a machine is from a network. */
export type Network =
  /** as this machine is */
  | 'here'
  /** in a network namespace of its own, on a machine that is online */
  | 'namespace'
  /** as on a machine that has nothing but a loopback */
  | 'none'

const ISOLATED = ['bwrap', '--dev-bind', '/', '/', '--unshare-net', '--die-with-parent']

export function ceremonyArgv(args: readonly string[], network: Network): string[] {
  return isolated([process.execPath, PROGRAM, ...args], network)
}

/** `argv` as far from a network as that. */
export function isolated(argv: readonly string[], network: Network): string[] {
  if (network === 'here') return [...argv]
  // An empty folder is what sysfs shows where there is no interface; the process sees its own namespace besides.
  const sysfs = network === 'none' ? ['--tmpfs', '/sys', '--dir', '/sys/class/net'] : []
  return [...ISOLATED, ...sysfs, '--', ...argv]
}

/** Runs the program to its end, without a terminal. */
export function ceremonyProgram(
  args: readonly string[],
  network: Network = 'here',
  cwd: string = ROOT,
): Promise<Finished> {
  return run(['setsid', '--wait', ...ceremonyArgv(args, network)], { cwd })
}

/** What stands on the terminal, and the answer to its last question; undefined while nothing is asked. */
export type Typist = (seen: string) => string | undefined

/** Ours, and that of softhsm2-util. */
const PROMPT = /(?:\n> |PIN: )$/

/**
 * Runs `argv` at a terminal of its own (script(1) makes one) and types what `typist` says at each prompt; answers the
 * exit status and all that stood on the terminal. Ends it after a minute, unless given.
 */
export function atTerminal(
  argv: readonly string[],
  typist: Typist,
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv; readonly timeoutMs?: number } = {},
): Promise<{ code: number; seen: string }> {
  const command = argv.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  const child = spawn('script', ['-qefc', command, '/dev/null'], {
    cwd: options.cwd ?? ROOT,
    env: options.env ?? process.env,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let [raw, answered] = ['', 0]
  child.stdout.setEncoding('utf8')
  child.stdout.on('data', (chunk: string) => {
    raw += chunk.replaceAll('\r', '')
    const seen = plain(raw)
    if (!PROMPT.test(seen) || seen.length <= answered) return
    answered = seen.length
    const answer = typist(seen)
    if (answer !== undefined) child.stdin.write(`${answer}\n`)
  })
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 60_000)
    child.once('error', reject)
    child.once('close', (code) => {
      clearTimeout(timer)
      resolve({ code: code ?? -1, seen: plain(raw) })
    })
  })
}

/** Types what each question asks for, as somebody does who reads it. */
export function reader(answers: Readonly<Record<string, string>> = {}): Typist {
  return (seen) => {
    const asked = seen.replace(/\n> $/, '')
    const question = asked.slice(asked.lastIndexOf('\n') + 1)
    for (const [part, answer] of Object.entries(answers)) if (question.includes(part)) return answer
    if (question.includes('type the first 4')) return wordsIn(seen)
    return question.slice(question.lastIndexOf(': ') + 2)
  }
}

/** The first four words below the digest of the ceremony file. */
function wordsIn(seen: string): string {
  const rows = [...seen.matchAll(/SHA-256 of \S+\.json: [0-9a-f]{64}\n {2}(.*)\n/g)]
  return (rows.at(-1)?.[1] ?? '').split(' ').slice(0, 4).join(' ')
}

/** What a terminal shows: without the codes by which readline moves its cursor. */
function plain(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replaceAll(/\u001B\[[0-9;?]*[A-Za-z]/g, '')
}
