import { splitWhitespace, whitespaceClass, wordClass } from "./python-text.ts";

/** `needs`: characters of which a text must hold one for the pattern to match; most texts hold few, and the patterns are slow. */
interface Substitution {
  readonly needs: string;
  readonly pattern: RegExp;
  readonly replacement: string;
}

function substitution(needs: string, pattern: RegExp, replacement: string): Substitution {
  return { needs, pattern, replacement };
}

const wordStart = `(?<![${wordClass}])`;
const wordEnd = `(?![${wordClass}])`;

/** Opening quotation marks become ``; a leading apostrophe is cut off unless it starts a contraction. */
const openingQuotes: readonly Substitution[] = [
  substitution("«“‘„`", /[«“‘„]|`+/g, " $& "),
  substitution('"', /^"/g, "``"),
  substitution("`", /``/g, " $& "),
  substitution("\"'", /([ ([{<])("|'{2})/g, "$1 `` "),
  substitution("'", new RegExp(`'(?!re|ve|ll|m|t|s|d|n)([${wordClass}])${wordEnd}`, "giu"), "' $1"),
];

/** Only a full stop at the end of the text is cut off: any other belongs to an abbreviation or number. */
const punctuation: readonly Substitution[] = [
  substitution(
    ".",
    new RegExp(`([^.])(\\.)([\\])}>"'»”’ ]*)[${whitespaceClass}]*$`, "gu"),
    "$1 $2 $3 ",
  ),
  substitution(":,", /([:,])([^\p{Nd}])/gu, " $1 $2"),
  substitution(":,", /[:,]$/g, " $& "),
  substitution(".", /\.{2,}/g, " $& "),
  substitution(";@#$%&", /[;@#$%&]/g, " $& "),
  substitution(".", new RegExp(`([^.])(\\.)([\\])}>"']*)[${whitespaceClass}]*$`, "gu"), "$1 $2$3 "),
  substitution("?!", /[?!]/g, " $& "),
  substitution("'", /([^'])' /gu, "$1 ' "),
  substitution("*", /\*/g, " $& "),
  substitution("[](){}<>", /[\][(){}<>]/g, " $& "),
  substitution("-", /--/g, " -- "),
];

/** Closing quotation marks become ''; clitics are cut off their word. Expects a space at both ends of the text. */
const closingQuotes: readonly Substitution[] = [
  substitution("»”’", /[»”’]/g, " $& "),
  substitution("'", /''/g, " '' "),
  substitution('"', /"/g, " '' "),
  substitution("'", new RegExp(`[${whitespaceClass}]+`, "g"), " "),
  substitution("'", /([^' ])('[sS]|'[mM]|'[dD]|') /gu, "$1 $2 "),
  substitution("'", /([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) /gu, "$1 $2 "),
];

/** Two words that are written as one. Python's case folding takes a dotless i for an i, JavaScript's does not. */
const contractedPairs = [
  ["can", "not"],
  ["d", "'ye"],
  ["g[iı]m", "me"],
  ["gon", "na"],
  ["got", "ta"],
  ["lem", "me"],
  ["more", "'n"],
] as const;

const contractions: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  ...contractedPairs.map(
    ([first, second]) =>
      [new RegExp(`${wordStart}(${first})(${second})${wordEnd}`, "giu"), " $1 $2 "] as const,
  ),
  [new RegExp(`${wordStart}(wan)(na)(?=[${whitespaceClass}])`, "giu"), " $1 $2 "],
  [new RegExp(` ('t)([iı]s)${wordEnd}`, "giu"), " $1 $2 "],
  [new RegExp(` ('t)(was)${wordEnd}`, "giu"), " $1 $2 "],
];

/** Without one of these no pattern above matches; they are slow to compile. */
const mayHoldContraction =
  /cannot|d'ye|g[iı]mme|gonna|gotta|lemme|more'n|wanna|'t[iı][sſ]|'twa[sſ]/i;

function substituteAll(text: string, substitutions: readonly Substitution[]): string {
  let current = text;
  for (const { needs, pattern, replacement } of substitutions) {
    if (holdsOneOf(current, needs)) current = current.replace(pattern, replacement);
  }
  return current;
}

function holdsOneOf(text: string, characters: string): boolean {
  for (let index = 0; index < characters.length; index += 1) {
    if (text.includes(characters.charAt(index))) return true;
  }
  return false;
}

/**
 * Tokens of one sentence in Penn Treebank style: punctuation, brackets and clitics are tokens, quotation marks become
 * `` and ''. The order of the substitutions is part of the definition.
 * Source: nltk.tokenize.NLTKWordTokenizer 3.9.2 (what `word_tokenize` runs on each sentence), Apache-2.0; its patterns
 * are restated here because BLEU depends on every one of them. NLTK 3.9.4 also cuts off dashes, 3.10 has other
 * apostrophes; no published table of the memory papers is that young.
 */
export function tokeniseSentence(sentence: string): string[] {
  const words = sentence.split(" ");
  const last = words.length - 1;
  if (irregularBlanks.test(sentence) || closingMarks.test(words[last] ?? "")) {
    return tokeniseWholeSentence(sentence);
  }
  const tokens: string[] = [];
  for (const [index, word] of words.entries()) {
    if (plainWord.test(word) && !contractedWords.has(word)) tokens.push(word);
    else tokens.push(...tokeniseWord(word, index === 0, index === last));
  }
  return tokens;
}

/** Other than single blanks between words. */
const irregularBlanks = new RegExp(`^ |  | $|(?! )[${whitespaceClass}]`);
const plainWord = /^[a-z0-9]+$/;
const contractedWords: ReadonlySet<string> = new Set(
  "cannot gimme gonna gotta lemme wanna".split(" "),
);
/** Before these the last full stop of a sentence is found over a blank. */
const closingMarks = /^[\])}>"'»”’]+$/;

const knownWords = new Map<string, readonly string[]>();
const maxKnownWords = 50_000;

/**
 * Between single blanks no pattern reaches from one word to another, so that a word has the same tokens wherever it
 * stands, but for the first and the last. What was cut lately is kept.
 */
function tokeniseWord(word: string, isFirst: boolean, isLast: boolean): readonly string[] {
  const key = `${isFirst ? "" : "x "}${word}${isLast ? "" : " x"}`;
  const known = knownWords.get(key);
  if (known !== undefined) return known;
  const tokens = tokeniseWholeSentence(key).slice(isFirst ? 0 : 1, isLast ? undefined : -1);
  if (knownWords.size >= maxKnownWords) knownWords.clear();
  knownWords.set(key, tokens);
  return tokens;
}

/** As `tokeniseSentence`, by the patterns over the whole sentence. */
export function tokeniseWholeSentence(sentence: string): string[] {
  const opened = substituteAll(substituteAll(sentence, openingQuotes), punctuation);
  let closed = substituteAll(` ${opened} `, closingQuotes);
  if (mayHoldContraction.test(closed)) {
    for (const [pattern, replacement] of contractions) {
      closed = closed.replace(pattern, replacement);
    }
  }
  return splitWhitespace(closed);
}
