import type { Dataset, Question, SplitPartName } from "@memory-r1/spec";
import type { DatasetPart } from "./dataset-definition.ts";
import { splitDataset, type SplitPart } from "./split-dataset.ts";

/** Smallest, mean and largest of some counts; of nothing there is none. */
export interface Spread {
  readonly least: number;
  readonly mean: number;
  readonly most: number;
}

export interface CategoryStatistics {
  readonly code: string;
  /** Naming scheme to name. */
  readonly names: Readonly<Record<string, string>>;
  readonly questions: number;
  /** Without gold: they cannot be graded. */
  readonly ungraded: number;
  /** Questions of which a published finding says that a right answer is scored wrong. */
  readonly scoreCorrupting: number;
}

export interface SplitPartStatistics {
  readonly conversations: number;
  /** Without adversarial categories. */
  readonly questions: number;
  readonly adversarialQuestions: number;
  readonly byCategory: Readonly<Record<string, number>>;
}

/** What papers print of a data set. Words are runs of characters without white space. */
export interface DatasetStatistics {
  readonly conversations: number;
  readonly sessions: number;
  readonly turns: number;
  /** Words of the turns' texts, captions not counted. */
  readonly words: number;
  readonly facts: number;
  readonly summaries: number;
  readonly events: number;
  readonly turnsWithCaption: number;
  readonly turnsWithUrl: number;
  readonly sessionsPerConversation?: Spread;
  readonly turnsPerConversation?: Spread;
  readonly wordsPerConversation?: Spread;
  readonly sessionsWithoutDateTime: number;
  /** The first and the last date-time of a session. */
  readonly dateTimes?: { readonly first: string; readonly last: string };
  readonly questions: number;
  readonly ungraded: number;
  readonly unanswerable: number;
  readonly withoutEvidence: number;
  /** Turns that are named as evidence, summed over the questions. */
  readonly evidenceTurns: number;
  /** Questions with a caption among their evidence. */
  readonly withCaptionAsEvidence: number;
  readonly knownIssues: number;
  readonly byCategory: readonly CategoryStatistics[];
}

/** Counts a data set conversation by conversation: nothing but the counts is kept. */
export interface StatisticsCounter {
  add(part: DatasetPart): void;
  result(): DatasetStatistics;
}

export function createStatisticsCounter(): StatisticsCounter {
  const sums = {
    conversations: 0,
    sessions: 0,
    turns: 0,
    words: 0,
    facts: 0,
    summaries: 0,
    events: 0,
    turnsWithCaption: 0,
    turnsWithUrl: 0,
    sessionsWithoutDateTime: 0,
    questions: 0,
    ungraded: 0,
    unanswerable: 0,
    withoutEvidence: 0,
    evidenceTurns: 0,
    withCaptionAsEvidence: 0,
    knownIssues: 0,
  };
  const spreads = { sessions: createSpread(), turns: createSpread(), words: createSpread() };
  const categories = new Map<string, CategoryStatistics>();
  let first: string | undefined;
  let last: string | undefined;

  const addQuestion = (question: Question, captioned: ReadonlySet<string>): void => {
    const { category, evidenceTurnIds, evidenceSessionIds = [], knownIssues = [] } = question;
    sums.questions += 1;
    sums.ungraded += Number(question.gold === undefined);
    sums.unanswerable += Number(!question.answerable);
    sums.withoutEvidence += Number(evidenceTurnIds.length + evidenceSessionIds.length === 0);
    sums.evidenceTurns += evidenceTurnIds.length;
    sums.withCaptionAsEvidence += Number(evidenceTurnIds.some((id) => captioned.has(id)));
    sums.knownIssues += Number(knownIssues.length > 0);
    const counted = categories.get(category.code) ?? {
      code: category.code,
      names: category.names,
      questions: 0,
      ungraded: 0,
      scoreCorrupting: 0,
    };
    const isCorrupt = knownIssues.some((issue) => issue.scoreCorrupting);
    categories.set(category.code, {
      ...counted,
      questions: counted.questions + 1,
      ungraded: counted.ungraded + Number(question.gold === undefined),
      scoreCorrupting: counted.scoreCorrupting + Number(isCorrupt),
    });
  };

  return {
    add({ conversation, questions }) {
      const before = { turns: sums.turns, words: sums.words };
      const captioned = new Set<string>();
      for (const session of conversation.sessions) {
        sums.sessions += 1;
        sums.turns += session.turns.length;
        sums.facts += session.facts.length;
        sums.summaries += Number(session.summary !== undefined);
        sums.events += session.events?.length ?? 0;
        for (const turn of session.turns) {
          sums.words += countWords(turn.text);
          sums.turnsWithCaption += Number(turn.imageCaption !== undefined);
          sums.turnsWithUrl += Number(turn.imageUrls !== undefined);
          if (turn.imageCaption !== undefined) captioned.add(turn.id);
        }
        const { dateTime } = session;
        if (dateTime === undefined) sums.sessionsWithoutDateTime += 1;
        else {
          if (first === undefined || dateTime < first) first = dateTime;
          if (last === undefined || dateTime > last) last = dateTime;
        }
      }
      sums.conversations += 1;
      spreads.sessions.add(conversation.sessions.length);
      spreads.turns.add(sums.turns - before.turns);
      spreads.words.add(sums.words - before.words);
      for (const question of questions) addQuestion(question, captioned);
    },
    result: () => ({
      ...sums,
      ...(sums.conversations === 0
        ? {}
        : {
            sessionsPerConversation: spreads.sessions.result(),
            turnsPerConversation: spreads.turns.result(),
            wordsPerConversation: spreads.words.result(),
          }),
      ...(first === undefined || last === undefined ? {} : { dateTimes: { first, last } }),
      byCategory: [...categories.values()].sort((one, other) =>
        one.code.localeCompare(other.code, "en", { numeric: true }),
      ),
    }),
  };
}

function createSpread(): { add(value: number): void; result(): Spread } {
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  let sum = 0;
  let count = 0;
  return {
    add(value) {
      least = Math.min(least, value);
      most = Math.max(most, value);
      sum += value;
      count += 1;
    },
    result: () => ({ least, mean: sum / count, most }),
  };
}

function countWords(text: string): number {
  return text.match(/\S+/g)?.length ?? 0;
}

/** Conversations and questions of every part of every split. */
export function computeSplitStatistics(
  dataset: Dataset,
): Readonly<Record<string, Readonly<Record<SplitPartName, SplitPartStatistics>>>> {
  return Object.fromEntries(
    Object.keys(dataset.splits).map((name) => {
      const { train, validation, test } = splitDataset(dataset, name);
      return [
        name,
        { train: countPart(train), validation: countPart(validation), test: countPart(test) },
      ];
    }),
  );
}

function countPart(part: SplitPart): SplitPartStatistics {
  const byCategory: Record<string, number> = {};
  for (const { category } of [...part.questions, ...part.adversarialQuestions])
    byCategory[category.code] = (byCategory[category.code] ?? 0) + 1;
  return {
    conversations: part.conversations.length,
    questions: part.questions.length,
    adversarialQuestions: part.adversarialQuestions.length,
    byCategory,
  };
}
