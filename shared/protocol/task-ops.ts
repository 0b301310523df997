// What a node asks the hub in the name of a task that runs on it, and what it is answered: an SVID of the task, a token
// of it for named audiences, and that it has ended. The hub gives them for tasks that it granted to that very node.
import { array, object, string, type Parser } from '#shared/encoding/shape.ts'
import type { ProcId } from '#shared/identity/names.ts'
import { audiencesField } from '#shared/spiffe/jwt-svid.ts'
import { csrField } from './admission.ts'
import { base64Field, millisField, procIdField } from './fields.ts'

export interface TaskSvidParams {
  readonly proc: ProcId
  /** base64url PKCS#10 request: it proves the key, and nothing else in it has any effect */
  readonly csr: string
}

export interface TaskSvidResult {
  /** base64url DER: leaf, then intermediate */
  readonly svid: readonly string[]
}

export interface TaskJwtParams {
  readonly proc: ProcId
  /** one to eight */
  readonly audience: readonly string[]
}

export interface TaskJwtResult {
  /** a bearer token: in memory only, and in no log */
  readonly token: string
  /** UTC, milliseconds */
  readonly expires: number
}

export const parseTaskSvidParams: Parser<TaskSvidParams> = object({ proc: procIdField, csr: csrField })

export const parseTaskSvidResult: Parser<TaskSvidResult> = object({
  svid: array(base64Field, { min: 2, max: 2 }),
})

export const parseTaskJwtParams: Parser<TaskJwtParams> = object({
  proc: procIdField,
  audience: audiencesField,
})

export const parseTaskJwtResult: Parser<TaskJwtResult> = object({
  token: string({ min: 5, max: 16 * 1024, pattern: /^[A-Za-z0-9_.-]+$/ }),
  expires: millisField,
})

export const parseTaskEndedParams: Parser<{ readonly proc: ProcId }> = object({ proc: procIdField })
