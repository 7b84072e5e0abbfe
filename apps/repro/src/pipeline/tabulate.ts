import { computeHeldTurns, evidenceMissing, metrics, scoreAnswer } from "@memory-r1/metrics";
import {
  aggregatePredictions,
  type AggregateRow,
  compareArms,
  leaderboardTable,
  overallTable,
  type PredictionRecord,
  type TableData,
} from "@memory-r1/report";
import { type Outcome, type Question, ungraded } from "@memory-r1/spec";
import { type Arm, type EvaluatedSplit, evaluatedSplits, type Experiment } from "../experiment.ts";
import type { Prediction } from "./answer-questions.ts";
import type { Evaluation, EvaluatedQuestions } from "./evaluate-arms.ts";
import { knownName } from "./known-name.ts";
import type { PlayedBanks } from "./play-managers.ts";

/** The tables of a run: what is shown, and what its CSV files hold in full. */
export interface RunTables {
  readonly overall: TableData;
  readonly leaderboard: TableData;
  readonly comparisons: TableData;
  readonly banks: TableData;
}

const splitColumn = { key: "split", label: "Questions of", kind: "text" } as const;

/** Scores every prediction and lays out the tables. Pure: equal predictions and seed give equal tables. */
export function tabulate(experiment: Experiment, evaluation: Evaluation): RunTables {
  const splits = evaluatedSplits.filter((split) => evaluation.questions[split].length > 0);
  const parts = splits.map((split) => {
    const records = experiment.evaluation.arms.flatMap((arm) =>
      recordsOf(experiment, arm, evaluation, split),
    );
    return { split, records, rows: aggregatePredictions(records, { seed: experiment.seed }) };
  });
  const comparisons = comparisonTable(experiment, parts);
  return {
    overall: {
      ...mergeSplits(parts, (rows) => overall(experiment, rows)),
      notes: notes(experiment, comparisons),
    },
    leaderboard: mergeSplits(parts, (rows) => leaderboardTable(rows, experiment.name)),
    comparisons,
    banks: bankTable(evaluation),
  };
}

function recordsOf(
  experiment: Experiment,
  arm: Arm,
  evaluation: Evaluation,
  split: EvaluatedSplit,
): PredictionRecord[] {
  if (!arm.splits.includes(split)) return [];
  const byId = new Map(
    (evaluation.predictions.get(arm.name) ?? []).map((prediction) => [
      prediction.questionId,
      prediction,
    ]),
  );
  return evaluation.questions[split].map((question) => ({
    system: arm.system,
    arm: arm.variant,
    questionId: question.id,
    categoryCode: question.category.code,
    categoryNames: question.category.names,
    outcomes: Object.fromEntries(
      experiment.evaluation.metrics.map((metric) => [
        metric,
        outcomeOf(metric, byId.get(question.id), question),
      ]),
    ),
  }));
}

/** A failed call is ungraded; a reply without an answer in it is an empty answer, which every metric scores 0. */
function outcomeOf(name: string, prediction: Prediction | undefined, question: Question): Outcome {
  const metric = knownName("metric", name, metrics);
  if (prediction === undefined) return ungraded("not answered");
  switch (prediction.outcome.status) {
    case "failed":
      return ungraded(prediction.outcome.reason);
    case "unparsable":
      return scoreAnswer(metric, "", question);
    case "answered":
      return scoreAnswer(metric, prediction.outcome.answer, question);
  }
}

interface SplitRows {
  readonly split: EvaluatedSplit;
  readonly records: readonly PredictionRecord[];
  readonly rows: readonly AggregateRow[];
}

function overall(experiment: Experiment, rows: readonly AggregateRow[]): TableData {
  return overallTable(rows, {
    title: experiment.description,
    metrics: experiment.evaluation.metrics.map((name) => ({
      name,
      label: name,
      showInterval: name === experiment.evaluation.mainMetric,
    })),
  });
}

/** One table out of one for each split, with a column that says which. */
function mergeSplits(
  parts: readonly SplitRows[],
  layOut: (rows: readonly AggregateRow[]) => TableData,
): TableData {
  const tables = parts.map(({ split, rows }) => ({ split, table: layOut(rows) }));
  const columns = new Map(
    tables
      .flatMap(({ table }) => table.columns)
      .map((column) => [`${column.key} ${column.kind}`, column]),
  );
  return {
    title: tables[0]?.table.title ?? "",
    columns: [splitColumn, ...columns.values()],
    rows: tables.flatMap(({ split, table }) => table.rows.map((row) => ({ split, ...row }))),
    notes: [],
  };
}

function comparisonTable(experiment: Experiment, parts: readonly SplitRows[]): TableData {
  const arms = new Map(experiment.evaluation.arms.map((arm) => [arm.name, arm]));
  const metric = experiment.evaluation.mainMetric;
  const rows = parts.flatMap(({ split, records }) =>
    experiment.evaluation.comparisons.flatMap(([from, to]) => {
      const base = arms.get(from);
      const changed = arms.get(to);
      if (![base, changed].every((arm) => arm?.splits.includes(split) === true)) return [];
      const estimate =
        base === undefined || changed === undefined
          ? undefined
          : compareArms(
              records,
              {
                metric,
                first: { system: changed.system, arm: changed.variant },
                second: { system: base.system, arm: base.variant },
              },
              { seed: experiment.seed },
            );
      return {
        split,
        from,
        to,
        metric,
        difference: estimate?.mean,
        differenceLow: estimate?.low,
        differenceHigh: estimate?.high,
        questions: estimate?.count,
      };
    }),
  );
  return {
    title: `${metric}: differences with 95 % paired bootstrap intervals`,
    columns: [
      splitColumn,
      { key: "from", label: "From", kind: "text" },
      { key: "to", label: "To", kind: "text" },
      { key: "metric", label: "Metric", kind: "text" },
      { key: "difference", label: "Difference", kind: "score" },
      { key: "difference", label: "95 % interval", kind: "interval" },
      { key: "questions", label: "Questions", kind: "count" },
    ],
    rows,
    notes: [],
  };
}

function notes(experiment: Experiment, comparisons: TableData): string[] {
  const format = (value: string | number | undefined): string =>
    typeof value === "number" ? value.toFixed(3) : "–";
  return [
    `Intervals: 95 %, percentile bootstrap over questions, seed ${experiment.seed}. Category 5 is not asked.`,
    ...comparisons.rows.map(
      (row) =>
        `${row["split"]}: ${row["to"]} − ${row["from"]} = ${format(row["difference"])} ` +
        `[${format(row["differenceLow"])}, ${format(row["differenceHigh"])}] ${row["metric"]}`,
    ),
  ];
}

/** What each Manager's episodes came to, per split: operations by kind, bank size, and evidence gone from the banks. */
function bankTable(evaluation: Evaluation): TableData {
  const rows = [...evaluation.banks].flatMap(([manager, played]) =>
    evaluatedSplits.flatMap((split) => {
      const summary = summariseBanks(played, evaluation.questions, split);
      return summary === undefined ? [] : [{ split, manager, ...summary }];
    }),
  );
  const count = (key: string, label: string) => ({ key, label, kind: "count" as const });
  return {
    title: "Memory banks after whole episodes",
    columns: [
      splitColumn,
      { key: "manager", label: "Manager", kind: "text" },
      count("facts", "Facts told"),
      count("add", "ADD"),
      count("update", "UPDATE"),
      count("delete", "DELETE"),
      count("noop", "NOOP"),
      count("unparsable", "Unparsable"),
      count("rejected", "Rejected"),
      count("entries", "Memories"),
      { key: "evidenceMissing", label: "Evidence missing", kind: "score" },
      { key: "evidenceMissingBySource", label: "by source turn alone", kind: "score" },
    ],
    rows,
    notes: [
      "Evidence missing: share of gold-evidence turns of whose facts no memory holds half of the words.",
      "Turns that the extraction step drew no fact from are missing for every Manager: compare with add-everything.",
    ],
  };
}

function summariseBanks(
  played: PlayedBanks,
  questions: EvaluatedQuestions,
  split: EvaluatedSplit,
): Record<string, number | undefined> | undefined {
  const asked = groupByConversation(questions[split]);
  if (![...asked.keys()].some((conversationId) => played.has(conversationId))) return undefined;
  const sums = {
    facts: 0,
    add: 0,
    update: 0,
    delete: 0,
    noop: 0,
    unparsable: 0,
    rejected: 0,
    entries: 0,
  };
  let cited = 0;
  let missing = 0;
  let missingBySource = 0;
  for (const [conversationId, ofConversation] of asked) {
    const episode = played.get(conversationId);
    if (episode === undefined) continue;
    sums.facts += episode.facts.length;
    sums.add += episode.operations.ADD;
    sums.update += episode.operations.UPDATE;
    sums.delete += episode.operations.DELETE;
    sums.noop += episode.operations.NOOP;
    sums.unparsable += episode.unparsable;
    sums.rejected += episode.rejected;
    sums.entries += episode.bank.size();
    const evidence = ofConversation.map((question) => question.evidenceTurnIds);
    const turns = new Set(evidence.flat()).size;
    const entries = episode.bank.entries();
    const held = computeHeldTurns(
      episode.facts.map(({ fact }) => fact),
      entries.map((entry) => entry.text),
    );
    cited += turns;
    missing += (evidenceMissing(evidence, held) ?? 0) * turns;
    missingBySource +=
      (evidenceMissing(
        evidence,
        entries.flatMap((entry) => entry.sourceTurnIds),
      ) ?? 0) * turns;
  }
  return {
    ...sums,
    evidenceMissing: cited === 0 ? undefined : missing / cited,
    evidenceMissingBySource: cited === 0 ? undefined : missingBySource / cited,
  };
}

function groupByConversation(questions: readonly Question[]): Map<string, Question[]> {
  const groups = new Map<string, Question[]>();
  for (const question of questions) {
    const group = groups.get(question.conversationId) ?? [];
    group.push(question);
    groups.set(question.conversationId, group);
  }
  return groups;
}
