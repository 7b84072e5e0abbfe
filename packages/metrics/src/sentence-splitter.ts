import { whitespaceClass, wordClass } from "./python-text.ts";

/**
 * Common English abbreviations that keep their full stop inside a sentence. They were chosen by asking NLTK's
 * `word_tokenize`: one that its trained model does not know ("etc", "e.g", "apt") is none here either. The model itself is
 * not rebuilt (its licence is unclear): it also knows initials of people in its news, and company names.
 */
export const sentenceAbbreviations: ReadonlySet<string> = new Set(
  (
    "mr mrs ms dr prof st jr sr gen col lt sen rep reps maj messrs adm jan feb aug sep sept oct nov dec tues wed fri " +
    "a.m p.m a.d inc ltd co corp cos bros ave ft mg ct yr vs ph.d m.b.a j.k u.s u.k u.n u.s.a d.c n.y l.a n.j n.c s.c n.m n.h n.d r.i " +
    "w.va ala ariz calif colo conn fla ga ill kan ky mich minn nev ok okla ore pa tenn va vt wash wis c d e f g h k l m n p r s t v w"
  ).split(" "),
);

const space = `[${whitespaceClass}]`;
const noSpace = `[^${whitespaceClass}]`;
const nonWord = String.raw`[)";}\]*:@'({[!?]`;
const multipleMarks = String.raw`-{2,}|\.{2,}|(?:\.${space}){2,}\.`;

/** A mark that may end a sentence, and what follows it: another mark, or white space and the next token. */
const candidates = new RegExp(`[.?!](?=(?<after>${nonWord}|${space}+(?<next>${noSpace}+)))`, "gu");

/** Words with their full stops; every other mark is a token of its own. */
const tokens = new RegExp(
  `${multipleMarks}|` +
    String.raw`(?=[^("\x60{[:;&#*@)}\]\-,])${noSpace}+?` +
    `(?=${space}|$|${nonWord}|${multipleMarks}|,(?:$|${space}|${nonWord}|${multipleMarks}))|` +
    noSpace,
  "gu",
);

const isOnlySpace = new RegExp(`^${space}*$`, "u");
const endsInSpace = new RegExp(`${space}$`, "u");
const trailingSpace = new RegExp(`${space}+$`, "u");
const isInitial = new RegExp(String.raw`^(?!\p{Nd})[${wordClass}]\.$`, "u");
const isNumber = /^-?[.,]?\p{Nd}[\p{Nd},.-]*$/u;
/** Closing marks at the start of what follows a break belong to the sentence before it. */
const closingMarks = new RegExp(String.raw`^["')\]}]+?(?:${space}+|(?=--)|(?=\n)|(?![\s\S]))`, "u");

function trimEnd(text: string): string {
  return endsInSpace.test(text) ? text.replace(trailingSpace, "") : text;
}

function withoutEmpty(sentence: string): string[] {
  return sentence === "" ? [] : [sentence];
}

/** Whether a token, followed by another, ends a sentence. */
function endsSentence(token: string, next: string): boolean {
  if (token === "." || token === "?" || token === "!") return true;
  if (!token.endsWith(".") || token.endsWith("..")) return false;
  const word = token.slice(0, -1);
  if (
    sentenceAbbreviations.has(word) ||
    sentenceAbbreviations.has(word.slice(word.lastIndexOf("-") + 1))
  ) {
    return false;
  }
  const isOneLetter = isInitial.test(token);
  if (!isOneLetter && !isNumber.test(word)) return true;
  // A number or a single letter goes on before a small letter or a mark, a single letter before any letter with a case.
  const goesOn = /^(?:\p{Lowercase}|[;:,.!?]$)/u.test(next);
  return !goesOn && !(isOneLetter && /^\p{Uppercase}/u.test(next));
}

/** Whether some token but the last ends a sentence. */
function holdsBreak(context: string): boolean {
  const found = context
    .split("\n")
    .filter((line) => !isOnlySpace.test(line))
    .flatMap((line) => line.match(tokens) ?? []);
  return found.some((token, index) => {
    const next = found[index + 1];
    return next !== undefined && endsSentence(token, next);
  });
}

interface Candidate {
  /** Of the word before the mark. */
  readonly wordStart: number;
  readonly markStart: number;
  readonly after: string;
  /** Where the next token begins, behind white space; undefined where a mark follows at once. */
  readonly nextStart: number | undefined;
}

/** Position of the last ASCII white space of a text, 0 where there is none. */
function findLastSpace(text: string): number {
  return Math.max(0, text.search(/[\t-\r ][^\t-\r ]*$/));
}

/** Candidates that are far enough apart to be judged by themselves: of a run of marks (`?!`) only the last. */
function findCandidates(text: string): Candidate[] {
  const found: Candidate[] = [];
  let previous: Candidate | undefined;
  for (const match of text.matchAll(candidates)) {
    const markStart = match.index;
    const { after = "", next } = match.groups ?? {};
    const previousEnd = previous?.markStart ?? 0;
    const lastSpace = findLastSpace(text.slice(previousEnd, markStart));
    const wordStart = lastSpace === 0 ? (previous?.wordStart ?? 0) : previousEnd + lastSpace + 1;
    if (previous !== undefined && previousEnd <= wordStart) found.push(previous);
    const nextStart = next === undefined ? undefined : markStart + 1 + after.length - next.length;
    previous = { wordStart, markStart, after, nextStart };
  }
  return previous === undefined ? found : [...found, previous];
}

/**
 * Cuts lower-cased text into sentences, as NLTK's `sent_tokenize` (Punkt) does before it looks for words.
 *
 * A question or exclamation mark ends a sentence where a word or another mark follows. So does a full stop, unless its word
 * is a known abbreviation, or is a number or a single letter before a word in small letters. White space inside of a
 * sentence stays. Punkt's other heuristics look at capital letters, which lower-cased text has none of. The procedure is
 * NLTK's to the letter; the list of abbreviations is not (see above), which can change BLEU where a full stop inside the
 * text follows a rare abbreviation.
 * Source: nltk.tokenize.punkt 3.9.2; T. Kiss and J. Strunk, "Unsupervised Multilingual Sentence Boundary Detection", 2006.
 */
export function splitSentences(lowerCasedText: string): string[] {
  // Most answers.
  if (!/[.?!]/.test(lowerCasedText)) return withoutEmpty(trimEnd(lowerCasedText));
  const spans: { readonly start: number; readonly end: number }[] = [];
  let start = 0;
  for (const { wordStart, markStart, after, nextStart } of findCandidates(lowerCasedText)) {
    const markEnd = markStart + 1;
    if (!holdsBreak(lowerCasedText.slice(wordStart, markEnd) + after)) continue;
    spans.push({ start, end: markEnd });
    start = nextStart ?? markEnd;
  }
  spans.push({ start, end: trimEnd(lowerCasedText).length });

  const sentences: string[] = [];
  let moved = 0;
  for (const [index, span] of spans.entries()) {
    const following = spans[index + 1];
    const closing =
      following === undefined
        ? undefined
        : closingMarks.exec(lowerCasedText.slice(following.start, following.end))?.[0];
    const end =
      following === undefined || closing === undefined
        ? span.end
        : following.start + trimEnd(closing).length;
    const sentence = lowerCasedText.slice(span.start + moved, end);
    sentences.push(...withoutEmpty(sentence));
    moved = closing?.length ?? 0;
  }
  return sentences;
}
