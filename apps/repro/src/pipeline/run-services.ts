import type { AnswerAgent, AnswerGrader, MemoryManager, Retriever } from "@memory-r1/core";
import type { DatasetSplit } from "@memory-r1/datasets";
import type { ChatTokenizer, EngineClient } from "@memory-r1/engine";
import type { Dataset, EmbeddingModel, Reranker, TextGenerator } from "@memory-r1/spec";
import type { Experiment } from "../experiment.ts";
import type { RunContext } from "../run-context.ts";
import type { RewardSource } from "../training-options.ts";

/** A trained agent: where its weights are, and how it did on the validation conversation. */
export interface TrainedAgent {
  readonly samplerPath: string;
  readonly bestStep: number;
  readonly bestScore: number;
  readonly healthy: boolean;
  /** No checkpoint was better than the start, which was the base model: an adapter that changes nothing. */
  readonly isBase: boolean;
}

/** Everything that the phases of a run share. */
export interface RunServices {
  readonly experiment: Experiment;
  readonly context: RunContext;
  readonly runDirectory: string;
  readonly dataset: Dataset;
  readonly splits: DatasetSplit;
  readonly engine: {
    readonly client: EngineClient;
    readonly sessionId: string;
    readonly baseModel: string;
    readonly tokenizer: ChatTokenizer;
    readonly checkpointsDirectory: string;
  };
  readonly retriever: Retriever;
  readonly embedding: EmbeddingModel;
  /** Absent where no arm reranks. */
  readonly reranker?: Reranker | undefined;
  readonly answerAgent: AnswerAgent;
  /** The Manager of the experiment, and the same without its grammar. */
  readonly manager: MemoryManager;
  readonly unconstrainedManager: MemoryManager;
  /** The frozen base model, adapters off. */
  readonly base: TextGenerator;
  /** A generator of saved weights; the base model's own where they change nothing. */
  trained(agent: TrainedAgent): Promise<TextGenerator>;
  /** Grades answers by a metric or a judge, whose model is opened when it is first asked. */
  grader(reward: RewardSource): AnswerGrader;
  /** Hash of all that decides results beside a phase's own configuration: data, prompts, models, seed. */
  readonly fingerprint: string;
}
