// Has a case of the corpus judged by the hub's own admission. There is no rule in here: the requests of the file are handed in
// as they would come over HTTPS, from the parser of their bytes to the credentials, and what is answered is passed on.
import type { AdmissionChallenge } from '#hub/admission/attestor.ts'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isZtError } from '#shared/errors/error.ts'
import {
  MAX_ADMISSION_BYTES,
  parseAttestRequest,
  parseChallengeRequest,
  type AttestRequest,
  type ChallengeRequest,
} from '#shared/protocol/admission.ts'
import { tempDir } from '../temp-dir.ts'
import { makeTestPki } from '../test-pki.ts'
import type { Answer, AttackCase } from './case.ts'
import { CaseHub, type CaseGround } from './case-hub.ts'
import { attestRequestOf, challengeRequestOf } from './requests.ts'

/** How a request comes to admission. */
interface Door {
  readonly hello: (request: ChallengeRequest) => ChallengeRequest
  readonly proof: (request: AttestRequest) => AttestRequest
}

const overTheWire = (request: object): unknown =>
  parseStrictJson(canonicalBytes(request), { maxBytes: MAX_ADMISSION_BYTES })

const PARSED: Door = {
  hello: (request) => parseChallengeRequest(overTheWire(request), ''),
  proof: (request) => parseAttestRequest(overTheWire(request), ''),
}
const BEHIND: Door = { hello: (request) => request, proof: (request) => request }

export class Judge {
  readonly #ground: CaseGround

  private constructor(ground: CaseGround) {
    this.#ground = ground
  }

  /** For cases of within some hours of `at`, UTC milliseconds. What it writes is removed after `test`. */
  static async open(test: { after(action: () => Promise<void>): void }, at: number): Promise<Judge> {
    return new Judge({ dir: await tempDir(test), pki: await makeTestPki({ now: at }) })
  }

  /** What the hub of the case answers; anything but a ZtError is thrown. */
  answer(one: AttackCase): Promise<Answer> {
    return this.#judge(one, PARSED)
  }

  /** The same, if no parser had looked at the bytes before. */
  answerBehind(one: AttackCase): Promise<Answer> {
    return this.#judge(one, BEHIND)
  }

  /** What the hub of the case would seal into a challenge for this hello, if it heard it now. Throws its refusal. */
  async sealedFor(one: AttackCase): Promise<AdmissionChallenge> {
    return this.#on(one, async (hub) => {
      const { session } = await hub.challenge(challengeRequestOf(one))
      return hub.greeted.use(session, async ({ about }) => about)
    })
  }

  #judge(one: AttackCase, door: Door): Promise<Answer> {
    return this.#on(one, async (hub) => {
      const handIn = (): Promise<Answer> => answerOf(hub, one, door)
      if (one.challenge.used) requireOne(one, [await handIn()])
      if (one.times === undefined) return handIn()
      return requireOne(one, await Promise.all(Array.from({ length: one.times }, handIn)))
    })
  }

  async #on<T>(one: AttackCase, work: (hub: CaseHub) => Promise<T>): Promise<T> {
    const hub = await CaseHub.open(one, this.#ground)
    try {
      return await work(hub)
    } finally {
      await hub.close()
    }
  }
}

async function answerOf(hub: CaseHub, one: AttackCase, door: Door): Promise<Answer> {
  try {
    // A renewal says nothing in its hello that could be refused.
    await hub.challenge(door.hello(challengeRequestOf(one)))
    await hub.attest(door.proof(attestRequestOf(one)))
    return 'accept'
  } catch (error) {
    if (!isZtError(error)) throw error
    return error.code
  }
}

/** The answer to all but the one that is accepted. */
function requireOne({ name }: AttackCase, answers: readonly Answer[]): Answer {
  const others = answers.filter((answer) => answer !== 'accept')
  const [answer = 'accept', ...more] = new Set(others)
  if (others.length !== answers.length - 1 || more.length > 0)
    throw new Error(`${name} is answered with ${answers.join(', ')}`)
  return answer
}
