// A PCR policy counts if a known key signed exactly it, for this mesh; and it says for each register what is expected.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseNodeName, parseTrustDomain } from '#shared/identity/names.ts'
import { generateNoteKey } from '#shared/log/note-key.ts'
import { signNote } from '#shared/log/note.ts'
import {
  acceptedSets,
  openPcrPolicy,
  parsePcrPolicy,
  PCR_POLICY_HEAD,
  setsFor,
  signPcrPolicy,
  type PcrPolicy,
} from '#shared/protocol/pcr-policy.ts'

const td = parseTrustDomain('mesh.example')
const ONES = '1'.repeat(64)
const TWOS = '2'.repeat(64)
const { signer } = generateNoteKey('pcr.mesh.example')
const known = { keys: [signer], td }

const policy = (change: Partial<PcrPolicy> = {}): PcrPolicy => ({
  v: 1,
  td,
  version: 3,
  bank: 'sha256',
  indices: [0, 7],
  sets: [{ name: 'a', values: { 0: ONES, 7: TWOS } }],
  ...change,
})

describe('a PCR policy', () => {
  it('comes out as it was signed, with its digest and who signed', () => {
    const opened = openPcrPolicy(signPcrPolicy(policy(), [signer]), known)
    assert.deepEqual(opened.policy.sets[0]?.name, 'a')
    assert.equal(opened.policy.version, 3)
    assert.match(opened.digest, /^sha-256:[A-Za-z0-9_-]{43}$/)
    assert.deepEqual(opened.signers, ['pcr.mesh.example'])
  })

  it('has one digest, whoever signed it, and another when anything in it is another', () => {
    const second = generateNoteKey('second').signer
    const digestOf = (note: string): string => openPcrPolicy(note, { keys: [signer, second], td }).digest
    const digest = digestOf(signPcrPolicy(policy(), [signer]))
    assert.equal(digestOf(signPcrPolicy(policy(), [second])), digest)
    assert.notEqual(digestOf(signPcrPolicy(policy({ version: 4 }), [signer])), digest)
  })

  const refused: Record<string, () => string> = {
    'that an unknown key of the same name signed': () =>
      signPcrPolicy(policy(), [generateNoteKey('pcr.mesh.example').signer]),
    'of another trust domain': () =>
      signPcrPolicy(policy({ td: parseTrustDomain('other.example') }), [signer]),
    'that was changed after it was signed': () =>
      signPcrPolicy(policy(), [signer]).replace('"version":3', '"version":9'),
    'that is a note about something else': () => signNote('mesh.example/log/hub/h1/e1\n7\n', [signer]),
    'that is not in its canonical form': () =>
      signNote(`${PCR_POLICY_HEAD}${JSON.stringify(policy(), undefined, 1)}\n`, [signer]),
    'with a field that nobody knows': () => signNote(`${PCR_POLICY_HEAD}{"extra":1,"v":1}\n`, [signer]),
    'that is no note': () => 'hello',
  }
  for (const [what, make] of Object.entries(refused))
    it(`${what} is refused`, () =>
      assert.throws(() => openPcrPolicy(make(), known), { code: 'ZT-403-PCR-POLICY' }))

  it('larger than a note can hold is not signed', () => {
    const sets = Array.from({ length: 60 }, (_, i) => ({ name: `s${i}`, values: { 0: ONES, 7: TWOS } }))
    const many = Array.from({ length: 60 }, (_, i) => parseNodeName(`node-number-${i}`))
    assert.throws(
      () => signPcrPolicy(policy({ sets: sets.map((set) => ({ ...set, nodes: many })) }), [signer]),
      {
        code: 'ZT-413-SIZE',
      },
    )
  })

  const broken: Record<string, object> = {
    'names no register': { indices: [], sets: [{ name: 'a', values: {} }] },
    'names a register that anybody can reset': { indices: [16], sets: [{ name: 'a', values: { 16: ONES } }] },
    'names a register that a locality resets': { indices: [17], sets: [{ name: 'a', values: { 17: ONES } }] },
    'names a register twice': { indices: [7, 7] },
    'names registers out of order': { indices: [7, 0] },
    'trusts SHA-1': { bank: 'sha1' },
    'has no set': { sets: [] },
    'has two sets of one name': {
      sets: [
        { name: 'a', values: { 0: ONES, 7: ONES } },
        { name: 'a', values: { 0: TWOS, 7: TWOS } },
      ],
    },
    'has a set that leaves a register out': { sets: [{ name: 'a', values: { 0: ONES } }] },
    'has a set with a register more': { sets: [{ name: 'a', values: { 0: ONES, 1: ONES, 7: TWOS } }] },
    'has a value of another bank': { sets: [{ name: 'a', values: { 0: ONES, 7: '2'.repeat(96) } }] },
    'has a value in capitals': { sets: [{ name: 'a', values: { 0: ONES, 7: 'A'.repeat(64) } }] },
    'is of version 0': { version: 0 },
  }
  for (const [what, change] of Object.entries(broken))
    it(`that ${what} is none`, () =>
      assert.throws(() => parsePcrPolicy({ ...policy(), ...change }, ''), { code: 'ZT-422-SCHEMA' }))

  it('accepts by the sets that are for the node and have not ended', () => {
    const [mini, box] = [parseNodeName('mini'), parseNodeName('box')]
    const values = { 0: ONES, 7: TWOS }
    const mixed = policy({
      sets: [
        { name: 'all', values },
        { name: 'mini', nodes: [mini], notAfter: 100, values },
      ],
    })
    const names = (sets: readonly { readonly name: string }[]): string[] => sets.map(({ name }) => name)
    assert.deepEqual(names(setsFor(mixed, mini)), ['all', 'mini'])
    assert.deepEqual(names(acceptedSets(mixed, mini, 99)), ['all', 'mini'])
    assert.deepEqual(names(acceptedSets(mixed, mini, 100)), ['all'])
    assert.deepEqual(names(setsFor(mixed, box)), ['all'])
  })
})
