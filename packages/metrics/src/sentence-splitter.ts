/** Words that keep their full stop inside a sentence. */
const abbreviations: ReadonlySet<string> = new Set(
  (
    "mr mrs ms dr prof st jr sr rev gen col capt lt sgt gov sen rep hon vs etc inc ltd co corp dept est ave blvd rd " +
    "jan feb mar apr aug sept sep oct nov dec approx vol fig e.g i.e a.m p.m u.s u.k u.n d.c ph.d"
  ).split(" "),
);

/** A full stop, question or exclamation mark with closing marks behind it, then white space and more text. */
const boundaryCandidates = /(?<word>\S*?)(?<mark>[.?!]+)["'”’)\]}]*(?<gap>\s+)(?=(?<next>\S))/gu;

function endsSentence(word: string, mark: string, next: string): boolean {
  if (mark !== ".") return /[?!]/.test(mark);
  const core = word.replace(/^["'“‘([{]+/u, "");
  if (abbreviations.has(core.slice(core.lastIndexOf("-") + 1)) || abbreviations.has(core))
    return false;
  const isInitialOrNumber = /^(?:\p{L}|[\p{Nd}.,-]+)$/u.test(core);
  return !(isInitialOrNumber && /\p{L}/u.test(next));
}

/**
 * Cuts lower-cased text into sentences.
 *
 * Mem0's scorer lower-cases first and then uses NLTK's `word_tokenize`, whose trained Punkt model finds the sentences.
 * That model is not rebuilt here. What Punkt does on lower-cased English is: a full stop ends a sentence unless its
 * word is a known abbreviation, or is a number or a single letter before another word, or is part of an ellipsis. The
 * same rule is applied here with a list of common abbreviations in place of the trained one. The choice can change
 * BLEU-1 only through a full stop inside the text (`sweden. she` gives `sweden` `.` or `sweden.`); one-sentence texts,
 * nearly all answers, are not touched.
 */
export function splitSentences(lowerCasedText: string): string[] {
  const sentences: string[] = [];
  let start = 0;
  for (const match of lowerCasedText.matchAll(boundaryCandidates)) {
    const { word = "", mark = "", gap = "", next = "" } = match.groups ?? {};
    if (!endsSentence(word, mark, next)) continue;
    const end = match.index + match[0].length;
    sentences.push(lowerCasedText.slice(start, end - gap.length));
    start = end;
  }
  sentences.push(lowerCasedText.slice(start));
  return sentences.map((sentence) => sentence.trim()).filter((sentence) => sentence !== "");
}
