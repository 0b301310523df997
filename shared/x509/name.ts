// RFC 5280 §4.1.2.4 distinguished names, read only as far as ztmesh needs: well-formed, empty or not, and the
// attributes that hold an e-mail address. Names are compared as bytes, which accepts fewer pairs than §7.1 would.
import { malformed, TAG, type DerReader } from './der.ts'
import { OID } from './oid.ts'

export interface NameFacts {
  readonly empty: boolean
  readonly emails: readonly string[]
}

/** Checks every attribute of the RDNSequence that `name` reads. Throws ZT-422-CERT. */
export function readName(name: DerReader): NameFacts {
  const empty = name.done
  const emails: string[] = []
  while (!name.done) readRelativeName(name.enter(TAG.set), emails)
  return { empty, emails }
}

function readRelativeName(set: DerReader, emails: string[]): void {
  if (set.done) throw malformed('distinguished name', 'has an empty part')
  let previous: Uint8Array | undefined
  while (!set.done) {
    const attribute = set.expect(TAG.sequence)
    // X.690 §11.6: the members of a SET OF are in ascending order.
    if (previous !== undefined && Buffer.compare(previous, attribute.raw) >= 0) {
      throw malformed('distinguished name', 'has attributes out of order')
    }
    previous = attribute.raw
    const fields = set.inside(attribute.content)
    const type = fields.oid()
    const value = fields.element()
    fields.end()
    if (type === OID.emailAddress) emails.push(Buffer.from(value.content).toString('latin1'))
  }
}
