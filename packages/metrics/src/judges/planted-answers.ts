import { createRandom, deriveSeed, type Question, type Random, shuffled } from "@memory-r1/spec";
import { tokeniseLocomoAnswer } from "../locomo.ts";
import { normaliseSquadAnswer } from "../squad.ts";
import type { AnswerLabel } from "./agreement.ts";
import { changeDetails } from "./changed-details.ts";

/**
 * What can be planted. Controls: the gold answer, and the gold answer in another dress. Wrong: words about the question's
 * topic without the answer, the gold answer of another question, and the gold answer with one detail changed.
 */
export const plantedKindNames = [
  "gold",
  "rephrased-gold",
  "vague",
  "other-gold",
  "changed-detail",
] as const;
export type PlantedKind = (typeof plantedKindNames)[number];

export const plantedKinds: Readonly<
  Record<PlantedKind, { readonly label: AnswerLabel; readonly description: string }>
> = {
  gold: { label: "correct", description: "the gold answer" },
  "rephrased-gold": { label: "correct", description: "gold in another case and punctuation" },
  vague: { label: "wrong", description: "vague but on topic" },
  "other-gold": { label: "wrong", description: "specific: gold of another question" },
  "changed-detail": { label: "wrong", description: "specific: gold, a detail changed" },
};

export interface PlantedAnswer {
  readonly question: Question;
  readonly gold: string;
  readonly kind: PlantedKind;
  readonly prediction: string;
}

/** Why nothing of a kind, or nothing at all, was planted for a question. */
export interface NotPlanted {
  readonly questionId: string;
  /** Absent: every kind. */
  readonly kind?: PlantedKind;
  readonly reason: string;
}

export interface PlantOptions {
  readonly seed: number;
  /** The questions whose gold answers may stand in for another's: the whole data set. */
  readonly pool: readonly Question[];
  /** Conversation id to the people in it, who may be taken for each other. */
  readonly participants?: ReadonlyMap<string, readonly string[]>;
}

/**
 * Answers of which it is known whether they are right, to see what a judge accepts. What is planted for a question
 * depends on the seed, the question and the pool alone. A wrong answer never equals gold, contains it or is contained in
 * it, by the stemmed tokens of LoCoMo's normalisation; that the gold of another question is wrong here is likely and not
 * certain.
 */
export function plantAnswers(
  questions: readonly Question[],
  options: PlantOptions,
): { readonly answers: readonly PlantedAnswer[]; readonly notPlanted: readonly NotPlanted[] } {
  const answers: PlantedAnswer[] = [];
  const notPlanted: NotPlanted[] = [];
  const lenders = toLenders(options.pool);
  for (const question of questions) {
    const { gold } = question;
    const obstacle = obstacleOf(question);
    if (gold === undefined || obstacle !== undefined) {
      notPlanted.push({ questionId: question.id, reason: obstacle ?? "no gold answer" });
      continue;
    }
    const random = createRandom(deriveSeed("planted-answers", options.seed, question.id));
    const add = (kind: PlantedKind, prediction: string | undefined, reason: string): void => {
      if (prediction === undefined) notPlanted.push({ questionId: question.id, kind, reason });
      else answers.push({ question, gold, kind, prediction });
    };
    answers.push({ question, gold, kind: "gold", prediction: gold });
    add("rephrased-gold", rephrase(gold, random), "no other form of the gold answer");
    add(
      "vague",
      vagueAnswer(question.text, gold, random),
      "the question has no topic, or gives the gold answer away",
    );
    add(
      "other-gold",
      otherGold(question, gold, lenders, random),
      "no other question of its category has another gold answer",
    );
    add(
      "changed-detail",
      changedDetail(question, gold, options, random),
      "the gold answer has no number, month, weekday or name to change",
    );
  }
  return { answers, notPlanted };
}

function obstacleOf(question: Question): string | undefined {
  if (!question.answerable) return "the question cannot be answered";
  if (question.category.code === "single-session-preference") {
    return "the gold answer is a rubric, not an answer";
  }
  if (question.gold !== undefined && tokeniseLocomoAnswer(question.gold).length === 0) {
    return "the gold answer is empty once normalised";
  }
  return undefined;
}

/** The same answer to SQuAD's normalisation, and so to any judge: other case, no first article, a full stop or none. */
function rephrase(gold: string, random: Random): string | undefined {
  const bare = gold.trim().replace(/\.+$/, "");
  const withoutArticle = bare.replace(/^(?:a|an|the)\s+/i, "");
  const upper = withoutArticle.toUpperCase();
  const lower = withoutArticle.toLowerCase();
  const forms = [`${upper}.`, `${lower}.`, upper, lower];
  const normalised = normaliseSquadAnswer(gold);
  return shuffled(forms, random).find(
    (form) => form !== gold && normaliseSquadAnswer(form) === normalised,
  );
}

/** Words that name no topic: of questions, of grammar, and verbs that say little by themselves. */
const topicless = new Set(
  (
    "a an the and or but not if of in on at to from for with without by about as into over after before during " +
    "since until between through who whom whose what which when where why how many much long often far old kind " +
    "type sort is are was were be been being am do does did done has have had having will would can could shall " +
    "should may might must i me my you your he him his she her hers it its we us our they them their theirs this " +
    "that these those there here any some other another more most than then so also both each every all only " +
    "just ever yet still go goes went gone going get gets got getting make makes made making take takes took " +
    "taken taking give gives gave given say says said tell tells told think thinks thought like likes liked " +
    "want wants wanted use uses used start starts started currently doing according s t d ll re ve m"
  ).split(" "),
);

/** Sentences that say nothing; none has a number, a date or a yes in it. */
const vagueSentences: readonly ((topic: string) => string)[] = [
  (topic) => `They talked about ${topic} on more than one occasion, and it clearly mattered.`,
  (topic) => `It came up in connection with ${topic}; there was a good deal of interest in it.`,
  (topic) => `Something to do with ${topic}, as far as their conversations show.`,
  (topic) => `That was a subject of theirs: ${topic} kept coming up, with much enthusiasm.`,
];

/** Up to three runs of topic words of the question, as it writes them. Undefined where it has none. */
function topicOf(question: string): string | undefined {
  const runs: string[][] = [[]];
  for (const match of question.matchAll(
    /[\p{L}\p{M}\p{N}]+(?:['’.-][\p{L}\p{M}\p{N}]+)*|[^\s]/gu,
  )) {
    const word = match[0].replace(/['’]s$/, "");
    if (/\p{L}/u.test(word) && !topicless.has(word.toLowerCase())) runs.at(-1)?.push(word);
    else runs.push([]);
  }
  const phrases = [...new Set(runs.map((run) => run.join(" ")).filter((run) => run !== ""))];
  const chosen = phrases.slice(0, 3);
  const last = chosen.pop();
  return chosen.length === 0 ? last : `${chosen.join(", ")} and ${last}`;
}

function vagueAnswer(question: string, gold: string, random: Random): string | undefined {
  const topic = topicOf(question);
  if (topic === undefined) return undefined;
  const asked = new Set(tokeniseLocomoAnswer(question));
  const goldTokens = tokeniseLocomoAnswer(gold);
  return shuffled(vagueSentences, random)
    .map((sentence) => sentence(topic))
    .find((answer) => {
      const said = new Set(tokeniseLocomoAnswer(answer));
      // Nothing of gold that the question does not hold already, and not all of gold.
      return (
        goldTokens.every((token) => !said.has(token) || asked.has(token)) &&
        !goldTokens.every((token) => said.has(token))
      );
    });
}

/** A question of the pool that can lend its gold answer, with what is asked of it again and again. */
interface Lender {
  readonly question: Question;
  readonly gold: string;
  readonly goldTokens: ReadonlySet<string>;
  readonly text: string;
  readonly opening: string;
}

function toLenders(pool: readonly Question[]): readonly Lender[] {
  return pool.flatMap((question) => {
    if (question.gold === undefined || !question.answerable) return [];
    const text = normaliseSquadAnswer(question.text);
    return [
      {
        question,
        gold: question.gold,
        goldTokens: tokensOf(question.gold),
        text,
        opening: openingOf(text),
      },
    ];
  });
}

/**
 * Always of the same category. Of the same conversation where there is one (LongMemEval has one question for each), and of
 * a question that opens alike (when, who, how many), so that the answer is of the kind that was asked for.
 */
function otherGold(
  question: Question,
  gold: string,
  lenders: readonly Lender[],
  random: Random,
): string | undefined {
  const text = normaliseSquadAnswer(question.text);
  const opening = openingOf(text);
  const goldTokens = tokensOf(gold);
  const candidates = lenders.filter(
    (lender) =>
      lender.question.category.code === question.category.code &&
      // The same question may stand in a data set twice, with two golds that are both right.
      lender.text !== text &&
      isOther(lender.goldTokens, goldTokens),
  );
  const near = candidates.filter(
    (lender) => lender.question.conversationId === question.conversationId,
  );
  const inReach = near.length > 0 ? near : candidates;
  const alike = inReach.filter((lender) => lender.opening === opening);
  const chosen = alike.length > 0 ? alike : inReach;
  return chosen[Math.floor(random() * chosen.length)]?.gold;
}

/** "when", "who", and "how" with its next word. */
function openingOf(text: string): string {
  const [first = "", second = ""] = text.split(" ");
  return first === "how" ? `${first} ${second}` : first;
}

function changedDetail(
  question: Question,
  gold: string,
  options: PlantOptions,
  random: Random,
): string | undefined {
  const names = options.participants?.get(question.conversationId) ?? [];
  const changed = changeDetails(gold, { question: question.text, names, random });
  return shuffled(changed, random).find((answer) => isOther(tokensOf(answer), tokensOf(gold)));
}

const tokensOf = (text: string): ReadonlySet<string> => new Set(tokeniseLocomoAnswer(text));

/** Neither holds all tokens of the other: "May 2023" is no other answer than "7 May 2023", only less of it. */
function isOther(answer: ReadonlySet<string>, gold: ReadonlySet<string>): boolean {
  const holds = (one: ReadonlySet<string>, other: ReadonlySet<string>): boolean =>
    [...other].every((token) => one.has(token));
  return !holds(answer, gold) && !holds(gold, answer);
}
