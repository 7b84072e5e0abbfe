import { type GenerateRequest, ModelCallError, type TextGenerator } from "@memory-r1/spec";
import { addUsage, type ModelUsage, noUsage } from "./model-usage.ts";
import {
  hashRequest,
  type KeptReply,
  type ReplyJournal,
  type ReplyRecord,
  toKeptReply,
} from "./reply-journal.ts";
import type { CountReplyTokens } from "./token-counter.ts";

/** The chat model as one conversation of one system sees it. */
export interface LaneModel {
  readonly generator: TextGenerator;
  /** Names what the calls from here on are for. A failed call ends the run where `mustReply`, else it is the system's matter. */
  startStep(step: string, options: { readonly mustReply: boolean }): void;
  /** The calls of the step so far; `replayed` of them were answered from the journal, `failed` have no reply. */
  step(): ModelUsage & {
    readonly replayed: number;
    readonly failed: number;
    readonly lastReply: string;
  };
}

export interface LockStep {
  lane(index: number, name: string, journal: ReplyJournal): LaneModel;
  /** A lane has no more to ask. */
  end(): void;
  /** Nothing is asked any more: whoever waits, or asks later, gets this error. The first one counts. */
  stop(error: unknown): void;
}

interface Waiting {
  readonly index: number;
  readonly name: string;
  readonly mustReply: boolean;
  readonly step: string;
  readonly firstCall: number;
  readonly journal: ReplyJournal;
  readonly requests: readonly GenerateRequest[];
  readonly resolve: (replies: readonly KeptReply[]) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One chat model for many conversations that are played side by side. A batch is decoded when every lane at work waits
 * for the model, in the order of the lanes: what a batch holds is a function of the conversations and never of timing,
 * so that a run, and a resumed run, come to the same bytes. Replies that the journal has are given at once.
 */
export function createLockStep(options: {
  readonly generator: TextGenerator;
  /** Lanes in all, and how many of them are at work at a time. */
  readonly lanes: number;
  readonly concurrent: number;
  readonly nextRound: number;
  readonly countTokens: CountReplyTokens;
  readonly signal: AbortSignal;
}): LockStep {
  let waiting: Waiting[] = [];
  let ended = 0;
  let round = options.nextRound;
  let stopped: { readonly error: unknown } | undefined;

  const stop = (error: unknown): void => {
    stopped ??= { error };
    for (const one of waiting) one.reject(stopped.error);
    waiting = [];
  };

  const decodeIfAllWait = (): void => {
    const atWork = Math.min(options.concurrent, options.lanes - ended);
    const lanesThatWait = new Set(waiting.map(({ index }) => index)).size;
    if (lanesThatWait === 0 || lanesThatWait < atWork) return;
    const batch = waiting.toSorted(
      (one, other) => one.index - other.index || one.firstCall - other.firstCall,
    );
    waiting = [];
    decode(batch).catch((error: unknown) => {
      stop(error);
      for (const one of batch) one.reject(stopped?.error ?? error);
    });
  };

  const decode = async (batch: readonly Waiting[]): Promise<void> => {
    options.signal.throwIfAborted();
    const results = await options.generator.generate(batch.flatMap(({ requests }) => requests));
    let position = 0;
    const replies = batch.map(({ requests }) =>
      requests.map((request) => toKeptReply(results[position++], options.countTokens, request)),
    );
    for (const [index, { name, step, mustReply }] of batch.entries()) {
      const failure = replies[index]?.find((reply) => reply.status === "failed");
      if (!mustReply || failure === undefined) continue;
      // Memory that misses a reply would be wrong from here on, and nothing of this batch is kept.
      throw new ModelCallError(
        `${name}, ${step}: ${failure.reason}. Resume the run when the model answers again.`,
        { retryable: true },
      );
    }
    const of = replies.flat().length;
    for (const [index, one] of batch.entries()) {
      const records = (replies[index] ?? []).map((reply, offset): ReplyRecord => ({
        round,
        of,
        step: one.step,
        call: one.firstCall + offset,
        request: requestHash(one.requests[offset]),
        reply,
      }));
      await one.journal.append(records);
    }
    round += 1;
    for (const [index, one] of batch.entries()) one.resolve(replies[index] ?? []);
  };

  return {
    end: () => {
      ended += 1;
      decodeIfAllWait();
    },
    stop,
    lane: (index, name, journal) => {
      let step = "";
      let mustReply = true;
      let usage: ModelUsage = noUsage;
      let replayed = 0;
      let failed = 0;
      let lastReply = "";

      const ask = async (requests: readonly GenerateRequest[]): Promise<readonly KeptReply[]> => {
        if (stopped !== undefined) throw stopped.error;
        return new Promise((resolve, reject) => {
          const firstCall = usage.calls - requests.length;
          const place = { index, name, step, mustReply, firstCall, journal };
          waiting.push({ ...place, requests, resolve, reject });
          decodeIfAllWait();
        });
      };

      return {
        startStep: (name, { mustReply: must }) => {
          step = name;
          mustReply = must;
          usage = noUsage;
          replayed = 0;
          failed = 0;
          lastReply = "";
        },
        step: () => ({ ...usage, replayed, failed, lastReply }),
        generator: {
          description: options.generator.description,
          generate: async (requests) => {
            if (requests.length === 0) return [];
            const first = usage.calls;
            usage = { ...usage, calls: first + requests.length };
            const kept = requests.flatMap(
              (request, offset) => journal.find(step, first + offset, request) ?? [],
            );
            const isKept = kept.length === requests.length;
            const replies = isKept ? kept : await ask(requests);
            if (isKept) replayed += requests.length;
            for (const reply of replies) {
              if (reply.status === "failed") {
                failed += 1;
                continue;
              }
              const { promptTokens, completionTokens, completions } = reply;
              usage = addUsage(usage, { calls: 0, promptTokens, completionTokens });
              lastReply = completions[0]?.text ?? lastReply;
            }
            return replies.map((reply) =>
              reply.status === "failed"
                ? reply
                : { status: "completed", completions: reply.completions },
            );
          },
        },
      };
    },
  };
}

function requestHash(request: GenerateRequest | undefined): string {
  if (request === undefined) throw new RangeError("more replies than requests");
  return hashRequest(request);
}
