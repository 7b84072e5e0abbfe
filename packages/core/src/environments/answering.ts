import type {
  AskedQuestion,
  GenerateRequest,
  GenerateResult,
  TextGenerator,
} from "@memory-r1/spec";
import type { AnswerAgent, AnswerMemory } from "../answer/answer-agent.ts";
import type { MemoryBank } from "../bank/memory-bank.ts";
import type { Retriever } from "../retrieval/retriever.ts";
import { inBankOrder } from "../retrieval/top-memories.ts";

/** A question with the memories that its prompt will hold, in the order in which they are shown. */
export interface AnswerRequest {
  readonly question: AskedQuestion;
  readonly memories: readonly AnswerMemory[];
}

/** What became of a question. The raw reply is kept beside what was parsed from it. */
export type Answer =
  | { readonly status: "answered"; readonly answer: string; readonly raw: string }
  | { readonly status: "unparsable"; readonly reason: string; readonly raw: string }
  | { readonly status: "failed"; readonly reason: string };

/**
 * The top `count` memories of a bank for a question, in bank order: chronological lines read better than ranked ones
 * and let the prompts of sibling banks share a long prefix.
 */
export async function selectMemories(options: {
  readonly bank: MemoryBank;
  readonly question: string;
  readonly retriever: Retriever;
  readonly count: number;
}): Promise<readonly AnswerMemory[]> {
  const entries = options.bank.entries();
  const ranked = await options.retriever.rank(options.question, entries, options.count);
  return inBankOrder(ranked, entries).map((entry) => ({
    text: entry.text,
    date: entry.updatedAt,
    participant: entry.participant,
  }));
}

/**
 * Answers every request greedily in one call of the generator; equal prompts are answered once.
 * Answers come in the order of the requests. Nothing is remembered from call to call: the batch, and with it every
 * rounding of the model, is a function of the requests alone, so that a resumed run gets the same answers.
 */
export async function answerAll(options: {
  readonly generator: TextGenerator;
  readonly agent: AnswerAgent;
  readonly requests: readonly AnswerRequest[];
}): Promise<readonly Answer[]> {
  const distinct = new Map<string, GenerateRequest>();
  const keys = options.requests.map((request) => {
    const messages = options.agent.prompt(request);
    const key = JSON.stringify(messages);
    distinct.set(key, { messages, maxTokens: options.agent.maxTokens, temperature: 0, seed: 0 });
    return key;
  });
  const results = await options.generator.generate([...distinct.values()]);
  const resultOf = new Map([...distinct.keys()].map((key, index) => [key, results[index]]));
  return keys.map((key) => readAnswer(options.agent, resultOf.get(key)));
}

function readAnswer(agent: AnswerAgent, result: GenerateResult | undefined): Answer {
  if (result === undefined) return { status: "failed", reason: "the generator gave no result" };
  if (result.status === "failed") return result;
  const raw = result.completions[0]?.text;
  if (raw === undefined) return { status: "failed", reason: "the generator gave no completion" };
  const parsed = agent.parse(raw);
  return parsed.status === "parsed"
    ? { status: "answered", answer: parsed.answer, raw }
    : { status: "unparsable", reason: parsed.reason, raw };
}
