import { splitWhitespace, whitespaceClass, wordClass } from "./python-text.ts";

type Substitution = readonly [pattern: RegExp, replacement: string];

const wordStart = `(?<![${wordClass}])`;
const wordEnd = `(?![${wordClass}])`;

/** Opening quotation marks become ``; a leading apostrophe is cut off unless it starts a contraction. */
const openingQuotes: readonly Substitution[] = [
  [/[«“‘„]|`+/g, " $& "],
  [/^"/g, "``"],
  [/``/g, " $& "],
  [/([ ([{<])("|'{2})/g, "$1 `` "],
  [new RegExp(`'(?!re|ve|ll|m|t|s|d|n)([${wordClass}])${wordEnd}`, "giu"), "' $1"],
];

/** Only a full stop at the end of the text is cut off: any other belongs to an abbreviation or number. */
const punctuation: readonly Substitution[] = [
  [new RegExp(`([^.])(\\.)([\\])}>"'»”’ ]*)[${whitespaceClass}]*$`, "gu"), "$1 $2 $3 "],
  [/([:,])([^\p{Nd}])/gu, " $1 $2"],
  [/[:,]$/g, " $& "],
  [/\.{2,}/g, " $& "],
  [/[;@#$%&]/g, " $& "],
  [new RegExp(`([^.])(\\.)([\\])}>"']*)[${whitespaceClass}]*$`, "gu"), "$1 $2$3 "],
  [/[?!]/g, " $& "],
  [/([^'])' /gu, "$1 ' "],
  [/\*/g, " $& "],
  [/[\][(){}<>]/g, " $& "],
  [/--/g, " -- "],
];

/** Closing quotation marks become ''; clitics are cut off their word. Expects a space at both ends of the text. */
const closingQuotes: readonly Substitution[] = [
  [/[»”’]/g, " $& "],
  [/''/g, " '' "],
  [/"/g, " '' "],
  [new RegExp(`[${whitespaceClass}]+`, "g"), " "],
  [/([^' ])('[sS]|'[mM]|'[dD]|') /gu, "$1 $2 "],
  [/([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) /gu, "$1 $2 "],
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

const contractions: readonly Substitution[] = [
  ...contractedPairs.map(([first, second]): Substitution => [
    new RegExp(`${wordStart}(${first})(${second})${wordEnd}`, "giu"),
    " $1 $2 ",
  ]),
  [new RegExp(`${wordStart}(wan)(na)(?=[${whitespaceClass}])`, "giu"), " $1 $2 "],
  [new RegExp(` ('t)([iı]s)${wordEnd}`, "giu"), " $1 $2 "],
  [new RegExp(` ('t)(was)${wordEnd}`, "giu"), " $1 $2 "],
];

function substituteAll(text: string, substitutions: readonly Substitution[]): string {
  return substitutions.reduce(
    (current, [pattern, replacement]) => current.replace(pattern, replacement),
    text,
  );
}

/**
 * Tokens of one sentence in Penn Treebank style: punctuation, brackets and clitics are tokens, quotation marks become
 * `` and ''. The order of the substitutions is part of the definition.
 * Source: nltk.tokenize.NLTKWordTokenizer 3.9.2 (what `word_tokenize` runs on each sentence), Apache-2.0; its patterns
 * are restated here because BLEU depends on every one of them. NLTK 3.9.4 also cuts off dashes, 3.10 has other
 * apostrophes; no published table of the memory papers is that young.
 */
export function tokeniseSentence(sentence: string): string[] {
  const opened = substituteAll(substituteAll(sentence, openingQuotes), punctuation);
  const closed = substituteAll(` ${opened} `, closingQuotes);
  return splitWhitespace(substituteAll(closed, contractions));
}
