import { turnText } from "@memory-r1/core";
import type {
  AskedQuestion,
  ContextItem,
  MemorySession,
  MemorySystem,
  OpenedConversation,
  SystemAnswer,
} from "@memory-r1/spec";
import { askModel } from "../shared/ask-model.ts";
import { cutToTokens, promptTokens } from "../shared/prompt-room.ts";
import { createSystemPrompts } from "../shared/system-prompts.ts";
import type { SystemOptions } from "../system-options.ts";
import { createLangMemAgent } from "./langmem-agent.ts";
import { createMemoryStore, type MemoryStore, type StoredMemory } from "./memory-store.ts";

const prompts = createSystemPrompts(["langmem-answer"]);

/**
 * A tool agent in LangMem's style, as the Mem0 paper ran it: an agent with a store of its own for each speaker, and every
 * turn is a message to its speaker's agent, which creates, updates, deletes and searches memories by function calls.
 * Sources: langchain-ai/langmem b5dbe4a; evaluation/src/langmem.py of mem0ai/mem0 before 9315e3036. Departures are listed
 * in docs/systems.md.
 * open throws ConfigError where the model's window is too small for the instructions.
 */
export function createLangMemSystem(options: SystemOptions): MemorySystem {
  return { name: "langmem", open: async (conversation) => openSession(options, conversation) };
}

function openSession(options: SystemOptions, { participants }: OpenedConversation): MemorySession {
  const callAgent = createLangMemAgent(options);
  const stores = new Map(participants.map((name) => [name, createMemoryStore(name)]));
  const counted = new Map<string, number>();
  const count = (what: string): void => {
    counted.set(what, (counted.get(what) ?? 0) + 1);
  };

  function storeOf(speaker: string): MemoryStore {
    const store = stores.get(speaker) ?? createMemoryStore(speaker);
    stores.set(speaker, store);
    return store;
  }

  function memories(): readonly StoredMemory[] {
    return [...stores.values()].flatMap((store) => store.memories);
  }

  /** Asks every speaker's agent, and answers from what they reply. The stores are copies that are thrown away. */
  async function answer(question: AskedQuestion): Promise<SystemAnswer> {
    const purpose = `langmem, question ${question.id}`;
    const asked = [];
    let unparsableReplies = 0;
    for (const store of stores.values()) {
      const agentReply = await callAgent({
        store: { ...store },
        message: question.text,
        date: question.dateText ?? "",
        sourceTurnIds: [],
        purpose: `${purpose}, ${store.speaker}'s agent`,
        count: (what) => {
          if (what === "unparsable") unparsableReplies += 1;
        },
      });
      asked.push({ speaker: store.speaker, ...agentReply });
    }
    const said = asked.map(({ speaker, reply }) => `${speaker}'s memories: ${reply}`).join("\n");
    const text = await answerFrom(said, question, purpose);
    if (text === "") {
      return {
        status: "unparsable",
        reason: "the reply to the answer prompt is empty",
        unparsableReplies: unparsableReplies + 1,
      };
    }
    return {
      status: "answered",
      answer: text,
      replies: [...asked.flatMap(({ replies }) => replies), text],
      shown: asked.flatMap(({ shown }) => shown).map(toItem),
      unparsableReplies,
    };
  }

  async function answerFrom(
    replies: string,
    question: AskedQuestion,
    purpose: string,
  ): Promise<string> {
    const { countTokens, contextTokens, replyTokens } = options;
    const frame = prompts.render("langmem-answer", { replies: "", question: question.text });
    const room = contextTokens - replyTokens - promptTokens(frame, countTokens);
    const { text } = await askModel(options, {
      messages: prompts.render("langmem-answer", {
        replies: cutToTokens(replies, room, countTokens),
        question: question.text,
      }),
      purpose: `${purpose}, answer`,
    });
    return text.trim();
  }

  return {
    ingest: async (turn, session) => {
      await callAgent({
        store: storeOf(turn.speaker),
        message: `${session.dateText} | ${turnText(turn)}`,
        date: session.dateText,
        sourceTurnIds: [turn.id],
        purpose: `langmem, turn ${turn.id}`,
        count,
      });
    },
    context: async (question) =>
      (await options.retriever.rank(question.text, memories(), options.count)).map(toItem),
    answer,
    stored: () => Promise.resolve(memories().map(toItem)),
    counts: () => {
      const { unparsable = 0, rejected = 0, ...operations } = Object.fromEntries(counted);
      return { operations, unparsable, rejected };
    },
  };
}

function toItem({ text, date, sourceTurnIds }: StoredMemory): ContextItem {
  return { text, date, sourceTurnIds };
}
