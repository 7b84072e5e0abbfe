import type { GenerateRequest, GenerateResult, TextGenerator } from "@memory-r1/spec";
import { allQuestions } from "./ana-and-ben.ts";

export interface InformedReader extends TextGenerator {
  /** What it was asked, call by call. */
  readonly calls: readonly (readonly GenerateRequest[])[];
}

/**
 * Reads like a perfect Answer Agent: it gives the gold answer where a memory of the prompt holds it, otherwise
 * "unknown". `instead` may reply in its place; "fail" is a call that failed.
 */
export function createInformedReader(instead: InsteadOfReader = () => undefined): InformedReader {
  const calls: (readonly GenerateRequest[])[] = [];
  return {
    description: "informed reader",
    calls,
    generate: (requests) => {
      calls.push(requests);
      return Promise.resolve(requests.map((request) => reply(request, instead)));
    },
  };
}

type InsteadOfReader = (question: string, memories: readonly string[]) => string | undefined;

function reply(request: GenerateRequest, instead: InsteadOfReader): GenerateResult {
  const { question, memories } = readPrompt(request);
  const gold = allQuestions.find(({ text }) => text === question)?.gold;
  const known = gold !== undefined && memories.some((line) => line.includes(gold));
  const text = instead(question, memories) ?? (known ? gold : "unknown");
  return text === "fail"
    ? { status: "failed", reason: "HTTP 503" }
    : { status: "completed", completions: [{ text, stopReason: "stop" }] };
}

/** What a prompt of the variant `short` asks, and the memory lines that it shows. */
export function readPrompt({ messages }: GenerateRequest): {
  readonly question: string;
  readonly memories: readonly string[];
} {
  const [memories = "", question = ""] = (messages.at(-1)?.content ?? "").split("\n\nQuestion: ");
  return { question, memories: memories.split("\n").slice(1) };
}
