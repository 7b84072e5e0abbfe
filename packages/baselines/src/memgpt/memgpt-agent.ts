import {
  type ChatMessage,
  ConfigError,
  type ContextItem,
  type GeneratedText,
} from "@memory-r1/spec";
import { z } from "zod";
import { askModel } from "../shared/ask-model.ts";
import {
  cutToTokens,
  joinSameRole,
  messageTokens,
  promptTokens,
  shortenToRoom,
} from "../shared/prompt-room.ts";
import { createSystemPrompts } from "../shared/system-prompts.ts";
import {
  describeTools,
  parseToolCall,
  type ToolCall,
  toolCallConstraint,
} from "../shared/tool-calls.ts";
import type { SystemOptions } from "../system-options.ts";
import { type FunctionContext, functionsOf } from "./agent-functions.ts";
import { type AgentMessage, type AgentState, appendMessages } from "./agent-state.ts";
import { blockText } from "./core-memory.ts";
import { createMessage, createReply, type Moment, toChatMessage } from "./messages.ts";
import type { QueuePolicy } from "./queue-policy.ts";

/** An answer to one message: every step until the model asked for no further one. */
export interface Chain {
  readonly replies: readonly string[];
  /** What was said to the people, in order. */
  readonly sent: readonly string[];
  /** Results of the searches on the way. */
  readonly found: readonly ContextItem[];
}

export interface MemGptAgent {
  start(): AgentState;
  /** Lets the model react to a message. Changes the state. @throws ModelCallError */
  react(state: AgentState, message: AgentMessage, occasion: Occasion): Promise<Chain>;
}

export interface Occasion {
  readonly moment: Moment;
  /** For the errors of model calls: `memgpt-2024, turn D1:3`. */
  readonly purpose: string;
  /** Told of each function that was called, by its name, and of each other thing that happened. */
  readonly count: (what: string) => void;
}

/** Most steps for one message. The source has no limit; a model that fails the same way again and again needs one. */
export const longestChain = 5;
/** Share of the prompt's tokens that the system message may take with all that is in core memory. */
const systemShare = 0.75;
/** A summary's input that is too long is cut to this share of what fits, "for good measure" in both versions. */
const summaryMargin = 0.8;

const prompts = createSystemPrompts([
  "memgpt-agent",
  "memgpt-start",
  "memgpt-persona",
  "memgpt-warning",
  "memgpt-summary",
]);

export function createMemGptAgent(options: SystemOptions, policy: QueuePolicy): MemGptAgent {
  const { countTokens, contextTokens, replyTokens } = options;
  // The window of the sources holds prompts alone; here the reply has its place in it.
  const window = contextTokens - replyTokens;
  const functions = functionsOf[policy.name];
  const offered = functions.map((tool) =>
    tool.name === "send_message"
      ? tool
      : { ...tool, parameters: tool.parameters.extend(heartbeat) },
  );
  const constraint = toolCallConstraint(offered, replyTokens);
  const functionList = describeTools(offered);
  const tokensOf = cached((message: AgentMessage) => messageTokens(message.content, countTokens));

  function systemText(state: Pick<AgentState, "blocks" | "recall" | "archival">): string {
    return promptText("memgpt-agent", {
      functions: functionList,
      recallCount: String(state.recall.length),
      archivalCount: String(state.archival.length),
      persona: blockText(state.blocks.persona),
      personaLimit: String(policy.blockCharacters),
      human: blockText(state.blocks.human),
      humanLimit: String(policy.blockCharacters),
    });
  }

  function systemTokens(state: Parameters<typeof systemText>[0]): number {
    return messageTokens(systemText(state), countTokens);
  }

  function start(): AgentState {
    const nowhere = { date: "", sourceTurnIds: [] };
    const state: AgentState = {
      blocks: { persona: [{ text: promptText("memgpt-persona", {}), ...nowhere }], human: [] },
      queue: prompts.render("memgpt-start", {}).map(({ role, content }) => ({
        kind: role === "assistant" ? "reply" : "result",
        text: "",
        content,
        ...nowhere,
      })),
      recall: [],
      archival: [],
      messageCount: 2,
      warned: false,
    };
    const taken = systemTokens(state);
    if (taken <= systemShare * window) return state;
    throw new ConfigError(
      `memgpt-${policy.name}: its instructions take ${taken} tokens, and of ${contextTokens} with ${replyTokens} for the reply they may take ${Math.floor(systemShare * window)}. Give the model a larger window (contextTokens), or shorter replies (replyTokens).`,
    );
  }

  /** Messages that leave the queue live on in a summary at its head (paper, section 2.2). */
  async function summarizeOldest(
    state: AgentState,
    count: number,
    occasion: Occasion,
  ): Promise<void> {
    const oldest = state.queue.slice(0, count);
    const kept = state.queue.slice(count);
    const summary = await summarize(oldest.map(summaryLine), occasion);
    if (summary === "") occasion.count("unparsable");
    const hidden = state.messageCount - kept.length;
    const message = createMessage(
      "summary",
      summary,
      {
        // The last that it tells of, and not the day on which it was written.
        date: oldest.findLast(({ sourceTurnIds }) => sourceTurnIds.length > 0)?.date ?? "",
        sourceTurnIds: [...new Set(oldest.flatMap(({ sourceTurnIds }) => sourceTurnIds))],
      },
      {
        type: "system_alert",
        message: `${hidden} of ${state.messageCount} messages are no longer in view. Summary of the last ${count} of them: ${summary}`,
      },
    );
    state.queue = [message, ...kept];
    state.recall.push(message);
    state.messageCount += 1;
    state.warned = false;
    occasion.count("recursive_summary");
  }

  async function summarize(lines: readonly string[], occasion: Occasion): Promise<string> {
    const limit = policy.warningShare * window;
    const tokens = countTokens(lines.join("\n"));
    const tooLong =
      tokens > limit ? Math.floor((lines.length * summaryMargin * limit) / tokens) : 0;
    const input =
      tooLong === 0
        ? lines
        : [await summarize(lines.slice(0, tooLong), occasion), ...lines.slice(tooLong)];
    const frame = promptTokens(prompts.render("memgpt-summary", { messages: "" }), countTokens);
    const messages = cutToTokens(input.join("\n"), window - frame, countTokens);
    const reply = await askModel(options, {
      messages: prompts.render("memgpt-summary", { messages }),
      purpose: `${occasion.purpose}, summary`,
    });
    return reply.text.trim();
  }

  /** Makes room for the message, by summaries as far as they go, and then by leaving out the ends of long messages. */
  async function fittingPrompt(
    state: AgentState,
    pending: AgentMessage,
    occasion: Occasion,
  ): Promise<{ readonly messages: readonly ChatMessage[]; readonly tokens: number }> {
    const room = (): number => window - systemTokens(state);
    const taken = (): number =>
      [...state.queue, pending].reduce((sum, message) => sum + tokensOf(message), 0);
    while (taken() > room()) {
      const count = policy.countToSummarize({ queue: state.queue, tokensOf, window });
      if (count <= 1) break;
      await summarizeOldest(state, count, occasion);
    }
    const { messages, shortened } = shortenToRoom([...state.queue, pending], room(), countTokens);
    if (shortened > 0) occasion.count("message_shortened");
    const system: ChatMessage = { role: "system", content: systemText(state) };
    return {
      messages: joinSameRole([system, ...messages.map(toChatMessage)]),
      tokens: systemTokens(state) + promptTokens(messages, countTokens),
    };
  }

  /** One step: a call to the model, and the function that it calls. */
  async function takeStep(
    state: AgentState,
    pending: AgentMessage,
    work: FunctionContext,
    occasion: Occasion & { readonly step: number },
  ): Promise<{ readonly reply: string; readonly next: AgentMessage | undefined }> {
    const { moment, purpose, count } = occasion;
    const { messages, tokens } = await fittingPrompt(state, pending, occasion);
    const reply = await askModel(options, {
      messages,
      purpose: `${purpose}, step ${occasion.step}`,
      constraint,
    });
    const { added, next } = await handleReply(reply, work, occasion);
    appendMessages(state, [pending, ...added]);
    const used = tokens + countTokens(reply.text);
    if (used <= policy.warningShare * window || state.warned) {
      return { reply: reply.text, next };
    }
    // The warning comes before a failure and before a heartbeat, and takes their place.
    state.warned = true;
    count("memory_pressure_warning");
    const alert = promptText("memgpt-warning", {});
    const warning = createMessage("event", alert, moment, { type: "system_alert", message: alert });
    return { reply: reply.text, next: warning };
  }

  async function handleReply(
    { text }: GeneratedText,
    work: FunctionContext,
    { moment, count }: Occasion,
  ): Promise<{ readonly added: readonly AgentMessage[]; readonly next: AgentMessage | undefined }> {
    const parsed = parseToolCall(text);
    if (parsed.status === "text") {
      // No call at all is a thought: it stays in the queue, and the chain ends.
      count("unparsable");
      return { added: [createReply(text, text, moment)], next: undefined };
    }
    if (parsed.status === "unparsable") {
      count("unparsable");
      const result = resultMessage("", "Failed", `this is no call: ${parsed.reason}`, moment);
      return {
        added: [createReply(text, "", moment), result],
        next: heartbeatMessage("a call failed", moment),
      };
    }
    const { call } = parsed;
    const { status, message, asksForStep } = await runCall(call, work, count);
    const wakes =
      status === "Failed" ? "a call failed" : asksForStep ? "you asked for it" : undefined;
    return {
      added: [
        createReply(text, call.thoughts, moment),
        resultMessage(call.name, status, message, moment),
      ],
      next: wakes === undefined ? undefined : heartbeatMessage(wakes, moment),
    };
  }

  async function runCall(
    call: ToolCall,
    work: FunctionContext,
    count: Occasion["count"],
  ): Promise<{
    readonly status: "OK" | "Failed";
    readonly message: string;
    readonly asksForStep: boolean;
  }> {
    const tool = functions.find(({ name }) => name === call.name);
    if (tool === undefined) {
      count("rejected");
      return { status: "Failed", message: `no function named ${call.name}`, asksForStep: false };
    }
    const { request_heartbeat: flag, ...given } = call.arguments;
    const read = heartbeatFlag.safeParse(flag);
    if (!read.success && tool.name !== "send_message") count("missing_heartbeat_flag");
    const result = await tool.run(given, work);
    if (result.status === "failed") {
      count("rejected");
      return { status: "Failed", message: `${call.name}: ${result.reason}`, asksForStep: false };
    }
    count(call.name);
    return { status: "OK", message: result.output, asksForStep: read.success && read.data };
  }

  async function react(
    state: AgentState,
    message: AgentMessage,
    occasion: Occasion,
  ): Promise<Chain> {
    const replies: string[] = [];
    const work: FunctionContext = {
      state,
      policy,
      retriever: options.retriever,
      step: { date: occasion.moment.date, sourceTurnIds: occasion.moment.sourceTurnIds },
      hasRoomFor: (blocks) => systemTokens({ ...state, blocks }) <= systemShare * window,
      found: [],
      sent: [],
      onEmptySearch: () => occasion.count("empty_search"),
    };
    let pending: AgentMessage | undefined = message;
    while (pending !== undefined) {
      if (replies.length === longestChain) {
        occasion.count("chain_cut_off");
        break;
      }
      const step: number = replies.length + 1;
      const taken = await takeStep(state, pending, work, { ...occasion, step });
      replies.push(taken.reply);
      pending = taken.next;
    }
    return { replies, sent: work.sent, found: work.found };
  }

  return { start, react };
}

const heartbeat = {
  request_heartbeat: z.boolean().describe("Whether you get another step after this function."),
};
/** Models write the flag as a text, too; anything else counts as missing, and means no. */
const heartbeatFlag = z.union([
  z.boolean(),
  z
    .string()
    .regex(/^\s*true\s*$/i)
    .transform(() => true),
]);

function promptText(
  name: Parameters<typeof prompts.render>[0],
  variables: Readonly<Record<string, string>>,
): string {
  return prompts
    .render(name, variables)
    .map(({ content }) => content)
    .join("\n");
}

function heartbeatMessage(reason: string, moment: Moment): AgentMessage {
  return createMessage("event", reason, moment, { type: "heartbeat", reason });
}

function resultMessage(
  name: string,
  status: "OK" | "Failed",
  message: string,
  moment: Moment,
): AgentMessage {
  return createMessage("result", message, moment, {
    type: "function_result",
    function: name,
    status,
    message,
  });
}

function summaryLine(message: AgentMessage): string {
  return `${toChatMessage(message).role}: ${message.content}`;
}

function cached<Key extends object>(compute: (key: Key) => number): (key: Key) => number {
  const known = new WeakMap<Key, number>();
  return (key) => {
    const value = known.get(key) ?? compute(key);
    known.set(key, value);
    return value;
  };
}
