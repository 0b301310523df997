// How `ztctl whoami` and the audit rows write the fingerprint of a certificate: a SHA-256 in base64url. One in 64 begins
// with a hyphen, as a flag does.

/** True for 43 characters of base64url. No path below a trust domain looks so: it has a slash. */
export function isFingerprint(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text)
}
