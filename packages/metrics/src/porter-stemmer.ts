/**
 * The Porter stemmer in the variant that NLTK uses by default (`PorterStemmer.NLTK_EXTENSIONS`), which the official
 * LoCoMo scorer applies. It departs from Porter's paper (1980) in an exception list, words of one or two letters,
 * `-ies`/`-ied` of four-letter words, final `y`, `-alli`, `-bli`, `-fulli` and `-logi`, so that a plain Porter library
 * gives other stems ("skies", "dying", "plays", "analogically").
 */
const exceptions: ReadonlyMap<string, string> = new Map([
  ["sky", "sky"],
  ["skies", "sky"],
  ["dying", "die"],
  ["lying", "lie"],
  ["tying", "tie"],
  ["news", "news"],
  ["inning", "inning"],
  ["innings", "inning"],
  ["outing", "outing"],
  ["outings", "outing"],
  ["canning", "canning"],
  ["cannings", "canning"],
  ["howe", "howe"],
  ["proceed", "proceed"],
  ["exceed", "exceed"],
  ["succeed", "succeed"],
]);

/** One letter per character: `v` for a vowel, `c` for a consonant; `y` is a vowel after a consonant. */
function letterShape(word: string): string {
  let shape = "";
  for (let index = 0; index < word.length; index += 1) {
    const letter = word.charAt(index);
    if ("aeiou".includes(letter)) shape += "v";
    else if (letter === "y") shape += shape.endsWith("c") ? "v" : "c";
    else shape += "c";
  }
  return shape;
}

/** Porter's m: how many vowel runs are followed by a consonant run. */
function measure(stem: string): number {
  return letterShape(stem).split("vc").length - 1;
}

function containsVowel(stem: string): boolean {
  return letterShape(stem).includes("v");
}

function endsWithDoubleConsonant(word: string): boolean {
  return word.length >= 2 && word.at(-1) === word.at(-2) && letterShape(word).endsWith("c");
}

/** Consonant, vowel, consonant other than w, x, y at the end; NLTK adds two-letter words of vowel and consonant. */
function endsWithConsonantVowelConsonant(word: string): boolean {
  const shape = letterShape(word);
  if (shape === "vc") return true;
  return shape.endsWith("cvc") && !/[wxy]$/.test(word);
}

const hasMeasureAbove0 = (stem: string): boolean => measure(stem) > 0;
const hasMeasureAbove1 = (stem: string): boolean => measure(stem) > 1;

interface SuffixRule {
  readonly suffix: string;
  readonly replacement: string;
  /** Looks at the word without the suffix. */
  readonly condition: (stem: string) => boolean;
}

function rule(
  suffix: string,
  replacement: string,
  condition: (stem: string) => boolean,
): SuffixRule {
  return { suffix, replacement, condition };
}

/** Rules by the last letter of their suffix, in order: most words end in none. */
type RuleTable = ReadonlyMap<string, readonly SuffixRule[]>;

function ruleTable(rules: readonly SuffixRule[]): RuleTable {
  const table = new Map<string, SuffixRule[]>();
  for (const one of rules) {
    const letter = one.suffix.slice(-1);
    table.set(letter, [...(table.get(letter) ?? []), one]);
  }
  return table;
}

/** The first rule whose suffix matches decides, also when its condition then fails. */
function applyRules(word: string, rules: RuleTable): string {
  for (const { suffix, replacement, condition } of rules.get(word.slice(-1)) ?? []) {
    if (!word.endsWith(suffix)) continue;
    const stem = word.slice(0, word.length - suffix.length);
    return condition(stem) ? stem + replacement : word;
  }
  return word;
}

const always = (): boolean => true;

const pluralRules = ruleTable([
  rule("sses", "ss", always),
  rule("ies", "i", always),
  rule("ss", "ss", always),
  rule("s", "", always),
]);

/** Plurals. */
function step1a(word: string): string {
  if (word.length === 4 && word.endsWith("ies")) return word.slice(0, -1);
  return applyRules(word, pluralRules);
}

/** What is left of a word in `-ed` or `-ing` gets its final `e` back, or loses a doubled consonant. */
function repairAfterRemoval(stem: string): string {
  if (stem.endsWith("at") || stem.endsWith("bl") || stem.endsWith("iz")) return `${stem}e`;
  if (endsWithDoubleConsonant(stem)) return /[lsz]$/.test(stem) ? stem : stem.slice(0, -1);
  return measure(stem) === 1 && endsWithConsonantVowelConsonant(stem) ? `${stem}e` : stem;
}

/** Past tense and progressive. */
function step1b(word: string): string {
  if (word.endsWith("ied")) return word.length === 4 ? word.slice(0, -1) : word.slice(0, -2);
  if (word.endsWith("eed")) return hasMeasureAbove0(word.slice(0, -3)) ? word.slice(0, -1) : word;
  for (const suffix of ["ed", "ing"]) {
    if (!word.endsWith(suffix)) continue;
    const stem = word.slice(0, word.length - suffix.length);
    if (containsVowel(stem)) return repairAfterRemoval(stem);
  }
  return word;
}

const finalYRules = ruleTable([
  rule("y", "i", (stem) => stem.length > 1 && letterShape(stem).endsWith("c")),
]);

/** `-logi` keeps its `l` in the condition: the measure is that of the word without `ogi`. */
const doubleSuffixRules = ruleTable([
  rule("ational", "ate", hasMeasureAbove0),
  rule("tional", "tion", hasMeasureAbove0),
  rule("enci", "ence", hasMeasureAbove0),
  rule("anci", "ance", hasMeasureAbove0),
  rule("izer", "ize", hasMeasureAbove0),
  rule("bli", "ble", hasMeasureAbove0),
  rule("alli", "al", hasMeasureAbove0),
  rule("entli", "ent", hasMeasureAbove0),
  rule("eli", "e", hasMeasureAbove0),
  rule("ousli", "ous", hasMeasureAbove0),
  rule("ization", "ize", hasMeasureAbove0),
  rule("ation", "ate", hasMeasureAbove0),
  rule("ator", "ate", hasMeasureAbove0),
  rule("alism", "al", hasMeasureAbove0),
  rule("iveness", "ive", hasMeasureAbove0),
  rule("fulness", "ful", hasMeasureAbove0),
  rule("ousness", "ous", hasMeasureAbove0),
  rule("aliti", "al", hasMeasureAbove0),
  rule("iviti", "ive", hasMeasureAbove0),
  rule("biliti", "ble", hasMeasureAbove0),
  rule("fulli", "ful", hasMeasureAbove0),
  rule("logi", "log", (stem) => hasMeasureAbove0(`${stem}l`)),
]);

/** Double suffixes; `-alli` is first made `-al` and the step runs again on the result. */
function step2(word: string): string {
  if (word.endsWith("alli") && hasMeasureAbove0(word.slice(0, -4))) return step2(word.slice(0, -2));
  return applyRules(word, doubleSuffixRules);
}

const step3Rules = ruleTable([
  rule("icate", "ic", hasMeasureAbove0),
  rule("ative", "", hasMeasureAbove0),
  rule("alize", "al", hasMeasureAbove0),
  rule("iciti", "ic", hasMeasureAbove0),
  rule("ical", "ic", hasMeasureAbove0),
  rule("ful", "", hasMeasureAbove0),
  rule("ness", "", hasMeasureAbove0),
]);

const step4Rules = ruleTable([
  ...["al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent"].map(
    (suffix) => rule(suffix, "", hasMeasureAbove1),
  ),
  rule("ion", "", (stem) => hasMeasureAbove1(stem) && /[st]$/.test(stem)),
  ...["ou", "ism", "ate", "iti", "ous", "ive", "ize"].map((suffix) =>
    rule(suffix, "", hasMeasureAbove1),
  ),
]);

/** Final `e`. */
function step5a(word: string): string {
  if (!word.endsWith("e")) return word;
  const stem = word.slice(0, -1);
  const size = measure(stem);
  return size > 1 || (size === 1 && !endsWithConsonantVowelConsonant(stem)) ? stem : word;
}

/** Final `ll`. */
function step5b(word: string): string {
  return word.endsWith("ll") && hasMeasureAbove1(word.slice(0, -1)) ? word.slice(0, -1) : word;
}

/**
 * The rules compare single characters. A character outside of the basic plane is two of JavaScript's: each different one
 * is stood in for by a private character, a consonant as it is itself.
 */
function stemWithStandIns(word: string): string {
  const standIns = new Map<string, string>();
  const letters = Array.from(word, (character) => {
    if (character.length === 1) return character;
    const standIn = standIns.get(character) ?? String.fromCharCode(0xe000 + standIns.size);
    standIns.set(character, standIn);
    return standIn;
  });
  const originals = new Map([...standIns].map(([original, standIn]) => [standIn, original]));
  const stem = stemLetters(letters.join(""));
  return Array.from(stem, (letter) => originals.get(letter) ?? letter).join("");
}

function stemLetters(word: string): string {
  if (word.length <= 2) return word;
  const inflected = applyRules(step1b(step1a(word)), finalYRules);
  const derived = applyRules(applyRules(step2(inflected), step3Rules), step4Rules);
  return step5b(step5a(derived));
}

/** Texts repeat their words; what was stemmed lately is kept. */
const knownStems = new Map<string, string>();
const maxKnownStems = 50_000;

/**
 * The stem of a word, lower-cased first (NLTK looks a word up in its exception list before that: `DYING` gives `dy`
 * there and `die` here; every scorer lower-cases before it stems).
 * Source: nltk.stem.PorterStemmer 3.9.2, default mode; M. F. Porter, "An algorithm for suffix stripping", 1980.
 */
export function computePorterStem(word: string): string {
  const known = knownStems.get(word);
  if (known !== undefined) return known;
  const lower = word.toLowerCase();
  const stem =
    exceptions.get(lower) ??
    (/[\ud800-\udbff]/.test(lower) ? stemWithStandIns(lower) : stemLetters(lower));
  if (knownStems.size >= maxKnownStems) knownStems.clear();
  knownStems.set(word, stem);
  return stem;
}
