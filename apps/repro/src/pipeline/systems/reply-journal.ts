import { createHash } from "node:crypto";
import { type GenerateRequest, type GenerateResult, ResumeMismatchError } from "@memory-r1/spec";
import { z } from "zod";
import { jsonLines } from "../json-lines.ts";
import type { CountReplyTokens } from "./token-counter.ts";

const replySchema = z.discriminatedUnion("status", [
  z.strictObject({
    status: z.literal("completed"),
    completions: z.array(
      z.strictObject({ text: z.string(), stopReason: z.enum(["stop", "length"]) }),
    ),
    promptTokens: z.number().int(),
    completionTokens: z.number().int(),
  }),
  z.strictObject({ status: z.literal("failed"), reason: z.string() }),
]);
/** A reply as it is kept, and as it is given to a system whether it was kept or has just come. */
export type KeptReply = z.infer<typeof replySchema>;

const recordSchema = z.strictObject({
  /** The batch that this was decoded in, and how many replies that batch had over all conversations. */
  round: z.number().int().min(0),
  of: z.number().int().min(1),
  /** What the system was doing: `turn D1:3`, `answer conv-30/qa-2`. */
  step: z.string(),
  /** Position among the calls of the step. */
  call: z.number().int().min(0),
  /** sha256 of the request. */
  request: z.string(),
  reply: replySchema,
});
export type ReplyRecord = z.infer<typeof recordSchema>;

/** The replies that one conversation of one system has got so far. */
export interface ReplyJournal {
  /**
   * The reply that was kept for this call; undefined where it was never asked.
   * @throws ResumeMismatchError where the call was another one
   */
  find(step: string, call: number, request: GenerateRequest): KeptReply | undefined;
  append(records: readonly ReplyRecord[]): Promise<void>;
}

export interface OpenedJournals {
  /** In the order of the files. */
  readonly journals: readonly ReplyJournal[];
  /** The number of the next batch. */
  readonly nextRound: number;
}

/**
 * Reads the journals of all conversations. A batch is kept whole or not at all: what a killed run left of its last one
 * is dropped, so that it is decoded again as the batch that it was.
 */
export async function openJournals(files: readonly string[]): Promise<OpenedJournals> {
  const logs = files.map((file) => jsonLines(file, recordSchema));
  const found = await Promise.all(logs.map((log) => log.read()));
  const last = Math.max(-1, ...found.flat().map(({ round }) => round));
  const ofLast = found.flat().filter(({ round }) => round === last);
  const isWhole = ofLast.length === (ofLast[0]?.of ?? 0);
  const kept = found.map((records) =>
    isWhole ? records : records.filter(({ round }) => round !== last),
  );
  // Also cuts off a half-written line.
  await Promise.all(
    logs.map(async (log, index) => {
      if ((found[index]?.length ?? 0) > 0) await log.keep(kept[index] ?? []);
    }),
  );
  return {
    journals: logs.map((log, index) =>
      journalOf(files[index] ?? "", kept[index] ?? [], (records) => log.append(records)),
    ),
    nextRound: isWhole ? last + 1 : last,
  };
}

function journalOf(
  file: string,
  records: readonly ReplyRecord[],
  append: ReplyJournal["append"],
): ReplyJournal {
  const byCall = new Map<string, ReplyRecord>();
  const remember = (asked: readonly ReplyRecord[]): void => {
    for (const record of asked) byCall.set(callKey(record.step, record.call), record);
  };
  remember(records);
  return {
    find: (step, call, request) => {
      const record = byCall.get(callKey(step, call));
      if (record === undefined) return undefined;
      if (record.request !== hashRequest(request)) {
        throw new ResumeMismatchError(
          `${file}: the kept reply to call ${call} of ${step} answers another request than the one that is made now. ` +
            "The system, its prompts or its options have changed since the run was begun: start a new run with `repro run`.",
        );
      }
      return record.reply;
    },
    append: async (asked) => {
      await append(asked);
      remember(asked);
    },
  };
}

function callKey(step: string, call: number): string {
  return JSON.stringify([step, call]);
}

/** sha256 of all that decides a reply. */
export function hashRequest(request: GenerateRequest): string {
  const { messages, maxTokens, temperature, seed, constraint, count } = request;
  const deciding = [
    messages.map(({ role, content }) => [role, content]),
    maxTokens,
    temperature,
    seed,
    constraint === undefined ? null : [constraint.type, constraint.value],
    count ?? 1,
  ];
  return createHash("sha256").update(JSON.stringify(deciding)).digest("hex");
}

/** What is kept of a result: never ids and probabilities of tokens, which a resumed run would not have. */
export function toKeptReply(
  result: GenerateResult | undefined,
  countTokens: CountReplyTokens,
  request: GenerateRequest,
): KeptReply {
  if (result === undefined) return { status: "failed", reason: "the generator gave no completion" };
  if (result.status === "failed") return { status: "failed", reason: result.reason };
  const { completions, promptTokens } = result;
  const counted = countTokens(
    request,
    completions.filter(({ tokens }) => tokens === undefined).map(({ text }) => text),
  );
  return {
    status: "completed",
    completions: completions.map(({ text, stopReason }) => ({ text, stopReason })),
    promptTokens: promptTokens?.length ?? counted.promptTokens,
    completionTokens:
      counted.completionTokens +
      completions.reduce((sum, { tokens }) => sum + (tokens?.length ?? 0), 0),
  };
}
