import type { AskedQuestion, GenerateResult, TextGenerator } from "@memory-r1/spec";
import type { AnswerAgent, AnswerMemory } from "../answer/answer-agent.ts";
import type { MemoryBank } from "../bank/memory-bank.ts";
import type { Retriever } from "../retrieval/retriever.ts";

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
  const chosen = new Set(ranked.map((entry) => entry.id));
  return entries
    .filter((entry) => chosen.has(entry.id))
    .map((entry) => ({ text: entry.text, date: entry.updatedAt, participant: entry.participant }));
}

/** Replies by prompt: a prompt that was asked before is not asked again. Holds for one generator and one seed. */
export type AnswerCache = Map<string, GenerateResult>;

/**
 * Answers every request greedily in one call of the generator; equal prompts are answered once.
 * Answers come in the order of the requests.
 */
export async function answerAll(options: {
  readonly generator: TextGenerator;
  readonly agent: AnswerAgent;
  readonly requests: readonly AnswerRequest[];
  readonly cache?: AnswerCache;
}): Promise<readonly Answer[]> {
  const cache: AnswerCache = options.cache ?? new Map<string, GenerateResult>();
  const prompts = options.requests.map((request) => options.agent.prompt(request));
  const keys = prompts.map((messages) => JSON.stringify(messages));
  const fresh = new Map<string, (typeof prompts)[number]>();
  keys.forEach((key, index) => {
    const messages = prompts[index];
    if (messages !== undefined && !cache.has(key)) fresh.set(key, messages);
  });
  const results = await options.generator.generate(
    [...fresh.values()].map((messages) => ({
      messages,
      maxTokens: options.agent.maxTokens,
      temperature: 0,
      seed: 0,
    })),
  );
  const asked: AnswerCache = new Map<string, GenerateResult>();
  [...fresh.keys()].forEach((key, index) => {
    const result = results[index];
    if (result === undefined) return;
    asked.set(key, result);
    // A failed call is not an answer: the next question with this prompt asks again.
    if (result.status === "completed") cache.set(key, result);
  });
  return keys.map((key) => readAnswer(options.agent, asked.get(key) ?? cache.get(key)));
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
