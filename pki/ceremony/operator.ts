// The people at the machine: what they are told, and what they must type before anything goes on. A demonstration may
// answer from a file; it must then hold exactly the answers that are asked for, so that nothing is ever waved through.
import { readFile } from 'node:fs/promises'
import { array, literal, object, string } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import { readAs } from './fields.ts'

export interface Question {
  /** what an answers file calls it */
  readonly id: string
  readonly text: string
  /** true: not shown while it is typed, and never written down */
  readonly secret?: boolean
}

export interface Operator {
  /** false: answers come from a file, which is for demonstrations */
  readonly present: boolean
  /** how often a wrong answer may be corrected */
  readonly attempts: number
  tell(line: string): void
  /** Says which questions will come, in order. ZT-403-UNCONFIRMED if they cannot all be answered, or others could. */
  expect(ids: readonly string[]): void
  ask(question: Question): Promise<string>
  close(): void
}

/** Answers out of a file: `{"v":1,"answers":[{"ask":"words","answer":"…"}, …]}`, in the order in which they are asked. */
export class ScriptedOperator implements Operator {
  readonly present: boolean = false
  readonly attempts: number = 1
  readonly #answers: { readonly ask: string; readonly answer: string }[]
  readonly #tell: (line: string) => void

  constructor(
    answers: readonly { readonly ask: string; readonly answer: string }[],
    tell: (line: string) => void,
  ) {
    this.#answers = [...answers]
    this.#tell = tell
  }

  static async read(file: string, tell: (line: string) => void): Promise<ScriptedOperator> {
    const content = await readFile(file).catch((cause: unknown) => {
      throw new ZtError('ZT-400-USAGE', 'the answers file cannot be read', { cause })
    })
    const { answers } = readAs('answers file', () =>
      parseAnswers(parseStrictJson(content, { maxBytes: 16 * 1024 }), ''),
    )
    return new ScriptedOperator(answers, tell)
  }

  tell(line: string): void {
    this.#tell(line)
  }

  expect(ids: readonly string[]): void {
    const given = this.#answers.map(({ ask }) => ask)
    if (given.join() !== ids.join())
      throw unconfirmed(`the answers file answers [${given.join(', ')}] and not [${ids.join(', ')}]`)
  }

  async ask({ id }: Question): Promise<string> {
    const next = this.#answers.shift()
    if (next?.ask !== id) throw unconfirmed(`the answers file does not answer "${id}" here`)
    return next.answer
  }

  close(): void {
    this.#answers.length = 0
  }
}

const parseAnswers = object({
  v: literal(1),
  answers: array(object({ ask: string({ min: 1, max: 64 }), answer: string({ max: 1024 }) }), { max: 16 }),
})

export function unconfirmed(what: string, cause?: unknown): ZtError {
  return new ZtError('ZT-403-UNCONFIRMED', what, { cause })
}

/** Asks until the answer is `expected`, spaces and case aside; ZT-403-UNCONFIRMED when the attempts are used up. */
export async function confirm(operator: Operator, question: Question, expected: string): Promise<string> {
  for (let attempt = 1; attempt <= operator.attempts; attempt += 1) {
    const answer = plain(await operator.ask(question))
    if (answer === plain(expected)) return answer
    operator.tell(`that is not what was asked for (${attempt} of ${operator.attempts})`)
  }
  throw unconfirmed(`"${question.id}" was not confirmed; nothing further was done`)
}

function plain(text: string): string {
  return text.trim().toLowerCase().replaceAll(/\s+/g, ' ')
}
