import { createHash } from "node:crypto";
import {
  type JudgeName,
  type JudgeRequest,
  judgePromptHashes,
  judges,
  summariseOutcomes,
} from "@memory-r1/metrics";
import {
  ConfigError,
  type GenerateResult,
  ModelCallError,
  type Outcome,
  type TextGenerator,
  ungraded,
} from "@memory-r1/spec";
import pLimit from "p-limit";
import { jsonLines } from "../pipeline/json-lines.ts";
import type { ProgressTask } from "../run-context.ts";
import type { PredictionLine } from "./prediction-lines.ts";
import { type JudgedLine, judgedLineSchema, type Verdict } from "./verdict.ts";

/** An answer to judge. `decided`: what is known of it without asking a model. */
export interface JudgeItem {
  readonly line: number;
  readonly given: PredictionLine;
  readonly decided?: { readonly score: number | null; readonly reason: string };
}

export interface JudgeAnswersOptions {
  readonly judge: JudgeName;
  /** Part of every verdict, and of what makes two verdicts the same. */
  readonly model: string;
  /** Called when a verdict is missing, and not before. */
  readonly generator: () => Promise<TextGenerator>;
  readonly items: readonly JudgeItem[];
  /** Takes each judged line as soon as it is judged, and all lines in their order at the end. */
  readonly file: string;
  /** Verdicts for each answer, under the seeds 0, 1, 2 ... */
  readonly runs: number;
  /** Whether servers are told the schema of the reply. */
  readonly constrained: boolean;
  readonly concurrency: number;
  readonly progress: ProgressTask;
  readonly signal: AbortSignal;
}

/** So many calls that all failed, and none that did not: the rest would fail as well. */
const hopelessAfter = 8;

/**
 * Judges answers and writes them with their verdicts to `file`. Verdicts that the file holds already are kept, under the
 * same judge, model and prompt; failed calls are made again. Equal answers are judged once.
 * @throws ConfigError where the file holds verdicts of another judge, model or prompt, or of other answers;
 * ModelCallError where the first calls all fail; the abort signal's reason, after what is in work has been written.
 */
export async function judgeAnswers(options: JudgeAnswersOptions): Promise<readonly JudgedLine[]> {
  const plans = options.items.map((item) => planOf(item, options));
  const log = jsonLines(options.file, judgedLineSchema);
  const found = await log.read();
  refuseForeign(found, plans, options);
  // Before anything is paid for: the file can be written, and ends in a whole line.
  await log.keep(found);
  const verdicts = new Map(
    found.map((line) => [line.key, line.verdicts.filter(({ reply }) => reply !== undefined)]),
  );
  const groups = groupByKey(plans.filter((plan) => isMissing(plan, verdicts, options.runs)));
  const pending = groups.reduce((sum, group) => sum + group.length, 0);
  options.progress.advance(plans.length - pending);
  if (groups.length > 0) {
    const generator = await options.generator();
    let answered = 0;
    let failed = 0;
    await forEach(groups, options, async (group) => {
      const [plan] = group;
      if (plan?.request === undefined) return;
      const known = verdicts.get(plan.key) ?? [];
      const asked = await ask(generator, plan.request, seedsWithout(known, options.runs), options);
      const all = [...known, ...asked].toSorted((first, second) => first.seed - second.seed);
      verdicts.set(plan.key, all);
      await log.append(group.map((member) => toLine(member, all)));
      options.progress.advance(group.length);
      if (asked.some(({ reply }) => reply !== undefined)) answered += 1;
      else failed += 1;
      if (answered === 0 && failed >= hopelessAfter) throw hopeless(failed, asked);
    });
  }
  const lines = plans.map((plan) => toLine(plan, verdicts.get(plan.key) ?? []));
  await log.keep(lines);
  return lines;
}

interface Plan {
  readonly item: JudgeItem;
  readonly key: string;
  /** Absent where no model is asked. */
  readonly request?: JudgeRequest;
  readonly decided?: { readonly score: number | null; readonly reason: string };
}

function planOf(item: JudgeItem, { judge, model }: JudgeAnswersOptions): Plan {
  const { given, decided } = item;
  const keyOf = (content: unknown): string =>
    createHash("sha256")
      .update(JSON.stringify([judge, model, content]))
      .digest("hex");
  if (decided !== undefined) return { item, key: keyOf([given, decided]), decided };
  if (given.prediction === null) {
    const nothing = { score: null, reason: "no prediction" };
    return { item, key: keyOf([given, nothing]), decided: nothing };
  }
  const request = judges[judge].build({
    question: given.question,
    prediction: given.prediction,
    ...(given.id === undefined ? {} : { questionId: given.id }),
    ...(given.answer === undefined ? {} : { gold: given.answer }),
    ...(given.type === undefined ? {} : { type: given.type }),
    ...(given.answerable === undefined ? {} : { answerable: given.answerable }),
  });
  if (request.status === "ungraded") {
    const left = { score: null, reason: request.reason };
    return { item, key: keyOf([given, left]), decided: left };
  }
  const { promptSha256, messages, temperature, maxTokens } = request;
  return { item, key: keyOf([promptSha256, messages, temperature, maxTokens]), request };
}

/** A file is gone on with only where nothing in it would be lost or mixed up. */
function refuseForeign(
  found: readonly JudgedLine[],
  plans: readonly Plan[],
  { judge, model, file }: JudgeAnswersOptions,
): void {
  const hashes = judgePromptHashes();
  for (const verdict of found.flatMap((line) => line.verdicts)) {
    const other =
      verdict.judge !== judge
        ? `of the judge ${verdict.judge}`
        : verdict.model !== model
          ? `of the model ${verdict.model}`
          : verdict.promptSha256 !== hashes[verdict.prompt]
            ? `under an earlier version of the prompt ${verdict.prompt}`
            : undefined;
    if (other !== undefined) {
      throw new ConfigError(
        `${file} holds verdicts ${other}. Write these to another file, or move that one away.`,
      );
    }
  }
  const keys = new Set(plans.map((plan) => plan.key));
  if (found.length > 0 && !found.some((line) => keys.has(line.key))) {
    throw new ConfigError(
      `${file} holds verdicts on other answers: none of its ${found.length} lines is among those to judge. Write these to another file, or move that one away.`,
    );
  }
}

const seedsWithout = (known: readonly Verdict[], runs: number): number[] =>
  Array.from({ length: runs }, (_, seed) => seed).filter(
    (seed) => !known.some((verdict) => verdict.seed === seed),
  );

function isMissing(
  plan: Plan,
  verdicts: ReadonlyMap<string, readonly Verdict[]>,
  runs: number,
): boolean {
  return plan.request !== undefined && seedsWithout(verdicts.get(plan.key) ?? [], runs).length > 0;
}

function groupByKey(plans: readonly Plan[]): Plan[][] {
  const groups = new Map<string, Plan[]>();
  for (const plan of plans) {
    const group = groups.get(plan.key);
    if (group === undefined) groups.set(plan.key, [plan]);
    else group.push(plan);
  }
  return [...groups.values()];
}

/** Runs the work in order of the list, some at a time. At the first error no more is begun, what was begun ends. */
async function forEach<T>(
  items: readonly T[],
  { concurrency, signal }: { readonly concurrency: number; readonly signal: AbortSignal },
  work: (item: T) => Promise<void>,
): Promise<void> {
  const limit = pLimit(concurrency);
  let isStopped = false;
  const tasks = items.map((item) =>
    limit(async () => {
      if (isStopped) return;
      try {
        signal.throwIfAborted();
        await work(item);
      } catch (error) {
        isStopped = true;
        throw error;
      }
    }),
  );
  await Promise.allSettled(tasks);
  await Promise.all(tasks);
}

async function ask(
  generator: TextGenerator,
  request: JudgeRequest,
  seeds: readonly number[],
  options: JudgeAnswersOptions,
): Promise<Verdict[]> {
  const { messages, temperature, maxTokens, constraint } = request;
  const constrained = options.constrained && constraint !== undefined;
  const results = await generator.generate(
    seeds.map((seed) => ({
      messages,
      temperature,
      maxTokens,
      seed,
      ...(constrained ? { constraint } : {}),
    })),
  );
  return seeds.map((seed, index) => {
    const result = results[index];
    const reply = result?.status === "completed" ? result.completions[0]?.text : undefined;
    return {
      judge: options.judge,
      model: options.model,
      prompt: request.prompt,
      promptSha256: request.promptSha256,
      temperature,
      maxTokens,
      constrained,
      seed,
      ...(result?.attempts === undefined ? {} : { attempts: result.attempts }),
      ...(reply === undefined ? {} : { reply }),
      outcome: outcomeOf(result, reply, maxTokens, options.judge),
    };
  });
}

function outcomeOf(
  result: GenerateResult | undefined,
  reply: string | undefined,
  maxTokens: number,
  judge: JudgeName,
): Outcome {
  if (result?.status === "failed") return ungraded(`the call failed: ${result.reason}`);
  if (result === undefined || reply === undefined) return ungraded("the call gave no text");
  const outcome = judges[judge].parse(reply);
  if (outcome.status === "graded" || result.completions[0]?.stopReason !== "length") return outcome;
  return ungraded(`${outcome.reason}; it was cut off after ${maxTokens} tokens`);
}

function hopeless(count: number, verdicts: readonly Verdict[]): ModelCallError {
  const outcome = verdicts.at(-1)?.outcome;
  const reason = outcome?.status === "ungraded" ? outcome.reason : "no reason given";
  return new ModelCallError(
    `The first ${count} answers could not be judged, the last because ${reason}. Mend that and give the same command again.`,
    { retryable: false },
  );
}

function toLine({ item, key, decided }: Plan, verdicts: readonly Verdict[]): JudgedLine {
  const base = { ...item.given, line: item.line, key };
  if (decided !== undefined) return { ...base, ...decided, verdicts: [] };
  const outcomes = verdicts.map((verdict) => verdict.outcome);
  const { mean } = summariseOutcomes(outcomes);
  const obstacle = outcomes.find((outcome) => outcome.status === "ungraded");
  return {
    ...base,
    score: mean ?? null,
    ...(mean === undefined ? { reason: obstacle?.reason ?? "not judged" } : {}),
    verdicts: [...verdicts],
  };
}
