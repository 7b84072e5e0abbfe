import {
  type ChatMessage,
  ConfigError,
  type Constraint,
  type ContextItem,
  type MemorySession,
  type MemorySystem,
  type OpenedConversation,
  type SystemCounts,
} from "@memory-r1/spec";
import { z } from "zod";
import { askModel } from "../shared/ask-model.ts";
import {
  lineSchema,
  listSchema,
  objectConstraint,
  objectSchema,
  readJsonObject,
} from "../shared/json-reply.ts";
import { messageTokens } from "../shared/prompt-room.ts";
import {
  createSpeakerBatches,
  describeBatch,
  type SpeakerBatch,
} from "../shared/speaker-batches.ts";
import { createSystemPrompts } from "../shared/system-prompts.ts";
import type { SystemOptions } from "../system-options.ts";
import { type Mem0Added, type Mem0Memory, startMem0Thread } from "./mem0-npm-thread.ts";
import { createSessionClock, startOf } from "./session-clock.ts";

/** Characters of one memory under a grammar: the package asks for 15 to 80 words. */
const maxTextCharacters = 480;
/** Memories of one batch of two messages under a grammar. */
const maxMemories = 8;

const prompts = createSystemPrompts(["mem0-npm-instructions"]);

const replySchema = z.object({ memory: z.array(z.unknown()) });
const itemSchema = z.object({ text: z.string().min(1) });

/**
 * The npm package mem0ai, 3.3.1, as it is: one call extracts memories from a batch of two messages beside the ten nearest
 * that are there, and all of them are added; nothing is ever updated or deleted. A question is searched by similarity,
 * keywords and entities. Batches, user ids and instructions are those of the system `mem0`, so that the two differ by
 * algorithm. Departures: docs/systems.md.
 */
export function createMem0NpmSystem(options: SystemOptions): MemorySystem {
  return { name: "mem0-npm", open: (conversation) => openSession(options, conversation) };
}

async function openSession(
  options: SystemOptions,
  { participants }: OpenedConversation,
): Promise<MemorySession> {
  const { embedding, retriever, count } = options;
  /** Every memory by mem0ai's id: what it does not keep, the date as it was told and the turns, is kept here. */
  const items = new Map<string, ContextItem>();
  /** User ids by speaker. mem0ai refuses an id with a blank in it, as names have. */
  const userIds = new Map<string, string>();
  const clock = createSessionClock();
  const counter = createCounter();
  const thread = await startMem0Thread({
    customInstructions: prompts.render("mem0-npm-instructions", {})[0]?.content ?? "",
    embed: (texts) => embedding.embed(texts),
  });

  const batches = createSpeakerBatches(participants, async (batch) => {
    const { speaker, session, messages } = batch;
    const userId = userIds.get(speaker) ?? `speaker-${userIds.size + 1}`;
    userIds.set(speaker, userId);
    const start = startOf(session);
    let reply: string | undefined;
    const added = await thread.add({
      at: clock.next(start),
      userId,
      messages: messages.map(({ role, text }) => ({
        role,
        // Where the clock cannot stand at the session's date, the message tells it.
        content: start === undefined ? `(${session.dateText}) ${text}` : text,
      })),
      ask: async (asked) => {
        reply = await askForMemories(options, batch, asked);
        return reply;
      },
    });
    if (added.status === "threw" && reply === undefined) throw new Error(added.reason);
    counter.count(added, reply ?? "");
    if (added.status === "threw") return;
    for (const memory of added.memories) items.set(memory.id, itemOf(memory, batch));
  });

  /** The items of memories, without those that say nothing: the package keeps a text of blanks. */
  const known = (memories: readonly Mem0Memory[]): readonly ContextItem[] =>
    memories.flatMap(({ id }) => items.get(id) ?? []).filter(({ text }) => text.trim() !== "");

  return {
    ingest: (turn, session) => batches.tell(turn, session),
    context: async ({ text }) => {
      // As many of each speaker, then in one order of relevance: the answer prompt takes one list.
      const share = Math.ceil(count / Math.max(1, userIds.size));
      const found: ContextItem[] = [];
      for (const userId of userIds.values()) {
        found.push(...known(await thread.search({ userId, query: text, count: share })));
      }
      return retriever.rank(text, found, count);
    },
    stored: async () => {
      const stored: ContextItem[] = [];
      for (const userId of userIds.values()) stored.push(...known(await thread.list(userId)));
      return stored;
    },
    counts: counter.counts,
    close: () => thread.close(),
  };
}

/** @throws ConfigError where the prompt, most of which is the package's own, and a reply do not fit the context */
async function askForMemories(
  options: SystemOptions,
  batch: SpeakerBatch,
  messages: readonly ChatMessage[],
): Promise<string> {
  const { countTokens, contextTokens, replyTokens } = options;
  const purpose = `mem0-npm, extraction ${describeBatch(batch)}`;
  const tokens = messages.reduce(
    (sum, { content }) => sum + messageTokens(content, countTokens),
    0,
  );
  if (tokens + replyTokens > contextTokens) {
    throw new ConfigError(
      `${purpose}: the prompt of ${tokens} tokens and a reply of ${replyTokens} do not fit a context of ${contextTokens} tokens, and mem0ai's own instructions cannot be made shorter. Set systems.contextTokens to 16384 where the model has that many, or leave this system out.`,
    );
  }
  const { text } = await askModel(options, { purpose, messages, constraint: replyConstraint() });
  return text;
}

/** A grammar of the replies. The links to other memories, which mem0ai reads and does not use, are left out. */
function replyConstraint(): Constraint {
  const memory = objectSchema({
    id: { enum: Array.from({ length: maxMemories }, (_, index) => String(index)) },
    text: lineSchema(maxTextCharacters),
    attributed_to: { enum: ["user", "assistant"] },
  });
  return objectConstraint({ memory: listSchema(memory, maxMemories) });
}

/** A memory stems from the messages of the role that the model names for it: the user's, where it names none. */
function itemOf(
  { text, attributedTo }: Mem0Memory,
  { session, messages }: SpeakerBatch,
): ContextItem {
  const role = attributedTo === "assistant" ? "assistant" : "user";
  const named = messages.filter((message) => message.role === role);
  const sources = named.length > 0 ? named : messages;
  return { text, date: session.dateText, sourceTurnIds: sources.map(({ turnId }) => turnId) };
}

interface Counter {
  count(added: Mem0Added, reply: string): void;
  readonly counts: () => SystemCounts;
}

/** mem0ai passes over what it cannot read or apply; it is counted by what the reply held and what was added. */
function createCounter(): Counter {
  let [added, duplicates, unparsable, rejected] = [0, 0, 0, 0];
  return {
    count: (result, reply) => {
      const read = readJsonObject(reply, replySchema)?.memory;
      if (result.status === "threw" || (read === undefined && result.memories.length === 0)) {
        unparsable += 1;
        return;
      }
      added += result.memories.length;
      rejected += result.complaints.length;
      if (read === undefined) return;
      const texts = read.filter((item) => itemSchema.safeParse(item).success).length;
      rejected += read.length - texts;
      duplicates += texts - result.memories.length;
    },
    counts: () => ({
      operations: { ADD: added, "skip duplicate": duplicates },
      unparsable,
      rejected,
    }),
  };
}
