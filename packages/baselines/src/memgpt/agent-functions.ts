import type { Retriever } from "@memory-r1/core";
import type { ContextItem } from "@memory-r1/spec";
import { z } from "zod";
import {
  createTool,
  done,
  failed,
  type Tool,
  type ToolResult,
  wholeNumber,
} from "../shared/tool-calls.ts";
import { type AgentState, type BlockLabel, blockLabels } from "./agent-state.ts";
import {
  appendToBlock,
  blockText,
  type CoreBlock,
  countCharacters,
  replaceInBlock,
  type WritingStep,
} from "./core-memory.ts";
import type { QueuePolicy } from "./queue-policy.ts";

/** Results of a search on one page. Source: the count of cpacker/MemGPT 9690527c and of letta-ai/letta 77f9c4a6. */
const pageSize = 5;

/** What a function works on, and what it leaves behind for the agent. */
export interface FunctionContext {
  readonly state: AgentState;
  readonly policy: QueuePolicy;
  readonly retriever: Retriever;
  readonly step: WritingStep;
  /** Whether the prompt has room for a core memory of these blocks. */
  readonly hasRoomFor: (blocks: AgentState["blocks"]) => boolean;
  /** What the searches of this chain found. */
  readonly found: ContextItem[];
  /** What `send_message` was called with, in order. */
  readonly sent: string[];
  /** Called by a search that has nothing to show. */
  readonly onEmptySearch: () => void;
}

type AgentFunction = Tool<FunctionContext>;

const content = z.string().describe("What to write.");
const query = z.string().describe("What to search for.");
const page = wholeNumber.nullish().describe("Page of the results, from 0.");
const block = z.enum(blockLabels).describe("The block of core memory.");
const oldContent = z.string().describe("The text to replace, exactly as it stands there.");
const newContent = z.string().describe("The text in its place; empty to delete.");
const day = z.string().describe("A day as YYYY-MM-DD.");

const sendMessage: AgentFunction = createTool({
  name: "send_message",
  description: "Says something to the people. Nothing else that you write is seen by them.",
  parameters: z.strictObject({ message: z.string().describe("What to say.") }),
  run: ({ message }, { sent }) => {
    sent.push(message);
    return nothingReturned;
  },
});

const archivalInsert: AgentFunction = createTool({
  name: "archival_memory_insert",
  description: "Writes a passage to archival memory. Word it so that a search will find it.",
  parameters: z.strictObject({ content }),
  run: ({ content: text }, { state, step }) => {
    if (text.trim() === "") return failed("the content is empty");
    state.archival.push({ text, ...step });
    return nothingReturned;
  },
});

/** Source: cpacker/MemGPT 9690527c, memgpt/agent.py and memgpt/presets.py. */
const functions2023: readonly AgentFunction[] = [
  sendMessage,
  createTool({
    name: "core_memory_append",
    description: "Adds a line to a block of core memory.",
    parameters: z.strictObject({ name: block, content }),
    run: (given, context) => appendToCore(context, given.name, given.content),
  }),
  createTool({
    name: "core_memory_replace",
    description: "Replaces text in a block of core memory.",
    parameters: z.strictObject({ name: block, old_content: oldContent, new_content: newContent }),
    run: (given, context) =>
      replaceInCore(context, given.name, given.old_content, given.new_content),
  }),
  createTool({
    name: "conversation_search",
    description: "Finds earlier messages that contain a text.",
    parameters: z.strictObject({ query, page }),
    run: (given, context) => showPage(context, messagesWith(context, given.query), given.page ?? 0),
  }),
  createTool({
    name: "conversation_search_date",
    description: "Finds earlier messages by their date.",
    parameters: z.strictObject({ start_date: day, end_date: day, page }),
    run: (given, context) => {
      const wrong = [given.start_date, given.end_date].find(
        (text) => !/^\d{4}-\d{2}-\d{2}$/.test(text),
      );
      if (wrong !== undefined) return failed(`${wrong} is no date of the form YYYY-MM-DD`);
      const messages = searchedMessages(context).filter(
        (message) =>
          message.day !== undefined &&
          given.start_date <= message.day &&
          message.day <= given.end_date,
      );
      return showPage(context, messages, given.page ?? 0);
    },
  }),
  archivalInsert,
  createTool({
    name: "archival_memory_search",
    description: "Finds passages of archival memory by their meaning.",
    parameters: z.strictObject({ query, page }),
    run: async (given, context) => {
      const { archival } = context.state;
      const ranked = await context.retriever.rank(given.query, archival, archival.length);
      return showPage(context, ranked, given.page ?? 0);
    },
  }),
];

/** Source: letta-ai/letta 77f9c4a6, letta/functions/function_sets/base.py. */
const functions2024: readonly AgentFunction[] = [
  sendMessage,
  createTool({
    name: "conversation_search",
    description: "Finds earlier messages of the people that contain a text.",
    parameters: z.strictObject({ query, page }),
    // This version takes the page and always shows the first.
    run: (given, context) =>
      showPage(context, messagesWith(context, given.query).slice(0, pageSize), 0),
  }),
  archivalInsert,
  createTool({
    name: "archival_memory_search",
    description: "Finds passages of archival memory by their meaning.",
    parameters: z.strictObject({
      query,
      page,
      start: wholeNumber.nullish().describe("How many results to pass over."),
    }),
    // This version takes the page and goes by `start` alone.
    run: async (given, context) => {
      const start = given.start ?? 0;
      const ranked = await context.retriever.rank(
        given.query,
        context.state.archival,
        start + pageSize,
      );
      const shown = ranked.slice(start);
      noteFound(context, shown);
      return done(
        JSON.stringify(shown.map(({ date, text }) => ({ timestamp: date, content: text }))),
      );
    },
  }),
  createTool({
    name: "core_memory_append",
    description: "Adds a line to a block of core memory.",
    parameters: z.strictObject({ label: block, content }),
    run: (given, context) => appendToCore(context, given.label, given.content),
  }),
  createTool({
    name: "core_memory_replace",
    description: "Replaces text in a block of core memory.",
    parameters: z.strictObject({ label: block, old_content: oldContent, new_content: newContent }),
    run: (given, context) =>
      replaceInCore(context, given.label, given.old_content, given.new_content),
  }),
];

/** The functions of a version, in the order in which the prompt lists them. */
export const functionsOf: Readonly<Record<QueuePolicy["name"], readonly AgentFunction[]>> = {
  "2023": functions2023,
  "2024": functions2024,
};

const nothingReturned = done("None");

function appendToCore(context: FunctionContext, label: BlockLabel, text: string): ToolResult {
  if (text.trim() === "") return failed("the content is empty");
  return writeBlock(context, label, appendToBlock(context.state.blocks[label], text, context.step));
}

function replaceInCore(
  context: FunctionContext,
  label: BlockLabel,
  before: string,
  after: string,
): ToolResult {
  const replaced = replaceInBlock(context.state.blocks[label], before, after, context.step);
  if (replaced !== undefined) return writeBlock(context, label, replaced);
  return failed(`the block ${label} does not contain the old content. Give it exactly`);
}

function writeBlock(
  { state, policy, hasRoomFor }: FunctionContext,
  label: BlockLabel,
  lines: CoreBlock,
): ToolResult {
  const characters = countCharacters(blockText(lines));
  const blocks = { ...state.blocks, [label]: lines };
  const advice =
    "Shorten what is in it, or move what matters less to archival memory, and try again";
  if (characters > policy.blockCharacters) {
    return failed(
      `the block ${label} would have ${characters} characters, at most ${policy.blockCharacters} are possible. ${advice}`,
    );
  }
  if (!hasRoomFor(blocks)) {
    return failed(`core memory would leave no room for the conversation. ${advice}`);
  }
  state.blocks = blocks;
  return nothingReturned;
}

function searchedMessages({ state, policy }: FunctionContext): AgentState["recall"] {
  return state.recall.filter(({ kind }) => policy.searchedKinds.includes(kind));
}

function messagesWith(context: FunctionContext, text: string): readonly ContextItem[] {
  const wanted = text.toLowerCase();
  return searchedMessages(context).filter((message) => message.text.toLowerCase().includes(wanted));
}

function showPage(
  context: FunctionContext,
  items: readonly ContextItem[],
  shownPage: number,
): ToolResult {
  const shown = items.slice(shownPage * pageSize, (shownPage + 1) * pageSize);
  noteFound(context, shown);
  if (shown.length === 0) return done("No results found.");
  const lastPage = Math.ceil(items.length / pageSize) - 1;
  const lines = JSON.stringify(shown.map(({ date, text }) => `${date}, ${text}`));
  return done(
    `Showing ${shown.length} of ${items.length} results (page ${shownPage}/${lastPage}): ${lines}`,
  );
}

function noteFound(context: FunctionContext, shown: readonly ContextItem[]): void {
  context.found.push(...shown);
  if (shown.length === 0) context.onEmptySearch();
}
