// One question to the policy, and the entities that it speaks of. The slice of entities must be closed: Cedar skips a
// forbid on a parent that it is not told of, and says nothing (authority-and-audit §6 hazard b).

export interface EntityRef {
  readonly type: string
  readonly id: string
}

export interface PolicyEntity {
  readonly uid: EntityRef
  readonly attrs: Readonly<Record<string, PolicyValue>>
  /** every parent that it has: all of them, or the question is not answered */
  readonly parents: readonly EntityRef[]
}

export type PolicyValue =
  | string
  | number
  | boolean
  | readonly PolicyValue[]
  | { readonly [key: string]: PolicyValue }

export interface PolicyQuestion {
  readonly principal: EntityRef
  readonly action: string
  readonly resource: EntityRef
  readonly context: Readonly<Record<string, PolicyValue>>
  readonly entities: readonly PolicyEntity[]
}

const keyOf = (ref: EntityRef): string => JSON.stringify([ref.type, ref.id])

function refsWithin(value: PolicyValue, into: EntityRef[]): void {
  if (typeof value !== 'object') return
  if (Array.isArray(value)) {
    for (const item of value as readonly PolicyValue[]) refsWithin(item, into)
    return
  }
  for (const [name, item] of Object.entries(value)) {
    if (name === '__entity') into.push(item as unknown as EntityRef)
    else refsWithin(item, into)
  }
}

/** The first entity that the question refers to and does not contain, or undefined when the slice is closed. */
export function missingEntity(question: PolicyQuestion): EntityRef | undefined {
  const present = new Set(question.entities.map((entity) => keyOf(entity.uid)))
  const wanted: EntityRef[] = [question.principal, question.resource]
  refsWithin(question.context, wanted)
  for (const entity of question.entities) {
    wanted.push(...entity.parents)
    refsWithin(entity.attrs, wanted)
  }
  return wanted.find((ref) => !present.has(keyOf(ref)))
}

/** A point in time as Cedar's datetime. */
export function policyTime(atMs: number): PolicyValue {
  return { __extn: { fn: 'datetime', arg: new Date(atMs).toISOString() } }
}
