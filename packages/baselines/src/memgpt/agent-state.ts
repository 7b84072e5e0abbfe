import type { ContextItem } from "@memory-r1/spec";
import type { CoreBlock } from "./core-memory.ts";

export const blockLabels = ["persona", "human"] as const;
export type BlockLabel = (typeof blockLabels)[number];

/**
 * A message of the agent's queue. `turn`: what someone said; `event`: a heartbeat, a warning or a question;
 * `summary`: what became of messages that left the queue; `reply`: the model's; `result`: what a function returned.
 */
export type MessageKind = "turn" | "event" | "summary" | "reply" | "result";

/** `text` is what was said in it, which search reads; `content` is what the model reads, its envelope included. */
export interface AgentMessage extends ContextItem {
  readonly kind: MessageKind;
  readonly content: string;
  /** `YYYY-MM-DD`, where the data set has dates that can be compared. */
  readonly day?: string;
}

/** Everything that an agent remembers. Messages and lines are never changed, only replaced: a copy is a copy of lists. */
export interface AgentState {
  blocks: Readonly<Record<BlockLabel, CoreBlock>>;
  /** What the model still reads, oldest first, without the system message. */
  queue: readonly AgentMessage[];
  /** Every message that was ever in the queue. */
  recall: AgentMessage[];
  archival: ContextItem[];
  /** Messages so far, those before the first turn and the summaries included. */
  messageCount: number;
  /** Whether memory pressure was announced since the last summary. */
  warned: boolean;
}

export function copyState(state: AgentState): AgentState {
  return { ...state, recall: [...state.recall], archival: [...state.archival] };
}

export function appendMessages(state: AgentState, messages: readonly AgentMessage[]): void {
  state.queue = [...state.queue, ...messages];
  state.recall.push(...messages);
  state.messageCount += messages.length;
}
