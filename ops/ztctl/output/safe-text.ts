// Text from another machine, made harmless for a terminal: no escape sequence, no line break, no direction override.

// C0, DEL and C1 controls, line and paragraph separators, and the bidirectional controls of "Trojan Source".
// oxlint-disable-next-line no-control-regex -- they are the very thing that is refused
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu

/** The text with every character that could steer a terminal written as \u escapes. */
export function safeText(text: string): string {
  return text.replaceAll(
    UNSAFE,
    (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  )
}
