import { type AnswerToJudge, isAnswerable } from "./judge.ts";
import type { JudgePromptName } from "./prompts.ts";

/** LongMemEval's types of questions, and the template of each. Source: `get_anscheck_prompt` at 9e0b455. */
const templates = {
  "single-session-user": "judge-longmemeval-default",
  "single-session-assistant": "judge-longmemeval-default",
  "multi-session": "judge-longmemeval-default",
  "temporal-reasoning": "judge-longmemeval-temporal-reasoning",
  "knowledge-update": "judge-longmemeval-knowledge-update",
  "single-session-preference": "judge-longmemeval-single-session-preference",
} as const satisfies Readonly<Record<string, JudgePromptName>>;

export type LongMemEvalType = keyof typeof templates;

/** Type guard for names that come from a file or another data set. */
export function isLongMemEvalType(name: string): name is LongMemEvalType {
  return Object.hasOwn(templates, name);
}

/**
 * The template for an answer: that of its type, but the abstention template where the question is unanswerable. The
 * default template where there is no type (another data set); undefined for a type that LongMemEval does not have.
 */
export function longMemEvalTemplate(
  answer: Pick<AnswerToJudge, "questionId" | "type" | "answerable">,
): JudgePromptName | undefined {
  if (!isAnswerable(answer)) return "judge-longmemeval-abstention";
  if (answer.type === undefined) return "judge-longmemeval-default";
  return isLongMemEvalType(answer.type) ? templates[answer.type] : undefined;
}

export const longMemEvalTypes: readonly string[] = Object.keys(templates);
