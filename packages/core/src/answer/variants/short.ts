import { renderPrompt } from "../../prompts/prompts.ts";
import { type AnswerVariant, memoryLines } from "./answer-variant.ts";

/**
 * For small models: dated memories in the order given, one line of instruction, a few words back. No distillation.
 * Give the memories in bank order (`inBankOrder`): read in time order, and prompts of similar banks share a prefix.
 */
export const shortVariant: AnswerVariant = {
  maxTokens: 16,
  messages: ({ question, memories }) =>
    renderPrompt("answer-short", {
      memories: memoryLines(memories, ({ date, text }) => `${date}: ${text}`),
      question,
    }),
  parse: (text) => {
    const line = text
      .split(/\r?\n/)
      .map((candidate) => candidate.trim())
      .find((candidate) => candidate !== "");
    const answer = line?.replace(/^Answer:/i, "").trim() ?? "";
    return answer === ""
      ? { status: "unparsable", reason: "the reply holds no answer", raw: text }
      : { status: "parsed", answer };
  },
};
