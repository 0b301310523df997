// What a person reads while a mesh is built: one line a step with its time, commands as they would be typed, and what
// they printed.

const WIDTH = 72

export class Narrator {
  readonly #total: number
  #step = 0

  constructor(total: number) {
    this.#total = total
  }

  /** Runs a step and prints its line with the seconds that it took. */
  async step<T>(what: string, work: () => Promise<T>): Promise<T> {
    this.#step += 1
    const at = process.hrtime.bigint()
    const label = `[${String(this.#step).padStart(2)}/${this.#total}] ${what} `
    process.stdout.write(label)
    try {
      const result = await work()
      const seconds = Number(process.hrtime.bigint() - at) / 1e9
      process.stdout.write(`${'.'.repeat(Math.max(2, WIDTH - label.length))} ${seconds.toFixed(1)} s\n`)
      return result
    } catch (error) {
      process.stdout.write('FAILED\n')
      throw error
    }
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
