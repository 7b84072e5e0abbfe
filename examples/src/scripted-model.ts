import type { GenerateRequest, TextGenerator } from "@memory-r1/spec";
import { createScriptedGenerator } from "@memory-r1/models/testing";

/** A reply, or what makes one of the prompt's last message. */
export type ScriptLine = string | ((prompt: string) => string);

/** What each agent says in turn. */
export interface Script {
  readonly manager: readonly ScriptLine[];
  readonly answer: readonly ScriptLine[];
}

/** Two models that say their lines in turn. They stand for a language model where none is configured. */
export function createScriptedModels({ manager, answer }: Script) {
  return { manager: createScriptedModel(manager), answer: createScriptedModel(answer) };
}

function createScriptedModel(lines: readonly ScriptLine[]): TextGenerator {
  let position = 0;
  return createScriptedGenerator((request) => {
    const line = lines[position];
    position += 1;
    if (line === undefined) return { failed: "the script of this example has ended" };
    const text = typeof line === "string" ? line : line(lastMessage(request));
    return { text, stopReason: "stop" };
  });
}

/**
 * A model of two rules, for a chat without a language model: it keeps every new sentence once (Manager, format
 * `compact`), and answers with the memory that shares the most words with the question (Answer Agent, variant `short`).
 */
export function createRuleModel(): TextGenerator {
  return createScriptedGenerator(
    (request) => {
      const prompt = lastMessage(request);
      const fact = /^New fact: (.*)$/m.exec(prompt)?.[1];
      const text = fact === undefined ? answerByWords(prompt) : keepOnce(prompt, fact);
      return { text, stopReason: "stop" };
    },
    { description: "two rules, no language model" },
  );
}

const lastMessage = ({ messages }: GenerateRequest): string => messages.at(-1)?.content ?? "";

const keepOnce = (prompt: string, fact: string): string =>
  prompt.split("\n").some((line) => line.replace(/^\d+\. /, "") === fact) ? "NOOP" : `ADD: ${fact}`;

function answerByWords(prompt: string): string {
  const lines = prompt.split("\n");
  const question = new Set(wordsOf(lines.findLast((line) => line.startsWith("Question: ")) ?? ""));
  const memories = lines.slice(1, -2).filter((line) => line !== "(none)");
  const scored = memories.map((line) => ({
    line,
    score: wordsOf(line).filter((word) => question.has(word)).length,
  }));
  const [best] = scored.toSorted((left, right) => right.score - left.score);
  return best === undefined || best.score === 0 ? "I do not know." : best.line;
}

const wordsOf = (text: string): readonly string[] =>
  text.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) ?? [];
