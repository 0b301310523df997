// Closed schemas: a parser takes a hostile value and its path, and returns a new frozen value of its type or throws
// ZT-422-SCHEMA naming the path. Unknown keys are refused everywhere; nothing is coerced and nothing has a default.
import { ZtError, isZtError } from '#shared/errors/error.ts'
import { decodeBase64url } from './base64url.ts'

export type Parser<T> = (value: unknown, path: string) => T

/** A field of an object that may be absent; present but null is not absent. */
export interface OptionalField<T> {
  readonly optional: Parser<T>
}

export type Fields = Readonly<Record<string, Parser<unknown> | OptionalField<unknown>>>

export type ObjectOf<F extends Fields> = {
  readonly [K in keyof F as F[K] extends Parser<unknown> ? K : never]: F[K] extends Parser<infer T>
    ? T
    : never
} & {
  readonly [K in keyof F as F[K] extends OptionalField<unknown> ? K : never]?: F[K] extends OptionalField<
    infer T
  >
    ? T
    : never
}

export interface TextLimits {
  /** characters; 0 unless given */
  readonly min?: number
  readonly max: number
  /** must be anchored at both ends, without the m flag */
  readonly pattern?: RegExp
}

/** Throws ZT-422-SCHEMA for the field at `path`. */
export function refuseField(path: string, what: string, cause?: unknown): never {
  throw new ZtError('ZT-422-SCHEMA', `field "${path}" ${what}`, { cause, details: { field: path } })
}

/** An object with exactly these fields. */
export function object<const F extends Fields>(fields: F): Parser<ObjectOf<F>> {
  const known = new Map(Object.entries<Fields[string]>(fields))
  return (value, path) => {
    const members = plainObject(value, path)
    for (const key of Object.keys(members)) {
      if (!known.has(key)) refuseField(join(path, quoteKey(key)), 'is not known')
    }
    const result: Record<string, unknown> = {}
    for (const [key, field] of known) {
      if (Object.hasOwn(members, key)) {
        const parse = typeof field === 'function' ? field : field.optional
        result[key] = parse(members[key], join(path, key))
      } else if (typeof field === 'function') refuseField(join(path, key), 'is missing')
    }
    return Object.freeze(result) as ObjectOf<F>
  }
}

export function optional<T>(parse: Parser<T>): OptionalField<T> {
  return { optional: parse }
}

/** The member of `variants` that the string field `key` names; each variant parses that field too. */
export function union<const V extends Readonly<Record<string, Parser<unknown>>>>(
  key: string,
  variants: V,
): Parser<ReturnType<V[keyof V]>> {
  const known = new Map(Object.entries<Parser<unknown>>(variants))
  return (value, path) => {
    const members = plainObject(value, path)
    const kind = Object.hasOwn(members, key) ? members[key] : undefined
    const parse = typeof kind === 'string' ? known.get(kind) : undefined
    if (parse === undefined) refuseField(join(path, key), `must be one of ${[...known.keys()].join(', ')}`)
    return parse(value, path) as ReturnType<V[keyof V]>
  }
}

export function string(limits: TextLimits): Parser<string> {
  const { min = 0, max, pattern } = limits
  return (value, path) => {
    if (typeof value !== 'string') return refuseField(path, 'must be text')
    if (value.length < min || value.length > max)
      return refuseField(path, `must have ${min} to ${max} characters`)
    if (pattern !== undefined && !pattern.test(value))
      return refuseField(path, 'does not have the accepted form')
    return value
  }
}

/** A safe integer within both bounds. */
export function integer(limits: { readonly min: number; readonly max?: number }): Parser<number> {
  const { min, max = Number.MAX_SAFE_INTEGER } = limits
  return (value, path) =>
    Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max
      ? Number(value)
      : refuseField(path, `must be a whole number from ${min} to ${max}`)
}

export const boolean: Parser<boolean> = (value, path) =>
  typeof value === 'boolean' ? value : refuseField(path, 'must be true or false')

export function literal<const T extends string | number | boolean | null>(expected: T): Parser<T> {
  return (value, path) => (value === expected ? expected : refuseField(path, `must be ${String(expected)}`))
}

export function oneOf<const T extends string>(values: readonly T[]): Parser<T> {
  const known: ReadonlyMap<unknown, T> = new Map(values.map((value) => [value, value]))
  return (value, path) => known.get(value) ?? refuseField(path, `must be one of ${values.join(', ')}`)
}

export function nullable<T>(parse: Parser<T>): Parser<T | null> {
  return (value, path) => (value === null ? null : parse(value, path))
}

export function array<T>(
  parse: Parser<T>,
  limits: { readonly min?: number; readonly max: number },
): Parser<readonly T[]> {
  const { min = 0, max } = limits
  return (value, path) => {
    if (!Array.isArray(value)) return refuseField(path, 'must be a list')
    if (value.length < min || value.length > max) return refuseField(path, `must have ${min} to ${max} items`)
    return Object.freeze(Array.from(value, (item: unknown, index) => parse(item, `${path}[${index}]`)))
  }
}

/** A map from keys that match `keys` to values; the result has no prototype. */
export function record<T>(
  keys: RegExp,
  parse: Parser<T>,
  limits: { readonly max: number },
): Parser<Readonly<Record<string, T>>> {
  return (value, path) => {
    const members = plainObject(value, path)
    const names = Object.keys(members)
    if (names.length > limits.max) refuseField(path, `must have at most ${limits.max} entries`)
    const result = Object.create(null) as Record<string, T>
    for (const name of names) {
      if (!keys.test(name)) refuseField(join(path, quoteKey(name)), 'is not an accepted name')
      result[name] = parse(members[name], join(path, quoteKey(name)))
    }
    return Object.freeze(result)
  }
}

/** Base64url text of a byte string, decoded. */
export function bytes(limits: { readonly min?: number; readonly max: number }): Parser<Uint8Array> {
  const { min = 0, max } = limits
  const text = string({ max: Math.ceil((max * 4) / 3) })
  return (value, path) => {
    const result = decoded(text(value, path), path)
    return result.length < min || result.length > max
      ? refuseField(path, `must have ${min} to ${max} bytes`)
      : result
  }
}

/** Canonical base64url text of a byte string of `min` to `max` bytes, left as text. */
export function base64urlText(limits: { readonly min?: number; readonly max: number }): Parser<string> {
  const check = bytes(limits)
  return (value, path) => {
    check(value, path)
    return value as string
  }
}

/** A value that another parser makes; its refusal becomes ZT-422-SCHEMA for this path, and stays the cause. */
export function parsed<T>(parse: (value: unknown) => T): Parser<T> {
  return (value, path) => {
    try {
      return parse(value)
    } catch (cause) {
      if (!isZtError(cause)) throw cause
      return refuseField(path, `is refused: ${cause.message}`, cause)
    }
  }
}

/** Any JSON value as the strict parser made it: for fields whose own parser runs later. */
export const unparsed: Parser<unknown> = (value) => value

function decoded(text: string, path: string): Uint8Array {
  try {
    return decodeBase64url(text, path)
  } catch (cause) {
    return refuseField(path, 'is not canonical base64url', cause)
  }
}

function plainObject(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refuseField(path, 'must be an object')
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== null && prototype !== Object.prototype) refuseField(path, 'must be a plain object')
  return value as Readonly<Record<string, unknown>>
}

function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}

function quoteKey(key: string): string {
  return /^[A-Za-z0-9_#.-]{1,64}$/.test(key) ? key : JSON.stringify(key.slice(0, 64))
}
