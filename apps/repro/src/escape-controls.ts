/**
 * Text of a data set in a form that a terminal only shows: control characters, among them escape sequences and line
 * breaks, as `\u001b`; also what reverses the direction of what follows.
 */
export function escapeControls(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
