import { systemOptionsFor } from "@memory-r1/baselines/testing";
import { createAnswerAgent, createBm25Retriever, createMemoryManager } from "@memory-r1/core";
import type { ChatTokenizer } from "@memory-r1/engine";
import type { Reranker, TextGenerator } from "@memory-r1/spec";
import type { Experiment } from "../../experiment.ts";
import { evaluateArms } from "../evaluate-arms.ts";
import { loadDataset, splitFor } from "../load-dataset.ts";
import { fairnessTable } from "../systems/fairness-table.ts";
import { createTokenCounter } from "../systems/token-counter.ts";
import { createSilentContext } from "./silent-context.ts";
import { unreachableEngine } from "./unreachable-engine.ts";

const retriever = createBm25Retriever();

/** A token for every word. */
const tokenizer: ChatTokenizer = {
  encode: (text) => text.split(/\s+/u).map((_, index) => index),
  renderChat: (messages) => messages.map(({ content }) => content).join("\n"),
  encodeChat: (messages) => tokenizer.encode(tokenizer.renderChat(messages)),
  decode: () => "",
  eosTokenIds: [],
};

/** An experiment's arms, evaluated with a scripted model and no engine: nothing in it may be trained. */
export async function evaluateScripted(
  experiment: Experiment,
  options: {
    readonly base: TextGenerator;
    readonly reranker?: Reranker | undefined;
    readonly pathOf: (...parts: readonly string[]) => string;
    /** Of the run, below `pathOf`. */
    readonly folder: string;
  },
) {
  const { base, reranker, pathOf, folder } = options;
  const context = createSilentContext(pathOf("."));
  const dataset = await loadDataset(experiment, context);
  const managerOptions = { format: "compact", shownCount: 2, retriever } as const;
  const answerAgent = createAnswerAgent({ variant: "short" });
  const evaluation = await evaluateArms(
    {
      experiment,
      context,
      runDirectory: pathOf(folder),
      dataset,
      splits: splitFor(experiment, dataset),
      engine: unreachableEngine(tokenizer, pathOf("checkpoints")),
      retriever,
      embedding: systemOptionsFor({}).embedding,
      reranker,
      answerAgent,
      manager: createMemoryManager({ ...managerOptions, constrained: true }),
      unconstrainedManager: createMemoryManager({ ...managerOptions, constrained: false }),
      base,
      trained: () => Promise.reject(new Error("nothing here is trained")),
      grader: () => (answers) => Promise.resolve(answers.map(() => undefined)),
      fingerprint: "",
    },
    { manager: undefined, answer: undefined },
  );
  const fairness = fairnessTable({
    experiment,
    evaluation,
    tokens: createTokenCounter(tokenizer),
    agentOf: () => answerAgent,
  });
  return { evaluation, fairness };
}
