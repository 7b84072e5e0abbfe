import { renderPrompt } from "../../prompts/prompts.ts";
import { type AnswerVariant, memoryLines } from "./answer-variant.ts";

const answerMarker = "**Answer:**";

/**
 * The paper's memory distillation: the reply first writes the memories that it selects (numbers, texts or both), then
 * the answer after the marker. Of several markers the last one counts, as a model that corrects itself means it.
 */
export const distillVariant: AnswerVariant = {
  maxTokens: 2048,
  messages: ({ question, memories }) =>
    renderPrompt("answer-distill", {
      memories: memoryLines(memories, ({ date, participant, text }, index) => {
        const origin = participant === undefined ? date : `${date}, ${participant}`;
        return `${index + 1}. ${origin}: ${text}`;
      }),
      question,
    }),
  parse: (text) => {
    const position = text.lastIndexOf(answerMarker);
    if (position < 0) {
      return { status: "unparsable", reason: `no ${answerMarker} in the reply`, raw: text };
    }
    const answer = text.slice(position + answerMarker.length).trim();
    if (answer === "") {
      return { status: "unparsable", reason: `nothing after ${answerMarker}`, raw: text };
    }
    return { status: "parsed", answer, selected: selectedMemories(text.slice(0, position)) };
  },
};

/** The lines of the selection without list signs; headings (`**...**`, also an earlier answer) are no selection. */
function selectedMemories(text: string): readonly string[] {
  return text
    .split(/\r?\n/)
    .map((line) => line.trim().replace(/^[-*•]\s+/, ""))
    .filter((line) => line !== "" && !line.startsWith("**"));
}
