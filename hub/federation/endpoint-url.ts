// The address of a bundle endpoint (SPIFFE Federation §5.2.1.1, §5.2.2.1): https, and nobody's name or password in it. The
// same rule holds wherever a redirect leads, so that no server can send us where no operator could have.
import { ZtError } from '#shared/errors/error.ts'

const MAX_CHARACTERS = 2048
const USER_INFO = /^(?:[a-z][a-z0-9+.-]*:)?[/\\]{2}[^/\\?#]*@/i

/** The address that `text` names. ZT-422-SCHEMA for any that is no bundle endpoint's. */
export function parseEndpointUrl(value: unknown): URL {
  if (typeof value !== 'string' || value.length > MAX_CHARACTERS || !/^https:\/\/[^\s]+$/i.test(value))
    throw refuse()
  return resolveEndpointUrl(value)
}

/** Where a redirect from `base` leads. ZT-422-SCHEMA for what is no address of a bundle endpoint. */
export function resolveEndpointUrl(text: string, base?: URL): URL {
  if (text.length > MAX_CHARACTERS || !URL.canParse(text, base?.href) || USER_INFO.test(text)) throw refuse()
  const url = new URL(text, base)
  if (url.protocol !== 'https:' || url.username !== '' || url.password !== '') throw refuse()
  return url
}

function refuse(): ZtError {
  return new ZtError('ZT-422-SCHEMA', 'must be an https address without a user')
}
