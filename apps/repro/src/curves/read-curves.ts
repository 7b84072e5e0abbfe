import { join } from "node:path";
import { ConfigError, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import { jsonLines, readIfThere } from "../pipeline/json-lines.ts";

/**
 * What is followed over the steps of a stage: the mean reward of a step's samples, the score of validations, and of a
 * Manager's validations the share of gold evidence that is missing from its bank.
 */
export const curveSeries = ["reward", "validation", "evidenceMissing"] as const;
export type CurveSeries = (typeof curveSeries)[number];

export interface CurvePoint {
  readonly experiment: string;
  readonly algorithm: string;
  readonly seed: number;
  readonly stage: string;
  readonly series: CurveSeries;
  /** Steps of training before this value: a step's reward is of the weights before its update. */
  readonly step: number;
  readonly value: number;
}

// Of a run (config.json) or a published result (manifest.json), of this version or an earlier one.
const trainedSchema = z.looseObject({
  name: z.string(),
  seed: z.number(),
  training: z.array(z.looseObject({ name: z.string(), algorithm: z.string().default("grpo") })),
});
const describedSchema = z.union([
  z.looseObject({ experiment: trainedSchema }).transform(({ experiment }) => experiment),
  z.looseObject({ configuration: trainedSchema }).transform(({ configuration }) => configuration),
]);

const recordSchema = z.union([
  z.looseObject({
    type: z.literal("step"),
    step: z.int(),
    reward: z.looseObject({ mean: z.number() }).optional(),
  }),
  z.looseObject({
    type: z.literal("validation"),
    step: z.int(),
    score: z.number(),
    metrics: z.looseObject({ evidenceMissing: z.number().optional() }),
  }),
  z.looseObject({ type: z.literal("rollback"), step: z.int() }),
]);
type CurveRecord = z.infer<typeof recordSchema>;

/**
 * The curves of runs, finished or not, and of published results, in the order of the folders and of their stages.
 * @throws ConfigError where a folder is neither, or nothing was trained in it
 * @throws DataFormatError naming file and line
 */
export async function readCurves(directories: readonly string[]): Promise<readonly CurvePoint[]> {
  const ofFolders = await Promise.all(directories.map(readFolder));
  return ofFolders.flat();
}

async function readFolder(directory: string): Promise<readonly CurvePoint[]> {
  const { name: experiment, seed, training } = await readDescription(directory);
  const ofStages = training.map(async ({ name: stage, algorithm }) => {
    const records = await readRecords(join(directory, "training", stage));
    return records
      .flatMap(valuesOf)
      .map((value) => ({ experiment, algorithm, seed, stage, ...value }));
  });
  const points = (await Promise.all(ofStages)).flat();
  if (points.length === 0)
    throw new ConfigError(
      `${directory} has no training to show: its experiment "${experiment}" trains nothing, or has not begun to.`,
    );
  return points;
}

async function readDescription(directory: string): Promise<z.infer<typeof trainedSchema>> {
  for (const name of ["config.json", "manifest.json"]) {
    const file = join(directory, name);
    const text = await readIfThere(file);
    if (text !== undefined) return parseJson(text, describedSchema, file);
  }
  throw new ConfigError(
    `${directory} is no run and no published result: it has neither config.json nor manifest.json.`,
  );
}

/** A run has a folder for each stage, a published result a file. */
async function readRecords(stage: string): Promise<readonly CurveRecord[]> {
  const ofRun = await jsonLines(join(stage, "metrics.jsonl"), recordSchema).read();
  return ofRun.length > 0 ? ofRun : jsonLines(`${stage}.jsonl`, recordSchema).read();
}

function valuesOf(record: CurveRecord): readonly Pick<CurvePoint, "series" | "step" | "value">[] {
  const { step } = record;
  switch (record.type) {
    case "step":
      return record.reward === undefined
        ? []
        : [{ series: "reward", step, value: record.reward.mean }];
    case "validation": {
      const missing = record.metrics.evidenceMissing;
      return [
        { series: "validation", step, value: record.score },
        ...(missing === undefined
          ? []
          : [{ series: "evidenceMissing" as const, step, value: missing }]),
      ];
    }
    case "rollback":
      return [];
  }
}
