import type { Question } from "@memory-r1/spec";
import { type Arm, type Experiment, resolveExperiment } from "../../experiment.ts";
import type { Prediction } from "../answer-questions.ts";
import type { Evaluation } from "../evaluate-arms.ts";

const armOf = (name: string, system: string, variant: string) =>
  ({
    name,
    system,
    variant,
    memory: { kind: "baseline", baseline: "rag-turns" },
    answer: "untrained",
  }) as const satisfies Omit<Arm, "context" | "splits">;

export function experimentOf(changes: Partial<Experiment["evaluation"]> = {}): Experiment {
  return resolveExperiment({
    name: "small",
    description: "Two arms, three questions",
    dataset: "locomo-mini",
    seed: 5,
    model: { name: "none" },
    evaluation: {
      metrics: ["squad-em", "squad-f1"],
      mainMetric: "squad-f1",
      arms: [armOf("before", "RAG", "plain"), armOf("after", "RAG", "trained")],
      comparisons: [["before", "after"]],
      ...changes,
    },
  });
}

export function questionOf(id: string, gold: string | undefined, ...evidence: string[]): Question {
  return {
    id,
    conversationId: "c1",
    text: `${id}?`,
    ...(gold === undefined ? {} : { gold }),
    category: {
      code: id === "q3" ? "2" : "1",
      names: { official: id === "q3" ? "temporal" : "multi" },
    },
    evidenceTurnIds: evidence,
    answerable: gold !== undefined,
  };
}

export const questions: readonly Question[] = [
  questionOf("q1", "red car", "D1:1"),
  questionOf("q2", "two dogs", "D1:1", "D1:2"),
  questionOf("q3", "1 May 2024", "D1:3"),
];

export const answered = (answer: string) => ({ status: "answered", answer, raw: answer }) as const;
export const predict = (...outcomes: readonly Prediction["outcome"][]): Prediction[] =>
  outcomes.map((outcome, index) => ({ questionId: `q${index + 1}`, memories: [], outcome }));

export const failed = { status: "failed", reason: "HTTP 503" } as const;
const unparsable = { status: "unparsable", reason: "empty", raw: "" } as const;

export const evaluation: Evaluation = {
  questions: { validation: [], test: questions, adversarial: [] },
  predictions: new Map([
    // token F1: 1/2 ("red", of 2 and 2), 0 (no answer in the reply), not graded
    ["before", predict(answered("red bike"), unparsable, failed)],
    // token F1: 1, 4/5 ("two dogs" of 2 in 3 words), 1
    ["after", predict(answered("A red car!"), answered("just two dogs"), answered("1 may 2024"))],
  ]),
  banks: new Map(),
  systems: new Map(),
  conversations: [],
  timings: [],
};
