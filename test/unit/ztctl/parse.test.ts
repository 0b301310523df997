// The grammar of ztctl: what is understood, and what is refused with a hint.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { flagSpec } from '#ops/ztctl/grammar/flags.ts'
import type { Invocation } from '#ops/ztctl/grammar/invocation.ts'
import { parseCommandLine } from '#ops/ztctl/grammar/parse.ts'
import { GLOBAL_FLAGS, VERBS } from '#ops/ztctl/grammar/verbs.ts'
import { isZtError } from '#shared/errors/error.ts'

const parse = (line: string, env: Record<string, string> = {}): Invocation =>
  parseCommandLine(line === '' ? [] : line.split(' '), env)

describe('a command line', () => {
  it('means the same with the node before or after the verb', () => {
    for (const line of ['--node a spawn -- x', 'spawn --node a -- x', 'spawn -na -- x', '-n a spawn -- x']) {
      const call = parse(line)
      assert.equal(call.verb.name, 'spawn', line)
      assert.equal(call.flags.one('node'), 'a', line)
      assert.deepEqual(call.command, ['x'], line)
    }
  })

  it('keeps everything after -- as it is, flags and further -- included', () => {
    const call = parseCommandLine(
      ['run', '-n', 'a', '--', 'sh', '-c', 'echo "$X" | wc', '--', '-n', 'b', ''],
      {},
    )
    assert.deepEqual(call.command, ['sh', '-c', 'echo "$X" | wc', '--', '-n', 'b', ''])
    assert.deepEqual(call.flags.all('node'), ['a'])
  })

  it('takes verbs of two words, also with flags between them', () => {
    assert.equal(parse('node ls').verb.name, 'node ls')
    assert.equal(parse('audit -n a verify').verb.name, 'audit verify')
    assert.deepEqual(parse('node join-token mac-mini').operands, ['mac-mini'])
  })

  it('takes joined short switches and a value that is attached', () => {
    const call = parse('ps -aqn mac-mini')
    assert.ok(call.flags.has('all') && call.flags.has('quiet'))
    assert.equal(call.flags.one('node'), 'mac-mini')
    assert.equal(parse('ps -ojson').flags.one('output'), 'json')
    assert.equal(parse('ps --output=json').flags.one('output'), 'json')
  })

  it('repeats a repeatable flag in order', () => {
    assert.deepEqual(parse('run -n a -e A=1 -e B=2 -- x').flags.all('env'), ['A=1', 'B=2'])
  })

  it('is help when there is no verb, or when help is asked for', () => {
    for (const line of ['', '-h', '--help', 'help']) assert.deepEqual(parse(line).operands, [], line)
    for (const line of ['run --help', '--help run', 'run -h -n a', 'help run']) {
      assert.equal(parse(line).verb.name, 'help', line)
      assert.deepEqual(parse(line).operands, ['run'], line)
    }
    assert.deepEqual(parse('node --help').operands, ['node'])
  })

  it('takes a fingerprint that begins as a flag does, where a verb takes fingerprints', () => {
    const print = Buffer.alloc(32, 7).toString('base64url')
    for (const start of ['-V', '-y', '-h', '-o', '--', '-', '_'])
      for (const verb of ['revoke', 'allow']) {
        const fingerprint = `${start}${print.slice(start.length)}`
        const call = parse(`-ojson ${verb} ${fingerprint} --context m`)
        assert.deepEqual([call.verb.name, call.operands], [verb, [fingerprint]])
        assert.deepEqual([call.flags.one('output'), call.flags.one('context')], ['json', 'm'])
      }
    assert.throws(() => parse(`node revoke -V${print.slice(2)}`), { code: 'ZT-400-USAGE' })
  })

  it('has operands after --, whatever they begin with, where no program is named', () => {
    for (const line of ['revoke --yes -- -Yw6', '--yes revoke -- -Yw6']) {
      const { operands, command } = parse(line)
      assert.deepEqual([operands, command], [['-Yw6'], undefined], line)
    }
    assert.deepEqual(parse('kill a -- -b --').operands, ['a', '-b', '--'])
    assert.deepEqual(parse('can-i spawn -n a -- -x').operands, ['spawn'])
  })

  it('is never taken for a fingerprint where it could be a flag', () => {
    for (const verb of VERBS.filter(({ operands }) => operands.some(({ fingerprint }) => fingerprint)))
      for (const name of [...verb.flags, ...GLOBAL_FLAGS]) {
        const { kind, short, choices } = flagSpec(name)
        const attachable = short !== undefined && kind !== 'switch' && choices === undefined
        assert.ok(!attachable && name.length < 41, `${verb.name} --${name}`)
      }
  })

  it('is version for --version', () => {
    assert.equal(parse('--version').verb.name, 'version')
  })
})

describe('a flag', () => {
  it('wins over its environment variable', () => {
    const env = { ZTMESH_NODE: 'from-env', ZTMESH_OUTPUT: 'json' }
    assert.equal(parse('ps -n given', env).flags.one('node'), 'given')
    assert.equal(parse('ps', env).flags.one('node'), 'from-env')
    assert.equal(parse('ps', env).flags.one('output'), 'json')
  })

  it('is not stood in for by an empty variable', () => {
    assert.equal(parse('ps', { ZTMESH_NODE: '' }).flags.one('node'), undefined)
  })

  it('reads durations', () => {
    assert.equal(parse('kill p --grace 1m30s').flags.durationMs('grace'), 90_000)
    assert.equal(parse('kill p --grace 250ms').flags.durationMs('grace'), 250)
    assert.equal(parse('kill p').flags.durationMs('grace'), undefined)
  })
})

describe('refused, each with a hint:', () => {
  const refused: Record<string, [line: string, message: RegExp, hint: RegExp]> = {
    'a verb that does not exist': ['spwan -- x', /unknown verb "spwan"/, /did you mean `ztctl spawn`/],
    'a verb that is nothing like any': ['frobnicate', /unknown verb/, /ztctl help/],
    'a second word that does not exist': [
      'node lst',
      /unknown verb "node lst"/,
      /did you mean `ztctl node ls`/,
    ],
    'a first word alone': ['audit', /needs a second word/, /audit verify/],
    'a flag that does not exist': ['ps --al', /unknown flag "--al"/, /did you mean --all/],
    'a letter that does not exist': ['ps -z', /unknown flag "-z"/, /ztctl help/],
    'a flag of another verb': ['ps --cap network', /ps takes no --cap/, /ztctl help ps/],
    'a flag without its value': ['ps -n', /--node needs a value/, /--node NAME/],
    'a flag whose value would be --': ['run -n -- x', /--node needs a value/, /--node NAME/],
    'a value for a switch': ['ps --all=yes', /takes no value/, /--all/],
    'a choice that is none': ['ps -o yaml', /not table or json/, /choices: table, json/],
    'a command without --': ['run -n a uname', /unexpected word "uname"/, /stands after `--`/],
    'no command after --': ['run -n a --', /needs a command/, /usage: ztctl run/],
    'no command at all': ['spawn -n a', /needs a command/, /-- CMD/],
    'a command where none is taken': ['ps -- x', /unexpected word "x"/, /usage: ztctl ps/],
    'an operand too many after --': ['node revoke a -- -b', /unexpected word "-b"/, /usage/],
    'a word too many': ['node join-token a b', /unexpected word "b"/, /usage/],
    'a word too few': ['node join-token', /needs NAME/, /usage/],
    'a shell that is none': ['completion tcsh', /SHELL is not/, /bash, zsh, fish/],
    'an action that is none': ['can-i fly -n a', /ACTION is not/, /spawn/],
    'flags without a verb': ['-n a', /no verb/, /ztctl help/],
  }
  for (const [what, [line, message, hint]] of Object.entries(refused)) {
    it(what, () => {
      assert.throws(
        () => parse(line),
        (error) => {
          assert.ok(isZtError(error, 'ZT-400-USAGE'))
          assert.match(error.message, message)
          assert.match(String(error.details['hint']), hint)
          return true
        },
      )
    })
  }

  const values: Record<string, [line: string, read: (call: Invocation) => unknown]> = {
    'a flag given twice': ['kill p --grace 1s --grace 2s', (call) => call.flags.durationMs('grace')],
    'a duration without a unit': ['kill p --grace 10', (call) => call.flags.durationMs('grace')],
    'a negative duration': ['kill p --grace -1s', (call) => call.flags.durationMs('grace')],
    'a duration over 30 days': ['kill p --grace 31d', (call) => call.flags.durationMs('grace')],
    'a number with a fraction': ['logs p --tail 1.5', (call) => call.flags.integer('tail')],
    'a number in hex': ['logs p --tail 0x10', (call) => call.flags.integer('tail')],
  }
  for (const [what, [line, read]] of Object.entries(values)) {
    it(what, () => {
      assert.throws(() => read(parse(line)), { code: 'ZT-400-USAGE' })
    })
  }

  it('a choice that is none, in the environment', () => {
    assert.throws(() => parse('ps', { ZTMESH_OUTPUT: 'xml' }).flags.one('output'), {
      code: 'ZT-400-USAGE',
      message: /ZTMESH_OUTPUT/,
    })
  })

  it('what was typed comes back quoted and cut, so that it cannot steer the terminal', () => {
    assert.throws(
      () => parseCommandLine([`\u001b[2J${'x'.repeat(200)}`], {}),
      (error) => isZtError(error) && !error.message.includes('\u001b') && error.message.length < 120,
    )
  })
})
