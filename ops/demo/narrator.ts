// What a person reads while a mesh is built: one line a step with its time, commands as they would be typed, and what
// they printed.

const WIDTH = 72

export class Narrator {
  readonly #total: number
  #step = 0

  constructor(total: number) {
    this.#total = total
  }

  /** Runs a step that prints nothing itself; its line ends with the seconds that it took. */
  async step<T>(what: string, work: () => Promise<T>): Promise<T> {
    const at = process.hrtime.bigint()
    const label = this.#label(what)
    process.stdout.write(label)
    try {
      const result = await work()
      const seconds = Number(process.hrtime.bigint() - at) / 1e9
      process.stdout.write(` ${'.'.repeat(Math.max(2, WIDTH - label.length))} ${seconds.toFixed(1)} s\n`)
      return result
    } catch (error) {
      process.stdout.write(' FAILED\n')
      throw error
    }
  }

  /** Heads what `work` shows. */
  async show<T>(what: string, work: () => Promise<T>): Promise<T> {
    process.stdout.write(`\n${this.#label(what)}\n`)
    return work()
  }

  #label(what: string): string {
    this.#step += 1
    return `[${String(this.#step).padStart(2)}/${this.#total}] ${what}`
  }

  say(text: string): void {
    process.stdout.write(`${text}\n`)
  }

  /** A command as it would be typed, and what it printed. */
  typed(command: string, output: string): void {
    process.stdout.write(`        $ ${command}\n`)
    for (const line of output.trimEnd().split('\n')) process.stdout.write(`        ${line}\n`)
  }
}
