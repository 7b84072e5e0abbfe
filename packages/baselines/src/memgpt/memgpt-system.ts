import { turnText } from "@memory-r1/core";
import type {
  AskedQuestion,
  ContextItem,
  MemorySession,
  MemorySystem,
  SystemAnswer,
} from "@memory-r1/spec";
import type { SystemOptions } from "../system-options.ts";
import { type AgentMessage, type AgentState, blockLabels, copyState } from "./agent-state.ts";
import { createMemGptAgent, type MemGptAgent } from "./memgpt-agent.ts";
import { createMessage, type Moment } from "./messages.ts";
import type { QueuePolicy } from "./queue-policy.ts";

export interface MemGptOptions extends SystemOptions {
  readonly policy: QueuePolicy;
}

/**
 * MemGPT (arXiv 2310.08560): an agent with core memory in its prompt, a queue of messages whose oldest are summarised
 * when the window is full, recall storage of all messages and archival storage of what it chose to keep. Every turn is a
 * message to the agent, which calls functions, one in each step, until it asks for no further step.
 * Sources of the two policies: cpacker/MemGPT 9690527c (2023-10) and letta-ai/letta 77f9c4a6 (2024-12). Departures are
 * listed in docs/systems.md.
 * open throws ConfigError where the model's window is too small for the instructions.
 */
export function createMemGptSystem({ policy, ...options }: MemGptOptions): MemorySystem {
  const name = `memgpt-${policy.name}`;
  return {
    name,
    open: async () => openSession(name, options, createMemGptAgent(options, policy)),
  };
}

function openSession(name: string, options: SystemOptions, agent: MemGptAgent): MemorySession {
  const state = agent.start();
  const counted = new Map<string, number>();
  const count = (what: string): void => {
    counted.set(what, (counted.get(what) ?? 0) + 1);
  };
  return {
    ingest: async (turn, session) => {
      const text = turnText(turn);
      const moment: Moment = {
        date: session.dateText,
        sourceTurnIds: [turn.id],
        ...(session.dateTime === undefined ? {} : { day: session.dateTime.slice(0, 10) }),
      };
      const message = createMessage("turn", text, moment, { type: "user_message", message: text });
      await agent.react(state, message, { moment, purpose: `${name}, turn ${turn.id}`, count });
    },
    context: (question) => selectContext(state, question, options),
    answer: (question) => answerFrom(agent, copyState(state), question, name),
    stored: () =>
      Promise.resolve([
        ...coreLines(state),
        ...state.archival,
        ...rememberedOf(state.recall).map(toItem),
      ]),
    counts: () => {
      const { unparsable = 0, rejected = 0, ...operations } = Object.fromEntries(counted);
      return { operations, unparsable, rejected };
    },
  };
}

/**
 * The question as a message to the agent, as in the paper's deep memory retrieval; the answer is what it says last.
 * The state is a copy that is thrown away.
 */
async function answerFrom(
  agent: MemGptAgent,
  state: AgentState,
  question: AskedQuestion,
  name: string,
): Promise<SystemAnswer> {
  const moment: Moment = {
    date: question.dateText ?? state.recall.at(-1)?.date ?? "",
    sourceTurnIds: [],
  };
  const message = createMessage("event", question.text, moment, {
    type: "user_message",
    message: question.text,
  });
  const inView = [...coreLines(state), ...rememberedOf(state.queue)].map(toItem);
  let unparsableReplies = 0;
  const { replies, sent, found } = await agent.react(state, message, {
    moment,
    purpose: `${name}, question ${question.id}`,
    count: (what) => {
      if (what === "unparsable") unparsableReplies += 1;
    },
  });
  const answer = sent.at(-1);
  if (answer === undefined || answer.trim() === "") {
    const reason = answer === undefined ? "no message was sent" : "the last message sent is empty";
    return { status: "unparsable", reason, unparsableReplies };
  }
  const shown = withoutRepeats([...inView, ...found.map(toItem)]);
  return { status: "answered", answer, replies, shown, unparsableReplies };
}

/**
 * What the memory shows for a question: what is always in view (core memory, the summary at the queue's head), then the
 * best of archival and recall storage, as far as the number of items goes; best first.
 */
async function selectContext(
  state: AgentState,
  question: AskedQuestion,
  { retriever, count }: SystemOptions,
): Promise<readonly ContextItem[]> {
  const inView = [
    ...coreLines(state),
    ...rememberedOf(state.queue).filter(({ kind }) => kind === "summary"),
  ].map(toItem);
  const stored = [
    ...state.archival,
    ...rememberedOf(state.recall).filter(({ kind }) => kind === "turn"),
  ].map(toItem);
  const first = await retriever.rank(question.text, inView, count);
  const found = await retriever.rank(question.text, stored, count - first.length);
  return retriever.rank(question.text, [...first, ...found], count);
}

/** Without the lines that no turn is the source of: what the persona begins with, and blank ones. */
function coreLines({ blocks }: AgentState): readonly ContextItem[] {
  return blockLabels
    .flatMap((label) => blocks[label])
    .filter(({ text, sourceTurnIds }) => text.trim() !== "" && sourceTurnIds.length > 0);
}

/** What was said and what was summarised; not the agent's own calls, their results and the heartbeats. */
function rememberedOf(messages: readonly AgentMessage[]): readonly AgentMessage[] {
  return messages.filter(
    ({ kind, text, sourceTurnIds }) =>
      (kind === "turn" || kind === "summary") && text.trim() !== "" && sourceTurnIds.length > 0,
  );
}

function toItem({ text, date, sourceTurnIds }: ContextItem): ContextItem {
  return { text, date, sourceTurnIds };
}

function withoutRepeats(items: readonly ContextItem[]): readonly ContextItem[] {
  const byContent = new Map(items.map((item) => [JSON.stringify(item), item]));
  return [...byContent.values()];
}
