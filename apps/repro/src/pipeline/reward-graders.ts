import { type AnswerGrader, createMetricGrader } from "@memory-r1/core";
import {
  isLongMemEvalType,
  type JudgeName,
  judges,
  metrics,
  scoreAnswer,
} from "@memory-r1/metrics";
import type { Manifest } from "@memory-r1/report";
import type { GenerateRequest, GenerateResult, TextGenerator } from "@memory-r1/spec";
import type { Experiment } from "../experiment.ts";
import { createJudgeModel, type JudgeModel } from "../judging/judge-model.ts";
import type { RunContext } from "../run-context.ts";
import type { RewardSource } from "../training-options.ts";
import { knownName } from "./known-name.ts";

/** Graders of a run, and the models of its judges. */
export interface RewardGraders {
  of(reward: RewardSource): AnswerGrader;
  /** Ends the models that were opened. */
  close(): Promise<void>;
}

/**
 * Grades by metrics and by judges.
 * @param base the judge's model where none is named
 */
export function createRewardGraders(base: TextGenerator, context: RunContext): RewardGraders {
  const opened = new Map<string, JudgeModel>();
  return {
    of: (reward) => {
      if (typeof reward === "string") {
        const metric = knownName("metric", reward, metrics);
        return createMetricGrader((prediction, question) => {
          const outcome = scoreAnswer(metric, prediction, question);
          return outcome.status === "graded" ? outcome.score : undefined;
        });
      }
      const { judge, model, endpoint, concurrency } = reward;
      const name = knownName("judge", judge, judges);
      if (model === undefined) return createJudgeGrader(name, () => Promise.resolve(base));
      const key = JSON.stringify([model, endpoint, concurrency]);
      const settings = { model, concurrency, ...(endpoint === undefined ? {} : { endpoint }) };
      const judgeModel = opened.get(key) ?? createJudgeModel(settings, context);
      opened.set(key, judgeModel);
      return createJudgeGrader(name, () => judgeModel.generator());
    },
    close: async () => {
      await Promise.all([...opened.values()].map((model) => model.close()));
    },
  };
}

/**
 * Grades by a judge's verdicts, asked greedily. A verdict that cannot be read or did not come, and an answer that the
 * judge has nothing to say about, have no score, and so mask their sample: they are never a 0.
 */
export function createJudgeGrader(
  name: JudgeName,
  generator: () => Promise<TextGenerator>,
): AnswerGrader {
  const judge = judges[name];
  return async (answers) => {
    const built = answers.map(({ question, prediction }) =>
      judge.build({
        questionId: question.id,
        question: question.text,
        prediction,
        answerable: question.answerable,
        ...(question.gold === undefined ? {} : { gold: question.gold }),
        ...(isLongMemEvalType(question.category.code) ? { type: question.category.code } : {}),
      }),
    );
    const distinct = new Map<string, GenerateRequest>();
    const keys = built.map((request) => {
      if (request.status === "ungraded") return undefined;
      const { messages, temperature, maxTokens, constraint } = request;
      const key = JSON.stringify(messages);
      distinct.set(key, {
        messages,
        temperature,
        maxTokens,
        seed: 0,
        ...(constraint === undefined ? {} : { constraint }),
      });
      return key;
    });
    if (distinct.size === 0) return answers.map(() => undefined);
    const results = await (await generator()).generate([...distinct.values()]);
    const scoreOf = new Map(
      [...distinct.keys()].map((key, index) => [key, readVerdict(name, results[index])]),
    );
    return keys.map((key) => (key === undefined ? undefined : scoreOf.get(key)));
  };
}

function readVerdict(name: JudgeName, result: GenerateResult | undefined): number | undefined {
  if (result?.status !== "completed") return undefined;
  const [completion] = result.completions;
  if (completion === undefined) return undefined;
  const outcome = judges[name].parse(completion.text);
  return outcome.status === "graded" ? outcome.score : undefined;
}

/** The judges' models, for the manifest. Whoever serves one decides on its revision. */
export function judgeModels({ training }: Experiment): Manifest["models"] {
  const named = training.flatMap(({ reward }) =>
    typeof reward === "string" || reward.model === undefined
      ? []
      : [
          {
            role: "judge of rewards",
            name: reward.model,
            revision: "not pinned",
            source: reward.endpoint ?? "hugging face inference or embedded engine",
          },
        ],
  );
  const byName = new Map(named.map((model) => [JSON.stringify(model), model]));
  return [...byName.values()];
}
