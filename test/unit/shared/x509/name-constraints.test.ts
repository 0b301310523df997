// RFC 5280 §4.2.1.10, form by form.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { NO_NAMES, type GeneralNames } from '#shared/x509/general-name.ts'
import { namesAllowed, readNameConstraints, type Subtrees } from '#shared/x509/name-constraints.ts'
import { ascii, der, explicit, integer, sequence } from '#shared/x509/der-writer.ts'

const NONE: Subtrees = { uris: [], dns: [], emails: [], ips: [] }
const ip = (...octets: number[]): Uint8Array => Uint8Array.from(octets)

interface Case {
  readonly names: Partial<GeneralNames>
  readonly permitted?: Partial<Subtrees>
  readonly excluded?: Partial<Subtrees>
}

const allowed = ({ names, permitted, excluded }: Case): boolean =>
  namesAllowed(
    { ...NO_NAMES, ...names },
    { permitted: { ...NONE, ...permitted }, excluded: { ...NONE, ...excluded } },
  )

const URI = { permitted: { uris: ['td.test'] } }
const ACCEPTED: Record<string, Case> = {
  'a uri of the host': { names: { uris: ['spiffe://td.test/node/a'] }, ...URI },
  'a uri of the host in other case': { names: { uris: ['spiffe://TD.test/node/a'] }, ...URI },
  'a uri without a path': { names: { uris: ['spiffe://td.test'] }, ...URI },
  'a uri with a port': { names: { uris: ['https://td.test:8443/x'] }, ...URI },
  'a uri of a host below a domain': {
    names: { uris: ['spiffe://a.td.test/x'] },
    permitted: { uris: ['.td.test'] },
  },
  'a name of a form without constraints': { names: { dns: ['anything.example'] }, ...URI },
  'a dns name that is the constraint': { names: { dns: ['a.test'] }, permitted: { dns: ['a.test'] } },
  'a dns name below the constraint': { names: { dns: ['x.y.a.test'] }, permitted: { dns: ['a.test'] } },
  'a dns name below one of two': { names: { dns: ['b.test'] }, permitted: { dns: ['a.test', 'b.test'] } },
  'a mailbox of a host': { names: { emails: ['me@a.test'] }, permitted: { emails: ['a.test'] } },
  'a mailbox below a domain': { names: { emails: ['me@x.a.test'] }, permitted: { emails: ['.a.test'] } },
  'the very mailbox': { names: { emails: ['me@A.test'] }, permitted: { emails: ['me@a.test'] } },
  'an address within a range': {
    names: { ips: [ip(10, 1, 2, 3)] },
    permitted: { ips: [ip(10, 1, 0, 0, 255, 255, 0, 0)] },
  },
  'an address outside of an excluded range': {
    names: { ips: [ip(10, 2, 0, 1)] },
    excluded: { ips: [ip(10, 1, 0, 0, 255, 255, 0, 0)] },
  },
  'another family than an excluded range': {
    names: { ips: [new Uint8Array(16)] },
    excluded: { ips: [new Uint8Array(8)] },
  },
}
const REFUSED: Record<string, Case> = {
  'a uri of another host': { names: { uris: ['spiffe://other.test/node/a'] }, ...URI },
  'a uri of a host below a host constraint': { names: { uris: ['spiffe://a.td.test/x'] }, ...URI },
  'a uri whose host only ends like it': { names: { uris: ['spiffe://eviltd.test/x'] }, ...URI },
  'a uri with the host as user': { names: { uris: ['spiffe://td.test@evil.test/x'] }, ...URI },
  'a uri with the host in its path': { names: { uris: ['spiffe://evil.test/td.test'] }, ...URI },
  'a uri with the host as scheme': { names: { uris: ['td.test:spiffe'] }, ...URI },
  'a uri without an authority': { names: { uris: ['urn:uuid:0'] }, ...URI },
  'a uri with an empty host': { names: { uris: ['spiffe:///node/a'] }, ...URI },
  'a uri of an ipv4 address': { names: { uris: ['spiffe://10.0.0.1/a'] }, permitted: { uris: ['10.0.0.1'] } },
  'a uri of an ipv6 address': { names: { uris: ['spiffe://[::1]/a'] }, permitted: { uris: ['[::1]'] } },
  'a uri of the host with a final period': { names: { uris: ['spiffe://td.test./a'] }, ...URI },
  'the domain itself where only hosts below it are permitted': {
    names: { uris: ['spiffe://td.test/x'] },
    permitted: { uris: ['.td.test'] },
  },
  'one bad uri among good ones': { names: { uris: ['spiffe://td.test/a', 'spiffe://x.test/a'] }, ...URI },
  'a uri without a host where any is excluded': {
    names: { uris: ['urn:x'] },
    excluded: { uris: ['evil.test'] },
  },
  'a dns name where all are excluded': { names: { dns: ['hub.test'] }, excluded: { dns: [''] } },
  'a spiffe id as dns name where all are excluded': {
    names: { dns: ['spiffe://td.test/hub'] },
    excluded: { dns: [''] },
  },
  'a dns name that only ends like it': { names: { dns: ['evila.test'] }, permitted: { dns: ['a.test'] } },
  'a dns name in an excluded part of a permitted domain': {
    names: { dns: ['x.b.a.test'] },
    permitted: { dns: ['a.test'] },
    excluded: { dns: ['b.a.test'] },
  },
  'a wildcard above an excluded part (CVE-2025-61727)': {
    names: { dns: ['*.a.test'] },
    excluded: { dns: ['b.a.test'] },
  },
  'a wildcard under a permitted domain': { names: { dns: ['*.a.test'] }, permitted: { dns: ['a.test'] } },
  'a dns name with a final period': { names: { dns: ['b.a.test.'] }, excluded: { dns: ['b.a.test'] } },
  'a mailbox where all are excluded': { names: { emails: ['me@a.test'] }, excluded: { emails: [''] } },
  'a mailbox below a host constraint': {
    names: { emails: ['me@x.a.test'] },
    permitted: { emails: ['a.test'] },
  },
  'a mailbox with another local part': {
    names: { emails: ['Me@a.test'] },
    permitted: { emails: ['me@a.test'] },
  },
  'a mailbox without a host': { names: { emails: ['me@'] }, permitted: { emails: ['a.test'] } },
  'a mailbox that is none': { names: { emails: ['a.test'] }, permitted: { emails: ['a.test'] } },
  'a mailbox with two signs': {
    names: { emails: ['a@a.test@evil.test'] },
    permitted: { emails: ['a.test'] },
  },
  'any ipv4 address where all are excluded': {
    names: { ips: [ip(127, 0, 0, 1)] },
    excluded: { ips: [new Uint8Array(8)] },
  },
  'any ipv6 address where all are excluded': {
    names: { ips: [ip(...Array.from({ length: 16 }, () => 1))] },
    excluded: { ips: [new Uint8Array(32)] },
  },
  'an address outside of a range': {
    names: { ips: [ip(10, 2, 0, 1)] },
    permitted: { ips: [ip(10, 1, 0, 0, 255, 255, 0, 0)] },
  },
  'another family than a permitted range': {
    names: { ips: [new Uint8Array(16)] },
    permitted: { ips: [new Uint8Array(8)] },
  },
}

describe('name constraints', () => {
  for (const [what, example] of Object.entries(ACCEPTED)) {
    it(`allow ${what}`, () => {
      assert.equal(allowed(example), true)
    })
  }
  for (const [what, example] of Object.entries(REFUSED)) {
    it(`do not allow ${what}`, () => {
      assert.equal(allowed(example), false)
    })
  }

  const subtree = (tag: number, content: Uint8Array, ...more: Uint8Array[]): Uint8Array =>
    sequence(explicit(0, sequence(der(tag, content), ...more)))
  const unreadable: Record<string, Uint8Array> = {
    'no lists': sequence(),
    'an empty list': sequence(explicit(0)),
    'a directory name': subtree(0xa4, sequence()),
    'a registered id': subtree(0x88, Uint8Array.of(0x2a)),
    'an other name': subtree(0xa0, sequence()),
    'a minimum': subtree(0x82, ascii('a.test'), der(0x80, Uint8Array.of(1))),
    'a maximum': subtree(0x82, ascii('a.test'), der(0x81, Uint8Array.of(1))),
    'an address without a mask': subtree(0x87, ip(10, 0, 0, 1)),
    'a NUL in a name': subtree(0x82, Uint8Array.of(0x61, 0, 0x62)),
    'the lists in the wrong order': sequence(
      explicit(1, sequence(der(0x82, ascii('a')))),
      explicit(0, sequence(der(0x82, ascii('b')))),
    ),
    'something after the lists': sequence(
      explicit(0, sequence(der(0x82, ascii('a')))),
      integer(Uint8Array.of(1)),
    ),
  }
  for (const [what, value] of Object.entries(unreadable)) {
    it(`are not read with ${what}`, () => {
      assert.throws(() => readNameConstraints(value), { code: 'ZT-422-CERT' })
    })
  }
})
