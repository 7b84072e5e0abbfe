/**
 * What the official scorers, all of them Python, take for white space, words and punctuation. JavaScript's `\s`, `\w`
 * and `\b` differ outside of ASCII. Checked over all of Unicode 14 against CPython 3.11's `str`, `re` and the `regex`
 * package; lower case (`İ`, `ß`, a final sigma) is the same in both languages.
 */

/** Inside of a character class: `str.isspace`, `\s`. JavaScript's has U+FEFF and lacks U+001C to U+001F and U+0085. */
export const whitespaceClass = String.raw`\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000`;

/** Inside of a class with the flag `u`: `\w` of Python's `re`, letters, numbers and `_` of any script. */
export const wordClass = String.raw`\p{L}\p{N}_`;

/** Inside of a class with the flag `u`: `\w` of the package `regex`, which also takes combining marks and joiners. */
export const regexPackageWordClass = String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}`;

const words = new RegExp(`[^${whitespaceClass}]+`, "g");

/** Words between white space, without empty ones: Python's `str.split()`. */
export function splitWhitespace(text: string): string[] {
  return text.match(words) ?? [];
}

const outerWhitespace = new RegExp(`^[${whitespaceClass}]+|[${whitespaceClass}]+$`, "g");

/** Without the white space at both ends: Python's `str.strip()`. */
export function trimWhitespace(text: string): string {
  return text.replace(outerWhitespace, "");
}

const asciiPunctuation = /[!-/:-@[-`{-~]+/g;

/** Deletes the 32 characters of Python's `string.punctuation`. Typographic marks (’ “ – …) stay, as in the official scorers. */
export function removeAsciiPunctuation(text: string): string {
  return text.replace(asciiPunctuation, "");
}

/** Without marks and with ASCII letters, digits and white space only, a word boundary is where white space is. */
const beyondPlainWords = new RegExp(String.raw`[^a-z0-9\t-\r\x1c-\x20]`);

/**
 * The answer normalisation that SQuAD's evaluate-v1.1.py began and LoCoMo's scorer varies: lower case, ASCII punctuation
 * deleted (so that "state-of-the-art" becomes "stateoftheart"), some words dropped, split at white space.
 * @param droppedWords in lower case.
 * @param wordCharacters inside of a class: what makes a dropped word part of a longer one.
 */
export function createAnswerTokeniser(
  droppedWords: readonly string[],
  wordCharacters: string,
): (text: string) => string[] {
  const dropped = new Set(droppedWords);
  const droppedPattern = new RegExp(
    `(?<![${wordCharacters}])(?:${droppedWords.join("|")})(?![${wordCharacters}])`,
    "gu",
  );
  return (text) => {
    const bare = removeAsciiPunctuation(text.toLowerCase());
    if (beyondPlainWords.test(bare)) return splitWhitespace(bare.replace(droppedPattern, " "));
    return splitWhitespace(bare).filter((word) => !dropped.has(word));
  };
}
