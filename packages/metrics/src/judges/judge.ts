import type { ChatMessage, Constraint, Outcome, UngradedOutcome } from "@memory-r1/spec";

/** What a judge may know about an answer. */
export interface AnswerToJudge {
  /** An id that ends in `_abs` marks an unanswerable question, as in LongMemEval. */
  readonly questionId?: string;
  readonly question: string;
  /** The right answer; LongMemEval: a rubric where the type says so, an explanation where the question is unanswerable. */
  readonly gold?: string;
  readonly prediction: string;
  /** The type of question by LongMemEval's names, such as `temporal-reasoning`. */
  readonly type?: string;
  /** Default: true, unless the id says otherwise. */
  readonly answerable?: boolean;
}

/** What the model is asked, and how. */
export interface JudgeRequest {
  readonly status: "ask";
  /** Name of the prompt file, and sha256 of its bytes: part of every verdict. */
  readonly prompt: string;
  readonly promptSha256: string;
  readonly messages: readonly ChatMessage[];
  readonly temperature: number;
  readonly maxTokens: number;
  /** Where the reply is JSON: its schema. */
  readonly constraint?: Constraint;
}

/** A judge: what a model is asked about an answer, and what its reply means. The model itself is the caller's. */
export interface Judge {
  /** One line. */
  readonly description: string;
  /** Whose contract it is. */
  readonly source: string;
  /** Whether it has a rule for questions that cannot be answered; others leave them ungraded. */
  readonly judgesUnanswerable: boolean;
  /** The request, or why this judge has nothing to say about this answer. */
  build(answer: AnswerToJudge): JudgeRequest | UngradedOutcome;
  /** 1 or 0; ungraded with a reason where the reply is no verdict. Reads the reply alone; never throws. */
  parse(reply: string): Outcome;
}

/** Whether a question can be answered, by its own field or by LongMemEval's suffix of its id. */
export function isAnswerable(answer: Pick<AnswerToJudge, "questionId" | "answerable">): boolean {
  return (answer.answerable ?? true) && !(answer.questionId ?? "").endsWith("_abs");
}
