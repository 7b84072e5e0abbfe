/** What Python's `str.isspace` takes for white space; `\s` of JavaScript differs (it has U+FEFF and lacks U+001C-1F, U+0085). */
const pythonWhitespace =
  // oxlint-disable-next-line no-control-regex -- the information separators U+001C-1F are meant
  /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/u;

/** Words between white space, without empty ones: Python's `str.split()`, which every scorer rebuilt here uses. */
export function splitWhitespace(text: string): string[] {
  return text.split(pythonWhitespace).filter((word) => word !== "");
}

/** Deletes the 32 characters of Python's `string.punctuation`. Typographic marks (’ “ – …) stay, as in the official scorers. */
export function removeAsciiPunctuation(text: string): string {
  return text.replace(/[!-/:-@[-`{-~]/g, "");
}

/** How often each token occurs. */
function countTokens(tokens: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const token of tokens) counts.set(token, (counts.get(token) ?? 0) + 1);
  return counts;
}

/** Size of the multiset intersection of two token lists. */
export function countCommonTokens(first: readonly string[], second: readonly string[]): number {
  const left = countTokens(second);
  let common = 0;
  for (const token of first) {
    const remaining = left.get(token) ?? 0;
    if (remaining === 0) continue;
    left.set(token, remaining - 1);
    common += 1;
  }
  return common;
}

/** Harmonic mean of precision and recall from counts; 0 where nothing is common, so empty sides give 0 and never NaN. */
export function computeF1(common: number, predicted: number, expected: number): number {
  if (common === 0) return 0;
  const precision = common / predicted;
  const recall = common / expected;
  return (2 * precision * recall) / (precision + recall);
}
