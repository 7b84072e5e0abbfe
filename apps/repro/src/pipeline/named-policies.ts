import { baselines } from "@memory-r1/baselines";
import {
  type AnswerVariantName,
  answerVariants,
  type ManagerFormatName,
  managerFormats,
  type RetrieverName,
  retrievers,
} from "@memory-r1/core";
import { judges, metrics } from "@memory-r1/metrics";
import type { Experiment } from "../experiment.ts";
import { knownName } from "./known-name.ts";

/** The names of a configuration as keys of the registries that they belong to. */
export interface NamedPolicies {
  readonly format: ManagerFormatName;
  readonly variant: AnswerVariantName;
  readonly retriever: RetrieverName;
}

/** Looks up every name before anything long starts. @throws ConfigError for one that no registry has */
export function namePolicies(experiment: Experiment): NamedPolicies {
  for (const metric of experiment.evaluation.metrics) knownName("metric", metric, metrics);
  for (const { reward } of experiment.training) {
    if (typeof reward === "string") knownName("metric", reward, metrics);
    else knownName("judge", reward.judge, judges);
  }
  for (const { memory, answerVariant } of experiment.evaluation.arms) {
    if (memory.kind === "baseline") knownName("baseline", memory.baseline, baselines);
    if (answerVariant !== undefined) knownName("answer variant", answerVariant, answerVariants);
  }
  return {
    format: knownName("manager format", experiment.manager.format, managerFormats),
    variant: knownName("answer variant", experiment.answer.variant, answerVariants),
    retriever: knownName("retriever", experiment.retriever, retrievers),
  };
}
