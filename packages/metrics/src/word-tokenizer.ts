import { splitWhitespace } from "./text.ts";

type Substitution = readonly [pattern: RegExp, replacement: string];

/** Opening quotation marks become ``; a leading apostrophe is cut off unless it starts a contraction. */
const openingQuotes: readonly Substitution[] = [
  [/[«“‘„]|`+/g, " $& "],
  [/^"/g, "``"],
  [/``/g, " $& "],
  [/([ ([{<])("|'{2})/g, "$1 `` "],
  [/'(?!re|ve|ll|m|t|s|d|n)([\p{L}\p{N}_])(?![\p{L}\p{N}_])/giu, "' $1"],
];

/** Only a full stop at the end of the text is cut off: any other belongs to an abbreviation or number. */
const punctuation: readonly Substitution[] = [
  [/([^.])(\.)([\])}>"'»”’ ]*)\s*$/gu, "$1 $2 $3 "],
  [/([:,])([^\p{Nd}])/gu, " $1 $2"],
  [/[:,]$/g, " $& "],
  [/\.{2,}/g, " $& "],
  [/[;@#$%&]/g, " $& "],
  [/([^.])(\.)([\])}>"']*)\s*$/gu, "$1 $2$3 "],
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
  [/([^' ])('[sS]|'[mM]|'[dD]|') /gu, "$1 $2 "],
  [/([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) /gu, "$1 $2 "],
];

/** Two words that are written as one. */
const contractedPairs = [
  ["can", "not"],
  ["d", "'ye"],
  ["gim", "me"],
  ["gon", "na"],
  ["got", "ta"],
  ["lem", "me"],
  ["more", "'n"],
] as const;

const wordStart = String.raw`(?<![\p{L}\p{N}_])`;
const wordEnd = String.raw`(?![\p{L}\p{N}_])`;

const contractions: readonly Substitution[] = [
  ...contractedPairs.map(([first, second]): Substitution => [
    new RegExp(`${wordStart}(${first})(${second})${wordEnd}`, "giu"),
    " $1 $2 ",
  ]),
  [new RegExp(String.raw`${wordStart}(wan)(na)(?=\s)`, "giu"), " $1 $2 "],
  [new RegExp(` ('t)(is)${wordEnd}`, "giu"), " $1 $2 "],
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
 * Source: nltk.tokenize.NLTKWordTokenizer 3.8 (what `word_tokenize` runs on each sentence), Apache-2.0; its patterns
 * are restated here because BLEU-1 depends on every one of them.
 */
export function tokeniseSentence(sentence: string): string[] {
  const opened = substituteAll(substituteAll(sentence, openingQuotes), punctuation);
  const closed = substituteAll(` ${opened} `, closingQuotes);
  return splitWhitespace(substituteAll(closed, contractions));
}
