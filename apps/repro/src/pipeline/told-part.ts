import type { Conversation, Question } from "@memory-r1/spec";

/** The first `sessions` sessions of a conversation; all of it where no number is given. */
export function toldPart(conversation: Conversation, sessions: number | undefined): Conversation {
  if (sessions === undefined) return conversation;
  return { ...conversation, sessions: conversation.sessions.slice(0, sessions) };
}

/**
 * Whether a question's evidence lies wholly in what is told. Where only a part is told, a question without evidence is
 * left out: nothing says that the part can answer it.
 */
export function createEvidenceFilter(
  conversations: readonly Conversation[],
  sessions: number | undefined,
): (question: Question) => boolean {
  if (sessions === undefined) return () => true;
  const told = new Map(
    conversations.map((conversation) => {
      const part = toldPart(conversation, sessions).sessions;
      const ids = [
        ...part.map(({ id }) => id),
        ...part.flatMap(({ turns }) => turns.map(({ id }) => id)),
      ];
      return [conversation.id, new Set(ids)];
    }),
  );
  return ({ conversationId, evidenceTurnIds, evidenceSessionIds = [] }) => {
    const evidence = [...evidenceTurnIds, ...evidenceSessionIds];
    const ids = told.get(conversationId);
    return evidence.length > 0 && evidence.every((id) => ids?.has(id) === true);
  };
}
