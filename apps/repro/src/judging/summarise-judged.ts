import {
  type AbstentionSummary,
  type Interval,
  bootstrapMean,
  isAnswerable,
  type JudgeName,
  judgedAbstentionItem,
  judges,
  scoreRefusal,
  summariseAbstention,
  summariseOutcomes,
  type SeedSummary,
  summariseSeeds,
  wilsonOfOutcomes,
} from "@memory-r1/metrics";
import { formatScore, type TableData, type TableRow } from "@memory-r1/report";
import { createRandom, deriveSeed, graded, type Outcome, ungraded } from "@memory-r1/spec";
import type { JudgedLine } from "./verdict.ts";

/** Mean of the judged, with its 95 % interval and both counts. */
export interface ScoreSummary {
  readonly mean: number | undefined;
  readonly interval: Interval | undefined;
  readonly graded: number;
  readonly ungraded: number;
}

export interface JudgedSummary extends ScoreSummary {
  /** By category where lines have one, else by type; in the order of their first line. */
  readonly categories: readonly (ScoreSummary & { readonly category: string })[];
  /** Present where a line's question cannot be answered. */
  readonly abstention: AbstentionSummary | undefined;
  /** The mean of each run of the judge, and over them mean and standard deviation. */
  readonly runs: SeedSummary & { readonly scores: readonly number[] };
  /** Reason to number of lines. */
  readonly ungradedReasons: Readonly<Record<string, number>>;
  /** Lines of which a call failed at last: giving the same command again makes them anew. */
  readonly failedCalls: number;
}

export function summariseJudged(lines: readonly JudgedLine[], judge: JudgeName): JudgedSummary {
  const scores = scoresOfRuns(lines);
  return {
    ...summariseScores(lines),
    categories: [...groupBy(lines, (line) => line.category ?? line.type)].map(
      ([category, members]) => ({ category, ...summariseScores(members) }),
    ),
    abstention: abstentionOf(lines, judge),
    runs: { scores, ...summariseSeeds(scores) },
    ungradedReasons: countReasons(lines),
    failedCalls: lines.filter((line) =>
      line.verdicts.some((verdict) => verdict.reply === undefined),
    ).length,
  };
}

/** The mean of each run that graded anything, in order. */
function scoresOfRuns(lines: readonly JudgedLine[]): readonly number[] {
  const count = Math.max(0, ...lines.map((line) => line.verdicts.length));
  return Array.from({ length: count }, (_, seed) =>
    lines.flatMap((line) => line.verdicts.find((one) => one.seed === seed)?.outcome ?? []),
  ).flatMap((outcomes) => summariseOutcomes(outcomes).mean ?? []);
}

/** A line's score as an outcome. */
export function outcomeOf(line: JudgedLine): Outcome {
  return line.score === null ? ungraded(line.reason ?? "not judged") : graded(line.score);
}

/** Mean and interval: Wilson's where every score is 0 or 1, a bootstrap over lines where runs of a judge disagree. */
export function summariseScores(lines: readonly JudgedLine[]): ScoreSummary {
  const outcomes = lines.map(outcomeOf);
  return {
    ...summariseOutcomes(outcomes),
    interval:
      wilsonOfOutcomes(outcomes) ?? bootstrapMean(outcomes, createRandom(deriveSeed("judged"))),
  };
}

/** Unanswerable questions by the judge where it has a rule for them, else by LoCoMo's rule. */
function abstentionOf(
  lines: readonly JudgedLine[],
  judge: JudgeName,
): AbstentionSummary | undefined {
  const items = lines.map((line) => {
    const answerable = isAnswerableLine(line);
    const outcome =
      answerable || judges[judge].judgesUnanswerable || line.prediction === null
        ? outcomeOf(line)
        : scoreRefusal(line.prediction);
    return judgedAbstentionItem(answerable, outcome);
  });
  return items.every((item) => item.answerable) ? undefined : summariseAbstention(items);
}

export function isAnswerableLine({ id, answerable }: JudgedLine): boolean {
  return isAnswerable({
    ...(id === undefined ? {} : { questionId: id }),
    ...(answerable === undefined ? {} : { answerable }),
  });
}

function countReasons(lines: readonly JudgedLine[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const line of lines) {
    if (line.score !== null) continue;
    const reason = line.reason ?? "not judged";
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  return Object.fromEntries(counts);
}

/** Groups in the order of their first member; members without a name are in none. */
function groupBy<T>(
  items: readonly T[],
  nameOf: (item: T) => string | undefined,
): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const name = nameOf(item);
    if (name === undefined) continue;
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [item]);
    else group.push(item);
  }
  return groups;
}

/** The columns of a score with interval and counts, and a row of them. */
export const scoreColumns: TableData["columns"] = [
  { key: "mean", label: "Score", kind: "score" },
  { key: "interval", label: "95 % interval", kind: "interval" },
  { key: "graded", label: "Graded", kind: "count" },
  { key: "ungraded", label: "Ungraded", kind: "count" },
];

export function scoreRow(summary: ScoreSummary): TableRow {
  return {
    mean: summary.mean,
    intervalLow: summary.interval?.low,
    intervalHigh: summary.interval?.high,
    graded: summary.graded,
    ungraded: summary.ungraded,
  };
}

/** How many reasons are told in words. */
const shownReasons = 5;

/** The tables that a person reads about one file of judged lines. */
export function judgedTables(
  summary: JudgedSummary,
  title: string,
  judge: JudgeName,
): readonly TableData[] {
  const rows = [
    { questions: "all", ...scoreRow(summary) },
    ...summary.categories.map((one) => ({ questions: one.category, ...scoreRow(one) })),
  ];
  const scores: TableData = {
    title,
    columns: [{ key: "questions", label: "Questions", kind: "text" }, ...scoreColumns],
    rows,
    notes: judgedNotes(summary),
  };
  return summary.abstention === undefined
    ? [scores]
    : [scores, abstentionTable([{ whose: {}, abstention: summary.abstention }], [], judge)];
}

export function judgedNotes({ runs, ungradedReasons }: JudgedSummary): string[] {
  const reasons = Object.entries(ungradedReasons).toSorted(([, one], [, other]) => other - one);
  const { scores, mean, standardDeviation } = runs;
  return [
    ...(standardDeviation === undefined
      ? []
      : [
          `J over ${scores.length} runs: ${formatScore(mean)} ± ${formatScore(standardDeviation)} (mean ± standard deviation of the runs).`,
        ]),
    ...reasons.slice(0, shownReasons).map(([reason, count]) => `${count} ungraded: ${reason}.`),
    ...(reasons.length > shownReasons
      ? [`${reasons.length - shownReasons} further reasons are in the file.`]
      : []),
  ];
}

/** Scores on unanswerable and answerable questions beside always refusing; the first cells of a row say whose they are. */
export function abstentionTable(
  summaries: readonly { readonly whose: TableRow; readonly abstention: AbstentionSummary }[],
  whoseColumns: TableData["columns"],
  judge: JudgeName,
): TableData {
  return {
    title: "Abstention",
    columns: [
      ...whoseColumns,
      { key: "questions", label: "Questions", kind: "text" },
      { key: "mean", label: "Score", kind: "score" },
      { key: "alwaysRefusing", label: "Always refusing", kind: "score" },
      { key: "graded", label: "Graded", kind: "count" },
      { key: "ungraded", label: "Ungraded", kind: "count" },
    ],
    rows: summaries.flatMap(({ whose, abstention: { unanswerable, answerable, all } }) => [
      { ...whose, questions: "unanswerable", ...unanswerable },
      { ...whose, questions: "answerable", ...answerable },
      { ...whose, questions: "both", ...all },
    ]),
    notes: [
      judges[judge].judgesUnanswerable
        ? "unanswerable questions are judged by the abstention template."
        : "unanswerable questions by LoCoMo's rule: the answer says that no information is available, or not mentioned.",
    ],
  };
}
