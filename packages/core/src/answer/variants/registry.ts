import type { AnswerVariant } from "./answer-variant.ts";
import { distillVariant } from "./distill.ts";
import { shortVariant } from "./short.ts";

/** Every answer variant by name. To add one: a file beside this one, a prompt file, and a line here. */
export const answerVariants = {
  distill: distillVariant,
  short: shortVariant,
} as const satisfies Readonly<Record<string, AnswerVariant>>;

export type AnswerVariantName = keyof typeof answerVariants;
