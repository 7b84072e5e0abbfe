import type { Retriever } from "@memory-r1/core";
import { type ChatMessage, ConfigError } from "@memory-r1/spec";
import { z } from "zod";
import { askModel } from "../shared/ask-model.ts";
import { countThatFits, joinSameRole, promptTokens, shortenToRoom } from "../shared/prompt-room.ts";
import { createSystemPrompts } from "../shared/system-prompts.ts";
import {
  createTool,
  describeTools,
  done,
  failed,
  parseToolCall,
  type Tool,
  toolCallConstraint,
  type ToolResult,
  wholeNumber,
} from "../shared/tool-calls.ts";
import type { SystemOptions } from "../system-options.ts";
import {
  createMemory,
  deleteMemory,
  type MemoryStore,
  type StoredMemory,
  updateMemory,
} from "./memory-store.ts";

/** Memories that a prompt shows, and that a search finds unless it asks for another number: the store's default. */
const shownMemories = 10;
/** Most calls to the model for one message. The source stops after 25 steps of its graph, 13 of them such calls. */
export const longestCall = 5;
/** Share of the prompt's tokens that the instructions may take. */
const instructionShare = 0.75;

const prompts = createSystemPrompts(["langmem-agent"]);

interface ToolContext {
  readonly store: MemoryStore;
  readonly retriever: Retriever;
  /** When, and in the call of which turns. */
  readonly date: string;
  readonly sourceTurnIds: readonly string[];
  readonly note: (shown: readonly StoredMemory[]) => void;
}

/** Source: langchain-ai/langmem b5dbe4a, knowledge/tools.py. */
const tools: readonly Tool<ToolContext>[] = [
  createTool({
    name: "manage_memory",
    description: "Creates, updates or deletes a memory.",
    parameters: z.strictObject({
      action: z.enum(["create", "update", "delete"]).describe("What to do."),
      id: wholeNumber.nullish().describe("The memory to update or delete; none to create one."),
      content: z.string().nullish().describe("The new text of the memory; none to delete it."),
    }),
    run: ({ action, id, content }, context) => manageMemory(action, id, content ?? "", context),
  }),
  createTool({
    name: "search_memory",
    description: "Finds memories by their meaning.",
    parameters: z.strictObject({
      query: z.string().describe("What to search for."),
      limit: wholeNumber.nullish().describe("Most results, 10 unless given."),
      offset: wholeNumber.nullish().describe("How many results to pass over."),
    }),
    run: async ({ query, limit, offset }, { store, retriever, note }) => {
      const start = offset ?? 0;
      const end = start + (limit ?? shownMemories);
      const found = (await retriever.rank(query, store.memories, end)).slice(start);
      note(found);
      return done(found.length === 0 ? "(none)" : found.map(memoryLine).join("\n"));
    },
  }),
];

const replyTool: Tool<unknown> = createTool({
  name: "reply",
  description: "Ends your work on this message.",
  parameters: z.strictObject({ message: z.string().describe("What you say.") }),
  run: ({ message }) => done(message),
});

const offered = [...tools, replyTool];

/** One message to a speaker's agent. */
export interface AgentCall {
  readonly store: MemoryStore;
  readonly message: string;
  readonly date: string;
  readonly sourceTurnIds: readonly string[];
  /** For the errors of model calls: `langmem, turn D1:3`. */
  readonly purpose: string;
  readonly count: (what: string) => void;
}

export interface AgentReply {
  readonly reply: string;
  /** Every reply of the model, in order. */
  readonly replies: readonly string[];
  /** The memories that the model was shown, in its prompt or by a search. */
  readonly shown: readonly StoredMemory[];
}

/**
 * An agent that thinks, calls a function, reads the result and goes on until it replies. Each call begins with an empty
 * thread: what it knows of earlier turns is what it stored.
 * @throws ConfigError where the model's window is too small for the instructions
 */
export function createLangMemAgent(
  options: SystemOptions,
): (call: AgentCall) => Promise<AgentReply> {
  const { countTokens, contextTokens, replyTokens, retriever } = options;
  const window = contextTokens - replyTokens;
  const functions = describeTools(offered);
  const constraint = toolCallConstraint(offered, replyTokens);
  const systemMessage = (memories: readonly StoredMemory[]): ChatMessage => ({
    role: "system",
    content: prompts
      .render("langmem-agent", {
        functions,
        memories: memories.length === 0 ? "(none)" : memories.map(memoryLine).join("\n"),
      })
      .map(({ content }) => content)
      .join("\n"),
  });
  const instructions = promptTokens([systemMessage([])], countTokens);
  if (instructions > instructionShare * window) {
    throw new ConfigError(
      `langmem: its instructions take ${instructions} tokens, and of ${contextTokens} with ${replyTokens} for the reply they may take ${Math.floor(instructionShare * window)}. Give the model a larger window (contextTokens), or shorter replies (replyTokens).`,
    );
  }

  /** The prompt of a step: the thread below the memories that match its last message, as many as there is room for. */
  async function stepPrompt(
    call: AgentCall,
    thread: readonly ChatMessage[],
  ): Promise<{
    readonly messages: readonly ChatMessage[];
    readonly shown: readonly StoredMemory[];
  }> {
    const fitting = shortenToRoom(thread, window - instructions, countTokens);
    if (fitting.shortened > 0) call.count("message_shortened");
    const asked = thread.at(-1)?.content ?? "";
    const found = await retriever.rank(asked, call.store.memories, shownMemories);
    const render = (count: number): readonly ChatMessage[] => [
      systemMessage(found.slice(0, count)),
      ...fitting.messages,
    ];
    const count = countThatFits(options, found.length, render, { least: 0 });
    return { messages: joinSameRole(render(count)), shown: found.slice(0, count) };
  }

  return async (call) => {
    const thread: ChatMessage[] = [{ role: "user", content: call.message }];
    const replies: string[] = [];
    const shown = new Set<StoredMemory>();
    const note = (memories: readonly StoredMemory[]): void => {
      for (const memory of memories) shown.add(memory);
    };
    const ended = (reply: string): AgentReply => ({ reply, replies, shown: [...shown] });
    while (replies.length < longestCall) {
      const prompt = await stepPrompt(call, thread);
      note(prompt.shown);
      const { text } = await askModel(options, {
        messages: prompt.messages,
        purpose: `${call.purpose}, step ${replies.length + 1}`,
        constraint,
      });
      replies.push(text);
      const parsed = parseToolCall(text);
      if (parsed.status !== "call") {
        // What calls nothing is the agent's last word; a broken call leaves none.
        call.count("unparsable");
        return ended(parsed.status === "text" ? text : "");
      }
      const { name, arguments: given } = parsed.call;
      const tool = offered.find((known) => known.name === name);
      const result =
        tool === undefined
          ? failed(`no function named ${name}`)
          : await tool.run(given, { ...call, retriever, note });
      call.count(result.status === "failed" ? "rejected" : countedName(name, given));
      if (result.status === "done" && name === replyTool.name) return ended(result.output);
      const said = result.status === "done" ? result.output : `Error: ${result.reason}`;
      thread.push(
        { role: "assistant", content: text },
        { role: "user", content: `Result of ${name}: ${said}` },
      );
    }
    call.count("call_cut_off");
    return ended("");
  };
}

function manageMemory(
  action: "create" | "update" | "delete",
  id: number | null | undefined,
  content: string,
  { store, date, sourceTurnIds }: ToolContext,
): ToolResult {
  const hasId = id !== undefined && id !== null;
  if (action === "create" && hasId) return failed("a new memory has no id yet: leave it out");
  if (action !== "delete" && content.trim() === "") return failed("the content is empty");
  const item = { text: content, date, sourceTurnIds };
  if (action === "create") return done(`created memory ${createMemory(store, item)}`);
  if (!hasId) return failed(`say by its id which memory to ${action}`);
  const changed = action === "update" ? updateMemory(store, id, item) : deleteMemory(store, id);
  return changed ? done(`${action}d memory ${id}`) : failed(`there is no memory ${id}`);
}

/** manage_memory is counted by what it did. */
function countedName(name: string, given: Readonly<Record<string, unknown>>): string {
  return typeof given["action"] === "string" ? given["action"] : name;
}

function memoryLine({ id, text, date }: StoredMemory): string {
  return JSON.stringify({ id, content: text, date });
}
