// docs/protocol.md names everything that the code takes: an operation, a path or a field that it lacks fails here.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { CONFIG_FIELDS } from '#hub/config.ts'
import { hubRoutes, type RouteParts } from '#hub/http/routes.ts'
import { POLICY_SCHEMA } from '#shared/policy/schema.ts'
import { HUB_OPS } from '#shared/protocol/hub-ops.ts'

const doc = readFileSync(join(import.meta.dirname, '..', '..', '..', 'docs', 'protocol.md'), 'utf8')

describe('docs/protocol.md', () => {
  for (const op of HUB_OPS)
    it(`has a line for the operation ${op}`, () => assert.match(doc, new RegExp(`^\\| \`${op}\` \\|`, 'm')))

  for (const route of hubRoutes({} as RouteParts)) {
    const path = route.path.replace('/log/*', '/log/tile/…')
    it(`has a line for ${route.method} ${path}`, () =>
      assert.ok(doc.includes(`| \`${route.method} ${path}\` |`)))
  }

  for (const field of CONFIG_FIELDS)
    it(`explains the field ${field} of the configuration`, () =>
      assert.match(doc, new RegExp(`\`${field}\\??\``)))

  for (const [, name] of POLICY_SCHEMA.matchAll(/"([a-z][a-z.-]*)"(?=[^"]*appliesTo|, ")/g))
    it(`names the action ${name}`, () => assert.ok(doc.includes(`\`${name}\``)))
})
