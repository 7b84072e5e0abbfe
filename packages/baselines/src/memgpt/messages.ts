import type { ChatMessage } from "@memory-r1/spec";
import type { AgentMessage, MessageKind } from "./agent-state.ts";
import type { WritingStep } from "./core-memory.ts";

/** When something happens: the step that it belongs to, and the day where days can be compared. */
export interface Moment extends WritingStep {
  readonly day?: string;
}

type EnvelopeType = "user_message" | "heartbeat" | "system_alert" | "function_result";

/** What is not the model's own reaches it as JSON, with its type and the session's date. */
export function createMessage(
  kind: Exclude<MessageKind, "reply">,
  text: string,
  moment: Moment,
  envelope: { readonly type: EnvelopeType } & Readonly<Record<string, string>>,
): AgentMessage {
  const content = JSON.stringify({ ...envelope, time: moment.date });
  return { kind, text, content, ...moment };
}

/** The model's reply as it was written. `thoughts` is what a search reads of it. */
export function createReply(content: string, thoughts: string, moment: Moment): AgentMessage {
  return { kind: "reply", text: thoughts, content, ...moment };
}

export function toChatMessage({ kind, content }: AgentMessage): ChatMessage {
  return { role: kind === "reply" ? "assistant" : "user", content };
}
