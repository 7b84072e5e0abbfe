import { sampleQuestions } from "@memory-r1/datasets";
import {
  type Acceptance,
  type Agreement,
  isLongMemEvalType,
  type PlantedAnswer,
  plantAnswers,
  type PlantedKind,
  plantedKindNames,
  plantedKinds,
  summariseAcceptance,
  summariseAgreement,
} from "@memory-r1/metrics";
import type { TableData, TableRow } from "@memory-r1/report";
import { ConfigError } from "@memory-r1/spec";
import { loadDataset } from "../pipeline/load-dataset.ts";
import type { JudgeItem } from "./judge-answers.ts";
import { refuseSameFile } from "./judge-file.ts";
import type { AuditJudgeOptions, JudgeReport } from "./judge-work.ts";
import {
  type MalformedLine,
  readPredictionFile,
  reportPredictionFile,
} from "./prediction-lines.ts";
import { outcomeOf, summariseJudged } from "./summarise-judged.ts";
import type { JudgedLine } from "./verdict.ts";
import { withJudge } from "./with-judge.ts";

/** Acceptance of what was planted: by kind, and over all specific wrong answers. */
interface PlantedSummary {
  readonly kinds: Readonly<Record<PlantedKind, Acceptance>>;
  readonly specificWrong: Acceptance;
}

const specificKinds: ReadonlySet<PlantedKind> = new Set(["other-gold", "changed-detail"]);

/**
 * How far a judge can be trusted: its agreement with a person's labels, and what it accepts of answers that were planted
 * in a data set. @throws ConfigError for what the user can mend
 */
export async function auditJudge(options: AuditJudgeOptions): Promise<JudgeReport> {
  const { judge, context, outFile } = options;
  const labelled = await readLabelled(options);
  const planted = await plant(options);
  const items = [...labelled.items, ...planted];
  const judged = await withJudge(options, context, items.length, (judgeItems) =>
    judgeItems(items, outFile),
  );
  const agreement = agreementOf(judged);
  const acceptance = acceptanceOf(judged);
  const title = `${judge} by ${options.model}`;
  const { failedCalls, ungradedReasons } = summariseJudged(judged, judge);
  return {
    tables: [
      ...(agreement === undefined ? [] : [agreementTable(agreement, title)]),
      ...(acceptance === undefined ? [] : [acceptanceTable(acceptance, title)]),
    ],
    summary: { judge, model: options.model, agreement, planted: acceptance, ungradedReasons },
    files: [outFile],
    malformed: labelled.malformed,
    failedCalls,
  };
}

async function readLabelled({
  labelsFile,
  outFile,
  context,
}: AuditJudgeOptions): Promise<{ items: JudgeItem[]; malformed: readonly MalformedLine[] }> {
  if (labelsFile === undefined) return { items: [], malformed: [] };
  refuseSameFile(labelsFile, outFile);
  const read = await readPredictionFile(labelsFile);
  const { lines } = read;
  const unlabelled = lines
    .filter(({ given }) => given.label === undefined)
    .map(({ line }) => ({
      line,
      problem: `${labelsFile}:${line}: no label. Write "label": "correct" or "wrong" there.`,
    }));
  const malformed = [...read.malformed, ...unlabelled].toSorted(
    (one, other) => one.line - other.line,
  );
  reportPredictionFile({ ...read, malformed }, context.logger);
  const items = lines.filter(({ given }) => given.label !== undefined);
  if (items.length > 0) return { items, malformed };
  throw new ConfigError(
    `${labelsFile}: no line has a label. Write "label": "correct" or "wrong" in each.`,
  );
}

async function plant(options: AuditJudgeOptions): Promise<JudgeItem[]> {
  if (options.dataset === undefined) return [];
  const dataset = await loadDataset({ dataset: options.dataset }, options.context);
  const usable = dataset.questions.filter(
    (question) => question.answerable && question.gold !== undefined,
  );
  const { answers, notPlanted } = plantAnswers(
    sampleQuestions(usable, options.sample, options.seed),
    {
      seed: options.seed,
      pool: dataset.questions,
      participants: new Map(
        dataset.conversations.map(({ id, participants }) => [id, participants]),
      ),
    },
  );
  if (answers.length === 0) {
    throw new ConfigError(
      `Nothing can be planted in ${options.sample} questions of ${dataset.name}: ${notPlanted[0]?.reason ?? "it has no question with a gold answer"}. Choose another data set or a larger --sample.`,
    );
  }
  const gaps = new Set(notPlanted.map(({ questionId, kind }) => `${questionId} ${kind ?? "all"}`));
  options.context.logger.info(
    `planted ${answers.length} answers in ${dataset.name}; ${gaps.size} could not be planted, most of them changed details`,
  );
  return answers.map((answer, index) => toItem(answer, index + 1));
}

function toItem({ question, gold, kind, prediction }: PlantedAnswer, line: number): JudgeItem {
  const { code } = question.category;
  return {
    line,
    given: {
      id: question.id,
      question: question.text,
      answer: gold,
      prediction,
      category: code,
      ...(isLongMemEvalType(code) ? { type: code } : {}),
      label: plantedKinds[kind].label,
      planted: kind,
    },
  };
}

function agreementOf(lines: readonly JudgedLine[]): Agreement | undefined {
  const labelled = lines.flatMap((line) =>
    line.planted === undefined && line.label !== undefined
      ? [{ label: line.label, outcome: outcomeOf(line) }]
      : [],
  );
  return labelled.length === 0 ? undefined : summariseAgreement(labelled);
}

function acceptanceOf(lines: readonly JudgedLine[]): PlantedSummary | undefined {
  const planted = lines.filter((line) => line.planted !== undefined);
  if (planted.length === 0) return undefined;
  const of = (isOf: (kind: PlantedKind) => boolean): Acceptance =>
    summariseAcceptance(
      planted.filter((line) => line.planted !== undefined && isOf(line.planted)).map(outcomeOf),
    );
  return {
    kinds: {
      gold: of((kind) => kind === "gold"),
      "rephrased-gold": of((kind) => kind === "rephrased-gold"),
      vague: of((kind) => kind === "vague"),
      "other-gold": of((kind) => kind === "other-gold"),
      "changed-detail": of((kind) => kind === "changed-detail"),
    },
    specificWrong: of((kind) => specificKinds.has(kind)),
  };
}

function agreementTable({ confusion, ...agreement }: Agreement, title: string): TableData {
  return {
    title: `${title}: agreement with labels`,
    columns: [
      { key: "accuracy", label: "Accuracy", kind: "score" },
      { key: "interval", label: "95 % interval", kind: "interval" },
      { key: "kappa", label: "Cohen's kappa", kind: "score" },
      { key: "accepted", label: "Correct, accepted", kind: "count" },
      { key: "wronglyRejected", label: "Correct, rejected", kind: "count" },
      { key: "wronglyAccepted", label: "Wrong, accepted", kind: "count" },
      { key: "rejected", label: "Wrong, rejected", kind: "count" },
      { key: "ungraded", label: "Ungraded", kind: "count" },
    ],
    rows: [
      {
        accuracy: agreement.accuracy,
        intervalLow: agreement.accuracyInterval?.low,
        intervalHigh: agreement.accuracyInterval?.high,
        kappa: agreement.kappa,
        ...confusion,
        ungraded: agreement.ungraded,
      },
    ],
    notes: [],
  };
}

function acceptanceTable({ kinds, specificWrong }: PlantedSummary, title: string): TableData {
  const row = (planted: string, label: string, one: Acceptance): TableRow => ({
    planted,
    label,
    rate: one.rate,
    intervalLow: one.interval?.low,
    intervalHigh: one.interval?.high,
    accepted: one.accepted,
    graded: one.graded,
    ungraded: one.ungraded,
  });
  return {
    title: `${title}: acceptance of planted answers`,
    columns: [
      { key: "planted", label: "Planted", kind: "text" },
      { key: "label", label: "It is", kind: "text" },
      { key: "rate", label: "Accepted", kind: "score" },
      { key: "interval", label: "95 % interval", kind: "interval" },
      { key: "accepted", label: "Count", kind: "count" },
      { key: "graded", label: "Graded", kind: "count" },
      { key: "ungraded", label: "Ungraded", kind: "count" },
    ],
    rows: [
      ...plantedKindNames.map((kind) =>
        row(plantedKinds[kind].description, plantedKinds[kind].label, kinds[kind]),
      ),
      row("specific, both kinds", "wrong", specificWrong),
    ],
    notes: ["a judge to be trusted accepts what is correct and little else."],
  };
}
