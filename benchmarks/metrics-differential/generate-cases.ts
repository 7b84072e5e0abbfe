import { shuffled, createRandom, deriveSeed, type Random } from "@memory-r1/spec";
import type { LongmemevalRanking } from "@memory-r1/metrics";
import { pick } from "../common/pick.ts";

/** A prediction, a gold answer and a LoCoMo category code. */
export type AnswerCase = readonly [prediction: string, gold: string, categoryCode: string];

export interface RetrievalCase {
  readonly retrievedIds: readonly (readonly string[])[];
  readonly evidenceIds: readonly string[];
}

const stems =
  "hike hop agree plaster motor happy relate condition rational valence hesitate digit conform radical differ analogous vietnam predicate operate feud decisive hopeful callous formal sensible triplicate formative formalize electric revive allow infer airline gyroscope adjust defense irritate replace dependent adopt communist activate effective bowdlerize rate cease control roll sky die lie news study play enjoy country city baby tie travel occur yyyy hopp fall hiss fizz sens rel digitiz feudal triplic activ";
const suffixes = [
  "",
  ..."s es ies ied ed ing eed ation ational tional enci anci izer bli alli entli eli ousli ization ator alism iveness fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic able ible ant ement ment ent ion sion ou ism ate iti ous ive ize ly y e ll".split(
    " ",
  ),
];

/** Words by kind; a kind is drawn first, so that rare kinds meet often. */
const kinds: readonly (readonly string[])[] = [
  "Mina Porto Lisbon teacher pottery camping violin garden red blue seven quickly moved painted loves".split(
    " ",
  ),
  "a an the and A An THE And of in to with it is was or not no yes".split(" "),
  "1,000 1000 3.14 7th 2023 2,023 10:30 5 -5 .5 ½ ² Ⅳ ٣ ३ 第3 8 12. 1990.".split(" "),
  "don't it's can't cannot gonna gimme wanna lemme gotta d'ye more'n 'tis 'twas y'all they'll we've I'm she'd cats' 'hello o'clock won't 'em 'n' wanna? cannot.".split(
    " ",
  ),
  "Dr. Mr. U.S. e.g. i.e. etc. p.m. a.m. J. B. J.P. S.p.A. no. vs. Ph.D. St. Jan. co-op. Inc. q. i. x. 3. ok. mg. -mr.".split(
    " ",
  ),
  [
    "...",
    "..",
    ". . .",
    "--",
    "---",
    "—",
    "–",
    ";",
    ":",
    ",",
    ".",
    "?",
    "!",
    "?!",
    "!!",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    "*",
    "@",
    "#",
    "$",
    "%",
    "&",
    "`",
    "``",
    "''",
    '"',
    "'",
    "“",
    "”",
    "‘",
    "’",
    "«",
    "»",
    "„",
    "_",
    "/",
    "\\",
    "|",
    "~",
    "^",
    "+",
    "=",
    "…",
    "،",
    "。",
  ],
  "café cafe\u0301 naïve Straße ẞ İstanbul ıstanbul ΟΔΟΣ Σ ΑΣ. Ünï ſtop GİMME gımme Kelvin\u212a ﬁne Å å ǆ ᾈ".split(
    " ",
  ),
  "東京 北京大学 こんにちは 안녕 ไทย हिन्दी नमस्ते العربية עברית русский Ελληνικά".split(" "),
  [
    "😀",
    "👩‍👩‍👧",
    "🇵🇹",
    "👍🏽",
    "😀s",
    "😀😀ed",
    "𝐀𝐁",
    "𝒶ing",
    "a\u200db",
    "\u200dthe\u200c",
    "the\u0301",
    "a\u0300",
    "\u0301and",
    "x\ufe0f",
  ],
  [
    "not mentioned",
    "Not Mentioned in the conversation",
    "NO INFORMATION AVAILABLE",
    "no information",
  ],
];

/** Between words: mostly a blank, sometimes nothing or what only one of the two languages takes for white space. */
const gaps = [
  " ",
  " ",
  " ",
  " ",
  " ",
  " ",
  " ",
  " ",
  ", ",
  "; ",
  ". ",
  "? ",
  "",
  "\n",
  "\t",
  "  ",
  "\r\n",
  "\u001c",
  "\u001f",
  "\u0085",
  "\u00a0",
  "\u2003",
  "\u2028",
  "\u3000",
  "\ufeff",
  "\u200b",
  "\u0000",
];

function makeWord(random: Random): string {
  if (random() < 0.25) return pick(stems.split(" "), random) + pick(suffixes, random);
  const word = pick(pick(kinds, random), random);
  const change = random();
  if (change < 0.05) return word.toUpperCase();
  if (change < 0.12)
    return word + pick([".", ",", "!", "?", ":", "'s", "'", '"', ")", ";"], random);
  if (change < 0.16) return pick(['"', "'", "(", "“", "-", "."], random) + word;
  return word;
}

function makeText(random: Random): string {
  const kind = random();
  if (kind < 0.02) return "";
  if (kind < 0.04) return pick(gaps, random);
  if (kind < 0.12) return makeSoup(random);
  let text = makeWord(random);
  const more = Math.floor(random() ** 2 * 14);
  for (let count = 0; count < more; count += 1) text += pick(gaps, random) + makeWord(random);
  return random() < 0.3 ? `${text}.` : text;
}

/** Marks, letters and blanks in no order. */
function makeSoup(random: Random): string {
  const characters = Array.from(`.?!,:;'"\`()[]{}<>*-@&#$%_ \n\t asntd 0123 éß İıσς ’”»`);
  return Array.from({ length: 1 + Math.floor(random() * 24) }, () => pick(characters, random)).join(
    "",
  );
}

/** A text with some of its words changed, dropped, doubled or moved, so that scores are neither 0 nor 1. */
function varyText(text: string, random: Random): string {
  const words = text.split(" ").flatMap((word) => {
    const change = random();
    if (change < 0.12) return [];
    if (change < 0.24) return [makeWord(random)];
    if (change < 0.32) return [word, word];
    if (change < 0.38) return [word.toLowerCase()];
    return [word];
  });
  if (random() < 0.2) words.reverse();
  if (random() < 0.3) words.push(makeWord(random));
  return words.join(" ");
}

/** Seeded pairs of texts, most of them alike: the same seed and count give the same pairs. */
export function generateAnswerCases(seed: number, count: number): readonly AnswerCase[] {
  const random = createRandom(deriveSeed(seed, "metrics differential", "answers"));
  return Array.from({ length: count }, (): AnswerCase => {
    const gold = makeText(random);
    const prediction = random() < 0.7 ? varyText(gold, random) : makeText(random);
    return [prediction, gold, pick(["1", "2", "3", "4", "5"], random)];
  });
}

/** Words for the stemmer: every suffix rule meets stems of every shape. */
export function generateWords(): readonly string[] {
  const words = stems.split(" ").flatMap((stem) => suffixes.map((suffix) => stem + suffix));
  const odd = kinds.flat().map((word) => word.toLowerCase());
  return [...new Set([...words, ...odd, ...odd.flatMap((word) => [`${word}ed`, `${word}s`])])];
}

/** Seeded rankings of turns, of memories that stem from several turns, and of sessions. */
export function generateRetrievalCases(seed: number, count: number): readonly RetrievalCase[] {
  const random = createRandom(deriveSeed(seed, "metrics differential", "retrievals"));
  const upTo = (largest: number): number => Math.floor(random() * (largest + 1));
  const turn = (): string => `D${1 + upTo(3)}:${1 + upTo(3)}`;
  return Array.from({ length: count }, (): RetrievalCase => {
    const evidenceIds = Array.from({ length: upTo(4) }, turn);
    const areSessions = random() < 0.2;
    const retrievedIds = Array.from({ length: upTo(8) }, () =>
      areSessions ? [`S${1 + upTo(4)}`] : Array.from({ length: 1 + upTo(2) }, turn),
    );
    return { retrievedIds, evidenceIds };
  });
}

/** Seeded rankings of a small corpus of turns, in sessions of several turns. */
export function generateRankings(seed: number, count: number): readonly LongmemevalRanking[] {
  const random = createRandom(deriveSeed(seed, "metrics differential", "rankings"));
  const upTo = (largest: number): number => Math.floor(random() * (largest + 1));
  return Array.from({ length: count }, (): LongmemevalRanking => {
    const corpusIds = Array.from({ length: 1 + upTo(3) }, (_, session) =>
      Array.from({ length: 1 + upTo(3) }, (__, turn) => `answer_${session}_${turn + 1}`),
    ).flat();
    return {
      corpusIds,
      rankedIds: shuffled(corpusIds, random),
      evidenceIds: corpusIds.filter(() => random() < 0.25),
      k: 1 + upTo(6),
    };
  });
}
