import type { Conversation, Turn } from "@memory-r1/spec";

/**
 * A conversation with something to tell a Memory Manager. Where no session has a fact, because no extraction step was run
 * over the data set, every turn serves as one, whole and with its speaker; a conversation with facts stays as it is.
 */
export function withTurnsAsFacts(conversation: Conversation): Conversation {
  if (conversation.sessions.some(({ facts }) => facts.length > 0)) return conversation;
  return {
    ...conversation,
    sessions: conversation.sessions.map((session) => ({
      ...session,
      facts: session.turns.map((turn) => ({
        id: turn.id,
        text: turnText(turn),
        participant: turn.speaker,
        sourceTurnIds: [turn.id],
      })),
    })),
  };
}

/** A turn in one line: who said what, and what a shared picture shows. */
export function turnText({ speaker, text, imageCaption }: Turn): string {
  const said = `${speaker}: ${text}`;
  return imageCaption === undefined ? said : `${said} [shares a picture: ${imageCaption}]`;
}
