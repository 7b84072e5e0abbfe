import { join } from "node:path";
import { splitDataset } from "@memory-r1/datasets";
import { isLongMemEvalType } from "@memory-r1/metrics";
import type { TableData } from "@memory-r1/report";
import { ConfigError, type Question } from "@memory-r1/spec";
import { type Prediction, predictionsFile, readPredictions } from "../pipeline/answer-questions.ts";
import { chooseQuestions } from "../pipeline/evaluate-arms.ts";
import { loadRunDataset } from "../pipeline/load-dataset.ts";
import { readRunConfig } from "../pipeline/run-config.ts";
import type { JudgeItem } from "./judge-answers.ts";
import type { JudgeReport, JudgeRunOptions } from "./judge-work.ts";
import {
  abstentionTable,
  isAnswerableLine,
  judgedNotes,
  type JudgedSummary,
  scoreColumns,
  scoreRow,
  summariseJudged,
  summariseScores,
} from "./summarise-judged.ts";
import type { JudgedLine } from "./verdict.ts";
import { withJudge } from "./with-judge.ts";

/** Judges the predictions of a run, one file of verdicts for each arm. @throws ConfigError for what the user can mend */
export async function judgeRun(options: JudgeRunOptions): Promise<JudgeReport> {
  const { runDirectory, judge, context } = options;
  const config = await readRunConfig(runDirectory);
  const dataset = await loadRunDataset(config, context);
  const { experiment } = config;
  const questions = new Map(dataset.questions.map((question) => [question.id, question]));
  const chosen = chooseQuestions(experiment, splitDataset(dataset, experiment.split));
  const validationIds = new Set(chosen.validation.map((question) => question.id));
  const arms = await readArms(
    options,
    experiment.evaluation.arms.map((arm) => arm.name),
  );
  const total = arms.reduce((sum, arm) => sum + arm.predictions.length, 0);
  const folder = join(runDirectory, "verdicts", `${judge}--${fileNameOf(options.model)}`);
  const judgedArms = await withJudge(options, context, total, async (judgeItems, progress) => {
    const judged: JudgedArm[] = [];
    for (const { arm, predictions } of arms) {
      progress.note(arm);
      const file = join(folder, `${arm}.jsonl`);
      const items = predictions.map((prediction, index) =>
        toItem(prediction, index + 1, questions.get(prediction.questionId)),
      );
      const lines = await judgeItems(items, file);
      judged.push({ arm, file, lines, summary: summariseJudged(lines, judge) });
    }
    return judged;
  });
  return {
    tables: armTables(judgedArms, validationIds, options),
    summary: {
      judge,
      model: options.model,
      arms: judgedArms.map(({ arm, file, summary }) => ({ arm, file, ...summary })),
    },
    files: judgedArms.map(({ file }) => file),
    malformed: [],
    failedCalls: judgedArms.reduce((sum, { summary }) => sum + summary.failedCalls, 0),
  };
}

interface JudgedArm {
  readonly arm: string;
  readonly file: string;
  readonly lines: readonly JudgedLine[];
  readonly summary: JudgedSummary;
}

interface ArmPredictions {
  readonly arm: string;
  readonly predictions: readonly Prediction[];
}

async function readArms(
  { arms, runDirectory, context }: JudgeRunOptions,
  known: readonly string[],
): Promise<readonly ArmPredictions[]> {
  const unknown = arms?.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new ConfigError(`The run has no arm "${unknown}". Arms: ${known.join(", ")}.`);
  }
  const read = await Promise.all(
    (arms ?? known).map(async (arm) => ({
      arm,
      predictions: await readPredictions(predictionsFile(runDirectory, arm)),
    })),
  );
  const present = read.filter(({ predictions }) => predictions.length > 0);
  for (const { arm } of read.filter(({ predictions }) => predictions.length === 0)) {
    context.logger.warn(`arm ${arm} has no predictions yet`);
  }
  if (present.length > 0) return present;
  throw new ConfigError(
    `${runDirectory} has no predictions to judge. Finish the run by \`repro resume\` first.`,
  );
}

/**
 * A reply without an answer in it is an empty answer, as in the run's own table: wrong without a model's help where there
 * was an answer to be had.
 */
function toItem(
  { questionId, outcome }: Prediction,
  line: number,
  question: Question | undefined,
): JudgeItem {
  if (question === undefined) {
    throw new ConfigError(
      `The run has answered the question ${questionId}, which its data set does not have. Give the folder of its data set with --data-dir.`,
    );
  }
  const { gold, category, answerable } = question;
  const facts = {
    id: questionId,
    question: question.text,
    ...(gold === undefined ? {} : { answer: gold }),
    category: category.code,
    ...(isLongMemEvalType(category.code) ? { type: category.code } : {}),
    answerable,
  };
  switch (outcome.status) {
    case "answered":
      return { line, given: { ...facts, prediction: outcome.answer } };
    case "failed":
      return {
        line,
        given: { ...facts, prediction: null },
        decided: { score: null, reason: `no prediction: ${outcome.reason}` },
      };
    case "unparsable":
      return {
        line,
        given: { ...facts, prediction: "" },
        ...(answerable ? { decided: { score: 0, reason: `no answer: ${outcome.reason}` } } : {}),
      };
  }
}

/** Scores on answerable questions by split and arm, and apart from them those on what cannot be answered. */
function armTables(
  arms: readonly JudgedArm[],
  validationIds: ReadonlySet<string>,
  { judge, model }: JudgeRunOptions,
): TableData[] {
  const armColumn = { key: "arm", label: "Arm", kind: "text" } as const;
  const isValidation = (line: JudgedLine): boolean =>
    line.id !== undefined && validationIds.has(line.id);
  const splits = [
    { split: "validation", isOf: isValidation },
    { split: "test", isOf: (line: JudgedLine) => !isValidation(line) },
  ];
  const scores: TableData = {
    title: `${judge} by ${model}`,
    columns: [{ key: "split", label: "Questions of", kind: "text" }, armColumn, ...scoreColumns],
    rows: splits.flatMap(({ split, isOf }) =>
      arms
        .map(({ arm, lines }) => ({
          arm,
          lines: lines.filter((line) => isOf(line) && isAnswerableLine(line)),
        }))
        .filter(({ lines }) => lines.length > 0)
        .map(({ arm, lines }) => ({ split, arm, ...scoreRow(summariseScores(lines)) })),
    ),
    notes: arms.flatMap(({ arm, summary }) =>
      judgedNotes(summary).map((note) => `${arm}: ${note}`),
    ),
  };
  const refusals = arms.flatMap(({ arm, summary: { abstention } }) =>
    abstention === undefined ? [] : [{ whose: { arm }, abstention }],
  );
  return refusals.length === 0 ? [scores] : [scores, abstentionTable(refusals, [armColumn], judge)];
}

/** A model's name as part of a path. */
const fileNameOf = (model: string): string => model.replaceAll(/[^A-Za-z0-9._-]+/g, "-");
