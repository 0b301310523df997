// Times as people read them (relative, in tables) and as programs do (RFC 3339 UTC, in JSON).

/** "12s", "5m", "3h", "2d": how long ago, or how much is left. */
export function shortDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  if (seconds < 120) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 120) return `${minutes}m`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours}h` : `${Math.floor(hours / 24)}d`
}

/** RFC 3339 in UTC, or null for no time. */
export function rfc3339(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString()
}
