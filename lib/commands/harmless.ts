/**
 * A text that somebody else has written, as it may be printed: what a terminal obeys, and what turns, hides or breaks text, is left
 * out. That is all of Unicode's category C, and separators of lines and paragraphs.
 */
export function harmless(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ');
}
